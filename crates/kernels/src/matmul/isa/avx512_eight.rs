//! Blocks of 18 bytes with whole vectors, eight blocks of 16 rows at once: repacked as `strips.rs` describes, or multiplied
//! where they are.
//!
//! Eight blocks are nine pieces of 16 bytes. The half of block `b` is half `b` of piece `b`, its codes begin behind that and
//! end in piece `b + 1`.

use super::{Eight, Isa};
use std::arch::x86_64::*;
use std::hint::black_box;
use std::mem::MaybeUninit;

type Rows = [*const u8; 16];
/// Pieces of 16 bytes, by the row within a lane: lane `l` of `[i]` belongs to row `4 l + i`.
type Pieces = [__m512i; 4];

/// # Safety
/// The processor must have AVX-512 F and BW. 144 readable bytes from `at` on in each row, 4 * 576 writable bytes at `units`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn repack_eight(rows: &Rows, at: usize, units: *mut u8, next: *const u8) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut pieces = [piece(rows, at); 9];
        for (k, p) in pieces.iter_mut().enumerate().skip(1) {
            *p = piece(rows, at + 16 * k);
        }
        for b in 0..8 {
            store_words(units, b, codes_of(b, &pieces));
            ask(b, next);
        }
        for (unit, halves) in scales(&all_halves(&pieces)).into_iter().enumerate() {
            _mm512_storeu_si512(units.add(unit * 576 + 512).cast(), halves);
        }
    }
}

/// How far ahead of the lines a page is asked for: a file's pages are small, and looking one up holds up all that is asked for
/// after it, unless that has begun four pages earlier.
const PAGES_AHEAD: usize = 16384;

/// Asks for the share of block `b` in the 36 lines that eight blocks of 16 rows take, from `next` on. All at once would hold
/// up the reads.
#[inline(always)]
fn ask(b: usize, next: *const u8) {
    for line in b * 36 / 8..(b + 1) * 36 / 8 {
        // SAFETY: every processor of this architecture has it, and any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(64 * line).cast()) };
    }
    if b == 0 {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(PAGES_AHEAD).cast()) };
    }
}

/// The 16 bytes from `at` on.
///
/// # Safety
/// As [`quad_of_rows`].
#[inline(always)]
unsafe fn piece(rows: &Rows, at: usize) -> Pieces {
    // SAFETY: as the caller promises.
    unsafe {
        [
            quad_of_rows(rows, at, 0),
            quad_of_rows(rows, at, 1),
            quad_of_rows(rows, at, 2),
            quad_of_rows(rows, at, 3),
        ]
    }
}

/// # Safety
/// 16 readable bytes from `at` on in each row, and AVX-512 F.
#[inline(always)]
unsafe fn quad_of_rows(rows: &Rows, at: usize, i: usize) -> __m512i {
    // SAFETY: as the caller promises.
    unsafe {
        let v = _mm512_castsi128_si512(_mm_loadu_si128(rows[i].add(at).cast()));
        let v = _mm512_inserti32x4::<1>(v, _mm_loadu_si128(rows[i + 4].add(at).cast()));
        let v = _mm512_inserti32x4::<2>(v, _mm_loadu_si128(rows[i + 8].add(at).cast()));
        _mm512_inserti32x4::<3>(v, _mm_loadu_si128(rows[i + 12].add(at).cast()))
    }
}

/// The codes of block `b`, which begin behind its half in piece `b` and end in the next one.
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[inline(always)]
unsafe fn codes_of(b: usize, p: &[Pieces; 9]) -> Pieces {
    let (low, high) = (&p[b], &p[b + 1]);
    // SAFETY: as the caller promises.
    unsafe {
        match b {
            0 => shifted::<2>(low, high),
            1 => shifted::<4>(low, high),
            2 => shifted::<6>(low, high),
            3 => shifted::<8>(low, high),
            4 => shifted::<10>(low, high),
            5 => shifted::<12>(low, high),
            6 => shifted::<14>(low, high),
            _ => *high,
        }
    }
}

