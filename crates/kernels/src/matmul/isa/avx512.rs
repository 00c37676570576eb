//! AVX-512, with the byte dot products of VNNI or without.

use super::Isa;
use crate::matmul::acts;
use crate::matmul::tile::Tile;
use std::arch::x86_64::*;
use torchless_quant::TensorType;

/// AVX-512 F, BW, VL, DQ and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Vnni;

/// As [`Avx512Vnni`], and the matrix instructions of AMX with 8-bit integers.
#[derive(Clone, Copy)]
pub(crate) struct Amx;

/// AVX-512 F, BW, VL and DQ.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// As [`acts::quantise_block`]: the greatest magnitude and sums of codes (of bytes, by `vpsadbw`) without detours through memory.
///
/// # Safety
/// The processor must have AVX-512 F, BW and VL.
#[inline(always)]
unsafe fn quantise_block(x: &[f32; acts::BLOCK]) -> acts::Block {
    // SAFETY: as the caller promises; 32 values are two registers.
    unsafe {
        let halves = [_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16))];
        // Compared as integers, NaN is the greatest of all.
        let [a, b] =
            halves.map(|half| _mm512_and_si512(_mm512_castps_si512(half), _mm512_set1_epi32(i32::MAX)));
        let most = _mm512_reduce_max_epi32(_mm512_max_epi32(a, b));
        let (scale, inverse) = acts::factors(f32::from_bits(most.cast_unsigned()));
        let [low, high] = halves.map(|half| {
            let words = _mm512_cvtps_epi32(_mm512_mul_ps(half, _mm512_set1_ps(inverse)));
            // What is no number becomes the least of all; -128 is not a code.
            _mm512_cvtsepi32_epi8(_mm512_max_epi32(words, _mm512_set1_epi32(-127)))
        });
        let sum = |codes| {
            let sums = _mm_sad_epu8(_mm_xor_si128(codes, _mm_set1_epi8(-128)), _mm_setzero_si128());
            _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128
        };
        let mut codes = [0; acts::BLOCK];
        _mm_storeu_si128(codes.as_mut_ptr().cast(), low);
        _mm_storeu_si128(codes.as_mut_ptr().add(16).cast(), high);
        acts::Block { codes, scale, sums: [sum(low), sum(high)] }
    }
}

/// Shared by all: everything but the dot products.
macro_rules! common {
    () => {
        type Words = __m512i;
        type Floats = __m512;

        const FLOAT_WIDTH: usize = 12;

        #[inline(always)]
        unsafe fn load(p: *const u8) -> __m512i {
            // SAFETY: 64 readable bytes.
            unsafe { _mm512_loadu_si512(p.cast()) }
        }

        #[inline(always)]
        unsafe fn store(p: *mut u8, v: __m512i) {
            // SAFETY: 64 writable bytes.
            unsafe { _mm512_storeu_si512(p.cast(), v) }
        }

        #[inline(always)]
        unsafe fn splat(v: u32) -> __m512i {
            // SAFETY: AVX-512 by the trait's contract.
            unsafe { _mm512_set1_epi32(v.cast_signed()) }
        }

        #[inline(always)]
        unsafe fn shr(v: __m512i, n: u32) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_srl_epi32(v, _mm_cvtsi32_si128(n.cast_signed())) }
        }

        #[inline(always)]
        unsafe fn sar(v: __m512i, n: u32) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_sra_epi32(v, _mm_cvtsi32_si128(n.cast_signed())) }
        }

        #[inline(always)]
        unsafe fn shl(v: __m512i, n: u32) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_sll_epi32(v, _mm_cvtsi32_si128(n.cast_signed())) }
        }

        #[inline(always)]
        unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_and_si512(a, b) }
        }

        #[inline(always)]
        unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_or_si512(a, b) }
        }

        #[inline(always)]
        unsafe fn add_bytes(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_add_epi8(a, b) }
        }

        #[inline(always)]
        unsafe fn sub(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: as in `splat`.
            unsafe { _mm512_sub_epi32(a, b) }
        }

        #[inline(always)]
        unsafe fn lookup(v: __m512i, table: &[u8; 16]) -> __m512i {
            // SAFETY: as in `splat`; the table has the 16 bytes that are read.
            unsafe { _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), v) }
        }

        #[inline(always)]
        unsafe fn quad(p: *const i8) -> __m512i {
            // SAFETY: 4 readable bytes.
            unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn quantise_block(x: &[f32; acts::BLOCK]) -> acts::Block {
            // SAFETY: as in `splat`.
            unsafe { quantise_block(x) }
        }

        #[inline(always)]
        unsafe fn to_floats(v: __m512i) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_cvtepi32_ps(v) }
        }

        #[inline(always)]
        unsafe fn as_floats(v: __m512i) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_castsi512_ps(v) }
        }

        #[inline(always)]
        unsafe fn load_floats(p: *const f32) -> __m512 {
            // SAFETY: 16 readable floats.
            unsafe { _mm512_loadu_ps(p) }
        }

        #[inline(always)]
        unsafe fn store_floats(p: *mut f32, v: __m512) {
            // SAFETY: 16 writable floats.
            unsafe { _mm512_storeu_ps(p, v) }
        }

        #[inline(always)]
        unsafe fn load_halves(p: *const u8) -> __m512 {
            // SAFETY: 32 readable bytes.
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
        }

        #[inline(always)]
        unsafe fn splat_float(v: f32) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_set1_ps(v) }
        }

        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn div(a: __m512, b: __m512) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_div_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: as in `splat`.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn gather_word(rows: &[*const u8; 16], at: usize) -> __m512i {
            // SAFETY: 4 readable bytes from `at` on in each row.
            unsafe {
                let word = |row: usize| rows[row].add(at).cast::<i32>().read_unaligned();
                let four =
                    |row: usize| _mm_setr_epi32(word(row), word(row + 1), word(row + 2), word(row + 3));
                let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(four(0)), four(4));
                let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(four(8)), four(12));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
        }

        #[inline(always)]
        unsafe fn gather_words(rows: &[*const u8; 16], at: usize) -> [__m512i; 4] {
            // SAFETY: 16 readable bytes from `at` on in each row.
            unsafe {
                let row = |row: usize| _mm_loadu_si128(rows[row].add(at).cast());
                // In lane l: row 4 l + i.
                let quarter = |i: usize| {
                    let v = _mm512_castsi128_si512(row(i));
                    let v = _mm512_inserti32x4::<1>(v, row(i + 4));
                    let v = _mm512_inserti32x4::<2>(v, row(i + 8));
                    _mm512_inserti32x4::<3>(v, row(i + 12))
                };
                let (a, b, c, d) = (quarter(0), quarter(1), quarter(2), quarter(3));
                let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
                let (ef, gh) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
                [
                    _mm512_unpacklo_epi64(ab, cd),
                    _mm512_unpackhi_epi64(ab, cd),
                    _mm512_unpacklo_epi64(ef, gh),
                    _mm512_unpackhi_epi64(ef, gh),
                ]
            }
        }

        const EIGHT: bool = true;

        #[inline(always)]
        unsafe fn repack_eight(rows: &[*const u8; 16], at: usize, units: *mut u8, next: *const u8) {
            // SAFETY: as the caller promises.
            unsafe { super::avx512_eight::repack_eight(rows, at, units, next) }
        }

        #[inline(always)]
        unsafe fn add_eight<const T: usize>(
            acc: [__m512; T],
            at: (&[*const u8; 16], usize),
            a: &[super::Eight; T],
            levels: Option<&[u8; 16]>,
            next: *const u8,
        ) -> [__m512; T] {
            // SAFETY: as the caller promises.
            unsafe { super::avx512_eight::add_eight::<Self, T>(acc, at, a, levels, next) }
        }

        #[inline(always)]
        unsafe fn pair_of_floats(tile: &crate::matmul::tile::Tile) -> bool {
            // SAFETY: as the caller promises.
            unsafe { super::avx512_floats::pair(tile) }
        }

        #[inline(always)]
        unsafe fn store_halves(p: *mut u8, v: __m512i) {
            // SAFETY: 32 writable bytes.
            unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(v)) }
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

