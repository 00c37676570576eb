//! The inner loops, generic over instruction set and type: a tile is one or two strips of rows by a panel of tokens.
//!
//! For each row and token the order of floating-point operations is one and the same, whatever the tile's shape:
//! `acc = fma(dot, scale_w * scale_a, acc)` and then, where there are minima, `acc = fma(min, sum_a, acc)`, sub-block after
//! sub-block in the order of columns. That is why a token's results do not depend on its company.

#![expect(
    clippy::needless_range_loop,
    reason = "tiles of constant size, which must stay in registers, are walked by index"
)]

use super::isa::Isa;
use super::weights::{Narrow, Weights, bytes};

/// Rows of a strip: the lanes of the kernels.
pub(crate) const ROWS: usize = 16;

/// Pointers into the activations of one panel of `width` tokens, from some column on. See `acts.rs` for the arrangement.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    /// Tokens.
    pub(crate) width: usize,
    /// `[cols / 32][width][32]` codes.
    pub(crate) codes: *const i8,
    /// `[cols / 32][width]` scales.
    pub(crate) scales: *const f32,
    /// `[cols / 32][width]` and `[cols / 16][width]`: -128 times the sum of a sub-block's codes.
    pub(crate) offsets: [*const i32; 2],
    /// The same shapes: scale times the sum of a sub-block's codes.
    pub(crate) sums: [*const f32; 2],
    /// `[cols][width]` values.
    pub(crate) values: *const f32,
    /// `[cols / 32][2][width][32]` values as bf16: the nearest one, then what that leaves over.
    pub(crate) halves: *const u16,
}

/// One call of a tile kernel.
pub(crate) struct Tile {
    /// The strips' units.
    pub(crate) w: [*const u8; 2],
    /// How many units of columns.
    pub(crate) units: usize,
    pub(crate) panel: Panel,
    /// `[width][ROWS]` sums for each strip.
    pub(crate) acc: [*mut f32; 2],
    /// Whether the sums start at zero, instead of at what `acc` holds.
    pub(crate) fresh: bool,
    pub(crate) next: Next,
}

/// What will be read from memory after a tile's own weights, for each of its strips: asked for while the tile is computed.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    /// The addresses need not be readable.
    pub(crate) from: [*const u8; 2],
    /// Of each strip.
    pub(crate) bytes: usize,
}

impl Next {
    /// Nothing, or what the hardware foresees.
    pub(crate) const NOTHING: Next = Next { from: [std::ptr::null(); 2], bytes: 0 };

    /// How many lines fall to each of `steps` steps.
    #[inline(always)]
    pub(crate) fn lines(&self, steps: usize) -> usize {
        self.bytes.div_ceil(64).div_ceil(steps)
    }
}

/// Where the sums of a tile are read from and written to.
///
/// # Safety
/// As [`Isa`]; the first `R` of `tile.acc` must lead to `T * ROWS` floats each that nobody else uses meanwhile.
#[inline(always)]
unsafe fn load_sums<I: Isa, const R: usize, const T: usize>(tile: &Tile) -> [[I::Floats; T]; R] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut acc = [[I::splat_float(0.0); T]; R];
        if !tile.fresh {
            for r in 0..R {
                for t in 0..T {
                    acc[r][t] = I::load_floats(tile.acc[r].add(t * ROWS));
                }
            }
        }
        acc
    }
}

/// # Safety
/// As [`load_sums`].
#[inline(always)]
unsafe fn store_sums<I: Isa, const R: usize, const T: usize>(tile: &Tile, acc: [[I::Floats; T]; R]) {
    for r in 0..R {
        for t in 0..T {
            // SAFETY: as the caller promises.
            unsafe { I::store_floats(tile.acc[r].add(t * ROWS), acc[r][t]) };
        }
    }
}

/// Which plane of sums over sub-blocks goes with `W`.
const fn offsets_of<W: Weights>() -> usize {
    (W::SUB == 16) as usize
}

/// Where the codes of sub-block `at` of a panel of `T` tokens begin.
///
/// # Safety
/// The panel has that sub-block.
#[inline(always)]
pub(crate) unsafe fn codes_at<W: Weights, const T: usize>(panel: &Panel, at: usize) -> *const i8 {
    // SAFETY: as the caller promises; blocks are 32 columns.
    unsafe { panel.codes.add(at * W::SUB / 32 * 32 * T + at * W::SUB % 32) }
}

