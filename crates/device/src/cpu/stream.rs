//! Products with weights that are not held in memory: a few parts of a matrix at a time are made resident, multiplied and
//! given back. Where the system cannot make a part resident at once, it is read into a buffer that stays.

use super::matrix::Matrix;
use crate::{DeviceError, MatrixSource, WeightBytes};
use std::ops::Range;
use std::sync::Mutex;
use torchless_kernels::{Activations, Cpu, Layout, MatmulJob, MatrixRef, Store};

/// Parts that are brought, and then multiplied, in one dispatch.
const PARTS: usize = 8;
/// Bytes of a part. Pages are brought faster the more are asked for; what is read is to fit into the caches, all parts together.
const PART_BYTES: usize = if cfg!(target_os = "linux") { 1 << 20 } else { 256 << 10 };

/// Parts on their way.
#[derive(Default)]
pub(super) struct Stream {
    parts: [Mutex<Part>; PARTS],
    sums: Vec<f32>,
}

#[derive(Default)]
struct Part {
    rows: Range<usize>,
    data: Plane,
    scales: Plane,
    failed: Option<std::io::Error>,
}

/// Some rows of a plane: where they are, and a buffer for those that had to be read.
#[derive(Default)]
struct Plane {
    at: Place,
    read: Vec<u8>,
}

#[derive(Default)]
enum Place {
    /// Nowhere.
    #[default]
    Absent,
    /// These bytes of the source, whose pages are to be given back.
    Resident(Range<usize>),
    /// In the buffer.
    Read,
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
            self.bring(cpu, source, (first, part_rows))?;
            self.multiply(cpu, source, x);
            self.give_back(cpu, source);
            let mut sums = &self.sums[..];
            for part in &mut self.parts {
                let rows = part.get_mut().map_or(0..0, |p| p.rows.clone());
                let (here, rest) = sums.split_at(n * rows.len());
                sums = rest;
                let bias = bias.map(|b| &b[rows.clone()]);
                for (row, sums) in y.chunks_exact_mut(source.rows).zip(here.chunks_exact(rows.len().max(1))) {
                    finish(&mut row[rows.clone()], sums, bias, store);
                }
            }
        }
        Ok(())
    }

    /// Makes up to [`PARTS`] parts of `part_rows` rows from row `first` on ready for reading.
    fn bring(
        &mut self,
        cpu: &Cpu,
        source: &MatrixSource,
        (first, part_rows): (usize, usize),
    ) -> Result<(), DeviceError> {
        cpu.pool().for_chunks(PARTS, &|_, i| {
            // Each part is locked by the one worker that has its number.
            let Ok(mut part) = self.parts[i].lock() else { return };
            let start = (first + i * part_rows).min(source.rows);
            part.rows = start..source.rows.min(start + part_rows);
            let Part { rows, data, scales, failed } = &mut *part;
            let planes = [(Some(&source.data), data), (source.scales.as_ref(), scales)];
            *failed = planes
                .into_iter()
                .find_map(|(source_plane, plane)| plane.bring(&**source_plane?, source.rows, rows).err());
        });
        let failed = self.parts.iter_mut().find_map(|part| part.get_mut().ok()?.failed.take());
        let Some(e) = failed else { return Ok(()) };
        self.give_back(cpu, source);
        Err(DeviceError::Weights { what: source.name.clone(), reason: e.to_string() })
    }

    /// Gives back what was brought.
    fn give_back(&self, cpu: &Cpu, source: &MatrixSource) {
        cpu.pool().for_chunks(PARTS, &|_, i| {
            let Ok(mut part) = self.parts[i].lock() else { return };
            part.data.give_back(&*source.data);
            if let Some(scales) = &source.scales {
                part.scales.give_back(&**scales);
            }
        });
    }

    /// Multiplies what was brought; the sums of one part lie behind those of the part before.
    fn multiply(&mut self, cpu: &Cpu, source: &MatrixSource, x: &Activations) {
        let (n, _) = x.shape();
        let mut jobs = Vec::with_capacity(PARTS);
        let total: usize = self.parts.iter_mut().map(|p| p.get_mut().map_or(0, |p| p.rows.len())).sum();
        self.sums.resize(self.sums.len().max(n * total), 0.0);
        let mut sums = &mut self.sums[..];
        for part in &mut self.parts {
            let Ok(part) = part.get_mut() else { continue };
            if part.rows.is_empty() {
                continue;
            }
            let (y, rest) = sums.split_at_mut(n * part.rows.len());
            sums = rest;
            let data = part.data.bytes(&*source.data);
            let scales = source.scales.as_ref().map_or(&[][..], |scales| part.scales.bytes(&**scales));
            let layout = Layout::File;
            let w =
                MatrixRef { ty: source.ty, layout, rows: part.rows.len(), cols: source.cols, data, scales };
            jobs.push(MatmulJob { w, bias: None, y, store: Store::Set });
        }
        cpu.matmul(&mut jobs, x);
    }
}

impl Plane {
    /// Makes `rows` of a plane that has `all` of them ready for reading.
    fn bring(&mut self, source: &dyn WeightBytes, all: usize, rows: &Range<usize>) -> std::io::Result<()> {
        let row = source.bytes().len() / all;
        let range = rows.start * row..rows.end * row;
        self.at = Place::Absent;
        if range.is_empty() {
            return Ok(());
        }
        if source.populate(range.clone())? {
            self.at = Place::Resident(range);
            return Ok(());
        }
        self.read.resize(range.len(), 0);
        if !source.read_at(range.start, &mut self.read)? {
            self.read.copy_from_slice(&source.bytes()[range]);
        }
        self.at = Place::Read;
        Ok(())
    }

    fn bytes<'a>(&'a self, source: &'a dyn WeightBytes) -> &'a [u8] {
        match &self.at {
            Place::Absent => &[],
            Place::Resident(range) => &source.bytes()[range.clone()],
            Place::Read => &self.read,
        }
    }

    fn give_back(&mut self, source: &dyn WeightBytes) {
        if let Place::Resident(range) = std::mem::take(&mut self.at) {
            source.release(range);
        }
    }
}

fn finish(y: &mut [f32], sums: &[f32], bias: Option<&[f32]>, store: Store) {
    for (i, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
        let value = sum + bias.map_or(0.0, |b| b[i]);
        *y = if store == Store::Add { *y + value } else { value };
    }
}
