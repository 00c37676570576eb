//! Positions, caches, and attention over them.

use super::programs::Family;
use super::queue::{Args, Grid};
use super::{GpuDevice, Room};
use crate::GpuError;
use crate::driver::{Driver, MemoryId, Place};
use torchless_base::BlockCopy;
use torchless_device::{
    Attend, CacheShape, CacheType, CacheValues, DeviceError, MemoryUse, Pairing, Rope, RopeId,
};

/// Threads of a group that attends, and the longest key or value that it has room for.
const THREADS: usize = 64;
const MOST_DIM: usize = 1024;

/// A rotary embedding with the angles of the step's rows.
pub(super) struct Rotation {
    rope: Rope,
    usual: MemoryId,
    beyond: MemoryId,
    cosines: Room,
    sines: Room,
}

impl Rotation {
    /// Cosines and sines of the step, how many there are per row, and how pairs lie.
    pub(super) fn angles(&self) -> (Option<MemoryId>, Option<MemoryId>, usize, Pairing) {
        (self.cosines.memory, self.sines.memory, self.rope.inv_freq.len(), self.rope.pairing)
    }
}

/// The cache of one layer.
pub(super) struct Cache {
    pub shape: CacheShape,
    pub keys: MemoryId,
    /// The same where values lie in keys.
    pub values: MemoryId,
}

impl Cache {
    fn block_bytes(&self, dim: usize) -> u64 {
        (self.shape.kv_heads * self.shape.block_len * self.shape.ty.bytes(dim)) as u64
    }

    /// Copies a block of keys and values.
    pub(super) fn copy(&self, driver: &mut dyn Driver, copy: &BlockCopy) -> Result<(), GpuError> {
        let mut planes = vec![(self.keys, self.shape.k_dim)];
        if self.shape.values == CacheValues::Own {
            planes.push((self.values, self.shape.v_dim));
        }
        for (memory, dim) in planes {
            let bytes = self.block_bytes(dim);
            let place = |block: u32| Place { memory, offset: u64::from(block) * bytes };
            driver.copy(place(copy.from.0), place(copy.to.0), bytes)?;
        }
        Ok(())
    }

    /// The program of its kernels.
    pub(super) fn family(&self) -> Family {
        Family::Attention(self.shape.ty, self.shape.block_len)
    }
}

/// What attends to a cache.
pub(super) struct Query {
    pub q: MemoryId,
    pub out: MemoryId,
    pub cache: usize,
    pub heads: usize,
    pub scale: f32,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
    pub sinks: Option<torchless_device::VectorId>,
}

impl Query {
    /// A window beyond all positions is none, which kernels know as 0.
    pub(super) fn window_or_none(&self) -> usize {
        self.window.filter(|&w| w <= i32::MAX as usize).unwrap_or(0)
    }
}

/// Values of a vector that a thread appends: all that share a scale.
fn values_together(ty: CacheType) -> usize {
    match ty {
        CacheType::F16 | CacheType::F32 | CacheType::Bf16 => 1,
        CacheType::Q8_0 | CacheType::Q4_0 => 32,
    }
}

impl GpuDevice {
    pub(super) fn make_rotation(&mut self, rope: &Rope) -> Result<Rotation, DeviceError> {
        let usual = self.upload(&rope.inv_freq, "rotary frequencies")?;
        let beyond = match &rope.beyond {
            Some(beyond) => self.upload(&beyond.inv_freq, "rotary frequencies")?,
            None => usual,
        };
        let (cosines, sines) = (Room::default(), Room::default());
        Ok(Rotation { rope: rope.clone(), usual, beyond, cosines, sines })
    }

    pub(super) fn make_cache(&mut self, s: &CacheShape) -> Result<Cache, DeviceError> {
        let too_long = s.k_dim.max(s.v_dim) > MOST_DIM;
        let inside = s.values == CacheValues::InKeys;
        if too_long || s.kv_heads * s.k_dim * s.v_dim * s.block_len == 0 || (inside && s.v_dim > s.k_dim) {
            return Err(
                self.refuse(format!("a cache of {} heads of {} and {}", s.kv_heads, s.k_dim, s.v_dim))
            );
        }
        let mut cache = Cache { shape: *s, keys: self.nothing, values: self.nothing };
        let positions = s.blocks.saturating_mul(s.block_len);
        let what = format!("a layer's KV cache of {positions} positions");
        let bytes = |dim| (s.blocks as u64).saturating_mul(cache.block_bytes(dim));
        let (keys, values) = (bytes(s.k_dim), bytes(s.v_dim));
        cache.keys = self.take(keys, MemoryUse::Cache, &what)?;
        cache.values = if inside { cache.keys } else { self.take(values, MemoryUse::Cache, &what)? };
        Ok(cache)
    }

