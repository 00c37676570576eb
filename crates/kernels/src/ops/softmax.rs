//! Softmax of rows, and the largest logit.

use super::disjoint::for_rows;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH, math};

impl Cpu {
    /// Turns each row of `x`, `[n, len]`, into probabilities, in place; the largest value is taken away first.
    /// Panics where `x` is no whole number of rows.
    pub fn softmax(&self, x: &mut [f32], len: usize) {
        for_rows(self, x, len, &|_, row| (self.kernels.ops.softmax)(row));
    }

    /// The index of the largest value, of the first one where several are equal; NaN are passed over. `None` where there
    /// is no value that is not NaN.
    pub fn argmax(&self, x: &[f32]) -> Option<usize> {
        (self.kernels.ops.argmax)(x)
    }
}

/// The largest value that is not NaN; negative infinity where there is none.
#[inline(always)]
fn largest<L: Lanes>(l: L, x: &[f32]) -> f32 {
    let (groups, tail) = x.as_chunks::<WIDTH>();
    let mut max = l.splat(f32::NEG_INFINITY);
    for group in groups {
        max = l.max(l.load(group), max);
    }
    if !tail.is_empty() {
        max = l.max(l.load_part_or(tail, max), max);
    }
    l.reduce_max(max)
}

/// What to take away from a row before its exponentials: its largest value, or 0 where that would give NaN.
#[inline(always)]
pub(super) fn shift(max: f32) -> f32 {
    if max == f32::NEG_INFINITY { 0.0 } else { max }
}

#[inline(always)]
pub(super) fn softmax<L: Lanes>(l: L, row: &mut [f32]) {
    let max = l.splat(shift(largest(l, row)));
    let (groups, tail) = row.as_chunks_mut::<WIDTH>();
    let mut sum = l.zero();
    for group in groups.iter_mut() {
        let e = math::exp(l, l.sub(l.load(group), max));
        l.store(e, group);
        sum = l.add(sum, e);
    }
    if !tail.is_empty() {
        // Of lanes that are no part of the row nothing is added.
        let e = math::exp(l, l.sub(l.load_part_or(tail, l.splat(f32::NEG_INFINITY)), max));
        l.store_part(e, tail);
        sum = l.add(sum, e);
    }
    super::elementwise::scale(l, row, 1.0 / l.reduce_sum(sum));
}

#[inline(always)]
pub(super) fn argmax<L: Lanes>(l: L, x: &[f32]) -> Option<usize> {
    let max = largest(l, x);
    x.iter().position(|&v| v == max)
}
