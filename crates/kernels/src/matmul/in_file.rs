//! Products with one token, or a pair of rows, straight from the file's layout: that one token would have to pay for repacking.

use super::isa::{Eight, Isa};
use super::strips::{EIGHT_BYTES, Repack, is_half_and_16_bytes};
use super::tile::{Panel, ROWS, Tile};
use super::weights::{LEVELS, Weights};
use torchless_quant::TensorType;

/// Blocks that are taken at once.
const EIGHT: usize = 8;

/// Multiplies as many columns of a strip as can be read in place with the one or two rows of a panel, and says how many that
/// were. The bits are those of repacking and [`super::tile::int_tile`].
///
/// # Safety
/// As [`super::strips::repack`] for the call, whose output is not used, and as [`super::tile::int_tile`] for the tile, whose
/// weights are not.
#[inline(always)]
pub(crate) unsafe fn add_in_file<I: Isa, W: Weights>(call: &Repack, tile: &Tile) -> usize {
    if !(I::EIGHT && const { is_half_and_16_bytes(W::TYPE) }) || call.blocks < EIGHT {
        return 0;
    }
    let groups = call.blocks / EIGHT;
    // SAFETY: as the caller promises; the eight blocks of each group exist in the rows and in the panel.
    unsafe {
        if tile.panel.width == 1 {
            add_groups::<I, W, 1>((call, tile), groups, |group| [one_row(&tile.panel, group)]);
        } else {
            let mut rows = [const { Apart([0; 256], [0.0; EIGHT], [0; EIGHT]) }; 2];
            add_groups::<I, W, 2>((call, tile), groups, |group| {
                take_apart(&tile.panel, group, &mut rows);
                rows.each_ref().map(|row| Eight {
                    codes: row.0.as_ptr(),
                    scales: row.1.as_ptr(),
                    offsets: row.2.as_ptr(),
                })
            });
        }
    }
    groups * EIGHT * 32
}

/// # Safety
/// As [`add_in_file`]; `activations` leads to those of a group of eight blocks.
#[inline(always)]
unsafe fn add_groups<I: Isa, W: Weights, const T: usize>(
    (call, tile): (&Repack, &Tile),
    groups: usize,
    mut activations: impl FnMut(usize) -> [Eight; T],
) {
    let levels = if matches!(W::TYPE, Some(TensorType::IQ4_NL)) { Some(&LEVELS) } else { None };
    // SAFETY: as the caller promises.
    unsafe {
        let mut acc = [I::splat_float(0.0); T];
        for group in 0..groups {
            let at = group * EIGHT_BYTES;
            let next = call.data[0].wrapping_add(call.strip_bytes + ROWS * at);
            acc = I::add_eight(acc, (&call.data, at), &activations(group), levels, next);
        }
        for (t, acc) in acc.into_iter().enumerate() {
            I::store_floats(tile.acc[0].add(t * ROWS), acc);
        }
    }
}

/// A group of a panel of one row.
///
/// # Safety
/// The panel has one row and these columns.
#[inline(always)]
unsafe fn one_row(panel: &Panel, group: usize) -> Eight {
    // SAFETY: as the caller promises.
    unsafe {
        Eight {
            codes: panel.codes.add(group * EIGHT * 32),
            scales: panel.scales.add(group * EIGHT),
            offsets: panel.offsets[0].add(group * EIGHT),
        }
    }
}

/// A row of a group: codes, scales, offsets.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Apart([i8; 256], [f32; EIGHT], [i32; EIGHT]);

/// Copies a group of a panel of two rows, which lie interleaved, row by row.
///
/// # Safety
/// The panel has two rows and these columns.
#[inline(always)]
unsafe fn take_apart(panel: &Panel, group: usize, rows: &mut [Apart; 2]) {
    let at = group * EIGHT;
    for (t, row) in rows.iter_mut().enumerate() {
        for (b, block) in row.0.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            // SAFETY: as the caller promises: of each block the first row's codes, then the second's.
            *block = unsafe { panel.codes.add((2 * (at + b) + t) * 32).cast::<[i8; 32]>().read() };
        }
        for b in 0..EIGHT {
            // SAFETY: as above, of each block.
            unsafe {
                row.1[b] = panel.scales.add(2 * (at + b) + t).read();
                row.2[b] = panel.offsets[0].add(2 * (at + b) + t).read();
            }
        }
    }
}