    /// Computes the angles of the step's rows.
    pub(super) fn turn(&mut self) -> Result<(), DeviceError> {
        for i in 0..self.ropes.len() {
            let pairs = self.ropes[i].rope.inv_freq.len();
            let count = self.step.rows * pairs;
            let bytes = (count * 4) as u64;
            let (mut cosines, mut sines) = (self.ropes[i].cosines, self.ropes[i].sines);
            let cos = self.room(&mut cosines, bytes, "rotations")?;
            let sin = self.room(&mut sines, bytes, "rotations")?;
            let rotation = &mut self.ropes[i];
            (rotation.cosines, rotation.sines) = (cosines, sines);
            let (limit, beyond) = match &rotation.rope.beyond {
                Some(beyond) => (beyond.tokens, beyond.magnitude),
                None => (i32::MAX as usize, 0.0),
            };
            let magnitude = rotation.rope.magnitude;
            let (usual, beyond_memory) = (rotation.usual, rotation.beyond);
            let at = self.step.at;
            let step = self.ints_memory()?;
            let args = Args::of(&[usual, beyond_memory, step, cos, sin]);
            let args = args.ints(&[
                at.positions,
                at.slice_of,
                at.slices,
                pairs,
                limit.min(i32::MAX as usize),
                count,
            ]);
            self.op("angles", Grid::Threads(count), args.floats(&[magnitude, beyond]))?;
        }
        Ok(())
    }

    /// Turns the heads of the step's rows.
    pub(super) fn rotate(
        &mut self,
        x: MemoryId,
        (heads, dim): (usize, usize),
        rope: RopeId,
    ) -> Result<(), DeviceError> {
        let rotation = &self.ropes[rope.0 as usize];
        let (cos, sin) = (rotation.cosines.memory, rotation.sines.memory);
        let (cos, sin) = (cos.unwrap_or(self.nothing), sin.unwrap_or(self.nothing));
        let pairs = rotation.rope.inv_freq.len();
        let halves = usize::from(rotation.rope.pairing == Pairing::Halves);
        let count = self.step.rows * heads * pairs;
        let args = Args::of(&[x, cos, sin]).ints(&[heads, dim, pairs, halves, count]);
        self.op("rope", Grid::Threads(count), args)
    }

    /// Appends the step's rows to one plane of a cache.
    pub(super) fn append(
        &mut self,
        (ty, family): (CacheType, Family),
        (x, plane): (MemoryId, MemoryId),
        (heads, dim): (usize, usize),
    ) -> Result<(), DeviceError> {
        let (at, count) = (self.step.at, self.step.rows * heads * dim.div_ceil(values_together(ty)));
        let step = self.ints_memory()?;
        let args = Args::of(&[x, step, plane]).ints(&[at.positions, at.slice_of, at.slices, at.blocks]);
        self.launch(family, "append", Grid::Threads(count), args.ints(&[heads, dim, count]))
    }

    pub(super) fn run_attend(&mut self, op: &Attend) -> Result<(), DeviceError> {
        if let Some(shape) = self.flash_shape(op) {
            return self.run_flash(op, shape);
        }
        let cache = &self.caches[op.cache.0 as usize];
        let (shape, family) = (cache.shape, (cache.shape.ty, cache.family()));
        let (keys, values) = (cache.keys, cache.values);
        let (q, out) = (self.buf(op.q).memory, self.buf(op.out).memory);
        if let Some(rope) = op.rope {
            self.rotate(q, (op.heads, shape.k_dim), rope)?;
        }
        if let Some((k, v)) = op.kv {
            let (k, v) = (self.buf(k).memory, self.buf(v).memory);
            if let Some(rope) = op.rope {
                self.rotate(k, (shape.kv_heads, shape.k_dim), rope)?;
            }
            self.append(family, (k, keys), (shape.kv_heads, shape.k_dim))?;
            if shape.values == CacheValues::Own {
                self.append(family, (v, values), (shape.kv_heads, shape.v_dim))?;
            }
        }
        self.attend_to(&Query {
            q,
            out,
            cache: op.cache.0 as usize,
            heads: op.heads,
            scale: op.scale,
            window: op.window,
            softcap: op.softcap,
            sinks: op.sinks,
        })
    }

    pub(super) fn attend_to(&mut self, query: &Query) -> Result<(), DeviceError> {
        let cache = &self.caches[query.cache];
        let (s, family, keys, values) = (cache.shape, cache.family(), cache.keys, cache.values);
        let (v_stride, v_first) = match s.values {
            CacheValues::Own => (s.v_dim, 0),
            CacheValues::InKeys => (s.k_dim, s.k_dim - s.v_dim),
        };
        let (sinks, has_sinks) = self.vector_or_nothing(query.sinks);
        let at = self.step.at;
        let step = self.ints_memory()?;
        let window = query.window_or_none();
        let args = Args::of(&[query.q, keys, values, step, sinks, query.out]);
        let args =
            args.ints(&[at.positions, at.slice_of, at.slices, at.blocks, query.heads, s.kv_heads, s.k_dim]);
        let args = args.ints(&[s.v_dim, v_stride, v_first, window, has_sinks]);
        let args = args.floats(&[query.scale, query.softcap.unwrap_or(0.0)]);
        let groups = [query.heads, self.step.rows, 1];
        self.launch(family, "attend", Grid::Groups(groups, THREADS), args)
    }
}
