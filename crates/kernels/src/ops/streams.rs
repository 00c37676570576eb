//! Rows that are measured as a whole: weighted sums of several, magnitudes taken from others, and cuts at a number of deviations.

use super::disjoint::for_rows;
use super::elementwise::{Map, map};
use crate::cpu::Cpu;
use crate::lanes::Lanes;

/// Rows of weights, of which a sum takes as many as it has terms.
#[derive(Clone, Copy, Debug)]
pub struct SumWeights<'a> {
    /// `[n, width]`.
    pub values: &'a [f32],
    /// Values in a row.
    pub width: usize,
    /// The weight of the first term.
    pub first: usize,
}

impl Cpu {
    /// `out[i] = sum over j of weights[i][first + j] * terms[j][i]`, rows of `dim` values, the terms in their order.
    /// Panics where lengths do not agree.
    pub fn weighted_sum(&self, terms: &[&[f32]], weights: SumWeights<'_>, dim: usize, out: &mut [f32]) {
        assert!(terms.iter().all(|t| t.len() >= out.len()), "weighted_sum: terms");
        for_rows(self, out, dim, &|i, out| {
            let weights = &weights.values[i * weights.width + weights.first..][..terms.len()];
            out.fill(0.0);
            for (term, weight) in terms.iter().zip(weights) {
                (self.kernels.ops.add_scaled)(out, &term[i * dim..][..dim], *weight);
            }
        });
    }

    /// Multiplies each row of `x`, `dim` values, by the weight, `[dim]`. Panics where lengths do not agree.
    pub fn times_row(&self, x: &mut [f32], weight: &[f32]) {
        for_rows(self, x, weight.len(), &|_, row| (self.kernels.ops.times)(row, weight));
    }

    /// Scales each row of `x`, `dim` values, to the root mean square of that row of `like`; its own mean square counts as `floor` at
    /// least. Panics where lengths do not agree.
    pub fn match_magnitude(&self, x: &mut [f32], like: &[f32], dim: usize, floor: f32) {
        assert!(like.len() >= x.len(), "match_magnitude: lengths");
        for_rows(self, x, dim, &|i, row| {
            let wanted = (self.kernels.ops.mean_square)(&like[i * dim..][..dim]);
            let own = (self.kernels.ops.mean_square)(row).max(f64::from(floor));
            (self.kernels.ops.scale)(row, (wanted / own).sqrt() as f32);
        });
    }

    /// Of each row of `x`, `dim` values, what lies above its mean by more than so many standard deviations, less that bound; 0 of the
    /// rest. Lee et al. 2024, arXiv 2404.08763, as Gemma 3n has it.
    pub fn cut_below(&self, x: &mut [f32], dim: usize, deviations: f32) {
        for_rows(self, x, dim, &|_, row| {
            let (mean, deviation) = (self.kernels.ops.moments)(row);
            (self.kernels.ops.cut)(row, mean + deviation * deviations);
        });
    }
}

#[derive(Clone, Copy)]
struct Cut(f32);

impl Map for Cut {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V) -> L::V {
        l.max(l.zero(), l.sub(x, l.splat(self.0)))
    }
}

#[inline(always)]
pub(super) fn cut<L: Lanes>(l: L, x: &mut [f32], below: f32) {
    map(l, x, Cut(below));
}
