//! What encoders need beyond a decoder's ops.

use super::programs::Family;
use super::queue::{Args, Grid};
use super::tiles::Matrices;
use super::{Buffer, GpuDevice, handle};
use crate::driver::{MemoryId, Place};
use crate::host::int_bytes;
use torchless_device::{
    AttendWithin, BufId, DeviceError, EncoderDevice, Gather, MemoryUse, OffsetSource, OffsetsId, PoolKind,
    PoolRows, Unfold,
};

/// Threads of a group that attends within a text, and the longest head that it has room for.
const THREADS: usize = 64;
const MOST_DIM: usize = 1024;
/// The longest head that matrix instructions take; rows of a text and threads of a group there; threads that make halves.
const MOST_HALVES_DIM: usize = 128;
const WITHIN_ROWS: usize = 64;
const WITHIN_THREADS: usize = 128;
const HALVES_THREADS: usize = 256;
/// What distances add, as flags.
const HAS_BIASES: usize = 1;
const HAS_BY_QUERY: usize = 2;
const HAS_BY_KEY: usize = 4;

/// What distances add: memory of biases, of what queries and keys are multiplied with, and of the column of each distance.
#[derive(Clone, Copy)]
pub(super) struct Offsets {
    biases: Option<MemoryId>,
    by_query: Option<MemoryId>,
    by_key: Option<MemoryId>,
    columns: Option<MemoryId>,
    reach: usize,
    /// Rows of embedded distances.
    embedded: usize,
    /// Whether the columns of neighbouring distances are neighbours.
    is_smooth: bool,
}

/// Bytes that a group shares that attends within a text: queries, keys and values, and where distances are embedded, what they are
/// multiplied with, their products and columns.
fn within_local(dim: usize, offsets: Option<&Offsets>) -> usize {
    let tile = 2 * WITHIN_ROWS * (dim + 8);
    let has_products = offsets.is_some_and(|o| o.by_query.is_some() || o.by_key.is_some());
    if has_products { 7 * tile + 35_328 } else { 3 * tile }
}

impl GpuDevice {
    /// A copy of the first rows of a buffer.
    fn keep(&mut self, buf: Option<BufId>, rows: usize) -> Result<Option<MemoryId>, DeviceError> {
        let Some(buf) = buf else { return Ok(None) };
        let Buffer { memory: from, width } = self.buf(buf);
        let bytes = (rows * width * 4) as u64;
        let to = self.take(bytes, MemoryUse::Weights, "embedded distances")?;
        let start = |memory| Place { memory, offset: 0 };
        self.flush()?;
        self.driver.copy(start(from), start(to), bytes)?;
        Ok(Some(to))
    }

    /// Whether matrix instructions attend within texts.
    fn within_units(&self, dim: usize, offsets: Option<&Offsets>) -> bool {
        let local = self.matrix_units.map_or(0, Matrices::local);
        let fits = dim.is_multiple_of(16) && dim <= MOST_HALVES_DIM;
        fits && within_local(dim, offsets) <= local && offsets.is_none_or(|o| o.is_smooth)
    }

    /// The values of rows times a factor, as halves.
    fn halves(
        &mut self,
        pick: fn(&mut super::Rooms) -> &mut super::Room,
        (x, count): (MemoryId, usize),
        (dim, factor): (usize, f32),
    ) -> Result<MemoryId, DeviceError> {
        let to = self.floats(pick, count.div_ceil(2), "halves")?;
        let args = Args::of(&[x, to]).ints(&[count]).floats(&[factor]);
        let grid = Grid::Groups([count.div_ceil(4 * HALVES_THREADS), 1, 1], HALVES_THREADS);
        self.launch(Family::Within(dim), "to_halves", grid, args)?;
        Ok(to)
    }

