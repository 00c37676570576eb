//! AMX: products of 16 tokens with 16 rows by one instruction per sub-block. What a sub-block's integers sum up to is exact, and
//! the floating-point operations are those of [`super::super::tile::int_tile`] in their order, so the bits are the same too.
//!
//! The intrinsics are not stable; the instructions are written out. A tile of sums goes through the first cache to the vector
//! registers, where scales are applied: three operations per token, or four with minima, which is what limits this kernel.

use super::super::tile::{Panel, ROWS, Tile, unpacked_bytes};
use crate::amx::Config;
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Tokens of the widest panel.
pub(crate) const WIDTH: usize = 16;
/// Up to this many tokens, half a tile is as good.
const HALF: usize = WIDTH / 2;

/// Tiles 0 and 1: sums of `tokens` by 16 rows. 2 and 3: codes of as many tokens. 4 and 5: codes of weights, four columns a row.
const fn config(sub: usize, tokens: usize) -> Config {
    let (sums, codes, weights) = ((tokens, 64), (tokens, sub), (sub / 4, 64));
    Config::new([sums, sums, codes, codes, weights, weights, (0, 0), (0, 0)])
}

/// The integer sums of two sub-blocks. One pair is in the making while another is scaled.
#[repr(align(64))]
struct Pair([[[i32; ROWS]; WIDTH]; 2]);

/// Gives the tiles of this thread their shapes for sub-blocks of `sub` columns and panels of up to `width` tokens.
///
/// # Safety
/// The processor must have AMX, and the system must let the process use it.
pub(super) unsafe fn open(sub: usize, width: usize) {
    static CONFIGS: [[Config; 2]; 2] =
        [[config(16, HALF), config(16, WIDTH)], [config(32, HALF), config(32, WIDTH)]];
    let config = &CONFIGS[usize::from(sub == 32)][usize::from(width > HALF)];
    // SAFETY: the configuration is a valid one of 64 bytes; otherwise as the caller promises.
    unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack, preserves_flags, readonly)) }
}

/// Gives the tiles back, so that threads can be switched faster.
///
/// # Safety
/// As [`open`].
pub(super) unsafe fn close() {
    // SAFETY: as the caller promises.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
}

/// Two strips of the unpacked form by a panel of up to [`WIDTH`] tokens.
///
/// # Safety
/// As `tile::int_tile`, with signed codes where there are no minima; an even number of units; 16 rows of the panel may be read.
/// The processor must have AVX-512 F and AMX with bytes, and this thread is [`open`] for `SUB` and the panel's width or more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn int_tile<const SUB: usize, const MIN: bool>(tile: &Tile) {
    // An odd strip has itself for a partner, whose sums go nowhere.
    let strips = if tile.w[0] == tile.w[1] { 1 } else { 2 };
    for r in 0..strips {
        // SAFETY: as the caller promises. Tiles of more tokens than are used take what lies behind the panel along.
        unsafe {
            if tile.panel.width > HALF {
                strip::<SUB, MIN, WIDTH>(tile, r);
            } else {
                strip::<SUB, MIN, HALF>(tile, r);
            }
        }
    }
}

/// # Safety
/// As [`int_tile`], for a panel of up to `T` tokens.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn strip<const SUB: usize, const MIN: bool, const T: usize>(tile: &Tile, r: usize) {
    let (w, panel) = (tile.w[r], &tile.panel);
    let mut sums = MaybeUninit::<[Pair; 2]>::uninit();
    let sums = sums.as_mut_ptr().cast::<Pair>();
    // SAFETY: as the caller promises: sums are read and written for the panel's tokens alone, and pairs of integer sums are
    // read after the instructions have written them.
    unsafe {
        let mut acc = [_mm512_setzero_ps(); T];
        if !tile.fresh {
            for (t, acc) in acc.iter_mut().enumerate().take(panel.width) {
                *acc = _mm512_loadu_ps(tile.acc[r].add(t * ROWS));
            }
        }
        multiply_pair::<SUB, MIN>(w, panel, 0, sums);
        let lines = if tile.next.bytes > 0 { tile.next.lines(tile.units / 2) } else { 0 };
        for u in (0..tile.units).step_by(2) {
            for line in u / 2 * lines..(u / 2 + 1) * lines {
                _mm_prefetch::<_MM_HINT_T1>(tile.next.from[r].wrapping_add(64 * line).cast());
            }
            let (now, next) = (sums.add(u / 2 % 2), sums.add((u / 2 + 1) % 2));
            if u + 2 < tile.units {
                multiply_pair::<SUB, MIN>(w, panel, u + 2, next);
            }
            scale::<SUB, MIN, T>(w, panel, u, (&(*now).0[0], &mut acc));
            scale::<SUB, MIN, T>(w, panel, u + 1, (&(*now).0[1], &mut acc));
        }
        for (t, acc) in acc.into_iter().enumerate().take(panel.width) {
            _mm512_storeu_ps(tile.acc[r].add(t * ROWS), acc);
        }
    }
}