/// Products of sub-block `s` of the units with sub-block `at` of the panel.
///
/// # Safety
/// As [`int_tile`], whose units and panel have these.
#[inline(always)]
unsafe fn wide_dots<I: Isa, W: Weights, const R: usize, const T: usize>(
    unit: [*const u8; R],
    s: usize,
    panel: &Panel,
    at: usize,
) -> [[I::Words; T]; R] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut dots = [[I::splat(0); T]; R];
        if !W::MIN {
            for t in 0..T {
                let start = I::start_offset(panel.offsets[offsets_of::<W>()].add(at * T + t));
                for r in 0..R {
                    dots[r][t] = start;
                }
            }
        }
        let codes = codes_at::<W, T>(panel, at);
        for j in 0..W::SUB / 4 {
            let mut w = [W::quants::<I>(unit[0], s, j); R];
            for r in 1..R {
                w[r] = W::quants::<I>(unit[r], s, j);
            }
            for t in 0..T {
                let a = I::quad(codes.add(t * 32 + j * 4));
                for r in 0..R {
                    dots[r][t] = if W::MIN {
                        I::dot_small(dots[r][t], w[r], a)
                    } else {
                        I::dot_offset(dots[r][t], w[r], a)
                    };
                }
            }
        }
        dots
    }
}

/// The same products by sums of 16 bits over as many quads as fit: integers, so that the order does not matter.
///
/// # Safety
/// As [`wide_dots`].
#[inline(always)]
unsafe fn narrow_dots<I: Isa, W: Weights, const R: usize, const T: usize>(
    unit: [*const u8; R],
    s: usize,
    panel: &Panel,
    at: usize,
    narrow: Narrow,
) -> [[I::Words; T]; R] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut dots = [[I::splat(0); T]; R];
        if narrow.zero > 0 {
            for t in 0..T {
                let sum = panel.offsets[offsets_of::<W>()].add(at * T + t).read() / 128;
                let start = I::splat((sum * i32::from(narrow.zero)).cast_unsigned());
                for r in 0..R {
                    dots[r][t] = start;
                }
            }
        }
        let codes = codes_at::<W, T>(panel, at);
        let less = I::splat(bytes(narrow.above.wrapping_neg()));
        let quads = narrow.quads(W::SUB);
        for first in (0..W::SUB / 4).step_by(quads) {
            let mut sums = [[I::splat(0); T]; R];
            for j in first..first + quads {
                let mut w = [W::quants::<I>(unit[0], s, j); R];
                for r in 1..R {
                    w[r] = W::quants::<I>(unit[r], s, j);
                }
                if narrow.above > 0 {
                    w = w.map(|w| I::add_bytes(w, less));
                }
                for t in 0..T {
                    let a = I::quad(codes.add(t * 32 + j * 4));
                    for r in 0..R {
                        sums[r][t] = I::add_products(sums[r][t], w[r], a);
                    }
                }
            }
            for r in 0..R {
                for t in 0..T {
                    dots[r][t] = I::add_halves(dots[r][t], sums[r][t]);
                }
            }
        }
        dots
    }
}

/// Products of `R` strips of `W` and `T` tokens of 8-bit activations.
///
/// # Safety
/// As [`Isa`]. The first `R` of `tile.w` lead to `tile.units` units of `W`, the panel's integer planes hold that many
/// columns of `T` tokens, and [`load_sums`]' conditions hold.
#[inline(always)]
pub(crate) unsafe fn int_tile<I: Isa, W: Weights, const R: usize, const T: usize>(tile: &Tile) {
    // SAFETY: as the caller promises; offsets follow the arrangement of panels.
    unsafe {
        let mut acc = load_sums::<I, R, T>(tile);
        let panel = &tile.panel;
        let which = offsets_of::<W>();
        let subs = W::UNIT / W::SUB;
        let lines = if R == 2 && tile.next.bytes > 0 { tile.next.lines(tile.units) } else { 0 };
        for u in 0..tile.units {
            for line in u * lines..(u + 1) * lines {
                I::prefetch_far(tile.next.from[0].wrapping_add(64 * line));
                I::prefetch_far(tile.next.from[1].wrapping_add(64 * line));
            }
            let mut unit = [tile.w[0]; R];
            for r in 0..R {
                unit[r] = tile.w[r].add(u * W::BYTES);
            }
            let mut scales = [W::scales::<I>(unit[0]); R];
            let mut mins = [if W::MIN { W::mins::<I>(unit[0]) } else { scales[0] }; R];
            for r in 1..R {
                scales[r] = W::scales::<I>(unit[r]);
                mins[r] = if W::MIN { W::mins::<I>(unit[r]) } else { scales[r] };
            }
            for s in 0..subs {
                let at = u * subs + s;
                if R == 1 {
                    prefetch_ahead::<I, W>(unit[0], s);
                }
                let dots = match W::NARROW {
                    Some(narrow) if I::NARROW => narrow_dots::<I, W, R, T>(unit, s, panel, at, narrow),
                    _ => wide_dots::<I, W, R, T>(unit, s, panel, at),
                };
                for t in 0..T {
                    let scale = I::splat_float(panel.scales.add(at * W::SUB / 32 * T + t).read());
                    for r in 0..R {
                        let scale = I::mul(scales[r].as_ref()[s], scale);
                        acc[r][t] = I::fma(I::to_floats(dots[r][t]), scale, acc[r][t]);
                    }
                }
                if W::MIN {
                    for t in 0..T {
                        let sum = I::splat_float(panel.sums[which].add(at * T + t).read());
                        for r in 0..R {
                            acc[r][t] = I::fma(mins[r].as_ref()[s], sum, acc[r][t]);
                        }
                    }
                }
            }
        }
        store_sums::<I, R, T>(tile, acc);
    }
}