    /// Attention within texts through matrix instructions.
    fn attend_in_halves(
        &mut self,
        op: &AttendWithin,
        dim: usize,
        offsets: Option<Offsets>,
    ) -> Result<(), DeviceError> {
        const LOG2_E: f32 = std::f32::consts::LOG2_E;
        let [q, k, v, out] = [op.q, op.k, op.v, op.out].map(|b| self.buf(b).memory);
        let (width, rows) = (op.heads * dim, self.step.rows);
        let scaled = op.scale * LOG2_E;
        let q = self.halves(|r| &mut r.halves[0], (q, rows * width), (dim, scaled))?;
        let k = self.halves(|r| &mut r.halves[1], (k, rows * width), (dim, 1.0))?;
        let v = self.halves(|r| &mut r.halves[2], (v, rows * width), (dim, 1.0))?;
        let offsets_of = |pick: fn(&Offsets) -> Option<MemoryId>| offsets.as_ref().and_then(pick);
        let (reach, embedded) = offsets.map_or((0, 0), |o| (o.reach, o.embedded));
        let (mut by_query, mut by_key, mut flags) = (self.nothing, self.nothing, 0);
        if let Some(table) = offsets_of(|o| o.by_query) {
            by_query = self.halves(|r| &mut r.halves[3], (table, embedded * width), (dim, 1.0))?;
            flags |= HAS_BY_QUERY;
        }
        if let Some(table) = offsets_of(|o| o.by_key) {
            by_key = self.halves(|r| &mut r.halves[4], (table, embedded * width), (dim, scaled))?;
            flags |= HAS_BY_KEY;
        }
        let biases = offsets_of(|o| o.biases);
        flags |= if biases.is_some() { HAS_BIASES } else { 0 };
        let columns = offsets_of(|o| o.columns).unwrap_or(self.nothing);
        let tiles = self.step.tiles(WITHIN_ROWS);
        let count = tiles.len() / 2;
        let at_tiles = self.list(tiles.into_iter())?;
        let (at, step) = (self.step.at, self.ints_memory()?);
        let window = op.window.map_or(0, |w| w.min(1 << 30) + 1);
        let args = Args::of(&[q, k, v, step, biases.unwrap_or(self.nothing), by_query, by_key, columns, out]);
        let args = args.ints(&[at.slices, at_tiles, op.heads, window, reach, embedded, flags]);
        let grid = Grid::Groups([op.heads, count, 1], WITHIN_THREADS);
        self.launch(
            Family::Within(dim),
            "attend_texts",
            grid,
            args.sharing(within_local(dim, offsets.as_ref())),
        )
    }

    fn check_reach(&self, offsets: &Offsets) -> Result<(), DeviceError> {
        let slices = self.step.ints[self.step.at.slices..].chunks(5).take(self.step.count);
        let longest = slices.map(|s| s[1] as usize).max().unwrap_or(0);
        if longest > offsets.reach + 1 {
            return Err(
                self.refuse(format!("a text of {longest} tokens where distances reach {}", offsets.reach))
            );
        }
        Ok(())
    }
}

impl EncoderDevice for GpuDevice {
    fn offsets(&mut self, source: &OffsetSource<'_>) -> Result<OffsetsId, DeviceError> {
        let offsets = match *source {
            OffsetSource::Bias { heads, values } => {
                let biases = Some(self.upload(values, "biases of distances")?);
                let reach = values.len() / heads.max(1) / 2;
                Offsets {
                    biases,
                    by_query: None,
                    by_key: None,
                    columns: None,
                    reach,
                    embedded: 0,
                    is_smooth: true,
                }
            }
            OffsetSource::Products { keys, queries, rows, .. } => {
                let count = rows.first().map_or(0, |&row| row as usize + 1);
                let columns: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
                let bytes = (columns.len() * 4) as u64;
                let memory = self.take(bytes, MemoryUse::Weights, "columns of distances")?;
                self.driver.write(Place { memory, offset: 0 }, int_bytes(&columns))?;
                Offsets {
                    biases: None,
                    by_query: self.keep(keys, count)?,
                    by_key: self.keep(queries, count)?,
                    columns: Some(memory),
                    reach: rows.len() / 2,
                    embedded: count,
                    is_smooth: rows.windows(2).all(|w| w[0] == w[1] || w[0] == w[1] + 1),
                }
            }
        };
        Ok(OffsetsId(handle(&mut self.offsets, offsets)))
    }