/// The dot products of VNNI.
macro_rules! vnni {
    () => {
        #[inline(always)]
        unsafe fn start_offset(p: *const i32) -> __m512i {
            // SAFETY: a readable word.
            unsafe { _mm512_set1_epi32(p.read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn dot_offset(acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
            // SAFETY: VNNI by the trait's contract.
            unsafe { _mm512_dpbusd_epi32(acc, w, a) }
        }

        #[inline(always)]
        unsafe fn dot_small(acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
            // SAFETY: as above.
            unsafe { _mm512_dpbusd_epi32(acc, w, a) }
        }
    };
}

impl Isa for Avx512Vnni {
    common!();
    vnni!();

    const INT_WIDTH: usize = 6;
}

impl Isa for Amx {
    common!();
    vnni!();

    const INT_WIDTH: usize = super::amx::WIDTH;
    const DIRECT: usize = 8;
    const MATRIX: bool = true;

    unsafe fn open_matrix(sub: usize, width: usize) {
        // SAFETY: as the caller promises.
        unsafe { super::amx::open(sub, width) }
    }

    unsafe fn close_matrix() {
        // SAFETY: as the caller promises.
        unsafe { super::amx::close() }
    }

    #[inline(always)]
    unsafe fn int_matrix<const SUB: usize, const MIN: bool>(tile: &Tile) {
        // SAFETY: as the caller promises.
        unsafe { super::amx::int_tile::<SUB, MIN>(tile) }
    }

    unsafe fn matrix_probe(kind: super::MatrixProbe, products: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            match kind {
                super::MatrixProbe::Bytes => super::amx::bytes(products),
                super::MatrixProbe::Halves => super::amx::halves(products),
            }
        }
    }

    fn halves_kernels(ty: TensorType) -> Option<super::HalvesKernels> {
        super::amx_halves::kernels(ty)
    }
}

impl Isa for Avx512 {
    common!();

    const INT_WIDTH: usize = 6;

    #[inline(always)]
    unsafe fn start_offset(_: *const i32) -> __m512i {
        // SAFETY: AVX-512 by the trait's contract.
        unsafe { _mm512_setzero_si512() }
    }

    /// `|w - 128|` times `a` with the sign of `w - 128`: two such products are at most 2 * 128 * 127 and cannot saturate.
    #[inline(always)]
    unsafe fn dot_offset(acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
        // SAFETY: AVX-512 BW by the trait's contract.
        unsafe {
            let below = _mm512_movepi8_mask(_mm512_xor_si512(w, _mm512_set1_epi8(-128)));
            let size = _mm512_abs_epi8(_mm512_xor_si512(w, _mm512_set1_epi8(-128)));
            let signed = _mm512_mask_sub_epi8(a, below, _mm512_setzero_si512(), a);
            let pairs = _mm512_maddubs_epi16(size, signed);
            _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn dot_small(acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe {
            let pairs = _mm512_maddubs_epi16(w, a);
            _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}
