//! How each quantised type lies in a strip, and how a kernel reads it: one row of the table per type.
//!
//! A strip is 16 rows. It is a sequence of units of [`Weights::UNIT`] columns. A unit holds the words (4 bytes) of the
//! file's blocks, each word as a vector of 16 rows, followed by the scales in half precision, also as vectors of 16.
//! So the bits are those of the file and only their order is changed, but for two details: signed bytes are stored with the
//! top bit flipped, and the fifth bits of `Q5_0` and `Q5_1` are regrouped.

use super::isa::Isa;
use torchless_quant::TensorType;

/// A quantised type, as the integer kernels see it: sub-blocks of [`Weights::SUB`] columns with a scale each, and a minimum
/// where [`Weights::MIN`].
///
/// # Safety
/// The methods require what [`Isa`] requires, and that `unit` leads to [`Weights::BYTES`] readable bytes.
pub(crate) trait Weights: Copy + 'static {
    /// The type that this is a form of, where it is that of a file.
    const TYPE: Option<TensorType>;
    /// Columns in a sub-block: 16 or 32.
    const SUB: usize;
    /// Whether a value is `scale * q + min` with `q` in `0..=31`, instead of `scale * (q - 128)`.
    const MIN: bool;
    /// Where the codes are so few that several products fit 16 bits.
    const NARROW: Option<Narrow> = None;
    /// Columns in a unit.
    const UNIT: usize;
    /// Bytes in a unit.
    const BYTES: usize;
    /// One `F` per sub-block of a unit.
    type List<F: Copy>: AsRef<[F]> + Copy;

    /// The codes of the columns `4 j .. 4 j + 4` of a sub-block, as four bytes per row.
    unsafe fn quants<I: Isa>(unit: *const u8, sub: usize, j: usize) -> I::Words;
    /// The scales of a unit.
    unsafe fn scales<I: Isa>(unit: *const u8) -> Self::List<I::Floats>;
    /// The minima of a unit, to be added; only called where [`Weights::MIN`].
    unsafe fn mins<I: Isa>(unit: *const u8) -> Self::List<I::Floats> {
        // SAFETY: as the caller promises. Never called without minima, see above.
        unsafe { Self::scales::<I>(unit) }
    }
    /// The value of a code `q` (already without its offset of 128) by the type's definition, rounded as the reference does.
    unsafe fn value<I: Isa>(q: I::Floats, scale: I::Floats, min: I::Floats) -> I::Floats {
        // SAFETY: as the caller promises.
        unsafe { if Self::MIN { I::add(I::mul(scale, q), min) } else { I::mul(scale, q) } }
    }
    /// The scales as [`Weights::value`] wants them.
    unsafe fn exact_scales<I: Isa>(unit: *const u8) -> Self::List<I::Floats> {
        // SAFETY: as the caller promises.
        unsafe { Self::scales::<I>(unit) }
    }
}

/// Codes from 0 on, as they are without the offset of 128.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Narrow {
    /// The highest one.
    pub(crate) most: u8,
    /// The one that stands for zero.
    pub(crate) zero: u8,
    /// What [`Weights::quants`] gives more than that.
    pub(crate) above: u8,
}

impl Narrow {
    /// Codes without an offset.
    const fn small(most: u8) -> Option<Self> {
        Some(Self { most, zero: 0, above: 0 })
    }

    /// Codes with an offset of 128.
    pub(crate) const fn around(zero: u8, most: u8) -> Option<Self> {
        Some(Self { most, zero, above: 128 - zero })
    }

    /// Of a sub-block of `sub` columns, the quads whose products are added up in words of 16 bits: each holds two of at most 127 times
    /// the highest code. A power of two.
    pub(crate) const fn quads(self, sub: usize) -> usize {
        let fit = i16::MAX as usize / (2 * 127 * self.most as usize);
        let mut quads = sub / 4;
        while quads > fit {
            quads /= 2;
        }
        quads
    }
}

