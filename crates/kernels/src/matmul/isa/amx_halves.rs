//! AMX with bf16: weights of `BF16`, or of `F16` as two bf16 each, by activations that are two bf16 each.
//!
//! An instruction adds the products of 32 columns, even and odd ones apart, to the sums of its 16 x 16 tile. Mixed sums of leading
//! halves and others are kept apart, so that more of them are in the making at once, and are added up every
//! [`HALVES_RUN`] columns: the same operations in the same order for each token and row, whatever the panel and the stretch.

use super::super::table::{HALVES_PAD, HALVES_RUN};
use super::super::tile::{AHEAD, Panel, ROWS, Tile};
use super::HalvesKernels;
use super::amx::WIDTH;
use crate::amx::Config;
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use torchless_quant::TensorType;

/// Columns that an instruction multiplies.
const STEP: usize = HALVES_PAD;
/// Bytes of a tile of weights: [`STEP`] columns of 16 rows.
const TILE: usize = STEP * ROWS * 2;
/// Columns of a unit of the packed form.
const UNIT: usize = 2;

/// The kernels of a type.
pub(super) fn kernels(ty: TensorType) -> Option<HalvesKernels> {
    match ty {
        TensorType::BF16 => Some(HalvesKernels { direct: direct::<1>, unpack: None, tile: product::<1> }),
        TensorType::F16 => {
            Some(HalvesKernels { direct: direct::<2>, unpack: Some(unpack_halves), tile: product::<2> })
        }
        _ => None,
    }
}

/// Units of `F16`, `[2][ROWS]`, to pairs of tiles of bf16: the leading 8 bits of each number, then the other 3. Units beyond the
/// last are zero up to a whole pair of tiles.
///
/// # Safety
/// The processor must have AVX-512. `src` leads to the units, `dst` to 128 bytes for each and for those up to a multiple of 16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,f16c")]
unsafe fn unpack_halves(src: *const u8, units: usize, dst: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe {
        let leading = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
        for u in 0..units.next_multiple_of(STEP / UNIT) {
            let to = dst.add(u / (STEP / UNIT) * 2 * TILE + u % (STEP / UNIT) * 64);
            if u >= units {
                _mm512_storeu_si512(to.cast(), _mm512_setzero_si512());
                _mm512_storeu_si512(to.add(TILE).cast(), _mm512_setzero_si512());
                continue;
            }
            _mm_prefetch::<_MM_HINT_T0>(src.wrapping_add(u * 64 + AHEAD).cast());
            let column = |k: usize| _mm512_cvtph_ps(_mm256_loadu_si256(src.add(u * 64 + k * 32).cast()));
            let halves = [column(0), column(1)].map(|value| {
                let high = _mm512_and_si512(_mm512_castps_si512(value), leading);
                (high, _mm512_castps_si512(_mm512_sub_ps(value, _mm512_castsi512_ps(high))))
            });
            let pairs =
                |even, odd| _mm512_or_si512(_mm512_srli_epi32::<16>(even), _mm512_and_si512(odd, leading));
            _mm512_storeu_si512(to.cast(), pairs(halves[0].0, halves[1].0));
            _mm512_storeu_si512(to.add(TILE).cast(), pairs(halves[0].1, halves[1].1));
        }
    }
}

/// One strip of the packed form by a panel of one or two tokens, without tiles: they would take longer to fill than memory takes.
/// Tiles add the products of even and of odd columns up in a chain each, and then both to the sums; so does this, with the same bits.
/// (Numbers below 2^-126, which tiles take for zero, are the exception.)
///
/// # Safety
/// As [`product`] with one strip in the packed form.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,f16c")]
unsafe fn direct<const PARTS: usize>(tile: &Tile) {
    // SAFETY: as the caller promises; the arm has the panel's width.
    unsafe {
        match tile.panel.width {
            1 => few::<PARTS, 1>(tile),
            2 => few::<PARTS, 2>(tile),
            other => unreachable!("a panel of {other} tokens is not read directly"),
        }
    }
}

