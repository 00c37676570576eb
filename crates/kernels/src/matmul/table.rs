//! The functions that a table of kernels has for products, and how they are made from the generic loops.

use super::acts::CodeRows;
use super::probe::Probes;
use super::strips::Repack;
use super::tile::{Panel, Tile};
use torchless_quant::TensorType;

/// One level's kernels for products.
pub(crate) struct MatmulTable {
    /// The widest panel of 8-bit activations.
    pub(crate) int_width: usize,
    /// The widest panel of single-precision activations.
    pub(crate) float_width: usize,
    /// Tokens up to which weights are read in their packed form; they are one panel.
    pub(crate) direct: usize,
    /// Fills a panel's integer planes from rows of so many columns.
    pub(crate) quantise: unsafe fn(&CodeRows<'_>, &Panel),
    /// The kernels of a quantised type.
    pub(crate) quantised: fn(TensorType) -> Option<Quantised>,
    /// The kernels of a floating-point type.
    pub(crate) floats: fn(TensorType) -> Option<Floats>,
    /// Whether products come from matrix instructions: panels of [`MatmulTable::int_width`] of codes and of pairs of bf16.
    pub(crate) matrix: bool,
    /// Makes a thread ready for [`Quantised::tile`] with sub-blocks of so many columns and panels of up to so many tokens.
    pub(crate) open: unsafe fn(usize, usize),
    /// Ends what `open` began.
    pub(crate) close: unsafe fn(),
    /// Fills a panel's plane of pairs of bf16 from rows of so many columns.
    pub(crate) halve: unsafe fn(&[f32], usize, &Panel),
    /// The kernels of a floating-point type for pairs of bf16, where there are matrix instructions.
    pub(crate) halves: fn(TensorType) -> Option<Halves>,
    /// Writes sums to the output.
    pub(crate) finish: unsafe fn(&Finish),
    /// Loops that find the processor's ceilings.
    pub(crate) probes: Probes,
}

/// The kernels of a quantised type.
#[derive(Clone, Copy)]
pub(crate) struct Quantised {
    /// Units of the file's layout to the packed form.
    pub(crate) repack: unsafe fn(&Repack),
    /// One strip by a panel of up to [`MatmulTable::direct`] tokens, from the packed form.
    pub(crate) direct: unsafe fn(&Tile),
    /// One strip by one token straight from the file's layout, as far as that goes: how many columns it went.
    pub(crate) add_in_file: unsafe fn(&Repack, &Tile) -> usize,
    /// Units to the unpacked form.
    pub(crate) unpack: unsafe fn(*const u8, usize, *mut u8),
    /// Bytes of the unpacked form per sub-block.
    pub(crate) unpacked_bytes: usize,
    /// Columns per sub-block.
    pub(crate) sub: usize,
    /// Two strips of the unpacked form by a panel of any width; units are sub-blocks. Between [`MatmulTable::open`] and
    /// [`MatmulTable::close`].
    pub(crate) tile: unsafe fn(&Tile),
    /// Units to single precision.
    pub(crate) dequantise: unsafe fn(*const u8, usize, *mut f32),
}

/// The kernels of a floating-point type.
#[derive(Clone, Copy)]
pub(crate) struct Floats {
    /// Units of the file's layout to the packed form.
    pub(crate) repack: unsafe fn(&Repack),
    /// One strip by a panel of up to [`MatmulTable::direct`] tokens.
    pub(crate) direct: unsafe fn(&Tile),
    /// Two strips by a panel of any width.
    pub(crate) tile: unsafe fn(&Tile),
}

/// The kernels of a floating-point type that is multiplied as bf16. They add up [`HALVES_RUN`] columns at a time.
#[derive(Clone, Copy)]
pub(crate) struct Halves {
    /// Units of the file's layout to the packed form.
    pub(crate) repack: unsafe fn(&Repack),
    /// One strip by a panel of one or two tokens, from the packed form.
    pub(crate) direct: unsafe fn(&Tile),
    /// The packed form to what `tile` reads; none where that is the packed form itself.
    pub(crate) unpack: Option<unsafe fn(*const u8, usize, *mut u8)>,
    /// One or (where they differ) two strips by a panel of any width.
    pub(crate) tile: unsafe fn(&Tile),
}

/// Columns whose products with bf16 are summed before they are added to the others: stretches begin at its multiples.
pub(crate) const HALVES_RUN: usize = 512;
/// Unpacking pads columns with zeros to a multiple of this.
pub(crate) const HALVES_PAD: usize = 32;

impl MatmulTable {
    /// The repacking function of `ty`.
    pub(crate) fn repack(&self, ty: TensorType) -> Option<unsafe fn(&Repack)> {
        (self.quantised)(ty).map(|row| row.repack).or_else(|| (self.floats)(ty).map(|row| row.repack))
    }
}

/// Sums of one strip on their way to the output.
pub(crate) struct Finish {
    /// `[tokens][16]`.
    pub(crate) acc: *const f32,
    pub(crate) tokens: usize,
    /// How many of the 16 rows exist.
    pub(crate) rows: usize,
    /// The bias of the strip's first row, or null.
    pub(crate) bias: *const f32,
    /// The first token's first row.
    pub(crate) y: *mut f32,
    /// From one token to the next.
    pub(crate) stride: usize,
    /// Whether to add to `y` instead of replacing it.
    pub(crate) add: bool,
}

/// # Safety
/// [`Finish`]'s pointers must lead to what it says, and nobody else may use this part of `y` meanwhile.
#[inline(always)]
pub(crate) unsafe fn finish(f: &Finish) {
    let mut bias = [0.0; 16];
    if !f.bias.is_null() {
        // SAFETY: as the caller promises: `rows` floats.
        bias[..f.rows].copy_from_slice(unsafe { std::slice::from_raw_parts(f.bias, f.rows) });
    }
    // Loops, for the closures of iterators are compiled without the caller's instruction set.
    for t in 0..f.tokens {
        // SAFETY: as the caller promises; all 16 rows exist in the first case.
        unsafe {
            if f.rows == 16 {
                finish_whole(f, &bias, t);
            } else {
                finish_part(f, &bias, t);
            }
        }
    }
}

/// Token `t` of a strip of 16 rows. Arrays are read and written as a whole: through references, the compiler takes one value at a time,
/// because each that is written could be the next one that is read.
///
/// # Safety
/// As [`finish`].
#[inline(always)]
unsafe fn finish_whole(f: &Finish, bias: &[f32; 16], t: usize) {
    // SAFETY: as the caller promises: 16 sums, and as many floats of the output.
    unsafe {
        let mut new = f.acc.add(t * 16).cast::<[f32; 16]>().read();
        let y = f.y.add(t * f.stride).cast::<[f32; 16]>();
        for i in 0..16 {
            new[i] += bias[i];
        }
        if f.add {
            let old = y.read();
            for i in 0..16 {
                new[i] += old[i];
            }
        }
        y.write(new);
    }
}

/// Token `t` of a strip of fewer rows.
///
/// # Safety
/// As [`finish`].
#[inline(always)]
unsafe fn finish_part(f: &Finish, bias: &[f32; 16], t: usize) {
    // SAFETY: as the caller promises: 16 sums, and `rows` floats of the output.
    let (sums, y) = unsafe {
        (
            &*f.acc.add(t * 16).cast::<[f32; 16]>(),
            std::slice::from_raw_parts_mut(f.y.add(t * f.stride), f.rows),
        )
    };
    for ((y, sum), bias) in y.iter_mut().zip(sums).zip(bias) {
        *y = if f.add { *y + (sum + bias) } else { sum + bias };
    }
}

/// Makes the table of one instruction set from the generic loops. `$features` are those that the set stands for.
macro_rules! matmul_table {
    ($isa:ty $(, $features:literal)?) => {{
        use crate::matmul::acts;
        use crate::matmul::in_file;
        use crate::matmul::isa::Isa;
        use crate::matmul::levels;
        use crate::matmul::probe::{self, Probes};
        use crate::matmul::strips::{self, Repack};
        use crate::matmul::table::{Finish, Floats, Halves, MatmulTable, Quantised, finish};
        use crate::matmul::tile::{self, Panel, Tile};
        use crate::matmul::weights::{self as w, Unpacked, Weights};
        use torchless_quant::TensorType;

        /// # Safety
        /// As [`acts::quantise`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn quantise_rows(rows: &acts::CodeRows<'_>, panel: &Panel) {
            // SAFETY: as the caller promises.
            unsafe { acts::quantise::<$isa>(rows, panel) }
        }

        /// # Safety
        /// As [`acts::halve`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn halve_rows(rows: &[f32], cols: usize, panel: &Panel) {
            // SAFETY: as the caller promises.
            unsafe { acts::halve(rows, cols, panel) }
        }

        /// # Safety
        /// As [`finish`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn finish_sums(f: &Finish) {
            // SAFETY: as the caller promises.
            unsafe { finish(f) }
        }

