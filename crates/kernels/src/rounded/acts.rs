//! Activations on their way into rounded products: row by row, with a scale each where they are bytes.

use super::{BLOCK, Rounding};
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use crate::ops::Disjoint;
use std::ops::Range;

/// Rows that are rounded in one piece of work.
const ROWS: usize = 8;

/// Activations `[n, cols]`, rounded. Made once, refilled by [`Cpu::round`], grows with the largest shape.
#[derive(Default)]
pub struct RoundedActs {
    n: usize,
    cols: usize,
    rounding: Option<Rounding>,
    rows: AlignedBuf,
    /// Of bytes: a factor per row.
    scales: Vec<f32>,
    /// Of bytes: the sum of each row.
    sums: Vec<i32>,
}

impl RoundedActs {
    /// Rows, columns and rounding of the last [`Cpu::round`].
    /// Panics where there was none.
    pub(super) fn shape(&self) -> (usize, usize, Rounding) {
        let rounding = self.rounding.unwrap_or_else(|| panic!("no activations were rounded"));
        (self.n, self.cols, rounding)
    }

    /// The rows from `first` on; up to a multiple of [`BLOCK`] there are more behind the last one.
    pub(super) fn row(&self, first: usize) -> &[u8] {
        &self.rows.as_slice()[first * self.stride()..]
    }

    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.cols * self.rounding.map_or(0, Rounding::bytes)
    }

    /// The factors and the sums of rows of bytes.
    pub(super) fn scales(&self, rows: &Range<usize>) -> Option<(&[f32], &[i32])> {
        let bytes = self.rounding == Some(Rounding::Int8);
        bytes.then(|| (&self.scales[rows.clone()], &self.sums[rows.clone()]))
    }
}

impl Cpu {
    /// Rounds `x`, `[n, cols]` row-major. A value that is not finite makes its row not finite where rows have scales.
    /// Panics where `x` is not whole rows.
    pub fn round(&self, x: &[f32], cols: usize, rounding: Rounding, out: &mut RoundedActs) {
        let n = x.len().checked_div(cols).unwrap_or(0);
        assert!(n * cols == x.len(), "{} activations are not rows of {cols}", x.len());
        (out.n, out.cols, out.rounding) = (n, cols, Some(rounding));
        let stride = out.stride();
        out.rows.grow(n.next_multiple_of(BLOCK) * stride);
        let bytes = rounding == Rounding::Int8;
        out.scales.resize(if bytes { n } else { 0 }, 0.0);
        out.sums.resize(if bytes { n } else { 0 }, 0);
        let rows = Disjoint::new(&mut out.rows.as_mut_slice()[..n * stride]);
        let (scales, sums) = (Disjoint::new(&mut out.scales), Disjoint::new(&mut out.sums));
        let round_row = row_rounding();
        self.pool().for_chunks(n.div_ceil(ROWS), &|_, chunk| {
            for row in chunk * ROWS..n.min((chunk + 1) * ROWS) {
                let from = &x[row * cols..][..cols];
                // SAFETY: each row belongs to one chunk and is taken once.
                let to = unsafe { rows.part(row * stride, stride) };
                if !bytes {
                    (round_row.halves)(from, to);
                    continue;
                }
                // SAFETY: as above.
                let (scale, sum) = unsafe { (scales.part(row, 1), sums.part(row, 1)) };
                (scale[0], sum[0]) = (round_row.bytes)(from, to);
            }
        });
    }
}

/// How a row is rounded.
struct RowRounding {
    /// To bf16.
    halves: fn(&[f32], &mut [u8]),
    /// To bytes: their factor and their sum.
    bytes: fn(&[f32], &mut [u8]) -> (f32, i32),
}

/// With the best instructions there are: the loops are the compiler's.
fn row_rounding() -> RowRounding {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
        let has_halves = is_x86_feature_detected!("avx512bf16");
        let halves = if has_halves { wide::halves_at_once } else { wide::halves };
        return RowRounding { halves, bytes: wide::bytes };
    }
    RowRounding { halves: round_to_halves, bytes: round_to_bytes }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    /// To bf16, sixteen by an instruction.
    pub(super) fn halves_at_once(x: &[f32], out: &mut [u8]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        fn inner(x: &[f32], out: &mut [u8]) {
            let (whole, rest) = x.as_chunks::<16>();
            let (to, to_rest) = out.as_chunks_mut::<32>();
            for (x, to) in whole.iter().zip(to) {
                // SAFETY: 16 values are read and 32 bytes written, with no alignment asked for; all bits of both types are values.
                unsafe {
                    let halves = _mm512_cvtneps_pbh(_mm512_loadu_ps(x.as_ptr()));
                    _mm256_storeu_si256(
                        to.as_mut_ptr().cast(),
                        std::mem::transmute::<__m256bh, __m256i>(halves),
                    );
                }
            }
            super::round_to_halves(rest, to_rest);
        }
        // SAFETY: handed out only where the processor has these instructions.
        unsafe { inner(x, out) }
    }

    /// To bf16, with AVX-512.
    pub(super) fn halves(x: &[f32], out: &mut [u8]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn inner(x: &[f32], out: &mut [u8]) {
            super::round_to_halves(x, out);
        }
        // SAFETY: handed out only where the processor has these instructions.
        unsafe { inner(x, out) }
    }

    /// To bytes, with AVX-512.
    pub(super) fn bytes(x: &[f32], out: &mut [u8]) -> (f32, i32) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn inner(x: &[f32], out: &mut [u8]) -> (f32, i32) {
            super::round_to_bytes(x, out)
        }
        // SAFETY: handed out only where the processor has these instructions.
        unsafe { inner(x, out) }
    }
}

/// Rounds values to pairs of bf16, the first in the low half. What is left of `to` becomes zeros.
pub(crate) fn round_to_pairs(x: &[f32], to: &mut [u32]) {
    // SAFETY: any four bytes are a word, and bytes need no alignment.
    let (_, bytes, _) = unsafe { to.align_to_mut::<u8>() };
    let (own, rest) = bytes.split_at_mut(2 * x.len());
    (row_rounding().halves)(x, own);
    rest.fill(0);
}

/// The nearest bf16, ties to even; NaN stays NaN. The instruction for it makes zeros of values below 2^-126.
#[inline(always)]
pub(crate) fn to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let kept = if x.is_nan() { bits >> 16 | 0x40 } else { rounded };
    kept as u16
}

#[inline(always)]
fn round_to_halves(x: &[f32], out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<2>();
    for (x, out) in x.iter().zip(out) {
        *out = to_half(*x).to_le_bytes();
    }
}

/// To the nearest of 255 numbers; values below 1e-36 in a row without greater ones count as zero.
#[inline(always)]
fn round_to_bytes(x: &[f32], out: &mut [u8]) -> (f32, i32) {
    // Compared as integers, NaN is the greatest of all, so that it is not lost.
    let bits = x.iter().fold(0, |most, x| (x.to_bits() & 0x7fff_ffff).max(most));
    let most = f32::from_bits(bits);
    let inverse = if most < 1e-36 { 0.0 } else { 127.0 / most };
    let scale = if most < 1e-36 { 0.0 } else { most / 127.0 };
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    let mut sum = 0;
    for (x, out) in x.iter().zip(out) {
        let word = (x * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
        let word = word.clamp(-127, 127);
        sum += word;
        *out = (word as i8).cast_unsigned();
    }
    (scale, sum)
}
