//! Products with weights that are not held in memory: a few parts of a matrix at a time are read from the file into
//! buffers that stay, and multiplied while they are in the cache.

use super::matrix::Matrix;
use crate::{DeviceError, MatrixSource, WeightBytes};
use std::sync::Mutex;
use torchless_kernels::{Activations, Cpu, Layout, MatmulJob, MatrixRef, Store};

/// Parts that are read, and then multiplied, in one dispatch.
const PARTS: usize = 8;
/// Bytes of a part: large enough for the system to read well, so small that all parts fit into the caches.
const PART_BYTES: usize = 256 << 10;

/// Buffers for parts on their way.
#[derive(Default)]
pub(super) struct Stream {
    parts: [Mutex<Part>; PARTS],
    sums: Vec<f32>,
}

#[derive(Default)]
struct Part {
    rows: usize,
    data: Vec<u8>,
    scales: Vec<u8>,
    failed: Option<std::io::Error>,
}

impl Stream {
    /// Writes (or adds) the product of `x` and all rows of `matrix` to `y`, `[n, rows]`.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub(super) fn product(
        &mut self,
        cpu: &Cpu,
        matrix: &Matrix,
        x: &Activations,
        (y, bias, store): (&mut [f32], Option<&[f32]>, Store),
    ) -> Result<(), DeviceError> {
        let source = matrix.source();
        let (n, _) = x.shape();
        let row_bytes = (source.data.bytes().len() / source.rows).max(1);
        let part_rows = (PART_BYTES / row_bytes).max(1).next_multiple_of(16);
        for first in (0..source.rows).step_by(part_rows * PARTS) {
            self.read(cpu, source, (first, part_rows))?;
            self.multiply(cpu, source, x)?;
            let mut at = first;
            let mut sums = &self.sums[..];
            for part in &mut self.parts {
                let rows = part.get_mut().map_or(0, |p| p.rows);
                let (here, rest) = sums.split_at(n * rows);
                sums = rest;
                let bias = bias.map(|b| &b[at..at + rows]);
                for (row, sums) in y.chunks_exact_mut(source.rows).zip(here.chunks_exact(rows.max(1))) {
                    finish(&mut row[at..at + rows], sums, bias, store);
                }
                at += rows;
            }
        }
        Ok(())
    }

    /// Reads up to [`PARTS`] parts of `part_rows` rows from row `first` on.
    fn read(
        &mut self,
        cpu: &Cpu,
        source: &MatrixSource,
        (first, part_rows): (usize, usize),
    ) -> Result<(), DeviceError> {
        cpu.pool().for_chunks(PARTS, &|_, i| {
            // Each part is locked by the one worker that has its number.
            let Ok(mut part) = self.parts[i].lock() else { return };
            let start = (first + i * part_rows).min(source.rows);
            part.rows = part_rows.min(source.rows - start);
            let part = &mut *part;
            let planes = [(Some(&source.data), &mut part.data), (source.scales.as_ref(), &mut part.scales)];
            part.failed = planes
                .into_iter()
                .find_map(|(plane, out)| read_rows(&**plane?, source.rows, (start, part.rows), out).err());
        });
        for part in &mut self.parts {
            if let Some(e) = part.get_mut().ok().and_then(|p| p.failed.take()) {
                return Err(DeviceError::Weights { what: source.name.clone(), reason: e.to_string() });
            }
        }
        Ok(())
    }

    /// Multiplies what was read; the sums of one part lie behind those of the part before.
    fn multiply(&mut self, cpu: &Cpu, source: &MatrixSource, x: &Activations) -> Result<(), DeviceError> {
        let (n, _) = x.shape();
        let mut jobs = Vec::with_capacity(PARTS);
        let total: usize = self.parts.iter_mut().map(|p| p.get_mut().map_or(0, |p| p.rows)).sum();
        self.sums.resize(self.sums.len().max(n * total), 0.0);
        let mut sums = &mut self.sums[..];
        for part in &mut self.parts {
            let Ok(part) = part.get_mut() else { continue };
            if part.rows == 0 {
                continue;
            }
            let (y, rest) = sums.split_at_mut(n * part.rows);
            sums = rest;
            let (data, scales) = (&part.data[..], &part.scales[..]);
            let layout = Layout::File;
            let w = MatrixRef { ty: source.ty, layout, rows: part.rows, cols: source.cols, data, scales };
            jobs.push(MatmulJob { w, bias: None, y, store: Store::Set });
        }
        cpu.matmul(&mut jobs, x);
        Ok(())
    }
}

/// Reads `count` rows from row `first` on of a plane that has `rows` of them; `out` gets their size.
fn read_rows(
    plane: &dyn WeightBytes,
    rows: usize,
    (first, count): (usize, usize),
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    let row = plane.bytes().len() / rows;
    out.resize(count * row, 0);
    if !plane.read_at(first * row, out)? {
        out.copy_from_slice(&plane.bytes()[first * row..(first + count) * row]);
    }
    Ok(())
}

fn finish(y: &mut [f32], sums: &[f32], bias: Option<&[f32]>, store: Store) {
    for (i, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
        let value = sum + bias.map_or(0.0, |b| b[i]);
        *y = if store == Store::Add { *y + value } else { value };
    }
}
