//! Lanes on x86-64: AVX2 with FMA and F16C, and AVX-512.

use super::{Lanes, WIDTH};
use std::arch::x86_64::*;

/// Rounding of conversions to binary16: to nearest, ties to even.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;

/// Proof that the CPU has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU must have AVX-512 F, BW, DQ and VL.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl Lanes for Avx512 {
    type V = __m512;
    const TILE: usize = 24;

    methods! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        load(from: &[f32; WIDTH]) -> __m512 = _mm512_loadu_ps(from.as_ptr());
        store(v: __m512, to: &mut [f32; WIDTH]) = _mm512_storeu_ps(to.as_mut_ptr(), v);
        load_f16(from: &[u16; WIDTH]) -> __m512 = _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast()));
        store_f16(v: __m512, to: &mut [u16; WIDTH]) =
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtps_ph::<NEAREST>(v));
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        select_lt(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 =
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes);
        scale2(v: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(v, n);
        load_part_or(from: &[f32], rest: __m512) -> __m512 =
            _mm512_mask_loadu_ps(rest, first_lanes(from.len()), from.as_ptr());
        store_part(v: __m512, to: &mut [f32]) =
            _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), v);
        reduce_max(v: __m512) -> f32 =
            _mm512_reduce_max_ps(_mm512_max_ps(v, _mm512_set1_ps(f32::NEG_INFINITY)));
    }
}

/// The mask of the first `n` lanes, which must be fewer than all.
#[inline(always)]
fn first_lanes(n: usize) -> __mmask16 {
    assert!(n < WIDTH, "a part of {n} lanes");
    (1 << n) - 1
}

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy)]
pub(crate) struct Pair(__m256, __m256);

#[inline(always)]
unsafe fn scale2_half(v: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller vouches for AVX2. Two exact steps and one that rounds, as in `Scalar::scale2`.
    unsafe {
        let bias = _mm256_set1_epi32(127);
        let n = _mm256_cvtps_epi32(n);
        let first = _mm256_srai_epi32::<1>(n);
        let second = _mm256_sub_epi32(n, first);
        let power = |n| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, bias)));
        _mm256_mul_ps(_mm256_mul_ps(v, power(first)), power(second))
    }
}

#[inline(always)]
unsafe fn select_half(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
    // SAFETY: the caller vouches for AVX2.
    unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
}

impl Lanes for Avx2 {
    type V = Pair;
    const TILE: usize = 6;

    methods! {
        splat(x: f32) -> Pair = { let v = _mm256_set1_ps(x); Pair(v, v) };
        load(from: &[f32; WIDTH]) -> Pair =
            Pair(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8)));
        store(v: Pair, to: &mut [f32; WIDTH]) = {
            _mm256_storeu_ps(to.as_mut_ptr(), v.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v.1)
        };
        load_f16(from: &[u16; WIDTH]) -> Pair = Pair(
            _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().add(8).cast())),
        );
        store_f16(v: Pair, to: &mut [u16; WIDTH]) = {
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm256_cvtps_ph::<NEAREST>(v.0));
            _mm_storeu_si128(to.as_mut_ptr().add(8).cast(), _mm256_cvtps_ph::<NEAREST>(v.1))
        };
        add(a: Pair, b: Pair) -> Pair = Pair(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1));
        sub(a: Pair, b: Pair) -> Pair = Pair(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1));
        mul(a: Pair, b: Pair) -> Pair = Pair(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1));
        div(a: Pair, b: Pair) -> Pair = Pair(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1));
        fma(a: Pair, b: Pair, c: Pair) -> Pair =
            Pair(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1));
        max(a: Pair, b: Pair) -> Pair = Pair(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1));
        min(a: Pair, b: Pair) -> Pair = Pair(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1));
        select_lt(a: Pair, b: Pair, yes: Pair, no: Pair) -> Pair =
            Pair(select_half(a.0, b.0, yes.0, no.0), select_half(a.1, b.1, yes.1, no.1));
        scale2(v: Pair, n: Pair) -> Pair = Pair(scale2_half(v.0, n.0), scale2_half(v.1, n.1));
    }
}