/// # Safety
/// As [`direct`], for a panel of `T` tokens.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,f16c")]
unsafe fn few<const PARTS: usize, const T: usize>(tile: &Tile) {
    let (whole, rest) = (tile.units / (STEP / UNIT), tile.units % (STEP / UNIT));
    let steps = whole + usize::from(rest > 0);
    let mut padded = Padded([0; TILE]);
    let mut first = 0;
    while first < steps {
        // As in `product`, where what is no whole step is a run of its own if weights need no unpacking.
        let until = if PARTS == 1 && first < whole { whole } else { steps };
        let end = until.min(first + HALVES_RUN / STEP);
        // SAFETY: as the caller promises; of the last step, the units that exist are copied in front of zeros.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); 2]; T];
            for step in first..end {
                let mut w = tile.w[0].wrapping_add(step * TILE);
                let ahead = w.wrapping_add(AHEAD);
                if step == whole {
                    padded.0.as_mut_ptr().copy_from_nonoverlapping(w, rest * 64);
                    w = padded.0.as_ptr();
                }
                let halves = tile.panel.halves.add(2 * step * T * STEP);
                for (t, sums) in sums.iter_mut().enumerate() {
                    let halves = [halves.add(t * STEP), halves.add((T + t) * STEP)];
                    *sums = add_step::<PARTS>((w, ahead), halves, *sums);
                }
            }
            for (t, [one, mixed]) in sums.into_iter().enumerate() {
                let (sum, acc) = (_mm512_add_ps(one, mixed), tile.acc[0].add(t * ROWS));
                let fresh = tile.fresh && first == 0;
                _mm512_storeu_ps(acc, if fresh { sum } else { _mm512_add_ps(_mm512_loadu_ps(acc), sum) });
            }
        }
        first = end;
    }
}

/// Adds the products of a step of weights with a token's leading halves and the others to sums, as [`multiply`] does. Meanwhile the
/// [`TILE`] bytes at `ahead`, which need not be readable, are asked for, a line at a time: all at once would hold up the reads.
///
/// # Safety
/// [`TILE`] readable bytes at `w`, [`STEP`] halves at each of `a`; AVX-512 F and BW, F16C.
#[inline(always)]
unsafe fn add_step<const PARTS: usize>(
    (w, ahead): (*const u8, *const u8),
    a: [*const u16; 2],
    sums: [__m512; 2],
) -> [__m512; 2] {
    // SAFETY: as the caller promises.
    unsafe {
        // By part of the weight, half of the activation, and column of the pair.
        let mut chains = [[[_mm512_setzero_ps(); 2]; 2]; PARTS];
        for unit in 0..STEP / UNIT {
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(64 * unit).cast());
            let columns = columns::<PARTS>(w.add(unit * 64));
            for (half, a) in a.into_iter().enumerate() {
                for k in 0..2 {
                    let high =
                        _mm512_maskz_set1_epi16(0xaaaa_aaaa, a.add(UNIT * unit + k).read().cast_signed());
                    for (chains, columns) in chains.iter_mut().zip(&columns) {
                        let chain = &mut chains[half][k];
                        *chain = _mm512_fmadd_ps(columns[k], _mm512_castsi512_ps(high), *chain);
                    }
                }
            }
        }
        let [mut one, mut mixed] = sums;
        for (part, halves) in chains.into_iter().enumerate() {
            let [leading, other] = halves.map(|[even, odd]| _mm512_add_ps(even, odd));
            let (same, across) = if part == 0 { (leading, other) } else { (other, leading) };
            (one, mixed) = (_mm512_add_ps(one, same), _mm512_add_ps(mixed, across));
        }
        [one, mixed]
    }
}

