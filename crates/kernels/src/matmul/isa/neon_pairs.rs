//! Matrix products of bytes on AArch64 (`smmla`): two rows by two tokens over eight columns by one instruction, twice what a dot
//! product does. What a sub-block's integers sum up to is exact, and the floating-point operations are those of
//! [`super::super::tile::int_tile`] in their order, so the bits are the same too.

use super::super::tile::{Panel, ROWS, Tile, unpacked_bytes};
use super::Isa;
use super::neon::NeonMatrix;
use std::arch::aarch64::*;
use std::arch::asm;

/// Tokens of the widest panel: as many sums as half the registers hold.
pub(super) const WIDTH: usize = 4;
/// Pairs of rows in a strip.
const PAIRS: usize = ROWS / 2;

/// Sums of pairs of rows by pairs of tokens, row by row.
type Sums<const P: usize> = [[int32x4_t; P]; PAIRS];

/// `acc` and the products of two rows of `w` with two of `a`, eight bytes each.
///
/// # Safety
/// NEON with matrix products of bytes.
#[inline(always)]
unsafe fn smmla(acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
    let mut out = acc;
    // SAFETY: as the caller promises; the intrinsic is not stable.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) out, in(vreg) w, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    out
}

/// Four columns and the next four of 16 rows, to eight columns of each row: rows 0 to 7, then 8 to 15.
///
/// # Safety
/// NEON.
#[inline(always)]
pub(super) unsafe fn zip(first: [uint32x4_t; 4], second: [uint32x4_t; 4]) -> [[uint32x4_t; 4]; 2] {
    // SAFETY: as the caller promises.
    let half = |a: usize, b: usize| unsafe {
        [
            vzip1q_u32(first[a], second[a]),
            vzip2q_u32(first[a], second[a]),
            vzip1q_u32(first[b], second[b]),
            vzip2q_u32(first[b], second[b]),
        ]
    };
    [half(0, 1), half(2, 3)]
}

/// Two strips of the unpacked form by a panel of up to [`WIDTH`] tokens.
///
/// # Safety
/// As `tile::int_tile`, with signed codes where there are no minima, zipped. The processor has matrix products of bytes.
#[inline(always)]
pub(super) unsafe fn int_tile<const SUB: usize, const MIN: bool>(tile: &Tile) {
    // An odd strip has itself for a partner, whose sums go nowhere.
    let strips = if tile.w[0] == tile.w[1] { 1 } else { 2 };
    for r in 0..strips {
        // SAFETY: as the caller promises; the arm has the panel's width.
        unsafe {
            match tile.panel.width {
                1 => strip::<SUB, MIN, 1, 1>(tile, r),
                2 => strip::<SUB, MIN, 2, 1>(tile, r),
                3 => strip::<SUB, MIN, 3, 2>(tile, r),
                4 => strip::<SUB, MIN, 4, 2>(tile, r),
                other => unreachable!("a panel of {other} tokens is too wide"),
            }
        }
    }
}

/// One strip by `T` tokens, which are `P` pairs, the last one perhaps with itself.
///
/// # Safety
/// As [`int_tile`], for a panel of `T` tokens.
#[inline(always)]
unsafe fn strip<const SUB: usize, const MIN: bool, const T: usize, const P: usize>(tile: &Tile, r: usize) {
    let step = const { unpacked_bytes(SUB, MIN) };
    let panel = &tile.panel;
    // SAFETY: as the caller promises; offsets follow the arrangement of panels.
    unsafe {
        let mut acc = [[vdupq_n_f32(0.0); 4]; T];
        if !tile.fresh {
            for (t, acc) in acc.iter_mut().enumerate() {
                for (i, acc) in acc.iter_mut().enumerate() {
                    *acc = vld1q_f32(tile.acc[r].add(t * ROWS + 4 * i));
                }
            }
        }
        let lines = if tile.next.bytes > 0 { tile.next.lines(tile.units) } else { 0 };
        for u in 0..tile.units {
            for line in u * lines..(u + 1) * lines {
                NeonMatrix::prefetch_far(tile.next.from[r].wrapping_add(64 * line));
            }
            let unit = tile.w[r].add(u * step);
            let sums = multiply::<SUB, T, P>(unit, panel.codes.add(u * SUB / 32 * 32 * T + u * SUB % 32));
            scale::<SUB, MIN, T, P>(unit.add(ROWS * SUB).cast(), (panel, u), &sums, &mut acc);
        }
        for (t, acc) in acc.iter().enumerate() {
            for (i, acc) in acc.iter().enumerate() {
                vst1q_f32(tile.acc[r].add(t * ROWS + 4 * i), *acc);
            }
        }
    }
}

