//! Sums, products and caps, value by value.

use super::disjoint::for_rows;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH, half, math};

/// Long vectors are shared among workers in pieces of this many values.
pub(super) const PIECE: usize = 4 * 1024;

/// Calls `f(first, values)` for the pieces of `x`, of which only the last may be shorter.
pub(super) fn for_pieces(cpu: &Cpu, x: &mut [f32], f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let whole = x.len() / PIECE * PIECE;
    let (pieces, rest) = x.split_at_mut(whole);
    for_rows(cpu, pieces, PIECE, &|i, piece| f(i * PIECE, piece));
    if !rest.is_empty() {
        f(whole, rest);
    }
}

impl Cpu {
    /// `x[i] += y[i]`. Panics where the lengths differ.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "add: lengths");
        for_pieces(self, x, &|at, x| (self.kernels.ops.add)(x, &y[at..][..x.len()]));
    }

    /// Adds `bias`, `[dim]`, to each row of `x`, `[n, dim]`. Panics where the lengths do not agree.
    pub fn add_bias(&self, x: &mut [f32], bias: &[f32]) {
        for_rows(self, x, bias.len(), &|_, row| (self.kernels.ops.add)(row, bias));
    }

    /// `x[i] += factor * y[i]`, with one rounding where the CPU can. Panics where the lengths differ.
    pub fn add_scaled(&self, x: &mut [f32], y: &[f32], factor: f32) {
        assert_eq!(x.len(), y.len(), "add_scaled: lengths");
        for_pieces(self, x, &|at, x| (self.kernels.ops.add_scaled)(x, &y[at..][..x.len()], factor));
    }

    /// `x[i] *= factor`.
    pub fn scale(&self, x: &mut [f32], factor: f32) {
        for_pieces(self, x, &|_, x| (self.kernels.ops.scale)(x, factor));
    }

    /// `x[i] *= y[i]`. Panics where the lengths differ.
    pub fn times(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "times: lengths");
        for_pieces(self, x, &|at, x| (self.kernels.ops.times)(x, &y[at..][..x.len()]));
    }

    /// Cuts values beyond `limit` at either side.
    pub fn clamp(&self, x: &mut [f32], limit: f32) {
        for_pieces(self, x, &|_, x| (self.kernels.ops.clamp)(x, limit));
    }

    /// `x[i] = cap * tanh(x[i] / cap)`.
    pub fn softcap(&self, x: &mut [f32], cap: f32) {
        for_pieces(self, x, &|_, x| (self.kernels.ops.softcap)(x, cap));
    }
}

/// A function of one value.
pub(super) trait Map: Copy {
    fn apply<L: Lanes>(self, l: L, x: L::V) -> L::V;
}

/// A function of two values.
pub(super) trait Zip: Copy {
    fn apply<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V;
}

#[inline(always)]
pub(super) fn map<L: Lanes, M: Map>(l: L, x: &mut [f32], f: M) {
    let (groups, tail) = x.as_chunks_mut::<WIDTH>();
    for group in groups {
        l.store(f.apply(l, l.load(group)), group);
    }
    if !tail.is_empty() {
        l.store_part(f.apply(l, l.load_part(tail)), tail);
    }
}

#[inline(always)]
pub(super) fn zip<L: Lanes, Z: Zip>(l: L, x: &mut [f32], y: &[f32], f: Z) {
    let (groups, tail) = x.as_chunks_mut::<WIDTH>();
    let (ys, y_tail) = y.as_chunks::<WIDTH>();
    for (group, y) in groups.iter_mut().zip(ys) {
        l.store(f.apply(l, l.load(group), l.load(y)), group);
    }
    if !tail.is_empty() {
        l.store_part(f.apply(l, l.load_part(tail), l.load_part(y_tail)), tail);
    }
}

#[derive(Clone, Copy)]
struct Add;

impl Zip for Add {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.add(x, y)
    }
}

#[derive(Clone, Copy)]
struct AddScaled(f32);

impl Zip for AddScaled {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.fma(y, l.splat(self.0), x)
    }
}

#[derive(Clone, Copy)]
struct Scale(f32);

impl Map for Scale {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V) -> L::V {
        l.mul(x, l.splat(self.0))
    }
}

#[derive(Clone, Copy)]
struct Times;

impl Zip for Times {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.mul(x, y)
    }
}

#[derive(Clone, Copy)]
struct Clamp(f32);

impl Map for Clamp {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V) -> L::V {
        l.min(l.splat(self.0), l.max(l.splat(-self.0), x))
    }
}

#[derive(Clone, Copy)]
struct Softcap(f32);

impl Map for Softcap {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::V) -> L::V {
        let cap = l.splat(self.0);
        l.mul(cap, math::tanh(l, l.div(x, cap)))
    }
}

#[inline(always)]
pub(super) fn add<L: Lanes>(l: L, x: &mut [f32], y: &[f32]) {
    zip(l, x, y, Add);
}

#[inline(always)]
pub(super) fn add_scaled<L: Lanes>(l: L, x: &mut [f32], y: &[f32], factor: f32) {
    zip(l, x, y, AddScaled(factor));
}

#[inline(always)]
pub(super) fn scale<L: Lanes>(l: L, x: &mut [f32], factor: f32) {
    map(l, x, Scale(factor));
}

#[inline(always)]
pub(super) fn times<L: Lanes>(l: L, x: &mut [f32], y: &[f32]) {
    zip(l, x, y, Times);
}

#[inline(always)]
pub(super) fn clamp<L: Lanes>(l: L, x: &mut [f32], limit: f32) {
    map(l, x, Clamp(limit));
}

#[inline(always)]
pub(super) fn softcap<L: Lanes>(l: L, x: &mut [f32], cap: f32) {
    map(l, x, Softcap(cap));
}

/// Narrows to IEEE binary16, ties to even, as many values as both slices have.
#[inline(always)]
pub(super) fn to_f16<L: Lanes>(l: L, x: &[f32], out: &mut [u16]) {
    let (xs, x_tail) = x.as_chunks::<WIDTH>();
    let (outs, out_tail) = out.as_chunks_mut::<WIDTH>();
    for (x, out) in xs.iter().zip(outs) {
        l.store_f16(l.load(x), out);
    }
    for (x, out) in x_tail.iter().zip(out_tail) {
        *out = half::f32_to_f16(*x);
    }
}
