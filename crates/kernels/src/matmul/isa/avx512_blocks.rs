//! The 8-bit form of a block of up to 16 rows side by side: what there is one of for each row fills a vector, and is computed and
//! written at once. The bits are those of [`acts::quantise_block`].

use crate::matmul::acts::{self, BLOCK, TEAM, Team};
use crate::matmul::tile::Panel;
use std::arch::x86_64::*;

/// The two halves of a row's block.
type Halves = [__m512; 2];

/// Writes the blocks of a team.
///
/// # Safety
/// The processor must have AVX-512 F, BW, VL and DQ. The blocks must exist in the panel's planes, and nobody else may use them
/// meanwhile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn quantise_team(team: &Team<'_>, panel: &Panel) {
    let mut x = [[_mm512_setzero_ps(); 2]; TEAM];
    for (x, row) in x.iter_mut().zip(&team.x[..team.rows]) {
        // SAFETY: a block is two registers.
        *x = unsafe { [_mm512_loadu_ps(row.as_ptr()), _mm512_loadu_ps(row.as_ptr().add(BLOCK / 2))] };
    }
    let (mut scales, mut inverses) = factors(&x);
    if team.left != 0 {
        let (scale, inverse) = (lanes(scales), lanes(inverses));
        for t in (0..team.rows).filter(|t| team.left >> t & 1 == 1) {
            let scale = _mm512_set1_ps(scale[t]);
            let words = words(x[t], inverse[t]).map(|words| _mm512_cvtepi32_ps(words));
            x[t] = [0, 1].map(|half| _mm512_sub_ps(x[t][half], _mm512_mul_ps(scale, words[half])));
        }
        (scales, inverses) = factors(&x);
    }
    let inverse = lanes(inverses);
    let mut pairs = [_mm512_setzero_si512(); TEAM / 2];
    for (i, pair) in pairs.iter_mut().enumerate() {
        let [a, b] = [2 * i, 2 * i + 1].map(|t| codes(words(x[t], inverse[t])));
        *pair = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b);
    }
    // SAFETY: as the caller promises.
    unsafe { write(team, panel, (&pairs, scales)) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(v: __m512) -> [f32; TEAM] {
    let mut lanes = [0.0; TEAM];
    // SAFETY: 16 floats.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), v) };
    lanes
}

/// Of each row the scale and what its values are multiplied by, as [`acts::factors`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn factors(x: &[Halves; TEAM]) -> (__m512, __m512) {
    let most = _mm512_castsi512_ps(greatest(x));
    let counts = !_mm512_cmp_ps_mask::<_CMP_LT_OQ>(most, _mm512_set1_ps(acts::LEAST));
    let top = _mm512_set1_ps(127.0);
    (_mm512_maskz_div_ps(counts, most, top), _mm512_maskz_div_ps(counts, top, most))
}

/// The greatest magnitude of each row, compared as integers, so that NaN is the greatest of all.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn greatest(x: &[Halves; TEAM]) -> __m512i {
    let magnitude = |v| _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(i32::MAX));
    let max = |a, b| _mm512_max_epi32(a, b);
    let rows = x.map(|[low, high]| max(magnitude(low), magnitude(high)));
    // Each step halves the columns and brings two vectors into one.
    let pairs: [_; 8] = std::array::from_fn(|i| {
        let (a, b) = (rows[2 * i], rows[2 * i + 1]);
        max(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b))
    });
    let fours: [_; 4] = std::array::from_fn(|i| {
        let (a, b) = (pairs[2 * i], pairs[2 * i + 1]);
        max(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
    });
    let quarters = |a, b| max(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
    quarters(quarters(fours[0], fours[1]), quarters(fours[2], fours[3]))
}

/// The codes of a row as words.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(x: Halves, inverse: f32) -> [__m512i; 2] {
    x.map(|half| {
        let words = _mm512_cvtps_epi32(_mm512_mul_ps(half, _mm512_set1_ps(inverse)));
        // What is no number becomes the least of all; -128 is not a code.
        _mm512_max_epi32(words, _mm512_set1_epi32(-127))
    })
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn codes([low, high]: [__m512i; 2]) -> __m256i {
    let [low, high] = [low, high].map(|words| _mm512_cvtsepi32_epi8(words));
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}

/// The sums of the codes of the low and the high half of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sums(pairs: &[__m512i; TEAM / 2]) -> [__m512i; 2] {
    let positive = |codes| _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
    // Two sums of eight codes for each half.
    let eights = pairs.map(|pair| _mm512_sad_epu8(positive(pair), _mm512_setzero_si512()));
    // Rows 0 and 2, of the low halves and then of the high ones, then rows 1 and 3.
    let fours: [_; 4] = std::array::from_fn(|i| {
        let (a, b) = (eights[2 * i], eights[2 * i + 1]);
        _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
    });
    // Low halves of eight rows, then their high ones.
    let order = _mm512_setr_epi32(0, 8, 2, 10, 16, 24, 18, 26, 4, 12, 6, 14, 20, 28, 22, 30);
    let [a, b] = [0, 2].map(|i| _mm512_permutex2var_epi32(fours[i], order, fours[i + 1]));
    [_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xee>(a, b)]
        .map(|sums| _mm512_sub_epi32(sums, _mm512_set1_epi32(128 * (BLOCK / 2) as i32)))
}

/// # Safety
/// As [`quantise_team`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn write(team: &Team<'_>, panel: &Panel, (pairs, scales): (&[__m512i; TEAM / 2], __m512)) {
    let (b, first) = team.at;
    let at = b * panel.width + first;
    let rows = u16::MAX >> (TEAM - team.rows);
    let [low, high] = sums(pairs);
    let both = _mm512_add_epi32(low, high);
    let offsets = |sums| _mm512_slli_epi32::<7>(_mm512_sub_epi32(_mm512_setzero_si512(), sums));
    let scaled = |sums| _mm512_mul_ps(scales, _mm512_cvtepi32_ps(sums));
    // SAFETY: as the caller promises: these rows of the planes, 32 codes each; planes of halves have two entries per block and row.
    unsafe {
        let to = panel.codes.cast_mut().add(at * BLOCK);
        for (i, pair) in pairs.iter().enumerate().take(team.rows.div_ceil(2)) {
            let count = (team.rows - 2 * i).min(2) * BLOCK;
            _mm512_mask_storeu_epi8(to.add(2 * i * BLOCK), u64::MAX >> (2 * BLOCK - count), *pair);
        }
        _mm512_mask_storeu_ps(panel.scales.cast_mut().add(at), rows, scales);
        _mm512_mask_storeu_epi32(panel.offsets[0].cast_mut().add(at), rows, offsets(both));
        _mm512_mask_storeu_ps(panel.sums[0].cast_mut().add(at), rows, scaled(both));
        for (half, sums) in [low, high].into_iter().enumerate() {
            let at = (2 * b + half) * panel.width + first;
            _mm512_mask_storeu_epi32(panel.offsets[1].cast_mut().add(at), rows, offsets(sums));
            _mm512_mask_storeu_ps(panel.sums[1].cast_mut().add(at), rows, scaled(sums));
        }
    }
}
