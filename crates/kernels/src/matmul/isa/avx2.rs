//! AVX2 with FMA and F16C: 16 lanes are two registers. With the byte dot products of AVX-VNNI or without.

use super::{Isa, avx2_tile};
use crate::matmul::tile::Tile;
use crate::matmul::weights::{Narrow, Weights};
use std::arch::x86_64::*;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// The same and AVX-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni;

type Words = [__m256i; 2];
type Floats = [__m256; 2];

/// Applies an intrinsic to both halves.
macro_rules! both {
    ($f:ident, $a:expr) => {
        // SAFETY: AVX2, FMA and F16C by the trait's contract.
        unsafe { [$f($a[0]), $f($a[1])] }
    };
    ($f:ident, $a:expr, each $b:expr) => {
        // SAFETY: as above.
        unsafe { [$f($a[0], $b[0]), $f($a[1], $b[1])] }
    };
    ($f:ident, $a:expr, same $b:expr) => {
        // SAFETY: as above.
        unsafe { [$f($a[0], $b), $f($a[1], $b)] }
    };
}

/// A number of bits as the shift instructions take it.
///
/// # Safety
/// None beyond SSE2, which every x86-64 has.
#[inline(always)]
unsafe fn count(n: u32) -> __m128i {
    // SAFETY: SSE2.
    unsafe { _mm_cvtsi32_si128(n.cast_signed()) }
}