/// Bytes between the unit that is read and the one that is asked for: memory's latency times its bandwidth per core is about
/// 2 KiB, and twice that hides the time that the request itself takes.
pub(crate) const AHEAD: usize = 4096;

/// Asks for the part of what lies ahead that falls to sub-block `sub`: a burst for the whole unit would hold up the reads.
///
/// # Safety
/// As [`Isa`]. The addresses need not be readable.
#[inline(always)]
unsafe fn prefetch_ahead<I: Isa, W: Weights>(unit: *const u8, sub: usize) {
    let lines = W::BYTES.div_ceil(64 * (W::UNIT / W::SUB));
    for line in sub * lines..(sub + 1) * lines {
        // SAFETY: as the caller promises.
        unsafe { I::prefetch(unit.wrapping_add(AHEAD + line * 64)) };
    }
}

/// Unpacks `units` units of `W` from `src` into [`super::weights::Unpacked`] at `dst`; see [`Isa::MATRIX`] for the codes.
///
/// # Safety
/// As [`Isa`]; `src` leads to the units, `dst` to as many bytes of the unpacked form.
#[inline(always)]
pub(crate) unsafe fn unpack<I: Isa, W: Weights>(src: *const u8, units: usize, dst: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe {
        let step = unpacked_bytes(W::SUB, W::MIN);
        let subs = W::UNIT / W::SUB;
        for u in 0..units {
            let unit = src.add(u * W::BYTES);
            let scales = W::scales::<I>(unit);
            let mins = if W::MIN { W::mins::<I>(unit) } else { scales };
            for s in 0..subs {
                let out = dst.add((u * subs + s) * step);
                for j in (0..W::SUB / 4).step_by(2) {
                    let [first, second] = unpacked_codes::<I, W>(unit, s, j);
                    I::store(out.add(64 * j), first);
                    I::store(out.add(64 * j + 64), second);
                }
                let end = out.add(ROWS * W::SUB).cast::<f32>();
                I::store_floats(end, scales.as_ref()[s]);
                if W::MIN {
                    I::store_floats(end.add(ROWS), mins.as_ref()[s]);
                }
            }
        }
    }
}

/// Eight columns of a sub-block as they are stored: from vector `j` on, which is even.
///
/// # Safety
/// As [`unpack`], for a unit.
#[inline(always)]
unsafe fn unpacked_codes<I: Isa, W: Weights>(unit: *const u8, s: usize, j: usize) -> [I::Words; 2] {
    // SAFETY: as the caller promises.
    unsafe {
        let more = match W::NARROW {
            _ if (I::MATRIX || I::PAIRS) && !W::MIN => 128,
            Some(narrow) if I::NARROW => narrow.above.wrapping_neg(),
            None if I::NARROW && !W::MIN => 128,
            _ => 0,
        };
        let codes =
            |codes: I::Words| if more > 0 { I::add_bytes(codes, I::splat(bytes(more))) } else { codes };
        let (first, second) = (codes(W::quants::<I>(unit, s, j)), codes(W::quants::<I>(unit, s, j + 1)));
        if I::PAIRS { I::zip(first, second) } else { [first, second] }
    }
}

/// Bytes of an unpacked sub-block.
pub(crate) const fn unpacked_bytes(sub: usize, min: bool) -> usize {
    ROWS * sub + 64 * (1 + min as usize)
}

