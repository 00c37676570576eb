//! The types of few levels: codebooks, ternary values, floats of four bits. Whatever a file stores, their values are one of 16
//! integers times a scale. A strip has the places of those integers in a table, four bits each, and the scales in single
//! precision, for 16 or 32 columns each; so it takes 6 or 5 bits per value, more than most of these types do in the file.
//!
//! Also here: types without kernels of their own, whose strips are those of single precision, made anew for every product.

use super::isa::Isa;
use super::strips::{Repack, Strips};
use super::tile::ROWS;
use super::weights::{Narrow, Weights};
use torchless_quant::TensorType;

/// Columns of a unit, and of the longest block.
const UNIT: usize = 256;
/// Bytes of the codes of a unit.
const CODES: usize = UNIT / 2 * ROWS;

/// The place of each integer, as a byte, in a table of integers plus 128; unused places of the table are zero.
const fn places(table: &[u8; 16]) -> [u8; 256] {
    let mut places = [0; 256];
    let mut place = 0;
    while place < 16 {
        places[(table[place] ^ 128) as usize] = place as u8;
        place += 1;
    }
    places
}

/// A table of levels plus 128. `levels` are distinct and at most 16.
const fn table(levels: &[i8]) -> [u8; 16] {
    let mut table = [128; 16];
    let mut i = 0;
    while i < levels.len() {
        table[i] = levels[i].cast_unsigned() ^ 128;
        i += 1;
    }
    table
}

/// A set of levels as [`Weights`].
pub(crate) trait Form: Weights {
    /// Where an integer stands in the table.
    const PLACES: [u8; 256];
}

/// A form with a scale per `$sub` columns.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $sub:literal, $narrow:expr, $levels:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl $name {
            const TABLE: [u8; 16] = table($levels);
        }

        impl Form for $name {
            const PLACES: [u8; 256] = places(&Self::TABLE);
        }

        impl Weights for $name {
            const TYPE: Option<TensorType> = None;
            const SUB: usize = $sub;
            const MIN: bool = false;
            const NARROW: Option<Narrow> = $narrow;
            const UNIT: usize = UNIT;
            const BYTES: usize = CODES + UNIT / $sub * 64;
            type List<F: Copy> = [F; UNIT / $sub];

            /// 32 columns are four words: the first 16 in the low halves of their bytes, the others in the high halves.
            #[inline(always)]
            unsafe fn quants<I: Isa>(unit: *const u8, sub: usize, j: usize) -> I::Words {
                let quad = sub * ($sub / 4) + j;
                // SAFETY: as the caller promises; the quad's word lies inside the unit.
                unsafe {
                    let words = I::load(unit.add(64 * (quad / 8 * 4 + quad % 4)));
                    let low = I::shr(words, (quad / 4 % 2 * 4) as u32);
                    I::lookup(I::and(low, I::splat(0x0f0f_0f0f)), &Self::TABLE)
                }
            }
            #[inline(always)]
            unsafe fn scales<I: Isa>(unit: *const u8) -> [I::Floats; UNIT / $sub] {
                // SAFETY: as the caller promises; the scales follow the codes.
                unsafe {
                    let mut out = [I::load_floats(unit.add(CODES).cast()); UNIT / $sub];
                    for (i, out) in out.iter_mut().enumerate().skip(1) {
                        *out = I::load_floats(unit.add(CODES + 64 * i).cast());
                    }
                    out
                }
            }
        }
    };
}

form!(
    /// `IQ1` in eighths, `IQ2`, and ternary types.
    Few, 16, None, &[-43, -25, -9, -8, -7, -1, 0, 1, 2, 7, 8, 9, 25, 43]
);
form!(
    /// `IQ3_XXS`.
    Iq3Xxs, 32, None, &[-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62]
);
form!(
    /// `IQ3_S`.
    Iq3S, 32, Narrow::around(16, 31), &[-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15]
);
form!(
    /// `IQ4_XS`.
    Iq4Xs, 32, None, &[-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
);
form!(
    /// `MXFP4`: the doubled values of E2M1.
    Micro32, 32, Narrow::around(16, 31), &[-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12]
);
form!(
    /// `NVFP4` and `NVFP4_G64`.
    Micro16, 16, Narrow::around(16, 31), &[-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12]
);

/// The strips of a type of few levels.
pub(crate) const fn strips(ty: TensorType) -> Option<&'static Strips> {
    const fn row<W: Weights>() -> &'static Strips {
        const { &Strips::made_elsewhere(UNIT, W::BYTES) }
    }
    Some(match ty {
        TensorType::IQ1_S | TensorType::IQ1_M => row::<Few>(),
        TensorType::IQ2_XXS | TensorType::IQ2_XS | TensorType::IQ2_S => row::<Few>(),
        TensorType::TQ1_0 | TensorType::TQ2_0 | TensorType::I2_S => row::<Few>(),
        TensorType::Q1_0 | TensorType::Q2_0 => row::<Few>(),
        TensorType::IQ3_XXS => row::<Iq3Xxs>(),
        TensorType::IQ3_S => row::<Iq3S>(),
        TensorType::IQ4_XS => row::<Iq4Xs>(),
        TensorType::MXFP4 | TensorType::MXFP4Planes => row::<Micro32>(),
        TensorType::NVFP4 | TensorType::NVFP4_G64 => row::<Micro16>(),
        ty if is_decoded(ty) => const { &Strips::made_elsewhere(2, 128) },
        _ => return None,
    })
}