/// `b` in all four bytes.
pub(crate) const fn bytes(b: u8) -> u32 {
    u32::from_le_bytes([b; 4])
}

/// The words at `unit + 64 * index`, shifted right by `shift` and masked byte by byte.
///
/// # Safety
/// As [`Weights`]: the vector must lie inside the unit.
#[inline(always)]
unsafe fn field<I: Isa>(unit: *const u8, index: usize, shift: usize, mask: u8) -> I::Words {
    // SAFETY: as the caller promises.
    unsafe { I::and(I::shr(I::load(unit.add(64 * index)), shift as u32), I::splat(bytes(mask))) }
}

/// Bit `j` of each byte of the vector at `unit + at`, moved to bit 4.
///
/// # Safety
/// As [`field`].
#[inline(always)]
unsafe fn fifth_bit<I: Isa>(unit: *const u8, at: usize, j: usize) -> I::Words {
    // SAFETY: as the caller promises.
    unsafe {
        let v = I::load(unit.add(at));
        let v = if j <= 4 { I::shl(v, 4 - j as u32) } else { I::shr(v, j as u32 - 4) };
        I::and(v, I::splat(bytes(16)))
    }
}

macro_rules! pair_of_halves {
    ($unit:expr, $at:expr) => {
        // SAFETY: as the caller promises; the places lie inside the unit.
        unsafe { [I::load_halves($unit.add($at)), I::load_halves($unit.add($at + 32))] }
    };
}