/// The two columns of a unit of the packed form, in as many parts as the type has.
///
/// # Safety
/// 64 readable bytes; AVX-512 F, F16C.
#[inline(always)]
unsafe fn columns<const PARTS: usize>(unit: *const u8) -> [[__m512; 2]; PARTS] {
    // SAFETY: as the caller promises.
    unsafe {
        let leading = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
        let cut = |v| _mm512_castsi512_ps(_mm512_and_si512(v, leading));
        let mut parts = [[_mm512_setzero_ps(); 2]; PARTS];
        if PARTS == 1 {
            let pairs = _mm512_loadu_si512(unit.cast());
            parts[0] = [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), cut(pairs)];
        } else {
            let value = |k: usize| _mm512_cvtph_ps(_mm256_loadu_si256(unit.add(32 * k).cast()));
            let values = [value(0), value(1)];
            parts[0] = values.map(|value| cut(_mm512_castps_si512(value)));
            parts[1] = [_mm512_sub_ps(values[0], parts[0][0]), _mm512_sub_ps(values[1], parts[0][1])];
        }
        parts
    }
}

/// The shapes of the tiles for a panel: 0 to 3 sums, 4 and 5 activations, 6 and 7 weights.
fn config(tokens: usize) -> &'static Config {
    static CONFIGS: [Config; WIDTH] = {
        let mut all = [const { Config::new([(0, 0); 8]) }; WIDTH];
        let mut tokens = 1;
        while tokens <= WIDTH {
            let (of_tokens, of_weights) = ((tokens, 64), (ROWS, 64));
            all[tokens - 1] = Config::new([
                of_tokens, of_tokens, of_tokens, of_tokens, of_tokens, of_tokens, of_weights, of_weights,
            ]);
            tokens += 1;
        }
        all
    };
    &CONFIGS[tokens - 1]
}

/// Sums of a panel and a strip.
type Sums = [[f32; ROWS]; WIDTH];

/// One or two strips by a panel. `PARTS` is how many bf16 a weight is: one, as in the packed form of `BF16`, or two.
///
/// # Safety
/// As `tile::float_tile`, for the panel's plane of pairs; weights lie as in the packed form of `BF16`, or as [`unpack_halves`] leaves
/// them. The processor must have AVX-512 and AMX with bf16, and the system must let the process use it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn product<const PARTS: usize>(tile: &Tile) {
    let units = STEP / UNIT;
    let (whole, rest) = (tile.units / units, tile.units % units);
    let steps = if PARTS == 1 { whole } else { tile.units.div_ceil(units) };
    let config = config(tile.panel.width);
    // SAFETY: the configuration is a valid one of 64 bytes; otherwise as the caller promises.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) config, options(nostack, preserves_flags, readonly));
        for first in (0..steps).step_by(HALVES_RUN / STEP) {
            let run = Run { first, steps: (steps - first).min(HALVES_RUN / STEP) };
            add_run::<PARTS>(tile, &run);
        }
        if PARTS == 1 && rest > 0 {
            add_rest(tile, (whole, rest));
        }
        asm!("tilerelease", options(nostack, preserves_flags, nomem));
    }
}

/// The last units of strips that are no whole number of steps: behind them zeros are put.
///
/// # Safety
/// As [`product`].
unsafe fn add_rest(tile: &Tile, (whole, rest): (usize, usize)) {
    let mut padded = [const { Padded([0; TILE]) }; 2];
    let strips = if tile.w[1].is_null() { 1 } else { 2 };
    for (padded, w) in padded.iter_mut().zip(tile.w).take(strips) {
        // SAFETY: as the caller promises, the units exist; they are fewer than fill the tile.
        unsafe { padded.0.as_mut_ptr().copy_from_nonoverlapping(w.add(whole * TILE), rest * 64) };
    }
    let two = if tile.w[0] == tile.w[1] { &padded[0] } else { &padded[1] };
    let halves = tile.panel.halves.wrapping_add(2 * whole * tile.panel.width * STEP);
    let last = Tile {
        w: [padded[0].0.as_ptr(), two.0.as_ptr()],
        panel: Panel { halves, ..tile.panel },
        fresh: tile.fresh && whole == 0,
        ..*tile
    };
    // SAFETY: as the caller promises, and one whole step of weights is there now.
    unsafe { add_run::<1>(&last, &Run { first: 0, steps: 1 }) }
}