/// The 16 bytes that begin `BYTES` into `low` and end in `high`.
///
/// # Safety
/// As [`codes_of`].
#[inline(always)]
unsafe fn shifted<const BYTES: i32>(low: &Pieces, high: &Pieces) -> Pieces {
    // SAFETY: as the caller promises.
    unsafe {
        [
            _mm512_alignr_epi8::<BYTES>(high[0], low[0]),
            _mm512_alignr_epi8::<BYTES>(high[1], low[1]),
            _mm512_alignr_epi8::<BYTES>(high[2], low[2]),
            _mm512_alignr_epi8::<BYTES>(high[3], low[3]),
        ]
    }
}

/// Half `b` of each lane from piece `b`.
///
/// # Safety
/// As [`codes_of`].
#[inline(always)]
unsafe fn all_halves(p: &[Pieces; 9]) -> Pieces {
    let mut halves = p[0];
    for (b, piece) in p.iter().enumerate().take(8).skip(1) {
        for (half, piece) in halves.iter_mut().zip(piece) {
            // SAFETY: as the caller promises.
            *half = unsafe { _mm512_mask_blend_epi16(0x0101_0101 << b, *half, *piece) };
        }
    }
    halves
}

/// The four words of block `b` as vectors of 16 rows, to their unit.
///
/// # Safety
/// As [`repack_eight`].
#[inline(always)]
unsafe fn store_words(units: *mut u8, b: usize, [w, x, y, z]: Pieces) {
    // SAFETY: as the caller promises: block `b` has 256 bytes in unit `b / 2`.
    unsafe {
        let out = units.add(b / 2 * 576 + b % 2 * 256);
        let (wx, yz) = (_mm512_unpacklo_epi32(w, x), _mm512_unpacklo_epi32(y, z));
        let (wx_high, yz_high) = (_mm512_unpackhi_epi32(w, x), _mm512_unpackhi_epi32(y, z));
        _mm512_storeu_si512(out.cast(), _mm512_unpacklo_epi64(wx, yz));
        _mm512_storeu_si512(out.add(64).cast(), _mm512_unpackhi_epi64(wx, yz));
        _mm512_storeu_si512(out.add(128).cast(), _mm512_unpacklo_epi64(wx_high, yz_high));
        _mm512_storeu_si512(out.add(192).cast(), _mm512_unpackhi_epi64(wx_high, yz_high));
    }
}