/// The integer sums of the sub-blocks `u` and `u + 1`.
///
/// # Safety
/// As [`strip`]; `to` may be written.
#[inline(always)]
unsafe fn multiply_pair<const SUB: usize, const MIN: bool>(
    w: *const u8,
    panel: &Panel,
    u: usize,
    to: *mut Pair,
) {
    let step = const { unpacked_bytes(SUB, MIN) };
    let codes = |u: usize| panel.codes.wrapping_add(u * SUB / 32 * 32 * panel.width + u * SUB % 32);
    macro_rules! multiply {
        ($product:literal) => {
            asm!(
                "tilezero tmm0",
                "tileloadd tmm2, [{a} + {block}]",
                "tileloadd tmm4, [{w} + {line}]",
                concat!($product, " tmm0, tmm2, tmm4"),
                "tilezero tmm1",
                "tileloadd tmm3, [{next_a} + {block}]",
                "tileloadd tmm5, [{next_w} + {line}]",
                concat!($product, " tmm1, tmm3, tmm5"),
                "tilestored [{to} + {line}], tmm0",
                "tilestored [{next_to} + {line}], tmm1",
                a = in(reg) codes(u),
                next_a = in(reg) codes(u + 1),
                w = in(reg) w.wrapping_add(u * step),
                next_w = in(reg) w.wrapping_add((u + 1) * step),
                to = in(reg) to,
                next_to = in(reg) to.wrapping_byte_add(size_of::<Pair>() / 2),
                block = in(reg) 32_usize,
                line = in(reg) 64_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                options(nostack, preserves_flags),
            )
        };
    }
    // SAFETY: as the caller promises: the tiles have the sizes that the configuration gives them.
    unsafe {
        if MIN {
            multiply!("tdpbsud");
        } else {
            multiply!("tdpbssd");
        }
    }
}

/// Adds the sums of sub-block `u`, scaled, to those of all tokens.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn scale<const SUB: usize, const MIN: bool, const T: usize>(
    w: *const u8,
    panel: &Panel,
    u: usize,
    (sums, acc): (&[[i32; ROWS]; WIDTH], &mut [__m512; T]),
) {
    // SAFETY: as the caller promises; scales and minima follow the codes of a sub-block.
    unsafe {
        let end = w.add(u * const { unpacked_bytes(SUB, MIN) } + ROWS * SUB).cast::<f32>();
        let scales = _mm512_loadu_ps(end);
        let tokens = panel.scales.add(u * SUB / 32 * panel.width);
        for (t, acc) in acc.iter_mut().enumerate() {
            let dots = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums[t].as_ptr().cast()));
            let scale = _mm512_mul_ps(scales, _mm512_set1_ps(tokens.add(t).read()));
            *acc = _mm512_fmadd_ps(dots, scale, *acc);
        }
        if MIN {
            let mins = _mm512_loadu_ps(end.add(ROWS));
            let sums = panel.sums[usize::from(SUB == 16)].add(u * panel.width);
            for (t, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_fmadd_ps(mins, _mm512_set1_ps(sums.add(t).read()), *acc);
            }
        }
    }
}

/// Products of full tiles, one after the other on four sums: the most that the instructions give. For the probes.
macro_rules! keep_busy {
    ($name:ident, $product:literal) => {
        /// # Safety
        /// The processor must have AMX with these products, and the system must let the process use it.
        pub(super) unsafe fn $name(products: usize) {
            let config = const { &Config::new([(16, 64); 8]) };
            // SAFETY: as the caller promises; the configuration is a valid one. Zeros are multiplied.
            unsafe {
                asm!(
                    "ldtilecfg [{config}]",
                    "2:",
                    concat!($product, " tmm0, tmm4, tmm6"),
                    concat!($product, " tmm1, tmm4, tmm7"),
                    concat!($product, " tmm2, tmm5, tmm6"),
                    concat!($product, " tmm3, tmm5, tmm7"),
                    "dec {rounds}",
                    "jnz 2b",
                    "tilerelease",
                    config = in(reg) config,
                    rounds = inout(reg) (products / 4).max(1) => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly),
                );
            }
        }
    };
}

keep_busy!(bytes, "tdpbssd");
keep_busy!(halves, "tdpbf16ps");
