//! Encoders that look for the codes with the least squared error, weighted by the importance of columns where that is known.
//!
//! All work alike: a guess of the scale, from the extreme values and from some stretch around it, gives codes; codes give
//! the best scale by least squares; scales of sub-blocks are rounded to what the type stores, with a look at the neighbours.
//! Nothing here has to give the same bytes as ggml, only an error that is no greater.

pub(crate) mod affine;
pub(crate) mod codebook;
pub(crate) mod levels;
pub(crate) mod points;
pub(crate) mod symmetric;

use half::f16;

/// Values of a super-block.
pub(crate) const LEN: usize = 256;

/// Sums are kept in so many parts, so that loops become vector code.
pub(crate) const LANES: usize = 8;

/// Adding it leaves the nearest integer in the low bits: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;

/// The nearest integer, ties to even, for values below 2^22; without a call on any processor.
#[inline(always)]
pub(crate) fn nearest(v: f32) -> f32 {
    (v + ROUND) - ROUND
}

/// What half precision makes of `v`; values beyond its range become the greatest.
pub(crate) fn halved(v: f32) -> f32 {
    f16::from_f32(v.clamp(-65504.0, 65504.0)).to_f32()
}

/// `a / b`, zero where there is nothing to divide by.
pub(crate) fn ratio(a: f32, b: f32) -> f32 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// What the least important column of a block counts at least, where the most important one counts 1. Of a stretch that nothing goes
/// through the plain error is the least then, and sums over it are numbers; what the others get is the same.
const LEAST: f32 = 1e-6;

/// The weights of a block without their unit. Where none of the columns counts, all count alike.
fn in_proportion<const N: usize>(weights: &[f32; N]) -> [f32; N] {
    let most = weights.iter().fold(0.0, |most: f32, w| most.max(*w));
    if most == 0.0 { [1.0; N] } else { weights.map(|w| (w / most).max(LEAST)) }
}

/// Calls `block` for each `N` values with their importance and their `BYTES` bytes. Importance is that of a row's columns, `[cols]`
/// for values `[rows, cols]`, or empty: then all are worth 1.
pub(crate) fn blocks<const N: usize, const BYTES: usize>(
    values: &[f32],
    importance: &[f32],
    data: &mut [u8],
    block: impl Fn(&[f32; N], &[f32; N], &mut [u8; BYTES]),
) {
    let ones = [1.0; N];
    let weights: Vec<[f32; N]> = importance.as_chunks::<N>().0.iter().map(in_proportion).collect();
    let blocks = values.as_chunks::<N>().0.iter().zip(data.as_chunks_mut::<BYTES>().0);
    for (i, (values, bytes)) in blocks.enumerate() {
        let weights = if weights.is_empty() { &ones } else { &weights[i % weights.len()] };
        bytes.fill(0);
        block(values, weights, bytes);
    }
}