/// A tile of weights on a line of the cache.
#[repr(align(64))]
struct Padded([u8; TILE]);

/// Some steps of a tile.
struct Run {
    first: usize,
    steps: usize,
}

/// Adds the products of a run to the sums.
///
/// # Safety
/// As [`product`], with the configuration for the panel loaded.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn add_run<const PARTS: usize>(tile: &Tile, run: &Run) {
    let strips = if tile.w[0] == tile.w[1] || tile.w[1].is_null() { 1 } else { 2 };
    let mut sums = MaybeUninit::<[Aligned; 4]>::uninit();
    // SAFETY: as the caller promises; sums are read where the instructions have written them.
    unsafe {
        let sums = sums.as_mut_ptr().cast::<Aligned>();
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, preserves_flags, nomem));
        for step in run.first..run.first + run.steps {
            multiply::<PARTS>(tile, step);
        }
        asm!(
            "tilestored [{to} + {line}], tmm0",
            "tilestored [{to} + {line} + 1024], tmm1",
            "tilestored [{to} + {line} + 2048], tmm2",
            "tilestored [{to} + {line} + 3072], tmm3",
            to = in(reg) sums,
            line = in(reg) 64_usize,
            options(nostack, preserves_flags),
        );
        for r in 0..strips {
            let (high, low) = (&(*sums.add(r)).0, &(*sums.add(2 + r)).0);
            for t in 0..tile.panel.width {
                let sum = _mm512_add_ps(_mm512_loadu_ps(high[t].as_ptr()), _mm512_loadu_ps(low[t].as_ptr()));
                let acc = tile.acc[r].add(t * ROWS);
                let fresh = tile.fresh && run.first == 0;
                _mm512_storeu_ps(acc, if fresh { sum } else { _mm512_add_ps(_mm512_loadu_ps(acc), sum) });
            }
        }
    }
}

/// Sums on a line of the cache.
#[repr(align(64))]
struct Aligned(Sums);

/// Adds the products of one step to the tiles: those of both leading halves (and of both others, where weights have two, so that
/// chains are of one length) to 0 and 1, by strip, the mixed ones to 2 and 3.
///
/// # Safety
/// As [`add_run`].
#[inline(always)]
unsafe fn multiply<const PARTS: usize>(tile: &Tile, step: usize) {
    let one = tile.w[0].wrapping_add(step * PARTS * TILE);
    let two = if tile.w[1].is_null() { one } else { tile.w[1].wrapping_add(step * PARTS * TILE) };
    let Panel { width, halves, .. } = tile.panel;
    let a = halves.wrapping_add(2 * step * width * STEP);
    macro_rules! multiply {
        ($($low:literal),*) => {
            asm!(
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{one} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{b} + {line}]",
                "tileloadd tmm7, [{two} + {line}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                $($low,)*
                a = in(reg) a,
                b = in(reg) a.wrapping_add(width * STEP),
                one = in(reg) one,
                two = in(reg) two,
                line = in(reg) 64_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, readonly),
            )
        };
    }
    // SAFETY: as the caller promises: the tiles have the sizes that the configuration gives them.
    unsafe {
        if PARTS == 1 {
            multiply!();
        } else {
            multiply!(
                "tileloadd tmm6, [{one} + {line} + 1024]",
                "tdpbf16ps tmm0, tmm5, tmm6",
                "tdpbf16ps tmm2, tmm4, tmm6",
                "tileloadd tmm7, [{two} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm5, tmm7",
                "tdpbf16ps tmm3, tmm4, tmm7"
            );
        }
    }
}
