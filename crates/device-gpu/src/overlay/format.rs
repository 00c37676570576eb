//! How weights lie on an NVIDIA device: the formats of `kernels/cuda/formats.cu`, which says the same in the words of kernels.
//!
//! A matrix of `[rows, depth]` is cut into tiles of 16 rows and units of 128 deep. What a unit holds is found at [`Place`]s; the order
//! of values in a run of 32 is that of [`slot`]s.

use torchless_quant::TensorType;

/// Rows of a tile.
pub const TILE_ROWS: usize = 16;
/// Depth of a unit.
pub const UNIT_DEPTH: usize = 128;
/// Values of a run.
pub const RUN: usize = 32;
/// Bytes of 128 rows and 64 slots of halves.
pub const PIECE_BYTES: usize = 16384;

/// A format of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Nibbles around 8, a scale per 32.
    Nibbles,
    /// Nibbles, scale and minimum per 32.
    Affine,
    /// Bytes, a scale per 32.
    Bytes,
    /// Bytes, a scale per 16.
    FineBytes,
    /// Six bits around 32, a scale per 16.
    Sixes,
    /// Halves.
    Halves,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nibbles, Self::Affine, Self::Bytes, Self::FineBytes, Self::Sixes, Self::Halves];

    /// Its name in the kernels, the value of `FORMAT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nibbles => "Nibbles",
            Self::Affine => "Affine",
            Self::Bytes => "Bytes",
            Self::FineBytes => "FineBytes",
            Self::Sixes => "Sixes",
            Self::Halves => "Halves",
        }
    }

    /// Bytes of 16 rows, 128 deep.
    pub fn unit_bytes(self) -> usize {
        match self {
            Self::Nibbles => 1152,
            Self::Affine => 1280,
            Self::Bytes => 2176,
            Self::FineBytes => 2304,
            Self::Sixes => 1792,
            Self::Halves => 4096,
        }
    }

    /// The format that holds a type without a loss that matters beside that of activations, which are rounded to halves too; `None` for
    /// types that other kernels have to do.
    pub fn of(ty: TensorType) -> Option<Self> {
        Some(match ty {
            TensorType::Q4_0 => Self::Nibbles,
            TensorType::Q4_1 | TensorType::Q4_K => Self::Affine,
            TensorType::Q8_0 => Self::Bytes,
            TensorType::Q6_K => Self::Sixes,
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => Self::Halves,
            _ if ty.info().integers.is_some() => Self::FineBytes,
            _ => return None,
        })
    }

    /// Bytes of a matrix; `None` where they do not fit.
    pub fn matrix_bytes(self, rows: usize, depth: usize) -> Option<usize> {
        let rows = if self == Self::Halves { rows.checked_next_multiple_of(128)? } else { rows };
        rows.div_ceil(TILE_ROWS).checked_mul(units(depth))?.checked_mul(self.unit_bytes())
    }

    /// Where the scales of a unit begin.
    pub(super) fn scales_at(self) -> usize {
        match self {
            Self::Nibbles | Self::Affine => 1024,
            Self::Bytes | Self::FineBytes => 2048,
            Self::Sixes => 1536,
            Self::Halves => 0,
        }
    }

    /// Values that share a scale.
    pub fn scale_len(self) -> usize {
        match self {
            Self::Nibbles | Self::Affine | Self::Bytes => 32,
            Self::FineBytes | Self::Sixes => 16,
            Self::Halves => 1,
        }
    }

    /// The largest integer that a weight is made of.
    pub(super) fn largest_code(self) -> u8 {
        match self {
            Self::Nibbles => 8,
            Self::Affine => 15,
            Self::Sixes => 32,
            Self::Bytes | Self::FineBytes => 128,
            Self::Halves => 1,
        }
    }
}

/// Units of a row.
pub fn units(depth: usize) -> usize {
    depth.div_ceil(UNIT_DEPTH)
}

/// Where a value of a run of 32 lies: lane `t` of four has slots `8 t ..`, which are depths `4 t ..` and `16 + 4 t ..`.
pub fn slot(depth: usize) -> usize {
    8 * (depth % 16 / 4) + 4 * (depth / 16) + depth % 4
}

/// A value's place in a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Row of eight, and whether it is one of the second eight.
    pub g: usize,
    pub second: usize,
    /// Run of the unit, and slot of the run.
    pub run: usize,
    pub slot: usize,
}

impl Place {
    /// Of a row of a tile and a depth of a unit.
    pub fn new(row: usize, depth: usize) -> Self {
        Self { g: row % 8, second: row / 8, run: depth / RUN, slot: slot(depth % RUN) }
    }

    /// The lane that multiplies it.
    fn lane(self) -> usize {
        4 * self.g + self.slot / 8
    }

    /// Byte and bit of a nibble: pairs of slots lie 16 bits apart.
    pub fn nibble(self) -> (usize, usize) {
        let word = self.run / 2 * 128 + self.lane() * 4 + self.run % 2 * 2 + self.second;
        let bit = self.slot % 8 / 2 * 4 + self.slot % 2 * 16;
        (word * 4 + bit / 8, bit % 8)
    }

    /// Byte and bit of the upper two of six bits.
    pub fn upper_bits(self) -> (usize, usize) {
        let word = self.lane() * 4 + self.run;
        let bit = 2 * (self.slot % 8 / 2 + 4 * self.second) + self.slot % 2 * 16;
        (1024 + word * 4 + bit / 8, bit % 8)
    }

    /// Byte of a whole byte.
    pub fn byte(self) -> usize {
        self.run * 512 + self.lane() * 16 + self.second * 8 + self.slot % 8
    }

    /// Byte of the scale of its run, of `bytes` each; or of its half of a run.
    pub fn scale(self, bytes: usize) -> usize {
        (self.g * 8 + self.run * 2 + self.second) * bytes
    }
    /// As [`Place::scale`] for halves of a run, two bytes each.
    pub fn fine_scale(self) -> usize {
        ((self.g * 4 + self.run) * 4 + self.slot % 8 / 4 * 2 + self.second) * 2
    }
}

/// Where a half lies in a matrix of halves, in bytes.
pub(super) fn half_at(row: usize, depth: usize, units: usize) -> usize {
    let slot = depth / RUN * RUN + slot(depth % RUN);
    let piece = row / 128 * 2 * units + slot / 64;
    piece * PIECE_BYTES + row % 128 * 128 + ((slot % 64 / 8) ^ (row % 8)) * 16 + slot % 8 * 2
}
