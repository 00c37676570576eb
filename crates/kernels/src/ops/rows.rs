//! Rows on their way to and from the matrices that they were chosen for, and the gates that weigh them.

use super::disjoint::for_rows;
use super::elementwise::{Zip, for_pieces, zip};
use crate::cpu::Cpu;
use crate::lanes::{Lanes, math};
use std::ops::Range;

/// A row of a sum, and its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WeightedRow {
    /// Which row.
    pub row: u32,
    /// Its factor.
    pub factor: f32,
}

impl Cpu {
    /// `out[i] = x[rows[i]]`, rows of `dim` values. Panics where lengths do not agree or there is no such row.
    pub fn gather_rows(&self, x: &[f32], dim: usize, rows: &[u32], out: &mut [f32]) {
        assert_eq!(out.len(), rows.len() * dim, "gather_rows: output");
        for_rows(self, out, dim, &|i, out| out.copy_from_slice(&x[rows[i] as usize * dim..][..dim]));
    }

    /// `out[i] += sum over j of terms[i][j].factor * y[terms[i][j].row]`, rows of `dim` values, the terms in their order;
    /// each row of `out` has as many. Panics where lengths do not agree or there is no such row.
    pub fn add_weighted_rows(&self, y: &[f32], dim: usize, terms: &[WeightedRow], out: &mut [f32]) {
        let n = out.len().checked_div(dim).unwrap_or(0);
        let each = terms.len().checked_div(n).unwrap_or(0);
        assert_eq!((out.len(), terms.len()), (n * dim, n * each), "add_weighted_rows: output and terms");
        for_rows(self, out, dim, &|i, out| {
            for term in &terms[i * each..(i + 1) * each] {
                (self.kernels.ops.add_scaled)(out, &y[term.row as usize * dim..][..dim], term.factor);
            }
        });
    }

    /// Puts part of each head of `x`, `[n, heads, width]`, head by head: `out` is `[heads, n, part.len()]`.
    /// Panics where lengths do not agree.
    pub fn heads_first(
        &self,
        x: &[f32],
        (heads, width): (usize, usize),
        part: Range<usize>,
        out: &mut [f32],
    ) {
        let n = x.len() / (heads * width);
        assert_eq!((x.len(), out.len()), (n * heads * width, n * heads * part.len()), "heads_first: lengths");
        for_rows(self, out, part.len(), &|i, out| {
            let (head, token) = (i / n, i % n);
            out.copy_from_slice(&x[(token * heads + head) * width..][part.clone()]);
        });
    }

    /// The way back from [`Cpu::heads_first`]: `y`, `[heads, n, part.len()]`, becomes that part of each head of `out`,
    /// `[n, heads, width]`. Panics where lengths do not agree.
    pub fn tokens_first(
        &self,
        y: &[f32],
        (heads, width): (usize, usize),
        part: Range<usize>,
        out: &mut [f32],
    ) {
        let n = out.len() / (heads * width);
        assert_eq!(
            (out.len(), y.len()),
            (n * heads * width, n * heads * part.len()),
            "tokens_first: lengths"
        );
        for_rows(self, out, width, &|i, out| {
            let (token, head) = (i / heads, i % heads);
            out[part.clone()].copy_from_slice(&y[(head * n + token) * part.len()..][..part.len()]);
        });
    }

    /// `x[i] *= sigmoid(gate)`, where one value of `gate` is for `x.len() / gate.len()` consecutive ones of `x`.
    /// Panics where that is not whole.
    pub fn sigmoid_gate(&self, x: &mut [f32], gate: &[f32]) {
        if x.len() == gate.len() {
            return for_pieces(self, x, &|at, x| (self.kernels.ops.sigmoid_gate)(x, &gate[at..][..x.len()]));
        }
        let each = x.len().checked_div(gate.len()).unwrap_or(0);
        assert_eq!(x.len(), gate.len() * each, "sigmoid_gate: lengths");
        for_rows(self, x, each, &|i, x| {
            let mut factor = [1.0];
            (self.kernels.ops.sigmoid_gate)(&mut factor, &gate[i..=i]);
            (self.kernels.ops.scale)(x, factor[0]);
        });
    }

    /// `gate[i] = g sigmoid(alpha g) (u + 1)` with `g = min(gate[i], limit)` and `u = up[i]` kept within `limit` of 0: the
    /// gated unit of gpt-oss. Panics where the lengths differ.
    pub fn clamped_glu(&self, (alpha, limit): (f32, f32), gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len(), "clamped_glu: lengths");
        for_pieces(self, gate, &|at, gate| {
            (self.kernels.ops.clamped_glu)(gate, &up[at..][..gate.len()], alpha, limit);
        });
    }
}

#[derive(Clone, Copy)]
struct SigmoidGate;

impl Zip for SigmoidGate {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V, gate: L::V) -> L::V {
        l.mul(x, math::sigmoid(l, gate))
    }
}

#[derive(Clone, Copy)]
struct ClampedGlu {
    alpha: f32,
    limit: f32,
}

impl Zip for ClampedGlu {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, gate: L::V, up: L::V) -> L::V {
        let limit = l.splat(self.limit);
        let gate = l.min(limit, gate);
        let up = l.max(l.splat(-self.limit), l.min(limit, up));
        let gated = l.mul(gate, math::sigmoid(l, l.mul(gate, l.splat(self.alpha))));
        l.mul(gated, l.add(up, l.splat(1.0)))
    }
}

#[inline(always)]
pub(super) fn sigmoid_gate<L: Lanes>(l: L, x: &mut [f32], gate: &[f32]) {
    zip(l, x, gate, SigmoidGate);
}

#[inline(always)]
pub(super) fn clamped_glu<L: Lanes>(l: L, gate: &mut [f32], up: &[f32], alpha: f32, limit: f32) {
    zip(l, gate, up, ClampedGlu { alpha, limit });
}
