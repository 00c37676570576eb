//! Rotary position embedding.
//!
//! The angles are computed once per step and shared by all layers, heads, queries and keys.

use super::disjoint::for_rows;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH};

/// Which two values of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopePairing {
    /// `x[2i]` with `x[2i + 1]`.
    Adjacent,
    /// `x[i]` with `x[i + dims / 2]`.
    Halves,
}

/// The shape of what is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RopeSpec {
    /// Values per head.
    pub head_dim: usize,
    /// How many of them turn, the first ones of the head: even, at most `head_dim`.
    pub dims: usize,
    /// Which two values turn together.
    pub pairing: RopePairing,
}

/// Cosines and sines of `position * inv_freq`, times `mscale`: one row of `inv_freq.len()` values per position in
/// `out_cos` and `out_sin`. The products are taken and reduced in `f64`: positions far out stay exact.
/// Panics where the lengths do not agree.
/// Su et al. 2021, arXiv 2104.09864, eq. 15; `mscale` is the attention factor of YaRN, arXiv 2309.00071.
pub fn rope_angles(
    positions: &[usize],
    inv_freq: &[f32],
    mscale: f32,
    out_cos: &mut [f32],
    out_sin: &mut [f32],
) {
    let want = positions.len() * inv_freq.len();
    assert_eq!((out_cos.len(), out_sin.len()), (want, want), "rope_angles: output");
    let outputs = out_cos.iter_mut().zip(out_sin);
    let angles =
        positions.iter().flat_map(|&position| inv_freq.iter().map(move |&f| position as f64 * f64::from(f)));
    for (angle, (cos, sin)) in angles.zip(outputs) {
        let (s, c) = angle.sin_cos();
        *cos = (c * f64::from(mscale)) as f32;
        *sin = (s * f64::from(mscale)) as f32;
    }
}

impl Cpu {
    /// Turns the heads of `x`, `[n, heads, head_dim]`, in place, by the angles of their token: `cos` and `sin` are
    /// `[n, dims / 2]`. Panics where the lengths do not agree.
    pub fn rope(&self, x: &mut [f32], spec: RopeSpec, cos: &[f32], sin: &[f32]) {
        let pairs = spec.dims / 2;
        assert!(spec.dims.is_multiple_of(2) && spec.dims <= spec.head_dim, "rope: {spec:?}");
        assert_eq!(cos.len(), sin.len(), "rope: angles");
        if x.is_empty() || pairs == 0 {
            return;
        }
        assert!(cos.len().is_multiple_of(pairs), "rope: {} angles are no rows of {pairs}", cos.len());
        let n = cos.len() / pairs;
        assert!(
            n > 0 && x.len().is_multiple_of(n * spec.head_dim),
            "rope: {} values for {n} tokens",
            x.len()
        );
        for_rows(self, x, x.len() / n, &|i, row| {
            let (cos, sin) = (&cos[i * pairs..][..pairs], &sin[i * pairs..][..pairs]);
            (self.kernels.ops.rope)(row, spec, cos, sin);
        });
    }
}

#[inline(always)]
pub(super) fn rope<L: Lanes>(l: L, row: &mut [f32], spec: RopeSpec, cos: &[f32], sin: &[f32]) {
    for head in row.chunks_exact_mut(spec.head_dim) {
        let head = &mut head[..spec.dims];
        match spec.pairing {
            RopePairing::Adjacent => turn_adjacent(head, cos, sin),
            RopePairing::Halves => turn_halves(l, head, cos, sin),
        }
    }
}

/// Plain code: compilers turn the neighbours' exchange into shuffles by themselves.
#[inline(always)]
fn turn_adjacent(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    for ((pair, c), s) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
        let [x, y] = *pair;
        *pair = [x * c - y * s, x * s + y * c];
    }
}

#[inline(always)]
fn turn_halves<L: Lanes>(l: L, head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    let (xs, x_tail) = first.as_chunks_mut::<WIDTH>();
    let (ys, y_tail) = second.as_chunks_mut::<WIDTH>();
    let (cs, c_tail) = cos.as_chunks::<WIDTH>();
    let (ss, s_tail) = sin.as_chunks::<WIDTH>();
    for (((x, y), c), s) in xs.iter_mut().zip(ys).zip(cs).zip(ss) {
        let (a, b, c, s) = (l.load(x), l.load(y), l.load(c), l.load(s));
        l.store(l.sub(l.mul(a, c), l.mul(b, s)), x);
        l.store(l.add(l.mul(a, s), l.mul(b, c)), y);
    }
    for (((x, y), c), s) in x_tail.iter_mut().zip(y_tail).zip(c_tail).zip(s_tail) {
        (*x, *y) = (*x * c - *y * s, *x * s + *y * c);
    }
}
