//! Normalisation of rows: root mean square and layer norm.

use super::disjoint::for_rows;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH};
use std::ops::Range;

/// Lanes are summed over stretches of this many values, the stretches in `f64`: errors do not grow with the row.
const STRETCH: usize = 16 * WIDTH;

/// A norm of rows.
#[derive(Clone, Copy, Debug)]
pub struct RowNorm<'a> {
    /// One factor per value of a row, or of one of its groups.
    pub weight: &'a [f32],
    /// Added at last, as many as there are factors; for layer norm only.
    pub bias: &'a [f32],
    /// Added to the mean of squares, or to the variance.
    pub eps: f32,
    /// Values that are normed together; a whole number of them makes a row.
    pub group: usize,
}

impl<'a> RowNorm<'a> {
    /// A norm of whole rows without bias.
    pub fn whole(weight: &'a [f32], eps: f32) -> Self {
        Self { weight, bias: &[], eps, group: weight.len() }
    }

    /// Which factors belong to group `i`.
    fn part(&self, i: usize) -> Range<usize> {
        let first = i % (self.weight.len() / self.group) * self.group;
        first..first + self.group
    }
}

impl Cpu {
    /// Scales each group of `x` to unit root mean square, then by the weight, into `out`, which is as long as `x`.
    /// Panics where the lengths do not agree.
    /// Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4.
    pub fn rms_norm(&self, x: &[f32], norm: &RowNorm<'_>, out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "rms_norm: input and output");
        let dim = norm.group;
        for_rows(self, out, dim, &|i, out| {
            (self.kernels.ops.rms_norm)(&x[i * dim..][..dim], &norm.weight[norm.part(i)], norm.eps, out);
        });
    }

    /// Shifts each group of `x` to mean 0 and scales it to variance 1, then by the weight, and adds the bias, into `out`,
    /// which is as long as `x`; a model without biases passes zeros.
    /// Panics where the lengths do not agree.
    /// Ba, Kiros & Hinton 2016, arXiv 1607.06450.
    pub fn layer_norm(&self, x: &[f32], norm: &RowNorm<'_>, out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "layer_norm: input and output");
        assert_eq!(norm.weight.len(), norm.bias.len(), "layer_norm: weight and bias");
        let dim = norm.group;
        for_rows(self, out, dim, &|i, out| {
            let (weight, bias) = (&norm.weight[norm.part(i)], &norm.bias[norm.part(i)]);
            (self.kernels.ops.layer_norm)(&x[i * dim..][..dim], weight, bias, norm.eps, out);
        });
    }
}

/// Sum of `term(x[i])` over a row, where `term` is `x` or, around `centre`, `(x - centre)^2`.
#[inline(always)]
fn sum<L: Lanes, T: Term<L>>(l: L, x: &[f32], term: T) -> f64 {
    let mut total = 0.0;
    for stretch in x.chunks(STRETCH) {
        let (groups, tail) = stretch.as_chunks::<WIDTH>();
        let mut lanes = l.zero();
        for group in groups {
            lanes = term.add(l, l.load(group), lanes);
        }
        total += f64::from(l.reduce_sum(lanes));
        for &value in tail {
            total += f64::from(l.to_array(term.add(l, l.splat(value), l.zero()))[0]);
        }
    }
    total
}

/// What is summed over a row.
trait Term<L: Lanes>: Copy {
    fn add(self, l: L, x: L::V, sum: L::V) -> L::V;
}

#[derive(Clone, Copy)]
struct Plain;

#[derive(Clone, Copy)]
struct SquareAround(f32);

impl<L: Lanes> Term<L> for Plain {
    #[inline(always)]
    fn add(self, l: L, x: L::V, sum: L::V) -> L::V {
        l.add(sum, x)
    }
}

impl<L: Lanes> Term<L> for SquareAround {
    #[inline(always)]
    fn add(self, l: L, x: L::V, sum: L::V) -> L::V {
        let d = l.sub(x, l.splat(self.0));
        l.fma(d, d, sum)
    }
}

/// The mean of the squares of a row's values.
#[inline(always)]
pub(super) fn mean_square<L: Lanes>(l: L, x: &[f32]) -> f64 {
    sum(l, x, SquareAround(0.0)) / x.len() as f64
}

/// Mean and standard deviation of a row's values, dividing by their number.
#[inline(always)]
pub(super) fn moments<L: Lanes>(l: L, x: &[f32]) -> (f32, f32) {
    let n = x.len() as f64;
    let mean = (sum(l, x, Plain) / n) as f32;
    (mean, (sum(l, x, SquareAround(mean)) / n).sqrt() as f32)
}

#[inline(always)]
pub(super) fn rms_norm<L: Lanes>(l: L, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = (1.0 / (mean_square(l, x) + f64::from(eps)).sqrt()) as f32;
    let (xs, x_tail) = x.as_chunks::<WIDTH>();
    let (weights, weight_tail) = weight.as_chunks::<WIDTH>();
    let (outs, out_tail) = out.as_chunks_mut::<WIDTH>();
    let factor = l.splat(scale);
    for ((x, w), out) in xs.iter().zip(weights).zip(outs) {
        l.store(l.mul(l.mul(l.load(x), factor), l.load(w)), out);
    }
    for ((x, w), out) in x_tail.iter().zip(weight_tail).zip(out_tail) {
        *out = x * scale * w;
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "five and the lanes")]
pub(super) fn layer_norm<L: Lanes>(l: L, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let n = x.len() as f64;
    let mean = (sum(l, x, Plain) / n) as f32;
    let variance = sum(l, x, SquareAround(mean)) / n;
    let scale = (1.0 / (variance + f64::from(eps)).sqrt()) as f32;
    let (xs, x_tail) = x.as_chunks::<WIDTH>();
    let (weights, weight_tail) = weight.as_chunks::<WIDTH>();
    let (biases, bias_tail) = bias.as_chunks::<WIDTH>();
    let (outs, out_tail) = out.as_chunks_mut::<WIDTH>();
    let (centre, factor) = (l.splat(mean), l.splat(scale));
    for (((x, w), b), out) in xs.iter().zip(weights).zip(biases).zip(outs) {
        let normal = l.mul(l.sub(l.load(x), centre), factor);
        l.store(l.fma(normal, l.load(w), l.load(b)), out);
    }
    for (((x, w), b), out) in x_tail.iter().zip(weight_tail).zip(bias_tail).zip(out_tail) {
        *out = (x - mean) * scale * w + b;
    }
}