/// Shared by both: everything but the dot products.
macro_rules! common {
    () => {
        type Words = Words;
        type Floats = Floats;

        const INT_WIDTH: usize = 2;
        const FLOAT_WIDTH: usize = 2;

        #[inline(always)]
        unsafe fn load(p: *const u8) -> Words {
            // SAFETY: 64 readable bytes.
            unsafe { [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())] }
        }

        #[inline(always)]
        unsafe fn store(p: *mut u8, v: Words) {
            // SAFETY: 64 writable bytes.
            unsafe {
                _mm256_storeu_si256(p.cast(), v[0]);
                _mm256_storeu_si256(p.add(32).cast(), v[1]);
            }
        }

        #[inline(always)]
        unsafe fn splat(v: u32) -> Words {
            // SAFETY: AVX2 by the trait's contract.
            unsafe { [_mm256_set1_epi32(v.cast_signed()); 2] }
        }

        #[inline(always)]
        unsafe fn shr(v: Words, n: u32) -> Words {
            both!(_mm256_srl_epi32, v, same count(n))
        }

        #[inline(always)]
        unsafe fn sar(v: Words, n: u32) -> Words {
            both!(_mm256_sra_epi32, v, same count(n))
        }

        #[inline(always)]
        unsafe fn shl(v: Words, n: u32) -> Words {
            both!(_mm256_sll_epi32, v, same count(n))
        }

        #[inline(always)]
        unsafe fn and(a: Words, b: Words) -> Words {
            both!(_mm256_and_si256, a, each b)
        }

        #[inline(always)]
        unsafe fn or(a: Words, b: Words) -> Words {
            both!(_mm256_or_si256, a, each b)
        }

        #[inline(always)]
        unsafe fn add_bytes(a: Words, b: Words) -> Words {
            both!(_mm256_add_epi8, a, each b)
        }

        #[inline(always)]
        unsafe fn sub(a: Words, b: Words) -> Words {
            both!(_mm256_sub_epi32, a, each b)
        }

        #[inline(always)]
        unsafe fn lookup(v: Words, table: &[u8; 16]) -> Words {
            // SAFETY: AVX2 by the trait's contract; the table has the 16 bytes that are read.
            unsafe {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
                [_mm256_shuffle_epi8(table, v[0]), _mm256_shuffle_epi8(table, v[1])]
            }
        }

        #[inline(always)]
        unsafe fn quad(p: *const i8) -> Words {
            // SAFETY: 4 readable bytes.
            unsafe { [_mm256_set1_epi32(p.cast::<i32>().read_unaligned()); 2] }
        }

        #[inline(always)]
        unsafe fn to_floats(v: Words) -> Floats {
            both!(_mm256_cvtepi32_ps, v)
        }

        #[inline(always)]
        unsafe fn as_floats(v: Words) -> Floats {
            both!(_mm256_castsi256_ps, v)
        }

        #[inline(always)]
        unsafe fn load_floats(p: *const f32) -> Floats {
            // SAFETY: 16 readable floats.
            unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
        }

        #[inline(always)]
        unsafe fn store_floats(p: *mut f32, v: Floats) {
            // SAFETY: 16 writable floats.
            unsafe {
                _mm256_storeu_ps(p, v[0]);
                _mm256_storeu_ps(p.add(8), v[1]);
            }
        }

        #[inline(always)]
        unsafe fn load_halves(p: *const u8) -> Floats {
            // SAFETY: 32 readable bytes.
            unsafe {
                [_mm256_cvtph_ps(_mm_loadu_si128(p.cast())), _mm256_cvtph_ps(_mm_loadu_si128(p.add(16).cast()))]
            }
        }

        #[inline(always)]
        unsafe fn splat_float(v: f32) -> Floats {
            // SAFETY: AVX2 by the trait's contract.
            unsafe { [_mm256_set1_ps(v); 2] }
        }

        #[inline(always)]
        unsafe fn add(a: Floats, b: Floats) -> Floats {
            both!(_mm256_add_ps, a, each b)
        }

        #[inline(always)]
        unsafe fn mul(a: Floats, b: Floats) -> Floats {
            both!(_mm256_mul_ps, a, each b)
        }

        #[inline(always)]
        unsafe fn div(a: Floats, b: Floats) -> Floats {
            both!(_mm256_div_ps, a, each b)
        }

        #[inline(always)]
        unsafe fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
            // SAFETY: FMA by the trait's contract.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        unsafe fn gather_words(rows: &[*const u8; 16], at: usize) -> [Words; 4] {
            // SAFETY: 16 readable bytes from `at` on in each row.
            unsafe {
                let row = |row: usize| _mm_loadu_si128(rows[row].add(at).cast());
                // In lane l of half h: row 8 h + 4 l + i.
                let quarter = |h: usize, i: usize| {
                    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(8 * h + i)), row(8 * h + 4 + i))
                };
                let half = |h: usize| {
                    let (a, b, c, d) = (quarter(h, 0), quarter(h, 1), quarter(h, 2), quarter(h, 3));
                    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                    let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                    let (first, second) = (_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
                    [first, second, _mm256_unpacklo_epi64(ef, gh), _mm256_unpackhi_epi64(ef, gh)]
                };
                let (low, high) = (half(0), half(1));
                [[low[0], high[0]], [low[1], high[1]], [low[2], high[2]], [low[3], high[3]]]
            }
        }

        #[inline(always)]
        unsafe fn store_halves(p: *mut u8, v: Words) {
            // SAFETY: 32 writable bytes.
            unsafe {
                let mask = _mm256_set1_epi32(0xffff);
                let packed = _mm256_packus_epi32(_mm256_and_si256(v[0], mask), _mm256_and_si256(v[1], mask));
                _mm256_storeu_si256(p.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
            }
        }

        #[inline(always)]
        unsafe fn prefetch(p: *const u8) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }

        #[inline(always)]
        unsafe fn prefetch_far(p: *const u8) {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
        }
    };
}

impl Isa for Avx2 {
    common!();

