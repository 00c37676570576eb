//! Attention over a cache of halves through NVIDIA's matrix instructions.

use super::GpuDevice;
use super::attention::Query;
use super::programs::Family;
use super::queue::{Args, Grid};
use super::tiles::local_sizes;
use crate::driver::{Dialect, MemoryId};
use torchless_device::{Attend, CacheShape, CacheType, CacheValues, DeviceError, Pairing};

/// Rows of a sequence up to which each attends alone, its cache split over groups.
const MOST_ALONE: usize = 4;
/// Rows of a sequence that a group takes otherwise, and its threads.
const TOGETHER: usize = 128;
const THREADS: usize = 256;
/// Keys that are looked at together where there are many rows; heads above this length go with fewer.
const MANY_KEYS: [usize; 3] = [64, 32, 16];
const LONG_DIM: usize = 128;
/// The longest head.
const MOST_DIM: usize = 256;
/// Heads of queries that share a pass over the cache.
const SHARED_HEADS: usize = 16;
/// The most parts that a cache is split into.
const MOST_SPLITS: usize = 32;

const TURN_AND_APPEND: usize = 1;
const HAS_SINKS: usize = 2;
const HALVES_PAIRED: usize = 4;
const VALUES_TOO: usize = 8;

/// The shape that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlashShape {
    /// Values per key and per value vector.
    pub k_dim: usize,
    /// See `k_dim`.
    pub v_dim: usize,
    /// Heads of queries per head of the cache.
    pub group: usize,
    /// Keys that a group looks at together where there are many rows.
    pub keys: usize,
}

impl FlashShape {
    /// `None` for what these kernels cannot do where a group has `local` bytes beside what kernels declare.
    pub(super) fn of(s: &CacheShape, heads: usize, pairs: usize, local: usize) -> Option<Self> {
        let fits = |dim: usize| dim.is_multiple_of(16) && dim <= MOST_DIM;
        let usual = s.ty == CacheType::F16 && s.values == CacheValues::Own && s.block_len == 32;
        let group = heads / s.kv_heads;
        let ok =
            usual && fits(s.k_dim) && fits(s.v_dim) && heads == group * s.kv_heads && 2 * pairs <= s.k_dim;
        ok.then(|| Self::with_dims((s.k_dim, s.v_dim), group, local)).flatten()
    }

    /// As many keys together as there is memory and, of long heads, registers for.
    fn with_dims((k_dim, v_dim): (usize, usize), group: usize, local: usize) -> Option<Self> {
        let shapes = MANY_KEYS.iter().map(|&keys| Self { k_dim, v_dim, group, keys });
        shapes.skip(usize::from(k_dim > LONG_DIM)).find(|shape| shape.many_local() <= local)
    }

    /// The shapes of heads of `dim` values on devices of a dialect, whose groups have different sizes.
    pub(super) fn usual((dim, group): (usize, usize), dialect: Dialect) -> Vec<Self> {
        let of = |&local: &usize| Self::with_dims((dim, dim), group, local);
        let mut all: Vec<_> = local_sizes(dialect).iter().filter_map(of).collect();
        all.dedup();
        all
    }

    /// Bytes that a group shares where there are many rows: keys and values twice, in padded halves.
    fn many_local(self) -> usize {
        2 * self.keys * (self.k_dim + self.v_dim + 16) * 2
    }

    /// Warps of a group that attends for one row.
    fn warps(self) -> usize {
        match self.group.min(SHARED_HEADS) * self.v_dim {
            _ if self.v_dim <= 64 => 8,
            0..=2048 => 4,
            _ => 2,
        }
    }
}

/// Angles of a rotation, or none.
struct Turning {
    cosines: MemoryId,
    sines: MemoryId,
    pairs: usize,
    flags: usize,
}

impl GpuDevice {
    fn turning(&self, op: &Attend) -> Turning {
        let none = Turning { cosines: self.nothing, sines: self.nothing, pairs: 0, flags: 0 };
        let Some(rope) = op.rope else { return none };
        let (cosines, sines, pairs, pairing) = self.ropes[rope.0 as usize].angles();
        let flags = if pairing == Pairing::Halves { HALVES_PAIRED } else { 0 };
        match (cosines, sines) {
            (Some(cosines), Some(sines)) => Turning { cosines, sines, pairs, flags },
            _ => none,
        }
    }

    /// The shape for an op, if these kernels can do it here.
    pub(super) fn flash_shape(&self, op: &Attend) -> Option<FlashShape> {
        let local = self.matrix_units?.local();
        let pairs = op.rope.map_or(0, |rope| self.ropes[rope.0 as usize].angles().2);
        FlashShape::of(&self.caches[op.cache.0 as usize].shape, op.heads, pairs, local)
    }

