//! Rounded products with AVX-512: pairs of bf16 (`vdpbf16ps`) or fours of bytes (`vpdpbusd`), the lanes being the rows of a strip.

#![expect(
    clippy::needless_range_loop,
    reason = "tiles of constant size, which must stay in registers, are walked by index"
)]

use super::{Call, Finish, STEP};
use crate::matmul::tile::ROWS;
use std::arch::x86_64::*;

/// Rows of activations whose sums fit into registers with two strips.
const TALL: usize = 12;

/// One product and sum of a register of weights and four bytes of activations in all lanes.
trait Step {
    type Sum: Copy;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn zero() -> Self::Sum;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add(sum: Self::Sum, w: __m512i, a: __m512i) -> Self::Sum;
    /// # Safety
    /// The processor has the instructions; 64 bytes at `to` may be written.
    unsafe fn store(to: *mut u8, sum: Self::Sum);
}

struct Halves;
struct Bytes;

impl Step for Halves {
    type Sum = __m512;
    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn add(sum: __m512, w: __m512i, a: __m512i) -> __m512 {
        // SAFETY: as the caller promises; both types are 64 bytes of which any bits are values.
        unsafe {
            let bf16 = |v| std::mem::transmute::<__m512i, __m512bh>(v);
            _mm512_dpbf16_ps(sum, bf16(w), bf16(a))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, sum: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_ps(to.cast(), sum) }
    }
}

impl Step for Bytes {
    type Sum = __m512i;
    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn add(sum: __m512i, w: __m512i, a: __m512i) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_dpbusd_epi32(sum, w, a) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, sum: __m512i) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_si512(to.cast(), sum) }
    }
}

/// # Safety
/// As [`super::Kernel::multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn bf16(call: &Call) {
    // SAFETY: as the caller promises.
    unsafe { block::<Halves>(call) }
}

/// # Safety
/// As [`super::Kernel::multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn int8(call: &Call) {
    // SAFETY: as the caller promises.
    unsafe { block::<Bytes>(call) }
}

/// # Safety
/// As [`super::Kernel::multiply`].
#[inline(always)]
unsafe fn block<S: Step>(call: &Call) {
    let parts = call.rows.div_ceil(TALL);
    for part in 0..parts {
        let (first, end) = (call.rows * part / parts, call.rows * (part + 1) / parts);
        // SAFETY: as the caller promises.
        unsafe {
            match end - first {
                1 => rows::<S, 1>(call, first),
                2 => rows::<S, 2>(call, first),
                3 => rows::<S, 3>(call, first),
                4 => rows::<S, 4>(call, first),
                5 => rows::<S, 5>(call, first),
                6 => rows::<S, 6>(call, first),
                7 => rows::<S, 7>(call, first),
                8 => rows::<S, 8>(call, first),
                9 => rows::<S, 9>(call, first),
                10 => rows::<S, 10>(call, first),
                11 => rows::<S, 11>(call, first),
                _ => rows::<S, TALL>(call, first),
            }
        }
    }
}

/// `T` rows from `first` on.
///
/// # Safety
/// As [`super::Kernel::multiply`].
#[inline(always)]
unsafe fn rows<S: Step, const T: usize>(call: &Call, first: usize) {
    // SAFETY: as the caller promises: each step is 16 registers of a strip and 64 bytes of a row.
    unsafe {
        let mut sums = [[S::zero(); 2]; T];
        let start = call.a.add(first * call.a_stride);
        for step in 0..call.steps {
            let (one, two) = (call.b[0].add(step * call.b_step), call.b[1].add(step * call.b_step));
            for k in 0..STEP / 4 {
                let w = [one, two].map(|strip| _mm512_loadu_si512(strip.add(64 * k).cast()));
                for t in 0..T {
                    let four = start.add(t * call.a_stride + step * STEP + 4 * k).cast::<i32>();
                    let a = _mm512_set1_epi32(four.read_unaligned());
                    for r in 0..2 {
                        sums[t][r] = S::add(sums[t][r], w[r], a);
                    }
                }
            }
        }
        for t in 0..T {
            for r in 0..2 {
                S::store(call.sums.add((first + t) * call.sums_stride + 64 * r), sums[t][r]);
            }
        }
    }
}

/// Scales sums, adds the bias, and writes or adds them.
///
/// # Safety
/// As [`super::Kernel::finish`].
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn finish(f: &Finish<'_>) {
    // SAFETY: as the caller promises; lanes that do not exist are neither read nor written.
    unsafe {
        let (bias, scales) = (_mm512_loadu_ps(f.bias.as_ptr()), _mm512_loadu_ps(f.scales.as_ptr()));
        let lanes: u16 = if f.lanes >= ROWS { !0 } else { (1 << f.lanes) - 1 };
        for row in 0..f.rows {
            let sums = f.sums.add(row * 2 * ROWS);
            let values = match f.acts {
                None => _mm512_add_ps(_mm512_loadu_ps(sums.cast()), bias),
                Some((factors, codes)) => {
                    let offset = _mm512_set1_epi32(128 * codes[row]);
                    let whole = _mm512_sub_epi32(_mm512_loadu_si512(sums.cast()), offset);
                    let scale = _mm512_mul_ps(scales, _mm512_set1_ps(factors[row]));
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, bias)
                }
            };
            let y = f.y.add(row * f.stride);
            let values = if f.add { _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y), values) } else { values };
            _mm512_mask_storeu_ps(y, lanes, values);
        }
    }
}