    #[inline(always)]
    unsafe fn start_offset(_: *const i32) -> Words {
        // SAFETY: AVX2 by the trait's contract.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    /// `|w - 128|` times `a` with the sign of `w - 128`: two such products are at most 2 * 128 * 127 and cannot saturate.
    #[inline(always)]
    unsafe fn dot_offset(acc: Words, w: Words, a: Words) -> Words {
        // SAFETY: AVX2 by the trait's contract.
        unsafe {
            let flip = _mm256_set1_epi8(-128);
            let dot = |acc, w, a| {
                let w = _mm256_xor_si256(w, flip);
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
                _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            };
            [dot(acc[0], w[0], a[0]), dot(acc[1], w[1], a[1])]
        }
    }

    #[inline(always)]
    unsafe fn dot_small(acc: Words, w: Words, a: Words) -> Words {
        // SAFETY: AVX2 by the trait's contract.
        unsafe {
            let dot = |acc, w, a| {
                let pairs = _mm256_maddubs_epi16(w, a);
                _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            };
            [dot(acc[0], w[0], a[0]), dot(acc[1], w[1], a[1])]
        }
    }

    const NARROW: bool = true;

    #[inline(always)]
    unsafe fn add_products(acc: Words, w: Words, a: Words) -> Words {
        // SAFETY: AVX2 by the trait's contract.
        unsafe {
            [
                _mm256_add_epi16(acc[0], _mm256_maddubs_epi16(w[0], a[0])),
                _mm256_add_epi16(acc[1], _mm256_maddubs_epi16(w[1], a[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add_halves(acc: Words, sums: Words) -> Words {
        // SAFETY: AVX2 by the trait's contract.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(sums[0], ones)),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(sums[1], ones)),
            ]
        }
    }

    fn own_tile<W: Weights>() -> Option<unsafe fn(&Tile)> {
        let Some(Narrow { most, zero, .. }) = W::NARROW else {
            return match (W::SUB, W::MIN) {
                (16, false) => Some(unpacked::<16, false, { avx2_tile::WIDE }, 0>),
                (32, false) => Some(unpacked::<32, false, { avx2_tile::WIDE }, 0>),
                _ => None,
            };
        };
        Some(match (W::SUB, W::MIN, most, zero) {
            (32, false, 15, 8) => unpacked::<32, false, 15, 8>,
            (32, false, 31, 16) => unpacked::<32, false, 31, 16>,
            (32, true, 15, 0) => unpacked::<32, true, 15, 0>,
            (32, true, 31, 0) => unpacked::<32, true, 31, 0>,
            (16, true, 3, 0) => unpacked::<16, true, 3, 0>,
            (16, false, 7, 4) => unpacked::<16, false, 7, 4>,
            (16, false, 31, 16) => unpacked::<16, false, 31, 16>,
            (16, false, 63, 32) => unpacked::<16, false, 63, 32>,
            other => unreachable!("narrow codes of a kind without a tile: {other:?}"),
        })
    }
}

/// # Safety
/// As `tile::int_tile` with two strips; the processor must have AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpacked<const SUB: usize, const MIN: bool, const MOST: u8, const ZERO: u8>(t: &Tile) {
    // SAFETY: as the caller promises; the arm has the panel's width.
    unsafe {
        match t.panel.width {
            1 => avx2_tile::int_tile::<SUB, MIN, MOST, ZERO, 1>(t),
            2 => avx2_tile::int_tile::<SUB, MIN, MOST, ZERO, 2>(t),
            other => unreachable!("a panel of {other} tokens is too wide"),
        }
    }
}

impl Isa for AvxVnni {
    common!();

    #[inline(always)]
    unsafe fn start_offset(p: *const i32) -> Words {
        // SAFETY: a readable word.
        unsafe { [_mm256_set1_epi32(p.read_unaligned()); 2] }
    }

    #[inline(always)]
    unsafe fn dot_offset(acc: Words, w: Words, a: Words) -> Words {
        // SAFETY: AVX-VNNI by the trait's contract.
        unsafe { [_mm256_dpbusd_avx_epi32(acc[0], w[0], a[0]), _mm256_dpbusd_avx_epi32(acc[1], w[1], a[1])] }
    }

    #[inline(always)]
    unsafe fn dot_small(acc: Words, w: Words, a: Words) -> Words {
        // SAFETY: as above.
        unsafe { Self::dot_offset(acc, w, a) }
    }
}
