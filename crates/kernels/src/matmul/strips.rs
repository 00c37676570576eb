//! Where the bytes of a file's blocks go in a strip, and the repacking itself.

use torchless_quant::TensorType;

/// How one type is repacked. The reading side is `weights.rs`.
pub(crate) struct Strips {
    /// Columns in a unit.
    pub(crate) unit_cols: usize,
    /// Bytes in a unit of 16 rows.
    pub(crate) unit_bytes: usize,
    /// Runs of whole words in a file block.
    words: &'static [Run],
    /// Runs of two-byte numbers in a file block.
    halves: &'static [Run],
    /// Where the word of the second plane goes, for types that have one.
    scale_word: Option<usize>,
}

/// `count` numbers from byte `from` of the file's block on, as vectors of 16 rows from byte `to` of the unit on.
struct Run {
    from: usize,
    count: usize,
    to: usize,
    /// Bytes between the rows of a vector.
    lane: usize,
    /// Bytes between the same numbers of neighbouring blocks of a unit.
    slot: usize,
    change: fn(u32) -> u32,
}

const fn words(from: usize, count: usize, to: usize) -> Run {
    changed(from, count, to, keep)
}

const fn changed(from: usize, count: usize, to: usize, change: fn(u32) -> u32) -> Run {
    Run { from, count, to, lane: 4, slot: 64 * count, change }
}

const fn half(from: usize, to: usize) -> Run {
    Run { from, count: 1, to, lane: 2, slot: 32, change: keep }
}

fn keep(word: u32) -> u32 {
    word
}

/// Signed bytes to bytes plus 128.
fn flip(word: u32) -> u32 {
    word ^ 0x8080_8080
}

/// Fifth bits: from bit `4 j + i` to bit `j` of byte `i`.
fn regroup(word: u32) -> u32 {
    let mut out = 0;
    for j in 0..8 {
        let nibble = word >> (4 * j) & 15;
        // Bit i of the nibble to bit 8 i: the copies made by the product do not meet at these places.
        out |= (nibble.wrapping_mul(0x0020_4081) & 0x0101_0101) << j;
    }
    out
}

/// A row of the table. Extents are constants, so that their addresses are.
macro_rules! strips {
    ($cols:expr, $bytes:expr, $words:expr, $halves:expr) => {
        strips!($cols, $bytes, $words, $halves, None)
    };
    ($cols:expr, $bytes:expr, $words:expr, $halves:expr, $scale_word:expr) => {{
        const WORDS: &[Run] = &$words;
        const HALVES: &[Run] = &$halves;
        const ROW: &Strips = &Strips {
            unit_cols: $cols,
            unit_bytes: $bytes,
            words: WORDS,
            halves: HALVES,
            scale_word: $scale_word,
        };
        Some(ROW)
    }};
}

/// The row of `ty`, `None` for a type that this crate has no kernels for.
pub(crate) fn strips(ty: TensorType) -> Option<&'static Strips> {
    match ty {
        TensorType::F32 => strips!(2, 128, [words(0, 1, 0)], []),
        TensorType::F16 => strips!(2, 64, [], [half(0, 0)]),
        TensorType::BF16 => {
            strips!(2, 64, [], [Run { from: 0, count: 1, to: 0, lane: 4, slot: 2, change: keep }])
        }
        TensorType::Q4_0 | TensorType::IQ4_NL => strips!(64, 576, [words(2, 4, 0)], [half(0, 512)]),
        TensorType::Q4_1 => strips!(64, 640, [words(4, 4, 0)], [half(0, 512), half(2, 576)]),
        TensorType::Q5_0 => strips!(64, 704, [words(6, 4, 0), changed(2, 1, 512, regroup)], [half(0, 640)]),
        TensorType::Q5_1 => {
            strips!(64, 768, [words(8, 4, 0), changed(4, 1, 512, regroup)], [half(0, 640), half(2, 704)])
        }
        TensorType::Q8_0 => strips!(64, 1088, [changed(2, 8, 0, flip)], [half(0, 1024)]),
        TensorType::Int8G64 => strips!(64, 1088, [changed(0, 16, 0, flip)], [], Some(1024)),
        TensorType::Q2_K => {
            strips!(256, 1344, [words(16, 16, 0), words(0, 4, 1024)], [half(80, 1280), half(82, 1312)])
        }
        TensorType::Q3_K => {
            strips!(256, 1792, [words(32, 16, 0), words(0, 8, 1024), words(96, 3, 1536)], [half(108, 1728)])
        }
        TensorType::Q4_K => {
            strips!(256, 2304, [words(16, 32, 0), words(4, 3, 2048)], [half(0, 2240), half(2, 2272)])
        }
        TensorType::Q5_K => strips!(
            256,
            2816,
            [words(48, 32, 0), words(16, 8, 2048), words(4, 3, 2560)],
            [half(0, 2752), half(2, 2784)]
        ),
        TensorType::Q6_K => {
            strips!(
                256,
                3392,
                [words(0, 32, 0), words(128, 16, 2048), words(192, 4, 3072)],
                [half(208, 3328)]
            )
        }
        _ => None,
    }
}

/// Some rows of a matrix in the file's layout; at most the 16 of one strip.
pub(crate) struct FileRows<'a> {
    pub(crate) ty: TensorType,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: &'a [u8],
    pub(crate) scales: &'a [u8],
}

impl Strips {
    /// Units in a row of `cols` columns.
    pub(crate) fn units(&self, cols: usize) -> usize {
        cols.div_ceil(self.unit_cols)
    }

    /// Repacks the units `first..first + out.len() / unit_bytes` of a strip. What lies beyond the rows and columns is left zero.
    pub(crate) fn pack(&self, from: &FileRows<'_>, first: usize, out: &mut [u8]) {
        out.fill(0);
        let info = from.ty.info();
        let blocks = from.cols / info.block_len;
        let per_unit = self.unit_cols / info.block_len;
        for (u, unit) in out.chunks_exact_mut(self.unit_bytes).enumerate() {
            for slot in 0..per_unit {
                let block = (first + u) * per_unit + slot;
                if block >= blocks {
                    break;
                }
                for row in 0..from.rows {
                    let at = row * blocks + block;
                    let bytes = &from.data[at * info.block_bytes..][..info.block_bytes];
                    let scale = &from.scales[at * info.scale_bytes..][..info.scale_bytes];
                    self.place(bytes, scale, (row, slot), unit);
                }
            }
        }
    }

    /// Puts one block of one row at its places.
    fn place(&self, block: &[u8], scale: &[u8], (row, slot): (usize, usize), unit: &mut [u8]) {
        for run in self.words {
            for i in 0..run.count {
                let word = (run.change)(word_at(block, run.from + 4 * i));
                let to = run.to + slot * run.slot + i * 64 + row * run.lane;
                unit[to..to + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        for run in self.halves {
            let to = run.to + slot * run.slot + row * run.lane;
            unit[to..to + 2].copy_from_slice(&block[run.from..run.from + 2]);
        }
        if let Some(to) = self.scale_word {
            unit[to + 4 * row..to + 4 * row + 4].copy_from_slice(&scale[..4]);
        }
    }
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