    /// Turns, appends and attends.
    pub(super) fn run_flash(&mut self, op: &Attend, shape: FlashShape) -> Result<(), DeviceError> {
        let (q, out) = (self.buf(op.q).memory, self.buf(op.out).memory);
        let kv = op.kv.map(|(k, v)| (self.buf(k).memory, self.buf(v).memory));
        let longest = self.step.longest_slice();
        let mut turning = self.turning(op);
        let is_fused = kv.is_some() && longest == 1;
        match (kv, op.rope) {
            (Some(kv), _) if !is_fused => self.turn_and_append((op, shape), (q, kv), &turning)?,
            (None, Some(rope)) => self.rotate(q, (op.heads, shape.k_dim), rope)?,
            _ => {}
        }
        if !is_fused {
            turning = Turning { pairs: 0, ..turning };
        }
        let query = Query {
            q,
            out,
            cache: op.cache.0 as usize,
            heads: op.heads,
            scale: op.scale,
            window: op.window,
            softcap: op.softcap,
            sinks: op.sinks,
        };
        if longest <= MOST_ALONE {
            self.attend_few(&query, shape, is_fused.then_some(kv).flatten(), &turning)
        } else {
            self.attend_many(&query, shape)
        }
    }

    fn turn_and_append(
        &mut self,
        (op, shape): (&Attend, FlashShape),
        (q, (k, v)): (MemoryId, (MemoryId, MemoryId)),
        t: &Turning,
    ) -> Result<(), DeviceError> {
        let cache = &self.caches[op.cache.0 as usize];
        let (kv_heads, keys, values) = (cache.shape.kv_heads, cache.keys, cache.values);
        let items = op.heads * t.pairs + kv_heads * (shape.k_dim / 2) + kv_heads * shape.v_dim;
        let (at, step) = (self.step.at, self.ints_memory()?);
        let args = Args::of(&[q, k, v, t.cosines, t.sines, keys, values, step]);
        let args = args.ints(&[at.positions, at.slice_of, at.slices, at.blocks, kv_heads, t.pairs]);
        let args = args.ints(&[t.flags | TURN_AND_APPEND | VALUES_TOO]);
        let grid = Grid::Groups([items.div_ceil(THREADS), self.step.rows, 1], THREADS);
        self.launch(Family::Flash(shape), "turn_and_append", grid, args)
    }

    /// One row of each sequence at a time, the cache split over groups whose sums the last to arrive adds up in order.
    fn attend_few(
        &mut self,
        query: &Query,
        shape: FlashShape,
        kv: Option<(MemoryId, MemoryId)>,
        t: &Turning,
    ) -> Result<(), DeviceError> {
        let cache = &self.caches[query.cache];
        let (kv_heads, keys, values) = (cache.shape.kv_heads, cache.keys, cache.values);
        let sets = shape.group.div_ceil(SHARED_HEADS);
        let tasks = self.step.rows * kv_heads * sets;
        let splits = (2 * self.units() / tasks.max(1)).clamp(1, MOST_SPLITS);
        let partial = tasks * splits * shape.group.min(SHARED_HEADS) * (shape.v_dim + 2);
        let partial = self.floats(|r| &mut r.partial, partial, "partial sums")?;
        let arrived = self.arrivals(tasks)?;
        let (sinks, has_sinks) = self.vector_or_nothing(query.sinks);
        let (k, v) = kv.unwrap_or((self.nothing, self.nothing));
        let (at, step) = (self.step.at, self.ints_memory()?);
        let own = if kv.is_some() { TURN_AND_APPEND } else { 0 };
        let flags = t.flags | (has_sinks * HAS_SINKS) | own;
        let args = Args::of(&[
            query.q, k, v, t.cosines, t.sines, keys, values, step, sinks, query.out, partial, arrived,
        ]);
        let args = args.ints(&[at.positions, at.slice_of, at.slices, at.blocks, kv_heads, t.pairs]);
        let args = args.ints(&[query.window_or_none(), flags]);
        let args = args.floats(&[query.scale, query.softcap.unwrap_or(0.0)]);
        let grid = Grid::Groups([splits, kv_heads * sets, self.step.rows], 32 * shape.warps());
        self.launch(Family::Flash(shape), "attend_few", grid, args)
    }

    /// Many rows of a sequence together.
    fn attend_many(&mut self, query: &Query, shape: FlashShape) -> Result<(), DeviceError> {
        let cache = &self.caches[query.cache];
        let (kv_heads, keys, values) = (cache.shape.kv_heads, cache.keys, cache.values);
        let tiles: Vec<usize> = self.step.tiles(TOGETHER);
        let count = tiles.len() / 2;
        let at_tiles = self.list(tiles.into_iter())?;
        let (sinks, has_sinks) = self.vector_or_nothing(query.sinks);
        let (at, step) = (self.step.at, self.ints_memory()?);
        let args = Args::of(&[query.q, keys, values, step, sinks, query.out]);
        let args = args.ints(&[at.slices, at.blocks, at_tiles, kv_heads, query.window_or_none()]);
        let args = args.ints(&[has_sinks * HAS_SINKS]).floats(&[query.scale, query.softcap.unwrap_or(0.0)]);
        let grid = Grid::Groups([query.heads, count, 1], THREADS);
        self.launch(Family::Flash(shape), "attend_many", grid, args.sharing(shape.many_local()))
    }
}