/// The halves of eight blocks, by rows, turned to two blocks a vector, 16 rows each.
///
/// # Safety
/// As [`codes_of`].
#[inline(always)]
unsafe fn scales([a, b, c, d]: &Pieces) -> [__m512i; 4] {
    // SAFETY: as the caller promises.
    unsafe {
        let (ab, cd) = (_mm512_unpacklo_epi16(*a, *b), _mm512_unpacklo_epi16(*c, *d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi16(*a, *b), _mm512_unpackhi_epi16(*c, *d));
        let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        [
            _mm512_permutexvar_epi64(order, _mm512_unpacklo_epi32(ab, cd)),
            _mm512_permutexvar_epi64(order, _mm512_unpackhi_epi32(ab, cd)),
            _mm512_permutexvar_epi64(order, _mm512_unpacklo_epi32(ab_high, cd_high)),
            _mm512_permutexvar_epi64(order, _mm512_unpackhi_epi32(ab_high, cd_high)),
        ]
    }
}

/// `acc` and the products of eight blocks with `T` rows, block after block as in a tile. Codes are levels of `LEVELS`, or
/// numbers from which 8 is taken.
///
/// # Safety
/// As [`repack_eight`] and as [`Isa`] for `I`; `a` leads to eight blocks of activations.
#[inline(always)]
pub(super) unsafe fn add_eight<I: Isa<Words = __m512i, Floats = __m512>, const T: usize>(
    mut acc: [__m512; T],
    (rows, at): (&Rows, usize),
    a: &[Eight; T],
    levels: Option<&[u8; 16]>,
    next: *const u8,
) -> [__m512; T] {
    // SAFETY: as the caller promises.
    unsafe {
        // All reads first, in one burst: between the computations each would wait for the lines that are asked for ahead.
        // Hence the loops that the compiler may not unroll and mix; mixed, this reads memory at four fifths of the speed.
        let mut pieces = MaybeUninit::<[Pieces; 9]>::uninit();
        let first = pieces.as_mut_ptr().cast::<Pieces>();
        for k in 0..black_box(9) {
            first.add(k).write(piece(rows, at + 16 * k));
        }
        let p = &*pieces.as_ptr();
        let scales = scales(&all_halves(p));
        for b in 0..black_box(8) {
            let codes = codes_of(b, p);
            let halves = _mm512_cvtph_ps(scales.as_ptr().cast::<__m256i>().add(b).read());
            for (acc, a) in acc.iter_mut().zip(a) {
                let sums = block_sums::<I>(&codes, (a, b), levels);
                let scale = I::mul(halves, I::splat_float(a.scales.add(b).read_unaligned()));
                *acc = I::fma(_mm512_cvtepi32_ps(sums), scale, *acc);
            }
            ask(b, next);
        }
        acc
    }
}

/// The products of block `b`, as integers.
///
/// # Safety
/// As [`add_eight`].
#[inline(always)]
unsafe fn block_sums<I: Isa<Words = __m512i, Floats = __m512>>(
    codes: &Pieces,
    (a, b): (&Eight, usize),
    levels: Option<&[u8; 16]>,
) -> __m512i {
    // SAFETY: as the caller promises: 32 codes and an offset per block.
    unsafe {
        let x = (sixteen(a.codes.add(32 * b)), sixteen(a.codes.add(32 * b + 16)));
        let sums = sums_of_lanes([
            dots::<I>(codes[0], x, levels),
            dots::<I>(codes[1], x, levels),
            dots::<I>(codes[2], x, levels),
            dots::<I>(codes[3], x, levels),
        ]);
        let offset = a.offsets.add(b);
        let start = match levels {
            Some(_) => I::start_offset(offset),
            // -128 times the sum of the activations, of which -8 times the sum is wanted.
            None => _mm512_set1_epi32(offset.read_unaligned() / 16),
        };
        _mm512_add_epi32(sums, start)
    }
}

/// 16 bytes, four times over.
///
/// # Safety
/// 16 readable bytes, and AVX-512 F.
#[inline(always)]
unsafe fn sixteen(p: *const i8) -> __m512i {
    // SAFETY: as the caller promises.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(p.cast())) }
}

/// Products of the 32 codes of four rows, in parts that are one lane of words per row.
///
/// # Safety
/// As [`Isa`].
#[inline(always)]
unsafe fn dots<I: Isa<Words = __m512i, Floats = __m512>>(
    codes: __m512i,
    (low, high): (__m512i, __m512i),
    levels: Option<&[u8; 16]>,
) -> __m512i {
    // SAFETY: as the caller promises.
    unsafe {
        let nibbles = _mm512_set1_epi8(15);
        let first = _mm512_and_si512(codes, nibbles);
        let second = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibbles);
        let zero = _mm512_setzero_si512();
        match levels {
            Some(levels) => I::dot_offset(
                I::dot_offset(zero, I::lookup(first, levels), low),
                I::lookup(second, levels),
                high,
            ),
            None => I::dot_small(I::dot_small(zero, first, low), second, high),
        }
    }
}

/// The sum of the four words of each lane; `[i]`'s lane `l` to word `4 l + i`.
///
/// # Safety
/// The processor must have AVX-512 F.
#[inline(always)]
unsafe fn sums_of_lanes([a, b, c, d]: [__m512i; 4]) -> __m512i {
    // SAFETY: as the caller promises.
    unsafe {
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
    }
}