    fn resize(&mut self, buf: BufId, tokens: usize) -> Result<(), DeviceError> {
        let Buffer { memory, width } = self.buf(buf);
        if memory != self.nothing {
            self.release(memory)?;
        }
        // Not what was just given away, should there be no memory of the new size.
        self.buffers[buf.0 as usize].memory = self.nothing;
        let bytes = (tokens as u64).saturating_mul(width as u64 * 4);
        let what = (MemoryUse::Activations, &*format!("activations of {tokens} tokens"));
        self.buffers[buf.0 as usize].memory = self.pool.take_kept(&mut *self.driver, bytes, what)?.0;
        Ok(())
    }

    fn gather(&mut self, op: &Gather<'_>) -> Result<(), DeviceError> {
        let at = self.list(op.rows.iter().map(|&row| row as usize))?;
        self.look_up(op.table, at, op.rows.len(), (op.out, op.store, 1.0))
    }

    fn unfold(&mut self, op: &Unfold) -> Result<(), DeviceError> {
        let (from, to) = (self.buf(op.input), self.buf(op.out));
        let (at, count) = (self.step.at, self.step.rows * op.taps * from.width);
        let step = self.ints_memory()?;
        let args = Args::of(&[from.memory, step, to.memory]).ints(&[at.slice_of, at.slices]);
        self.op("unfold", Grid::Threads(count), args.ints(&[from.width, op.taps, count]))
    }

    fn attend_within(&mut self, op: &AttendWithin) -> Result<(), DeviceError> {
        let width = self.buf(op.q).width;
        let dim = width / op.heads;
        if dim > MOST_DIM {
            return Err(self.refuse(format!("heads of {dim} values")));
        }
        let [q, k, v, out] = [op.q, op.k, op.v, op.out].map(|b| self.buf(b).memory);
        if let Some(rope) = op.rope {
            self.rotate(q, (op.heads, dim), rope)?;
            self.rotate(k, (op.heads, dim), rope)?;
        }
        let offsets = op.offsets.map(|o| self.offsets[o.0 as usize]);
        if let Some(offsets) = &offsets {
            self.check_reach(offsets)?;
        }
        if self.within_units(dim, offsets.as_ref()) {
            return self.attend_in_halves(op, dim, offsets);
        }
        let part = |pick: fn(&Offsets) -> Option<MemoryId>| {
            offsets.as_ref().and_then(pick).map_or((self.nothing, 0), |memory| (memory, 1))
        };
        let (biases, has_biases) = part(|o| o.biases);
        let ((by_query, has_query), (by_key, has_key)) = (part(|o| o.by_query), part(|o| o.by_key));
        let columns = part(|o| o.columns).0;
        let reach = offsets.map_or(0, |o| o.reach);
        let (at, rows) = (self.step.at, self.step.rows);
        // One more than the window, so that none is 0.
        let window = op.window.map_or(0, |w| w.min(1 << 30) + 1);
        let step = self.ints_memory()?;
        let args = Args::of(&[q, k, v, step, biases, by_query, by_key, columns, out]);
        let args = args.ints(&[
            at.slice_of,
            at.slices,
            op.heads,
            dim,
            window,
            reach,
            has_biases,
            has_query,
            has_key,
        ]);
        let grid = Grid::Groups([op.heads, rows, 1], THREADS);
        self.op("attend_within", grid, args.floats(&[op.scale]))
    }

    fn pool_rows(&mut self, op: &PoolRows<'_>) -> Result<(), DeviceError> {
        let (from, to) = (self.buf(op.input), self.buf(op.out));
        let ends: Vec<usize> = op.texts.iter().flat_map(|text| [text.start, text.end]).collect();
        let at = self.list(ends.into_iter())?;
        let kind = match op.kind {
            PoolKind::Mean => 0,
            PoolKind::MeanSqrt => 1,
            PoolKind::Weighted => 2,
            PoolKind::Max => 3,
        };
        let count = op.texts.len() * from.width;
        let step = self.ints_memory()?;
        let args = Args::of(&[from.memory, step, to.memory]).ints(&[at, from.width, kind, count]);
        self.op("pool_rows", Grid::Threads(count), args)
    }
}
