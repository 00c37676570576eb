//! A small matrix product held in registers: both products of attention have its form.

use super::kv::Element;
use crate::lanes::{Lanes, WIDTH, prefetch};
use std::ops::Range;

/// Values in a row of the left operand that a product may use.
pub(super) const SPAN: usize = 256;

/// Bytes that come into the caches together.
const LINE: usize = 64;

/// Values from one row of the left operand to the next.
pub(super) const STRIDE: usize = SPAN + WIDTH;

/// A row of the left operand. Rows of 1 KiB would fall on the same cache sets; the padding moves them apart.
pub(crate) type Panel = [f32; STRIDE];

/// `c[r][j] += sum over k of a[r][k] * b[k][j]` for all rows of `a` and `cols` columns.
pub(crate) struct Product<'a, E> {
    pub a: &'a [Panel],
    /// Columns of `a`; the first one belongs to the first row of `b`.
    pub k: Range<usize>,
    /// Rows of `b`, `b_stride` apart.
    pub b: &'a [E],
    pub b_stride: usize,
    /// A multiple of the width of a register.
    pub cols: usize,
    /// What will be read after `b`, in the same form, or nothing.
    pub next: &'a [E],
}

/// Rows of the result, `stride` apart.
pub(crate) struct Target<'a> {
    pub c: &'a mut [f32],
    pub stride: usize,
}

/// Each element of the result is one chain of `fma` over `k`, whatever the tiling: results do not depend on the company of
/// a row.
#[inline(always)]
pub(super) fn product<L: Lanes, E: Element>(l: L, job: &Product<'_, E>, to: &mut Target<'_>) {
    let mut row = 0;
    while row < job.a.len() {
        row += match strip_rows::<L>(job.a.len() - row) {
            12 if L::TILE >= 12 => strip::<L, E, 12>(l, job, row, to),
            8 if L::TILE >= 8 => strip::<L, E, 8>(l, job, row, to),
            7 if L::TILE >= 7 => strip::<L, E, 7>(l, job, row, to),
            6 if L::TILE >= 6 => strip::<L, E, 6>(l, job, row, to),
            5 if L::TILE >= 5 => strip::<L, E, 5>(l, job, row, to),
            4 if L::TILE >= 4 => strip::<L, E, 4>(l, job, row, to),
            3 if L::TILE >= 3 => strip::<L, E, 3>(l, job, row, to),
            2 => strip::<L, E, 2>(l, job, row, to),
            _ => strip::<L, E, 1>(l, job, row, to),
        };
    }
}

/// How many of the rows that are left to take next: tiles of few rows wait for their own sums, so none is left alone.
#[inline(always)]
fn strip_rows<L: Lanes>(left: usize) -> usize {
    // The tallest tile and the next one; there are none in between, but all below.
    let (most, next) = if L::TILE >= 12 { (12, 8) } else { (L::TILE, L::TILE - 1) };
    if left == most || left >= most + most.min(4) {
        most
    } else if left > most {
        next
    } else if left > next {
        left - 4
    } else {
        left
    }
}

/// All columns of `R` rows. Returns `R`.
#[inline(always)]
fn strip<L: Lanes, E: Element, const R: usize>(
    l: L,
    job: &Product<'_, E>,
    row: usize,
    to: &mut Target<'_>,
) -> usize {
    let mut col = 0;
    while 4 * R <= L::TILE && col + 4 * WIDTH <= job.cols {
        tile::<L, E, R, 4>(l, job, (row, col), to);
        col += 4 * WIDTH;
    }
    while 2 * R <= L::TILE && col + 2 * WIDTH <= job.cols {
        tile::<L, E, R, 2>(l, job, (row, col), to);
        col += 2 * WIDTH;
    }
    while col < job.cols {
        tile::<L, E, R, 1>(l, job, (row, col), to);
        col += WIDTH;
    }
    R
}

/// `R` rows of `W` registers.
#[inline(always)]
fn tile<L: Lanes, E: Element, const R: usize, const W: usize>(
    l: L,
    job: &Product<'_, E>,
    (row, col): (usize, usize),
    to: &mut Target<'_>,
) {
    let a = &job.a[row..row + R];
    let mut sums = [[l.zero(); W]; R];
    for (r, sums) in sums.iter_mut().enumerate() {
        let (from, _) = to.c[(row + r) * to.stride + col..].as_chunks::<WIDTH>();
        for (sum, from) in sums.iter_mut().zip(&from[..W]) {
            *sum = l.load(from);
        }
    }
    for (i, (k, b)) in job.k.clone().zip(job.b[col..].chunks(job.b_stride)).enumerate() {
        if row == 0 {
            for line in 0..(W * WIDTH * size_of::<E>()).div_ceil(LINE) {
                prefetch(job.next, i * job.b_stride + col + line * (LINE / size_of::<E>()));
            }
        }
        let (b, _) = b.as_chunks::<WIDTH>();
        let mut right = [l.zero(); W];
        for (right, b) in right.iter_mut().zip(&b[..W]) {
            *right = E::load(l, b);
        }
        for r in 0..R {
            let left = l.splat(a[r][k]);
            for w in 0..W {
                sums[r][w] = l.fma(left, right[w], sums[r][w]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let (out, _) = to.c[(row + r) * to.stride + col..].as_chunks_mut::<WIDTH>();
        for (sum, out) in sums.into_iter().zip(&mut out[..W]) {
            l.store(sum, out);
        }
    }
}
