//! Repacking of blocks of 18 bytes with whole vectors: what `strips.rs` describes, for eight blocks of 16 rows at once.
//!
//! Per block of 16 rows about 37 operations, where picking words row by row takes 61.

use std::arch::x86_64::*;

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
        let [p0, p1, p2, p3] = four_pieces(rows, at);
        let [p4, p5, p6, p7] = four_pieces(rows, at + 64);
        let p8 = one_piece(rows, at + 128);
        store_words(units, 0, shifted::<2>(&p0, &p1));
        ask::<0>(next);
        store_words(units, 1, shifted::<4>(&p1, &p2));
        ask::<1>(next);
        store_words(units, 2, shifted::<6>(&p2, &p3));
        ask::<2>(next);
        store_words(units, 3, shifted::<8>(&p3, &p4));
        ask::<3>(next);
        store_words(units, 4, shifted::<10>(&p4, &p5));
        ask::<4>(next);
        store_words(units, 5, shifted::<12>(&p5, &p6));
        ask::<5>(next);
        store_words(units, 6, shifted::<14>(&p6, &p7));
        ask::<6>(next);
        store_words(units, 7, p8);
        ask::<7>(next);
        store_scales(units, &[p0, p1, p2, p3, p4, p5, p6, p7]);
    }
}

/// Asks for the share of block `B` in the 36 lines that eight blocks of 16 rows take, from `next` on. All at once would hold up
/// the reads.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn ask<const B: usize>(next: *const u8) {
    for line in B * 36 / 8..(B + 1) * 36 / 8 {
        _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(64 * line).cast());
    }
}

/// Four consecutive pieces: a vector of each row, turned so that each lane holds the same piece of another row.
///
/// # Safety
/// As [`repack_eight`], with 64 readable bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn four_pieces(rows: &Rows, at: usize) -> [Pieces; 4] {
    // SAFETY: as the caller promises.
    unsafe {
        let row = |r: usize| _mm512_loadu_si512(rows[r].add(at).cast());
        let turned = |i: usize| {
            let (a, b, c, d) = (row(i), row(i + 4), row(i + 8), row(i + 12));
            let (ab_low, ab_high) = (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xEE>(a, b));
            let (cd_low, cd_high) = (_mm512_shuffle_i64x2::<0x44>(c, d), _mm512_shuffle_i64x2::<0xEE>(c, d));
            [
                _mm512_shuffle_i64x2::<0x88>(ab_low, cd_low),
                _mm512_shuffle_i64x2::<0xDD>(ab_low, cd_low),
                _mm512_shuffle_i64x2::<0x88>(ab_high, cd_high),
                _mm512_shuffle_i64x2::<0xDD>(ab_high, cd_high),
            ]
        };
        let t = [turned(0), turned(1), turned(2), turned(3)];
        let piece = |k: usize| [t[0][k], t[1][k], t[2][k], t[3][k]];
        [piece(0), piece(1), piece(2), piece(3)]
    }
}

/// # Safety
/// As [`repack_eight`], with 16 readable bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn one_piece(rows: &Rows, at: usize) -> Pieces {
    // SAFETY: as the caller promises.
    unsafe {
        let row = |r: usize| _mm_loadu_si128(rows[r].add(at).cast());
        let lanes = |i: usize| {
            let v = _mm512_castsi128_si512(row(i));
            let v = _mm512_inserti32x4::<1>(v, row(i + 4));
            let v = _mm512_inserti32x4::<2>(v, row(i + 8));
            _mm512_inserti32x4::<3>(v, row(i + 12))
        };
        [lanes(0), lanes(1), lanes(2), lanes(3)]
    }
}

/// The 16 bytes that begin `BYTES` into `low` and end in `high`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shifted<const BYTES: i32>(low: &Pieces, high: &Pieces) -> Pieces {
    let at = |i: usize| _mm512_alignr_epi8::<BYTES>(high[i], low[i]);
    [at(0), at(1), at(2), at(3)]
}

/// The four words of block `b` as vectors of 16 rows, to their unit.
///
/// # Safety
/// As [`repack_eight`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
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

/// The half of block `b` is the half number `b` of piece `b`. Those of two blocks, 16 rows each, end their unit.
///
/// # Safety
/// As [`repack_eight`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store_scales(units: *mut u8, p: &[Pieces; 8]) {
    // SAFETY: as the caller promises: the last 64 of each unit's 576 bytes.
    unsafe {
        let eight = |i: usize| {
            let v = _mm512_mask_blend_epi16(0x0202_0202, p[0][i], p[1][i]);
            let v = _mm512_mask_blend_epi16(0x0404_0404, v, p[2][i]);
            let v = _mm512_mask_blend_epi16(0x0808_0808, v, p[3][i]);
            let v = _mm512_mask_blend_epi16(0x1010_1010, v, p[4][i]);
            let v = _mm512_mask_blend_epi16(0x2020_2020, v, p[5][i]);
            let v = _mm512_mask_blend_epi16(0x4040_4040, v, p[6][i]);
            _mm512_mask_blend_epi16(0x8080_8080, v, p[7][i])
        };
        let (a, b, c, d) = (eight(0), eight(1), eight(2), eight(3));
        let (ab, cd) = (_mm512_unpacklo_epi16(a, b), _mm512_unpacklo_epi16(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi16(a, b), _mm512_unpackhi_epi16(c, d));
        let pairs = [
            _mm512_unpacklo_epi32(ab, cd),
            _mm512_unpackhi_epi32(ab, cd),
            _mm512_unpacklo_epi32(ab_high, cd_high),
            _mm512_unpackhi_epi32(ab_high, cd_high),
        ];
        let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        for (unit, pair) in pairs.into_iter().enumerate() {
            let halves = _mm512_permutexvar_epi64(order, pair);
            _mm512_storeu_si512(units.add(unit * 576 + 512).cast(), halves);
        }
    }
}