        /// # Safety
        /// As [`tile::int_tile`] with one strip; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn direct<W: Weights>(t: &Tile) {
            // SAFETY: as the caller promises; the arm has the panel's width.
            unsafe {
                match t.panel.width {
                    1 => tile::int_tile::<$isa, W, 1, 1>(t),
                    2 if <$isa as Isa>::DIRECT >= 2 => tile::int_tile::<$isa, W, 1, 2>(t),
                    3 if <$isa as Isa>::DIRECT >= 3 => tile::int_tile::<$isa, W, 1, 3>(t),
                    4 if <$isa as Isa>::DIRECT >= 4 => tile::int_tile::<$isa, W, 1, 4>(t),
                    5 if <$isa as Isa>::DIRECT >= 5 => tile::int_tile::<$isa, W, 1, 5>(t),
                    6 if <$isa as Isa>::DIRECT >= 6 => tile::int_tile::<$isa, W, 1, 6>(t),
                    7 if <$isa as Isa>::DIRECT >= 7 => tile::int_tile::<$isa, W, 1, 7>(t),
                    8 if <$isa as Isa>::DIRECT >= 8 => tile::int_tile::<$isa, W, 1, 8>(t),
                    other => unreachable!("a panel of {other} tokens is not read directly"),
                }
            }
        }

        /// # Safety
        /// As [`tile::int_tile`] with two strips; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn unpacked_tile<const SUB: usize, const MIN: bool>(t: &Tile) {
            const WIDEST: usize = <$isa as Isa>::INT_WIDTH;
            // SAFETY: as the caller promises; the arm has the panel's width.
            unsafe {
                match t.panel.width {
                    _ if <$isa as Isa>::MATRIX => <$isa as Isa>::int_matrix::<SUB, MIN>(t),
                    _ if <$isa as Isa>::PAIRS => <$isa as Isa>::int_pairs::<SUB, MIN>(t),
                    1 => tile::int_tile::<$isa, Unpacked<SUB, MIN>, 2, 1>(t),
                    2 if ((2..=6).contains(&WIDEST)) => tile::int_tile::<$isa, Unpacked<SUB, MIN>, 2, 2>(t),
                    3 if ((3..=6).contains(&WIDEST)) => tile::int_tile::<$isa, Unpacked<SUB, MIN>, 2, 3>(t),
                    4 if ((4..=6).contains(&WIDEST)) => tile::int_tile::<$isa, Unpacked<SUB, MIN>, 2, 4>(t),
                    5 if ((5..=6).contains(&WIDEST)) => tile::int_tile::<$isa, Unpacked<SUB, MIN>, 2, 5>(t),
                    6 if ((6..=6).contains(&WIDEST)) => tile::int_tile::<$isa, Unpacked<SUB, MIN>, 2, 6>(t),
                    other => unreachable!("a panel of {other} tokens is too wide"),
                }
            }
        }

        /// # Safety
        /// As [`tile::unpack`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn unpack<W: Weights>(src: *const u8, units: usize, dst: *mut u8) {
            // SAFETY: as the caller promises.
            unsafe { tile::unpack::<$isa, W>(src, units, dst) }
        }

        /// # Safety
        /// As [`tile::dequantise`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn dequantise<W: Weights>(src: *const u8, units: usize, dst: *mut f32) {
            // SAFETY: as the caller promises.
            unsafe { tile::dequantise::<$isa, W>(src, units, dst) }
        }

        /// # Safety
        /// As [`tile::float_tile`] with two strips; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn float_tile<W: tile::FloatWeights>(t: &Tile) {
            const WIDEST: usize = <$isa as Isa>::FLOAT_WIDTH;
            // SAFETY: as the caller promises; the arm has the panel's width.
            unsafe {
                match t.panel.width {
                    1 => tile::float_tile::<$isa, W, 2, 1>(t),
                    2 if WIDEST >= 2 => tile::float_tile::<$isa, W, 2, 2>(t),
                    3 if WIDEST >= 3 => tile::float_tile::<$isa, W, 2, 3>(t),
                    4 if WIDEST >= 4 => tile::float_tile::<$isa, W, 2, 4>(t),
                    5 if WIDEST >= 5 => tile::float_tile::<$isa, W, 2, 5>(t),
                    6 if WIDEST >= 6 => tile::float_tile::<$isa, W, 2, 6>(t),
                    7 if WIDEST >= 7 => tile::float_tile::<$isa, W, 2, 7>(t),
                    8 if WIDEST >= 8 => tile::float_tile::<$isa, W, 2, 8>(t),
                    9 if WIDEST >= 9 => tile::float_tile::<$isa, W, 2, 9>(t),
                    10 if WIDEST >= 10 => tile::float_tile::<$isa, W, 2, 10>(t),
                    11 if WIDEST >= 11 => tile::float_tile::<$isa, W, 2, 11>(t),
                    12 if WIDEST >= 12 => tile::float_tile::<$isa, W, 2, 12>(t),
                    other => unreachable!("a panel of {other} tokens is too wide"),
                }
            }
        }

        /// # Safety
        /// As [`strips::repack`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn repack<W: Weights>(call: &Repack) {
            // SAFETY: as the caller promises.
            unsafe { strips::repack::<$isa, W>(call) }
        }

        /// # Safety
        /// As [`in_file::add_in_file`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn add_in_file<W: Weights>(call: &Repack, t: &Tile) -> usize {
            // SAFETY: as the caller promises.
            unsafe { in_file::add_in_file::<$isa, W>(call, t) }
        }

        /// # Safety
        /// As [`strips::repack_values`]; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn repack_values<const SIZE: usize, const APART: bool>(call: &Repack) {
            // SAFETY: as the caller promises.
            unsafe { strips::repack_values::<$isa, SIZE, APART>(call) }
        }

        /// # Safety
        /// The processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn probe_dots(rounds: usize) -> u32 {
            // SAFETY: as the caller promises.
            unsafe { probe::dots::<$isa>(rounds) }
        }

        /// # Safety
        /// The processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn probe_floats(rounds: usize) -> f32 {
            // SAFETY: as the caller promises.
            unsafe { probe::floats::<$isa>(rounds) }
        }

        /// # Safety
        /// The processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn probe_halves(rounds: usize) -> f32 {
            // SAFETY: as the caller promises.
            unsafe { probe::halves::<$isa>(rounds) }
        }

        /// # Safety
        /// The processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn probe_read(data: &[u8]) -> u32 {
            // SAFETY: as the caller promises.
            unsafe { probe::read::<$isa>(data) }
        }

        fn row<W: Weights>() -> Option<Quantised> {
            row_of::<W>(repack::<W>)
        }

        fn levels_row<W: levels::Form>() -> Option<Quantised> {
            row_of::<W>(levels::repack::<W>)
        }

        fn row_of<W: Weights>(repack: unsafe fn(&Repack)) -> Option<Quantised> {
            Some(Quantised {
                repack,
                direct: direct::<W>,
                add_in_file: add_in_file::<W>,
                unpack: unpack::<W>,
                unpacked_bytes: tile::unpacked_bytes(W::SUB, W::MIN),
                sub: W::SUB,
                tile: <$isa as Isa>::own_tile::<W>().unwrap_or(match (W::SUB, W::MIN) {
                    (16, false) => unpacked_tile::<16, false>,
                    (16, true) => unpacked_tile::<16, true>,
                    (_, false) => unpacked_tile::<32, false>,
                    (_, true) => unpacked_tile::<32, true>,
                }),
                dequantise: dequantise::<W>,
            })
        }

        fn quantised(ty: TensorType) -> Option<Quantised> {
            match ty {
                TensorType::Q4_0 => row::<w::Q4_0>(),
                TensorType::Q4_1 => row::<w::Q4_1>(),
                TensorType::Q5_0 => row::<w::Q5_0>(),
                TensorType::Q5_1 => row::<w::Q5_1>(),
                TensorType::Q8_0 => row::<w::Q8_0>(),
                TensorType::Q2_K => row::<w::Q2_K>(),
                TensorType::Q3_K => row::<w::Q3_K>(),
                TensorType::Q4_K => row::<w::Q4_K>(),
                TensorType::Q5_K => row::<w::Q5_K>(),
                TensorType::Q6_K => row::<w::Q6_K>(),
                TensorType::IQ4_NL => row::<w::IQ4_NL>(),
                TensorType::Int8G64 => row::<w::Int8G64>(),
                TensorType::IQ1_S | TensorType::IQ1_M => levels_row::<levels::Few>(),
                TensorType::IQ2_XXS | TensorType::IQ2_XS | TensorType::IQ2_S => levels_row::<levels::Few>(),
                TensorType::TQ1_0 | TensorType::TQ2_0 | TensorType::I2_S => levels_row::<levels::Few>(),
                TensorType::Q1_0 | TensorType::Q2_0 => levels_row::<levels::Few>(),
                TensorType::IQ3_XXS => levels_row::<levels::Iq3Xxs>(),
                TensorType::IQ3_S => levels_row::<levels::Iq3S>(),
                TensorType::IQ4_XS => levels_row::<levels::Iq4Xs>(),
                TensorType::MXFP4 | TensorType::MXFP4Planes => levels_row::<levels::Micro32>(),
                TensorType::NVFP4 | TensorType::NVFP4_G64 => levels_row::<levels::Micro16>(),
                _ => None,
            }
        }

        /// # Safety
        /// As [`tile::float_tile`] with one strip; the processor must have the table's instruction set.
        $(#[target_feature(enable = $features)])?
        unsafe fn direct_floats<W: tile::FloatWeights>(t: &Tile) {
            // SAFETY: as the caller promises; the arm has the panel's width.
            unsafe {
                match t.panel.width {
                    1 => tile::float_tile::<$isa, W, 1, 1>(t),
                    2 if <$isa as Isa>::DIRECT >= 2 => tile::float_tile::<$isa, W, 1, 2>(t),
                    3 if <$isa as Isa>::DIRECT >= 3 => tile::float_tile::<$isa, W, 1, 3>(t),
                    4 if <$isa as Isa>::DIRECT >= 4 => tile::float_tile::<$isa, W, 1, 4>(t),
                    5 if <$isa as Isa>::DIRECT >= 5 => tile::float_tile::<$isa, W, 1, 5>(t),
                    6 if <$isa as Isa>::DIRECT >= 6 => tile::float_tile::<$isa, W, 1, 6>(t),
                    7 if <$isa as Isa>::DIRECT >= 7 => tile::float_tile::<$isa, W, 1, 7>(t),
                    8 if <$isa as Isa>::DIRECT >= 8 => tile::float_tile::<$isa, W, 1, 8>(t),
                    other => unreachable!("a panel of {other} tokens is not read directly"),
                }
            }
        }

        fn float_row<W: tile::FloatWeights>(repack: unsafe fn(&Repack)) -> Option<Floats> {
            Some(Floats { repack, direct: direct_floats::<W>, tile: float_tile::<W> })
        }

        fn floats(ty: TensorType) -> Option<Floats> {
            match ty {
                TensorType::F32 => float_row::<tile::F32>(repack_values::<4, false>),
                TensorType::F16 => float_row::<tile::F16>(repack_values::<2, true>),
                TensorType::BF16 => float_row::<tile::Bf16>(repack_values::<2, false>),
                other if levels::is_decoded(other) => float_row::<tile::F32>(levels::decode_values),
                _ => None,
            }
        }

        fn halves(ty: TensorType) -> Option<Halves> {
            let repack = floats(ty)?.repack;
            <$isa as Isa>::halves_kernels(ty).map(|kernels| {
                let crate::matmul::isa::HalvesKernels { direct, unpack, tile } = kernels;
                Halves { repack, direct, unpack, tile }
            })
        }

        MatmulTable {
            matrix: <$isa as Isa>::MATRIX,
            open: <$isa as Isa>::open_matrix,
            close: <$isa as Isa>::close_matrix,
            halve: halve_rows,
            halves,
            int_width: <$isa as Isa>::INT_WIDTH,
            float_width: <$isa as Isa>::FLOAT_WIDTH,
            direct: <$isa as Isa>::DIRECT,
            quantise: quantise_rows,
            quantised,
            floats,
            finish: finish_sums,
            probes: Probes { dots: probe_dots, floats: probe_floats, halves: probe_halves, read: probe_read },
        }
    }};
}

pub(crate) use matmul_table;