/// The integer sums of a sub-block.
///
/// # Safety
/// As [`strip`]; `unit` leads to the codes of the sub-block, `codes` to those of the tokens.
#[inline(always)]
unsafe fn multiply<const SUB: usize, const T: usize, const P: usize>(
    unit: *const u8,
    codes: *const i8,
) -> Sums<P> {
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); P]; PAIRS];
        for j in 0..SUB / 8 {
            let token = |t: usize| vld1_s8(codes.add(t.min(T - 1) * 32 + 8 * j));
            let mut tokens = [vdupq_n_s8(0); P];
            for (p, both) in tokens.iter_mut().enumerate() {
                *both = vcombine_s8(token(2 * p), token(2 * p + 1));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let rows = vld1q_s8(unit.add(16 * ROWS / 2 * j + 16 * i).cast());
                for (sum, both) in sums.iter_mut().zip(tokens) {
                    *sum = smmla(*sum, rows, both);
                }
            }
        }
        sums
    }
}

/// Adds the sums of sub-block `u`, scaled, to those of all tokens.
///
/// # Safety
/// As [`strip`]; `end` leads to the scales of the sub-block and to its minima.
#[inline(always)]
unsafe fn scale<const SUB: usize, const MIN: bool, const T: usize, const P: usize>(
    end: *const f32,
    (panel, u): (&Panel, usize),
    sums: &Sums<P>,
    acc: &mut [[float32x4_t; 4]; T],
) {
    // SAFETY: as the caller promises.
    unsafe {
        let tokens = panel.scales.add(u * SUB / 32 * T);
        for (t, acc) in acc.iter_mut().enumerate() {
            let of_token = vdupq_n_f32(tokens.add(t).read());
            for (i, acc) in acc.iter_mut().enumerate() {
                let (low, high) = (sums[2 * i][t / 2], sums[2 * i + 1][t / 2]);
                let dots = if t % 2 == 0 { vuzp1q_s32(low, high) } else { vuzp2q_s32(low, high) };
                let scale = vmulq_f32(vld1q_f32(end.add(4 * i)), of_token);
                *acc = vfmaq_f32(*acc, vcvtq_f32_s32(dots), scale);
            }
        }
        if MIN {
            let tokens = panel.sums[usize::from(SUB == 16)].add(u * T);
            for (t, acc) in acc.iter_mut().enumerate() {
                let of_token = vdupq_n_f32(tokens.add(t).read());
                for (i, acc) in acc.iter_mut().enumerate() {
                    *acc = vfmaq_f32(*acc, vld1q_f32(end.add(ROWS + 4 * i)), of_token);
                }
            }
        }
    }
}

/// That many rounds of products on sums that do not wait for each other: the most that the instruction gives. For the probes.
///
/// # Safety
/// NEON with matrix products of bytes.
#[inline(always)]
pub(super) unsafe fn probe(products: usize) -> u32 {
    // SAFETY: as the caller promises.
    unsafe {
        let ones = std::hint::black_box(vdupq_n_s8(1));
        let mut sums = [vdupq_n_s32(0); 16];
        for _ in 0..products.div_ceil(sums.len()) {
            for sum in &mut sums {
                *sum = smmla(*sum, ones, ones);
            }
        }
        let all = sums.into_iter().fold(vdupq_n_s32(0), |all, sum| vorrq_s32(all, sum));
        vaddvq_s32(all).cast_unsigned()
    }
}