/// Whether products with `ty` decode rows as they go: it has no kernels of its own, and packing would only make it larger.
pub const fn is_decoded(ty: TensorType) -> bool {
    matches!(
        ty,
        TensorType::Q8_K
            | TensorType::F8_E4M3
            | TensorType::F8_E5M2
            | TensorType::F8_E4M3_G32
            | TensorType::F8_E5M2_G32
            | TensorType::F64
            | TensorType::I8
            | TensorType::I16
            | TensorType::I32
            | TensorType::I64
    )
}

/// Block `block` of row `row` of a call, in both planes.
///
/// # Safety
/// The row has that block.
unsafe fn block<'a>(call: &Repack, row: usize, block: usize) -> (&'a [u8], &'a [u8]) {
    let info = call.ty.info();
    let plane = |start: *const u8, bytes: usize| {
        // SAFETY: as the caller promises: each plane of a row has `bytes` bytes per block.
        unsafe { std::slice::from_raw_parts(start.add(block * bytes), bytes) }
    };
    (plane(call.data[row], info.block_bytes), plane(call.scales[row], info.scale_bytes))
}

/// Fills the units of a call for a type of few levels; columns beyond the last get a scale of zero.
///
/// # Safety
/// Rows and output must have the sizes that the call says for `W`, and nobody else may use the output meanwhile.
pub(crate) unsafe fn repack<W: Form>(call: &Repack) {
    let info = call.ty.info();
    let Some(integers) = info.integers else { return };
    let per_unit = UNIT / info.block_len;
    let mut codes = [0_i8; UNIT];
    let mut scales = [0_f32; 16];
    for u in 0..call.units {
        // SAFETY: the unit lies in the output, which belongs to this call.
        let unit = unsafe { std::slice::from_raw_parts_mut(call.out.add(u * W::BYTES), W::BYTES) };
        for row in 0..ROWS {
            for slot in 0..per_unit {
                let number = (call.first + u) * per_unit + slot;
                let codes = &mut codes[slot * info.block_len..(slot + 1) * info.block_len];
                let scales = &mut scales[slot * info.block_len / 16..(slot + 1) * info.block_len / 16];
                if number < call.blocks {
                    // SAFETY: as the caller promises, and the block exists.
                    let (data, plane) = unsafe { block(call, row, number) };
                    integers(data, plane, codes, scales);
                } else {
                    scales.fill(0.0);
                }
            }
            put_row::<W>(unit, row, &codes, &scales);
        }
    }
}

/// Writes a row's codes and scales into a unit.
fn put_row<W: Form>(unit: &mut [u8], row: usize, codes: &[i8; UNIT], scales: &[f32; 16]) {
    let place = |code: i8| W::PLACES[usize::from(code.cast_unsigned())];
    for (run, codes) in codes.as_chunks::<32>().0.iter().enumerate() {
        for i in 0..16 {
            let byte = place(codes[i]) | place(codes[i + 16]) << 4;
            unit[64 * (4 * run + i / 4) + 4 * row + i % 4] = byte;
        }
    }
    for (i, scale) in scales.iter().step_by(W::SUB / 16).enumerate() {
        let at = CODES + 64 * i + 4 * row;
        unit[at..at + 4].copy_from_slice(&scale.to_le_bytes());
    }
}

/// Fills the units of a call with single-precision values, two columns each.
///
/// # Safety
/// As [`repack`].
pub(crate) unsafe fn decode_values(call: &Repack) {
    let info = call.ty.info();
    let columns = 2 * call.first..2 * (call.first + call.units);
    // SAFETY: each unit has two vectors of 16 floats, in the output, which belongs to this call.
    let out = unsafe { std::slice::from_raw_parts_mut(call.out, call.units * 2 * ROWS * 4) };
    out.fill(0);
    let mut values = [0.0; UNIT];
    let values = &mut values[..info.block_len];
    let end = columns.end.min(call.blocks * info.block_len);
    for row in 0..ROWS {
        for number in columns.start / info.block_len..end.div_ceil(info.block_len) {
            // SAFETY: as the caller promises, and the block exists.
            let (data, plane) = unsafe { block(call, row, number) };
            (info.decode)(data, plane, values);
            for (i, value) in values.iter().enumerate() {
                let column = number * info.block_len + i;
                if columns.contains(&column) {
                    let at = ((column - columns.start) * ROWS + row) * 4;
                    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
}
