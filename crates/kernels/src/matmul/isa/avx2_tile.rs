//! Two strips of the unpacked form by a panel of up to two tokens with AVX2, written out: left to the compiler, all sums and scales of a
//! sub-block went through the stack twice. The operations are those of `tile::int_tile` in their order.

#![expect(
    clippy::needless_range_loop,
    reason = "arrays of constant size, which must stay in registers, are walked by index"
)]

use crate::matmul::tile::{ROWS, Tile, codes_at};
use crate::matmul::weights::{Narrow, Unpacked, Weights};
use std::arch::x86_64::*;

/// Sums of both halves of both strips for each token.
type Sums<const T: usize> = [[[__m256i; 2]; T]; 2];

/// # Safety
/// As `tile::int_tile` with two strips of `Unpacked<SUB, MIN, MOST, ZERO>` and a panel of `T` tokens; the processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn int_tile<
    const SUB: usize,
    const MIN: bool,
    const MOST: u8,
    const ZERO: u8,
    const T: usize,
>(
    tile: &Tile,
) {
    let panel = &tile.panel;
    let lines = if tile.next.bytes > 0 { tile.next.lines(tile.units) } else { 0 };
    // SAFETY: as the caller promises: units, planes of the panel and sums are as long as `int_tile` wants them.
    unsafe {
        if tile.fresh {
            tile.acc[0].write_bytes(0, T * ROWS);
            tile.acc[1].write_bytes(0, T * ROWS);
        }
        for u in 0..tile.units {
            for line in u * lines..(u + 1) * lines {
                _mm_prefetch::<_MM_HINT_T1>(tile.next.from[0].wrapping_add(64 * line).cast());
                _mm_prefetch::<_MM_HINT_T1>(tile.next.from[1].wrapping_add(64 * line).cast());
            }
            let bytes = Unpacked::<SUB, MIN, MOST, ZERO>::BYTES;
            let unit = [tile.w[0].add(u * bytes), tile.w[1].add(u * bytes)];
            let codes = codes_at::<Unpacked<SUB, MIN, MOST, ZERO>, T>(panel, u);
            let dots = if MOST == WIDE {
                wide_dots::<SUB, T>(unit, codes)
            } else {
                narrow_dots::<SUB, MOST, ZERO, T>(unit, codes)
            };
            let which = usize::from(SUB == 16);
            for t in 0..T {
                let start = if ZERO > 0 {
                    panel.offsets[which].add(u * T + t).read() >> ZERO_SHIFT[ZERO as usize]
                } else {
                    0
                };
                let start = _mm256_set1_epi32(start);
                let scale = _mm256_broadcast_ss(&*panel.scales.add(u * SUB / 32 * T + t));
                // Without minima the plane of sums need not be there.
                let sum_of_codes = if MIN {
                    _mm256_broadcast_ss(&*panel.sums[which].add(u * T + t))
                } else {
                    _mm256_setzero_ps()
                };
                for r in 0..2 {
                    for half in 0..2 {
                        let floats = unit[r].add(16 * SUB + 32 * half).cast::<f32>();
                        let to = tile.acc[r].add(t * ROWS + 8 * half);
                        let scale = _mm256_mul_ps(_mm256_loadu_ps(floats), scale);
                        let dot = _mm256_cvtepi32_ps(_mm256_add_epi32(dots[r][t][half], start));
                        let mut sum = _mm256_fmadd_ps(dot, scale, _mm256_loadu_ps(to));
                        if MIN {
                            sum = _mm256_fmadd_ps(_mm256_loadu_ps(floats.add(ROWS)), sum_of_codes, sum);
                        }
                        _mm256_storeu_ps(to, sum);
                    }
                }
            }
        }
    }
}

/// By how much -128 times a sum is to be shifted to be the code that stands for zero times as much.
const ZERO_SHIFT: [u32; 33] = {
    let mut shifts = [0; 33];
    let mut zero = 4;
    while zero <= 32 {
        shifts[zero] = 7 - zero.trailing_zeros();
        zero *= 2;
    }
    shifts
};

/// The `MOST` of signed codes of eight bits.
pub(super) const WIDE: u8 = 255;

/// Products of a sub-block's signed codes: their magnitudes times activations with their signs, two of which are at most 2 * 128 * 127.
///
/// # Safety
/// As [`int_tile`], for one unit of both strips and the panel's codes from there on.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn wide_dots<const SUB: usize, const T: usize>(unit: [*const u8; 2], codes: *const i8) -> Sums<T> {
    let ones = _mm256_set1_epi16(1);
    let mut dots: Sums<T> = [[[_mm256_setzero_si256(); 2]; T]; 2];
    for j in 0..SUB / 4 {
        // SAFETY: as the caller promises.
        let a = unsafe { quads_at::<T>(codes, j) };
        for r in 0..2 {
            for half in 0..2 {
                // SAFETY: as above: `SUB / 4` vectors of 64 codes open the unit.
                let w = unsafe { _mm256_loadu_si256(unit[r].add(64 * j + 32 * half).cast()) };
                let magnitudes = _mm256_abs_epi8(w);
                for t in 0..T {
                    let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(a[t], w));
                    dots[r][t][half] = _mm256_add_epi32(dots[r][t][half], _mm256_madd_epi16(pairs, ones));
                }
            }
        }
    }
    dots
}

/// Four codes of each token, `4 * j` columns on, in every lane.
///
/// # Safety
/// From `codes` on 32 codes of each token lie side by side.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn quads_at<const T: usize>(codes: *const i8, j: usize) -> [__m256i; T] {
    let mut a = [_mm256_setzero_si256(); T];
    for t in 0..T {
        // SAFETY: as the caller promises.
        a[t] = _mm256_set1_epi32(unsafe { codes.add(t * 32 + j * 4).cast::<i32>().read_unaligned() });
    }
    a
}

/// Products of a sub-block's codes from zero on, added up in words of 16 bits as long as they fit.
///
/// # Safety
/// As [`wide_dots`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn narrow_dots<const SUB: usize, const MOST: u8, const ZERO: u8, const T: usize>(
    unit: [*const u8; 2],
    codes: *const i8,
) -> Sums<T> {
    let quads = Narrow { most: MOST, zero: ZERO, above: 0 }.quads(SUB);
    let ones = _mm256_set1_epi16(1);
    let mut dots: Sums<T> = [[[_mm256_setzero_si256(); 2]; T]; 2];
    for first in (0..SUB / 4).step_by(quads) {
        let mut sums: Sums<T> = [[[_mm256_setzero_si256(); 2]; T]; 2];
        for j in first..first + quads {
            // SAFETY: as the caller promises.
            let a = unsafe { quads_at::<T>(codes, j) };
            for r in 0..2 {
                for half in 0..2 {
                    // SAFETY: as above: `SUB / 4` vectors of 64 codes open the unit.
                    let w = unsafe { _mm256_loadu_si256(unit[r].add(64 * j + 32 * half).cast()) };
                    for t in 0..T {
                        sums[r][t][half] = _mm256_add_epi16(sums[r][t][half], _mm256_maddubs_epi16(w, a[t]));
                    }
                }
            }
        }
        for r in 0..2 {
            for t in 0..T {
                for half in 0..2 {
                    dots[r][t][half] =
                        _mm256_add_epi32(dots[r][t][half], _mm256_madd_epi16(sums[r][t][half], ones));
                }
            }
        }
    }
    dots
}
