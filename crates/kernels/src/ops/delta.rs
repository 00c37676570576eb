//! Linear attention with a state: the gated delta rule, and the short causal convolution before it.
//!
//! A head's state is a matrix `[key_dim, value_dim]` that each token decays, corrects towards its value and reads. Tokens go
//! one after the other, whatever they come with, so a token's result does not depend on how a prompt is cut.

use super::disjoint::{Disjoint, for_rows};
use super::elementwise::for_pieces;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH};

/// Added to the squares under the root that scales queries and keys to unit length.
const UNIT_EPS: f32 = 1e-6;

/// The heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaShape {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values, a multiple of `key_heads`.
    pub value_heads: usize,
    /// Values per query and key.
    pub key_dim: usize,
    /// Values per value vector.
    pub value_dim: usize,
    /// Which key head a value head reads.
    pub sharing: HeadSharing,
}

/// How value heads share key heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadSharing {
    /// Consecutive value heads share one.
    Runs,
    /// Value head `h` reads key head `h % key_heads`.
    Rounds,
}

impl DeltaShape {
    /// Values of a row that holds queries, keys and values.
    pub fn qkv_width(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim
    }

    /// Values of a sequence's state.
    pub fn state_len(&self) -> usize {
        self.value_heads * self.key_dim * self.value_dim
    }

    fn key_head(&self, value_head: usize) -> usize {
        match self.sharing {
            HeadSharing::Runs => value_head / (self.value_heads / self.key_heads),
            HeadSharing::Rounds => value_head % self.key_heads,
        }
    }
}

/// What a token does to a head's state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeltaGate {
    /// Factor of what the state held.
    pub decay: f32,
    /// How far it is corrected.
    pub beta: f32,
}

/// A token of one head.
pub(crate) struct DeltaStep<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    gate: DeltaGate,
}

impl Cpu {
    /// `out[t] = sum over j of weight[j] * x[t - K + 1 + j]`, channel by channel, where rows before the first of `x`, `[n, c]`,
    /// are those of `history`, `[K - 1, c]`; `weight` is `[K, c]`. `history` then holds the last rows.
    /// Panics where lengths do not agree.
    pub fn causal_conv(&self, x: &[f32], weight: &[f32], history: &mut [f32], out: &mut [f32]) {
        let channels = weight.len() - history.len();
        assert!(weight.len().is_multiple_of(channels), "causal_conv: weight and history");
        assert!(x.len().is_multiple_of(channels) && x.len() == out.len(), "causal_conv: input and output");
        let before = history.len() / channels;
        let row = |t: usize| match t.checked_sub(before) {
            Some(t) => &x[t * channels..][..channels],
            None => &history[t * channels..][..channels],
        };
        for_rows(self, out, channels, &|t, out| {
            out.fill(0.0);
            for (j, weight) in weight.chunks_exact(channels).enumerate() {
                (self.kernels.ops.add_product)(out, row(t + j), weight);
            }
        });
        let kept = history.len();
        if x.len() >= kept {
            history.copy_from_slice(&x[x.len() - kept..]);
        } else {
            history.copy_within(x.len().., 0);
            history[kept - x.len()..].copy_from_slice(x);
        }
    }

    /// `x[i] += y[i] * z[i]`. Panics where the lengths differ.
    pub fn add_product(&self, x: &mut [f32], y: &[f32], z: &[f32]) {
        assert_eq!((y.len(), z.len()), (x.len(), x.len()), "add_product: lengths");
        for_pieces(self, x, &|at, x| {
            (self.kernels.ops.add_product)(x, &y[at..][..x.len()], &z[at..][..x.len()]);
        });
    }