/// Turns `units` units of `W` into the values of the type's definition, `[cols][ROWS]`.
///
/// # Safety
/// As [`unpack`], with room for `units * W::UNIT * ROWS` floats.
#[inline(always)]
pub(crate) unsafe fn dequantise<I: Isa, W: Weights>(src: *const u8, units: usize, dst: *mut f32) {
    // SAFETY: as the caller promises.
    unsafe {
        let offset = I::splat(if W::MIN { 0 } else { 128 });
        for u in 0..units {
            let unit = src.add(u * W::BYTES);
            let scales = W::exact_scales::<I>(unit);
            let mins = if W::MIN { W::mins::<I>(unit) } else { scales };
            for s in 0..W::UNIT / W::SUB {
                for j in 0..W::SUB / 4 {
                    let codes = W::quants::<I>(unit, s, j);
                    for i in 0..4 {
                        let code = I::and(I::shr(codes, 8 * i as u32), I::splat(255));
                        let q = I::to_floats(I::sub(code, offset));
                        let column = u * W::UNIT + s * W::SUB + 4 * j + i;
                        let value = W::value::<I>(q, scales.as_ref()[s], mins.as_ref()[s]);
                        I::store_floats(dst.add(column * ROWS), value);
                    }
                }
            }
        }
    }
}

/// A floating-point type in strips: units of two columns of 16 rows.
///
/// # Safety
/// As [`Isa`]; `unit` leads to `BYTES` readable bytes.
pub(crate) trait FloatWeights: Copy + 'static {
    /// Bytes in a unit of two columns.
    const BYTES: usize;
    /// Whether it is single precision.
    const IS_F32: bool = false;
    /// Column `k`, 0 or 1.
    unsafe fn column<I: Isa>(unit: *const u8, k: usize) -> I::Floats;
}

/// Single precision: `[2][ROWS]`.
#[derive(Clone, Copy)]
pub(crate) struct F32;

impl FloatWeights for F32 {
    const BYTES: usize = 128;
    const IS_F32: bool = true;
    #[inline(always)]
    unsafe fn column<I: Isa>(unit: *const u8, k: usize) -> I::Floats {
        // SAFETY: as the caller promises.
        unsafe { I::load_floats(unit.add(64 * k).cast()) }
    }
}

/// Half precision: `[2][ROWS]`.
#[derive(Clone, Copy)]
pub(crate) struct F16;

impl FloatWeights for F16 {
    const BYTES: usize = 64;
    #[inline(always)]
    unsafe fn column<I: Isa>(unit: *const u8, k: usize) -> I::Floats {
        // SAFETY: as the caller promises.
        unsafe { I::load_halves(unit.add(32 * k)) }
    }
}

/// The upper halves of single precision, as pairs: `[ROWS][2]`.
#[derive(Clone, Copy)]
pub(crate) struct Bf16;

impl FloatWeights for Bf16 {
    const BYTES: usize = 64;
    #[inline(always)]
    unsafe fn column<I: Isa>(unit: *const u8, k: usize) -> I::Floats {
        // SAFETY: as the caller promises.
        unsafe {
            let pairs = I::load(unit);
            I::as_floats(if k == 0 { I::shl(pairs, 16) } else { I::and(pairs, I::splat(0xffff_0000)) })
        }
    }
}

/// Products of `R` strips of `W` and `T` tokens of single-precision activations.
///
/// # Safety
/// As [`int_tile`], for the panel's plane of values.
#[inline(always)]
pub(crate) unsafe fn float_tile<I: Isa, W: FloatWeights, const R: usize, const T: usize>(tile: &Tile) {
    // SAFETY: as the caller promises.
    unsafe {
        if R == 2 && W::IS_F32 && I::pair_of_floats(tile) {
            return;
        }
        let mut acc = load_sums::<I, R, T>(tile);
        for u in 0..tile.units {
            if R == 1 {
                for line in 0..W::BYTES / 64 {
                    I::prefetch(tile.w[0].wrapping_add(u * W::BYTES + AHEAD + 64 * line));
                }
            }
            let values = tile.panel.values.add(2 * u * T);
            for k in 0..2 {
                let mut w = [W::column::<I>(tile.w[0].add(u * W::BYTES), k); R];
                for r in 1..R {
                    w[r] = W::column::<I>(tile.w[r].add(u * W::BYTES), k);
                }
                for t in 0..T {
                    let x = I::splat_float(values.add(k * T + t).read());
                    for r in 0..R {
                        acc[r][t] = I::fma(w[r], x, acc[r][t]);
                    }
                }
            }
        }
        store_sums::<I, R, T>(tile, acc);
    }
}