/// 32 columns per block, two blocks per unit.
macro_rules! legacy {
    ($(#[$doc:meta])* $name:ident, narrow: $narrow:expr, bytes: $bytes:expr, scales: $scales:expr, mins: $mins:expr,
     |$unit:ident, $sub:ident, $j:ident| $quants:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Weights for $name {
            const TYPE: Option<TensorType> = Some(TensorType::$name);
            const SUB: usize = 32;
            const MIN: bool = $mins > 0;
            const NARROW: Option<Narrow> = $narrow;
            const UNIT: usize = 64;
            const BYTES: usize = $bytes;
            type List<F: Copy> = [F; 2];

            #[inline(always)]
            unsafe fn quants<I: Isa>($unit: *const u8, $sub: usize, $j: usize) -> I::Words {
                // SAFETY: as the caller promises; all places lie inside the unit.
                unsafe { $quants }
            }
            #[inline(always)]
            unsafe fn scales<I: Isa>(unit: *const u8) -> [I::Floats; 2] {
                pair_of_halves!(unit, $scales)
            }
            #[inline(always)]
            unsafe fn mins<I: Isa>(unit: *const u8) -> [I::Floats; 2] {
                pair_of_halves!(unit, $mins)
            }
        }
    };
}

legacy!(
    /// Words of nibbles: column `4 j + i` in the low half of byte `i` of word `j`, column 16 further in the high half.
    Q4_0, narrow: Narrow::around(8, 15), bytes: 576, scales: 512, mins: 0,
    |unit, sub, j| I::add_bytes(field::<I>(unit, 4 * sub + j % 4, j / 4 * 4, 15), I::splat(bytes(120)))
);
legacy!(
    Q4_1, narrow: Narrow::small(15), bytes: 640, scales: 512, mins: 576,
    |unit, sub, j| field::<I>(unit, 4 * sub + j % 4, j / 4 * 4, 15)
);
legacy!(
    /// As `Q4_0`, then a word of fifth bits: that of column `4 j + i` is bit `j` of byte `i`.
    Q5_0, narrow: Narrow::around(16, 31), bytes: 704, scales: 640, mins: 0,
    |unit, sub, j| {
        let low = field::<I>(unit, 4 * sub + j % 4, j / 4 * 4, 15);
        I::add_bytes(I::or(low, fifth_bit::<I>(unit, 512 + 64 * sub, j)), I::splat(bytes(112)))
    }
);
legacy!(
    Q5_1, narrow: Narrow::small(31), bytes: 768, scales: 640, mins: 704,
    |unit, sub, j| {
        I::or(field::<I>(unit, 4 * sub + j % 4, j / 4 * 4, 15), fifth_bit::<I>(unit, 512 + 64 * sub, j))
    }
);
legacy!(
    /// Words of bytes, each plus 128.
    Q8_0, narrow: None, bytes: 1088, scales: 1024, mins: 0,
    |unit, sub, j| I::load(unit.add(512 * sub + 64 * j))
);
legacy!(
    /// As `Q4_0`, but nibbles are places in a table.
    #[expect(non_camel_case_types, reason = "the name that the field uses")]
    IQ4_NL, narrow: None, bytes: 576, scales: 512, mins: 0,
    |unit, sub, j| I::lookup(field::<I>(unit, 4 * sub + j % 4, j / 4 * 4, 15), &LEVELS)
);

/// The 16 levels of `IQ4_NL`, each plus 128.
pub(crate) const LEVELS: [u8; 16] = [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// Native int8: a group of 64 bytes, each plus 128, and a scale in single precision by which they are divided.
#[derive(Clone, Copy)]
pub(crate) struct Int8G64;

impl Weights for Int8G64 {
    const TYPE: Option<TensorType> = Some(TensorType::Int8G64);
    const SUB: usize = 32;
    const MIN: bool = false;
    const UNIT: usize = 64;
    const BYTES: usize = 1088;
    type List<F: Copy> = [F; 2];

    #[inline(always)]
    unsafe fn quants<I: Isa>(unit: *const u8, sub: usize, j: usize) -> I::Words {
        // SAFETY: as the caller promises; 16 vectors of codes lie inside the unit.
        unsafe { I::load(unit.add(512 * sub + 64 * j)) }
    }
    #[inline(always)]
    unsafe fn scales<I: Isa>(unit: *const u8) -> [I::Floats; 2] {
        // SAFETY: as the caller promises; the scales are the unit's last 64 bytes.
        unsafe { [I::div(I::splat_float(1.0), I::load_floats(unit.add(1024).cast())); 2] }
    }
    #[inline(always)]
    unsafe fn value<I: Isa>(q: I::Floats, scale: I::Floats, _: I::Floats) -> I::Floats {
        // SAFETY: as the caller promises.
        unsafe { I::div(q, scale) }
    }
    #[inline(always)]
    unsafe fn exact_scales<I: Isa>(unit: *const u8) -> [I::Floats; 2] {
        // SAFETY: as in `scales`.
        unsafe { [I::load_floats(unit.add(1024).cast()); 2] }
    }
}

/// 256 columns per unit, one file block per row. `$scale` is an expression over the words of sub-block scales at `$at`.
macro_rules! super_block {
    ($(#[$doc:meta])* $name:ident, narrow: $narrow:expr, sub: $sub_len:expr, count: $count:expr, bytes: $bytes:expr,
     |$unit:ident, $sub:ident, $j:ident| $quants:expr,
     scales: |$s_unit:ident, $s:ident| $scale:expr, d: $d:expr
     $(, mins: |$m_unit:ident, $m:ident| $min:expr, dmin: $dmin:expr)?) => {
        $(#[$doc])*
        #[expect(non_camel_case_types, reason = "the names that the field uses")]
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Weights for $name {
            const TYPE: Option<TensorType> = Some(TensorType::$name);
            const SUB: usize = $sub_len;
            const MIN: bool = false $(|| $dmin > 0)?;
            const NARROW: Option<Narrow> = $narrow;
            const UNIT: usize = 256;
            const BYTES: usize = $bytes;
            type List<F: Copy> = [F; $count];

            #[inline(always)]
            unsafe fn quants<I: Isa>($unit: *const u8, $sub: usize, $j: usize) -> I::Words {
                // SAFETY: as the caller promises; all places lie inside the unit.
                unsafe { $quants }
            }
            #[inline(always)]
            unsafe fn scales<I: Isa>($s_unit: *const u8) -> [I::Floats; $count] {
                // SAFETY: as above.
                unsafe {
                    let d = I::load_halves($s_unit.add($d));
                    let mut out = [d; $count];
                    for ($s, out) in out.iter_mut().enumerate() {
                        *out = I::mul(d, I::to_floats($scale));
                    }
                    out
                }
            }
            $(
            #[inline(always)]
            unsafe fn mins<I: Isa>($m_unit: *const u8) -> [I::Floats; $count] {
                // SAFETY: as above.
                unsafe {
                    let dmin = I::mul(I::splat_float(-1.0), I::load_halves($m_unit.add($dmin)));
                    let mut out = [dmin; $count];
                    for ($m, out) in out.iter_mut().enumerate() {
                        *out = I::mul(dmin, I::to_floats($min));
                    }
                    out
                }
            }
            )?
        }
    };
}

/// `bits` bits from bit `shift` on of the words at `p`.
///
/// # Safety
/// As [`Isa::load`].
#[inline(always)]
unsafe fn bits<I: Isa>(p: *const u8, shift: usize, bits: u32) -> I::Words {
    // SAFETY: as the caller promises.
    unsafe { I::and(I::shr(I::load(p), shift as u32), I::splat((1 << bits) - 1)) }
}

/// The six-bit number `index` of the 12 bytes at `at` in `Q4_K` and `Q5_K`; `which` is 0 for scales and 1 for minima.
/// The first four are the low bits of whole bytes, the others a nibble and the spare bits of the first.
///
/// # Safety
/// As [`field`].
#[inline(always)]
unsafe fn six_bits<I: Isa>(at: *const u8, which: usize, index: usize) -> I::Words {
    let byte = index % 4 * 8;
    // SAFETY: as the caller promises; three vectors from `at` on.
    unsafe {
        if index < 4 {
            bits::<I>(at.add(64 * which), byte, 6)
        } else {
            let low = bits::<I>(at.add(128), byte + 4 * which, 4);
            I::or(low, I::shl(bits::<I>(at.add(64 * which), byte + 6, 2), 4))
        }
    }
}

super_block!(
    /// 16 words of two-bit codes, 4 of scales (low nibbles) and minima (high nibbles), `d`, `dmin`.
    Q2_K, narrow: Narrow::small(3), sub: 16, count: 16, bytes: 1344,
    |unit, sub, j| field::<I>(unit, sub / 8 * 8 + sub % 2 * 4 + j, sub % 8 / 2 * 2, 3),
    scales: |unit, s| bits::<I>(unit.add(1024 + s / 4 * 64), s % 4 * 8, 4), d: 1280,
    mins: |unit, s| bits::<I>(unit.add(1024 + s / 4 * 64), s % 4 * 8 + 4, 4), dmin: 1312
);
super_block!(
    /// 16 words of low bits, 8 of third bits, 3 of scales (four low bits in the first two, two high ones in the last),
    /// `d`, 32 bytes of nothing.
    Q3_K, narrow: Narrow::around(4, 7), sub: 16, count: 16, bytes: 1792,
    |unit, sub, j| {
        let low = field::<I>(unit, sub / 8 * 8 + sub % 2 * 4 + j, sub % 8 / 2 * 2, 3);
        let third = field::<I>(unit.add(1024), sub % 2 * 4 + j, sub / 2, 1);
        I::add_bytes(I::or(low, I::shl(third, 2)), I::splat(bytes(124)))
    },
    scales: |unit, s| {
        let low = bits::<I>(unit.add(1536 + s % 8 / 4 * 64), s % 4 * 8 + s / 8 * 4, 4);
        let high = bits::<I>(unit.add(1536 + 128), s % 4 * 8 + s / 4 * 2, 2);
        I::sub(I::or(low, I::shl(high, 4)), I::splat(32))
    }, d: 1728
);
super_block!(
    /// 32 words of nibbles (8 for an even sub-block in the low halves and the next one in the high halves), 3 of scales and
    /// minima, `d`, `dmin`.
    Q4_K, narrow: Narrow::small(15), sub: 32, count: 8, bytes: 2304,
    |unit, sub, j| field::<I>(unit, sub / 2 * 8 + j, sub % 2 * 4, 15),
    scales: |unit, s| six_bits::<I>(unit.add(2048), 0, s), d: 2240,
    mins: |unit, s| six_bits::<I>(unit.add(2048), 1, s), dmin: 2272
);
super_block!(
    /// As `Q4_K`, with 8 words of fifth bits after the nibbles.
    Q5_K, narrow: Narrow::small(31), sub: 32, count: 8, bytes: 2816,
    |unit, sub, j| {
        let fifth = field::<I>(unit.add(2048), j, sub, 1);
        I::or(field::<I>(unit, sub / 2 * 8 + j, sub % 2 * 4, 15), I::shl(fifth, 4))
    },
    scales: |unit, s| six_bits::<I>(unit.add(2560), 0, s), d: 2752,
    mins: |unit, s| six_bits::<I>(unit.add(2560), 1, s), dmin: 2784
);
super_block!(
    /// 32 words of nibbles, 16 of the two bits above, 4 of signed scales, `d`, 32 bytes of nothing.
    Q6_K, narrow: Narrow::around(32, 63), sub: 16, count: 16, bytes: 3392,
    |unit, sub, j| {
        let (half, run, k) = (sub / 8, sub % 8 / 2, sub % 2 * 4 + j);
        let low = field::<I>(unit, half * 16 + run % 2 * 8 + k, run / 2 * 4, 15);
        let high = field::<I>(unit.add(2048), half * 8 + k, run * 2, 3);
        I::add_bytes(I::or(low, I::shl(high, 4)), I::splat(bytes(96)))
    },
    scales: |unit, s| I::sar(I::shl(I::load(unit.add(3072 + s / 4 * 64)), 24 - (s % 4 * 8) as u32), 24), d: 3328
);

/// Unpacked codes: a unit is one sub-block, its codes a byte each, its scales and minima in single precision. What matrix-matrix
/// products read, so that the work of unpacking is shared by all tokens. Narrow codes, of which `MOST` is the highest and `ZERO` the one that
/// stands for zero, are there without an offset.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked<const SUB: usize, const MIN: bool, const MOST: u8 = 255, const ZERO: u8 = 0>;

impl<const SUB: usize, const MIN: bool, const MOST: u8, const ZERO: u8> Weights
    for Unpacked<SUB, MIN, MOST, ZERO>
{
    const TYPE: Option<TensorType> = None;
    const SUB: usize = SUB;
    const MIN: bool = MIN;
    const NARROW: Option<Narrow> =
        if MOST < 255 { Some(Narrow { most: MOST, zero: ZERO, above: 0 }) } else { None };
    const UNIT: usize = SUB;
    const BYTES: usize = 16 * SUB + 64 * (1 + MIN as usize);
    type List<F: Copy> = [F; 1];

    #[inline(always)]
    unsafe fn quants<I: Isa>(unit: *const u8, _: usize, j: usize) -> I::Words {
        // SAFETY: as the caller promises; `SUB / 4` vectors of codes open the unit.
        unsafe { I::load(unit.add(64 * j)) }
    }
    #[inline(always)]
    unsafe fn scales<I: Isa>(unit: *const u8) -> [I::Floats; 1] {
        // SAFETY: as above; the scales follow the codes.
        unsafe { [I::load_floats(unit.add(16 * SUB).cast())] }
    }
    #[inline(always)]
    unsafe fn mins<I: Isa>(unit: *const u8) -> [I::Floats; 1] {
        // SAFETY: as above; the minima follow the scales.
        unsafe { [I::load_floats(unit.add(16 * SUB + 64).cast())] }
    }
}
