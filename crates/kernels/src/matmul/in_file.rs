//! Products with one token straight from the file's layout: repacking would have to be paid for by that one token.

use super::isa::{Eight, Isa};
use super::strips::{EIGHT_BYTES, Repack, is_half_and_16_bytes};
use super::tile::{ROWS, Tile};
use super::weights::{LEVELS, Weights};
use torchless_quant::TensorType;

/// Blocks that are taken at once.
const EIGHT: usize = 8;

/// How far ahead of the lines a page is asked for: a file's pages are small, and looking one up holds up all that is asked for
/// after it, unless that has begun four pages earlier.
pub(super) const PAGES_AHEAD: usize = 16384;

/// Multiplies as many columns of a strip as can be read in place with one token, and says how many that were. The bits are
/// those of repacking and [`super::tile::int_tile`].
///
/// # Safety
/// As [`super::strips::repack`] for the call, whose output is not used, and as [`super::tile::int_tile`] for the tile, whose
/// weights are not.
#[inline(always)]
pub(crate) unsafe fn add_in_file<I: Isa, W: Weights>(call: &Repack, tile: &Tile) -> usize {
    if !(I::EIGHT && const { is_half_and_16_bytes(W::TYPE) }) || call.blocks < EIGHT {
        return 0;
    }
    let levels = if matches!(W::TYPE, Some(TensorType::IQ4_NL)) { Some(&LEVELS) } else { None };
    let panel = &tile.panel;
    // SAFETY: as the caller promises; these eight blocks exist in the rows and in the panel.
    unsafe {
        let mut acc = I::splat_float(0.0);
        for group in 0..call.blocks / EIGHT {
            let at = group * EIGHT_BYTES;
            let a = Eight {
                codes: panel.codes.add(group * EIGHT * 32),
                scales: panel.scales.add(group * EIGHT),
                offsets: panel.offsets[0].add(group * EIGHT),
            };
            let next = call.data[0].wrapping_add(call.strip_bytes + ROWS * at);
            acc = I::add_eight(acc, (&call.data, at), &a, levels, next);
        }
        I::store_floats(tile.acc[0], acc);
    }
    call.blocks / EIGHT * EIGHT * 32
}
