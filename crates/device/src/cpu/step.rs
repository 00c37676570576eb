//! What all layers of a step share: tokens, positions, block tables, rotations; and attention over the cache.

use super::{CpuDevice, kv_type};
use crate::ops::{Attend, BufId, CacheShape, Pairing, Rope, RopeId};
use std::ops::Range;
use torchless_base::{BlockCopy, SeqId, StepPlan, TokenId};
use torchless_kernels::{
    AttendSpec, Cpu, KvLayer, KvShape, KvShapeError, KvSlice, RopePairing, RopeSpec, rope_angles,
};

/// Slices that go to the kernels in one call: their table lies on the stack.
const GROUP: usize = 32;

/// The plan in the words of the kernels; kept from step to step, so that nothing is allocated.
#[derive(Default)]
pub(super) struct Step {
    pub tokens: Vec<TokenId>,
    pub positions: Vec<usize>,
    slices: Vec<Part>,
    blocks: Vec<u32>,
}

/// Consecutive tokens of one sequence.
pub(super) struct Part {
    pub seq: SeqId,
    pub rows: Range<usize>,
    /// Position of the first.
    pub start: usize,
    known: usize,
    blocks: Range<usize>,
}

impl Step {
    pub(super) fn set(&mut self, plan: &StepPlan) {
        self.tokens.clear();
        self.tokens.extend_from_slice(&plan.tokens);
        self.positions.clear();
        self.slices.clear();
        self.blocks.clear();
        self.blocks.extend(plan.blocks.iter().map(|b| b.0));
        for slice in &plan.slices {
            self.positions.extend(slice.start..slice.start + slice.tokens.len());
            let (rows, blocks) = (slice.tokens.clone(), slice.blocks.clone());
            let (seq, start, known) = (slice.seq, slice.start, slice.known);
            self.slices.push(Part { seq, rows, start, known, blocks });
        }
    }

    /// The rows of each slice.
    pub(super) fn texts(&self) -> impl Iterator<Item = Range<usize>> {
        self.slices.iter().map(|part| part.rows.clone())
    }

    /// The slices.
    pub(super) fn parts(&self) -> &[Part] {
        &self.slices
    }

    /// Calls `f` with all slices, some at a time.
    pub(super) fn for_slices(&self, mut f: impl FnMut(&[KvSlice<'_>])) {
        let mut group = [KvSlice { first_row: 0, n_tokens: 0, start_pos: 0, blocks: &[] }; GROUP];
        for parts in self.slices.chunks(GROUP) {
            for (to, part) in group.iter_mut().zip(parts) {
                let (first_row, n_tokens) = (part.rows.start, part.rows.len());
                let blocks = &self.blocks[part.blocks.clone()];
                *to = KvSlice { first_row, n_tokens, start_pos: part.start, blocks };
            }
            f(&group[..parts.len()]);
        }
    }
}

/// A rotary embedding with the cosines and sines of the step's positions.
#[derive(Clone)]
pub(super) struct Rotation {
    rope: Rope,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotation {
    pub(super) fn new(rope: &Rope) -> Self {
        Self { rope: rope.clone(), cos: Vec::new(), sin: Vec::new() }
    }

    pub(super) fn turn(&mut self, step: &Step) {
        let (pairs, magnitude) = (self.rope.inv_freq.len(), self.rope.magnitude);
        self.cos.resize(step.positions.len() * pairs, 0.0);
        self.sin.resize(step.positions.len() * pairs, 0.0);
        let Some(beyond) = &self.rope.beyond else {
            return rope_angles(
                &step.positions,
                &self.rope.inv_freq,
                magnitude,
                &mut self.cos,
                &mut self.sin,
            );
        };
        for part in &step.slices {
            let (inv_freq, magnitude) = match part.known > beyond.tokens {
                true => (&beyond.inv_freq, beyond.magnitude),
                false => (&self.rope.inv_freq, magnitude),
            };
            let angles = part.rows.start * pairs..part.rows.end * pairs;
            let (cos, sin) = (&mut self.cos[angles.clone()], &mut self.sin[angles]);
            rope_angles(&step.positions[part.rows.clone()], inv_freq, magnitude, cos, sin);
        }
    }

    /// Turns the heads of the step's rows.
    pub(super) fn apply(&self, cpu: &Cpu, head_dim: usize, x: &mut [f32]) {
        cpu.rope(x, self.spec(head_dim), &self.cos, &self.sin);
    }

    fn spec(&self, head_dim: usize) -> RopeSpec {
        let pairing = match self.rope.pairing {
            Pairing::Adjacent => RopePairing::Adjacent,
            Pairing::Halves => RopePairing::Halves,
        };
        RopeSpec { head_dim, dims: 2 * self.rope.inv_freq.len(), pairing }
    }
}

pub(super) fn make_cache(s: &CacheShape) -> Result<KvLayer, KvShapeError> {
    let (kv_heads, k_dim, v_dim) = (s.kv_heads, s.k_dim, s.v_dim);
    KvLayer::new(KvShape {
        blocks: s.blocks,
        block_len: s.block_len,
        kv_heads,
        k_dim,
        v_dim,
        dtype: kv_type(s.ty),
        values: s.values,
    })
}

pub(super) fn copy_block(cache: &mut KvLayer, copy: &BlockCopy) {
    cache.copy_block(copy.from.0, copy.to.0);
}

impl CpuDevice {
    /// Turns the heads of a buffer by the positions of the step's tokens.
    pub(super) fn rotate(&mut self, buf: BufId, heads: usize, head_dim: usize, rope: RopeId) {
        let mut x = self.take(buf);
        let rotation = &self.ropes[rope.0 as usize];
        let len = self.step.tokens.len() * heads * head_dim;
        rotation.apply(&self.cpu, head_dim, &mut x[..len]);
        self.give(buf, x);
    }

    pub(super) fn rotate_and_append(&mut self, op: &Attend) {
        let shape = *self.caches[op.cache.0 as usize].shape();
        let n = self.step.tokens.len();
        if let Some(rope) = op.rope {
            self.rotate(op.q, op.heads, shape.k_dim, rope);
        }
        let Some((k, v)) = op.kv else { return };
        if let Some(rope) = op.rope {
            self.rotate(k, shape.kv_heads, shape.k_dim, rope);
        }
        let rows = |buf: BufId| &self.buffers[buf.0 as usize].data[..];
        let (k, v) =
            (&rows(k)[..n * shape.kv_heads * shape.k_dim], &rows(v)[..n * shape.kv_heads * shape.v_dim]);
        let layer = &mut self.caches[op.cache.0 as usize];
        self.step.for_slices(|slices| self.cpu.kv_append(layer, slices, k, v));
    }

    pub(super) fn attend_over_cache(&mut self, op: &Attend) {
        let layer = &self.caches[op.cache.0 as usize];
        let shape = *layer.shape();
        let n = self.step.tokens.len();
        let spec = AttendSpec {
            heads: op.heads,
            scale: op.scale,
            window: op.window,
            softcap: op.softcap,
            sinks: op.sinks.map(|s| self.vectors.get(s)),
        };
        let mut out = std::mem::take(&mut self.buffers[op.out.0 as usize].data);
        let q = &self.buffers[op.q.0 as usize].data[..n * op.heads * shape.k_dim];
        let len = n * op.heads * shape.v_dim;
        self.step.for_slices(|slices| self.cpu.attend(layer, slices, q, &spec, &mut out[..len]));
        self.give(op.out, out);
    }
}