    /// The tokens of one sequence in order: `qkv` is `[n, qkv_width]`, `gates` are `[n, value_heads]`, `out` is
    /// `[n, value_heads * value_dim]`, `state` is `[value_heads, key_dim, value_dim]`. Queries and keys are scaled to unit length,
    /// queries also by `1 / sqrt(key_dim)`. Panics where lengths do not agree.
    /// Yang, Kautz & Hatamizadeh 2024, arXiv 2412.06464, eq. 10.
    #[expect(clippy::too_many_arguments, reason = "five and the receiver")]
    pub fn delta_rule(
        &self,
        shape: &DeltaShape,
        qkv: &[f32],
        gates: &[DeltaGate],
        state: &mut [f32],
        out: &mut [f32],
    ) {
        let DeltaShape { value_heads, key_dim, value_dim, .. } = *shape;
        let (width, out_width) = (shape.qkv_width(), value_heads * value_dim);
        let n = gates.len() / value_heads;
        let want = (n * width, n * value_heads, n * out_width, shape.state_len());
        assert_eq!((qkv.len(), gates.len(), out.len(), state.len()), want, "delta_rule: {shape:?}");
        let (state, out) = (Disjoint::new(state), Disjoint::new(out));
        self.for_chunks(value_heads, &|memory, head| {
            let len = key_dim * value_dim;
            // SAFETY: each head is one chunk, and its state is its own.
            let state = unsafe { state.part(head * len, len) };
            memory.grow(4 * key_dim.next_multiple_of(WIDTH) * size_of::<f32>());
            let (weights, rows) = memory.as_mut_f32(4 * key_dim).split_at_mut(2 * key_dim);
            let (for_query, for_key) = weights.split_at_mut(key_dim);
            for_query.fill(1.0 / key_dim as f32);
            for_key.fill(1.0 / (key_dim as f32).sqrt());
            let (query, key) = rows.split_at_mut(key_dim);
            let at = shape.key_head(head) * key_dim;
            let keys = shape.key_heads * key_dim;
            for (t, row) in qkv.chunks_exact(width).enumerate() {
                let unit = self.kernels.ops.rms_norm;
                unit(&row[at..][..key_dim], for_query, UNIT_EPS / key_dim as f32, query);
                unit(&row[keys + at..][..key_dim], for_key, UNIT_EPS / key_dim as f32, key);
                let value = &row[2 * keys + head * value_dim..][..value_dim];
                // SAFETY: the values of a head of a token are written by the one chunk that has the head.
                let out = unsafe { out.part(t * out_width + head * value_dim, value_dim) };
                let step = DeltaStep { query, key, value, gate: gates[t * value_heads + head] };
                (self.kernels.ops.delta_step)(&step, state, out);
            }
        });
    }
}

/// Sixteen columns of the state at a time, from the first key row to the last, twice.
#[inline(always)]
pub(super) fn delta_step<L: Lanes>(l: L, step: &DeltaStep<'_>, state: &mut [f32], out: &mut [f32]) {
    let width = out.len();
    for first in (0..width).step_by(WIDTH) {
        let lanes = (width - first).min(WIDTH);
        let columns = first..first + lanes;
        let (decay, beta) = (l.splat(step.gate.decay), l.splat(step.gate.beta));
        let mut known = l.zero();
        for (row, key) in state.chunks_exact_mut(width).zip(step.key) {
            let held = l.mul(load(l, &row[columns.clone()]), decay);
            known = l.fma(held, l.splat(*key), known);
            store(l, held, &mut row[columns.clone()]);
        }
        let delta = l.mul(l.sub(load(l, &step.value[columns.clone()]), known), beta);
        let mut read = l.zero();
        for ((row, key), query) in state.chunks_exact_mut(width).zip(step.key).zip(step.query) {
            let held = l.fma(delta, l.splat(*key), load(l, &row[columns.clone()]));
            read = l.fma(held, l.splat(*query), read);
            store(l, held, &mut row[columns.clone()]);
        }
        store(l, read, &mut out[columns]);
    }
}

#[inline(always)]
fn load<L: Lanes>(l: L, from: &[f32]) -> L::V {
    match from.try_into() {
        Ok(whole) => l.load(whole),
        Err(_) => l.load_part(from),
    }
}

#[inline(always)]
fn store<L: Lanes>(l: L, v: L::V, to: &mut [f32]) {
    match <&mut [f32; WIDTH]>::try_from(&mut *to) {
        Ok(whole) => l.store(v, whole),
        Err(_) => l.store_part(v, to),
    }
}

#[inline(always)]
pub(super) fn add_product<L: Lanes>(l: L, x: &mut [f32], y: &[f32], z: &[f32]) {
    for ((x, y), z) in x.chunks_mut(WIDTH).zip(y.chunks(WIDTH)).zip(z.chunks(WIDTH)) {
        let sum = l.fma(load(l, y), load(l, z), load(l, x));
        store(l, sum, x);
    }
}
