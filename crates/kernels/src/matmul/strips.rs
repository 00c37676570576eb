//! Where the bytes of a file's blocks go in a strip, and the repacking itself.

use super::isa::Isa;
use super::tile::ROWS;
use super::weights::Weights;
use torchless_quant::{TensorType, TypeInfo};

/// How one type is repacked. The reading side is `weights.rs`.
pub(crate) struct Strips {
    /// Columns in a unit.
    pub(crate) unit_cols: usize,
    /// Bytes in a unit of 16 rows.
    pub(crate) unit_bytes: usize,
    block: Block,
}

/// What is moved in a block.
enum Block {
    /// Runs of words and pairs of halves, of the data plane and (one word per block, to this byte) of the second plane.
    Runs { words: &'static [Words], halves: &'static [Halves], scale_word: Option<usize> },
    /// Single values: see `repack_values`.
    Values,
    /// By functions of another module.
    Elsewhere,
}

/// `count` words from byte `from` of the file's block on, as vectors of 16 rows from byte `to` of the unit on. The same
/// words of the unit's next block follow behind.
struct Words {
    from: usize,
    count: usize,
    to: usize,
    change: Change,
}

/// The word at byte `from` of the file's block: its low half goes to the vector of halves at byte `low` of the unit, the high
/// half to that at `high`. The same halves of the unit's next block follow behind.
struct Halves {
    from: usize,
    low: Option<usize>,
    high: Option<usize>,
}

/// What happens to a word on its way.
#[derive(Clone, Copy)]
enum Change {
    None,
    /// Signed bytes become bytes plus 128.
    Flip,
    /// Fifth bits move from bit `4 j + i` to bit `j` of byte `i`.
    Regroup,
}

const fn words(from: usize, count: usize, to: usize) -> Words {
    changed(from, count, to, Change::None)
}

const fn changed(from: usize, count: usize, to: usize, change: Change) -> Words {
    Words { from, count, to, change }
}

/// The low half of a word.
const fn low(from: usize, to: usize) -> Halves {
    Halves { from, low: Some(to), high: None }
}

/// The high half of a word: for a half at the end of a block, behind which nothing may be read.
const fn high(from: usize, to: usize) -> Halves {
    Halves { from: from - 2, low: None, high: Some(to) }
}

/// Both halves of a word.
const fn both(from: usize, first: usize, second: usize) -> Halves {
    Halves { from, low: Some(first), high: Some(second) }
}

/// A row of the table. Extents are constants, so that their addresses are.
macro_rules! strips {
    ($cols:expr, $bytes:expr, $words:expr, $halves:expr) => {
        strips!($cols, $bytes, $words, $halves, None)
    };
    ($cols:expr, $bytes:expr, $words:expr, $halves:expr, $scale_word:expr) => {{
        const WORDS: &[Words] = &$words;
        const HALVES: &[Halves] = &$halves;
        strips!($cols, $bytes, Block::Runs { words: WORDS, halves: HALVES, scale_word: $scale_word })
    }};
    ($cols:expr, $bytes:expr, $block:expr) => {{
        const ROW: &Strips = &Strips { unit_cols: $cols, unit_bytes: $bytes, block: $block };
        Some(ROW)
    }};
}

/// The row of `ty`, `None` for a type that this crate has no kernels for.
pub(crate) const fn strips(ty: TensorType) -> Option<&'static Strips> {
    use Change::{Flip, Regroup};
    match ty {
        TensorType::F32 => strips!(2, 128, Block::Values),
        TensorType::F16 => strips!(2, 64, Block::Values),
        TensorType::BF16 => strips!(2, 64, Block::Values),
        TensorType::Q4_0 | TensorType::IQ4_NL => strips!(64, 576, [words(2, 4, 0)], [low(0, 512)]),
        TensorType::Q4_1 => strips!(64, 640, [words(4, 4, 0)], [both(0, 512, 576)]),
        TensorType::Q5_0 => strips!(64, 704, [words(6, 4, 0), changed(2, 1, 512, Regroup)], [low(0, 640)]),
        TensorType::Q5_1 => {
            strips!(64, 768, [words(8, 4, 0), changed(4, 1, 512, Regroup)], [both(0, 640, 704)])
        }
        TensorType::Q8_0 => strips!(64, 1088, [changed(2, 8, 0, Flip)], [low(0, 1024)]),
        TensorType::Int8G64 => strips!(64, 1088, [changed(0, 16, 0, Flip)], [], Some(1024)),
        TensorType::Q2_K => strips!(256, 1344, [words(16, 16, 0), words(0, 4, 1024)], [both(80, 1280, 1312)]),
        TensorType::Q3_K => {
            strips!(256, 1792, [words(32, 16, 0), words(0, 8, 1024), words(96, 3, 1536)], [high(108, 1728)])
        }
        TensorType::Q4_K => strips!(256, 2304, [words(16, 32, 0), words(4, 3, 2048)], [both(0, 2240, 2272)]),
        TensorType::Q5_K => {
            strips!(
                256,
                2816,
                [words(48, 32, 0), words(16, 8, 2048), words(4, 3, 2560)],
                [both(0, 2752, 2784)]
            )
        }
        TensorType::Q6_K => {
            strips!(
                256,
                3392,
                [words(0, 32, 0), words(128, 16, 2048), words(192, 4, 3072)],
                [high(208, 3328)]
            )
        }
        other => super::levels::strips(other),
    }
}

/// Some rows of a matrix in the file's layout; at least one and at most the 16 of one strip.
pub(crate) struct FileRows<'a> {
    pub(crate) ty: TensorType,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: &'a [u8],
    pub(crate) scales: &'a [u8],
}

/// Pointers to the rows of a strip. A strip with fewer rows has its last one in several places: what is computed for those is
/// not used.
type Rows = [*const u8; ROWS];

/// One call of a repacking function.
pub(crate) struct Repack {
    pub(super) ty: TensorType,
    pub(super) data: Rows,
    pub(super) scales: Rows,
    /// Blocks (or single values) in a row.
    pub(super) blocks: usize,
    /// Bytes of a strip, from one to the next.
    pub(super) strip_bytes: usize,
    pub(super) first: usize,
    pub(super) units: usize,
    pub(super) out: *mut u8,
}

impl Strips {
    /// A row whose repacking is a function of another module.
    pub(super) const fn made_elsewhere(unit_cols: usize, unit_bytes: usize) -> Self {
        Self { unit_cols, unit_bytes, block: Block::Elsewhere }
    }

    /// Units in a row of `cols` columns.
    pub(crate) fn units(&self, cols: usize) -> usize {
        cols.div_ceil(self.unit_cols)
    }

    /// Repacks the units `first..first + out.len() / unit_bytes` of a strip by `repack`, whose instruction set this processor
    /// has. Columns beyond the last become zero.
    pub(crate) fn pack(
        &'static self,
        from: &FileRows<'_>,
        first: usize,
        (repack, out): (unsafe fn(&Repack), &mut [u8]),
    ) {
        let call = self.call(from, first, out);
        // SAFETY: each row has the call's blocks in both planes, and `out` has room for its units, as `call` has checked.
        unsafe { repack(&call) }
    }

    /// The call for the units that fit into `out`, from `first` on.
    pub(crate) fn call(&'static self, from: &FileRows<'_>, first: usize, out: &mut [u8]) -> Repack {
        let info = from.ty.info();
        let blocks = from.cols / info.block_len;
        let units = out.len() / self.unit_bytes;
        let row_bytes = blocks * info.block_bytes;
        assert!(from.data.len() == from.rows * row_bytes, "rows of another size");
        assert!(from.scales.len() == from.rows * blocks * info.scale_bytes, "rows of another size");
        assert!(
            (1..=ROWS).contains(&from.rows) && first + units <= self.units(from.cols),
            "units that do not exist"
        );
        // The last row stands in for those that are missing; all lie in the planes, as checked above.
        let rows = |plane: &[u8], bytes: usize| -> Rows {
            std::array::from_fn(|row| plane.as_ptr().wrapping_add(row.min(from.rows - 1) * bytes))
        };
        Repack {
            ty: from.ty,
            data: rows(from.data, row_bytes),
            scales: rows(from.scales, blocks * info.scale_bytes),
            blocks,
            strip_bytes: ROWS * row_bytes,
            first,
            units,
            out: out.as_mut_ptr(),
        }
    }
}

/// Repacks the units of one call for a quantised type.
///
/// # Safety
/// As [`Isa`]; rows and output must have the sizes that the call says for `W`, and nobody else may use the output meanwhile.
#[inline(always)]
pub(crate) unsafe fn repack<I: Isa, W: Weights>(call: &Repack) {
    let (strips, info) = const { rows_of(W::TYPE) };
    let Block::Runs { words, halves, scale_word } = &strips.block else { return };
    let per_unit = strips.unit_cols / info.block_len;
    let mut done = 0;
    if I::EIGHT && const { is_half_and_16_bytes(W::TYPE) } {
        // SAFETY: as the caller promises; whole units of existing blocks alone are repacked.
        done = unsafe { repack_eights::<I>(call) };
    }
    // SAFETY: as the caller promises; the table's runs lie inside the blocks and inside the unit.
    unsafe {
        for u in done..call.units {
            let unit = call.out.add(u * strips.unit_bytes);
            prefetch_next_strip::<I>(
                call,
                (call.first + u) * per_unit * info.block_bytes,
                per_unit * info.block_bytes,
            );
            for slot in 0..per_unit {
                let block = (call.first + u) * per_unit + slot;
                let exists = block < call.blocks;
                // A missing block reads another one, whose scales it does not get.
                let at = block.min(call.blocks - 1) * info.block_bytes;
                for run in *words {
                    repack_words::<I>(
                        &call.data,
                        (at + run.from, info.block_bytes),
                        run,
                        unit.add(run.to + slot * run.count * 64),
                    );
                }
                for pair in *halves {
                    let v = I::gather_word(&call.data, at + pair.from);
                    let v = if exists { v } else { I::splat(0) };
                    if let Some(low) = pair.low {
                        I::store_halves(unit.add(low + 32 * slot), v);
                    }
                    if let Some(high) = pair.high {
                        I::store_halves(unit.add(high + 32 * slot), I::shr(v, 16));
                    }
                }
                if let Some(to) = scale_word {
                    I::store(unit.add(to + 64 * slot), I::gather_word(&call.scales, 4 * block));
                }
            }
        }
    }
}

/// Whether blocks are a half and 16 bytes of codes, which are repacked eight at a time: 144 bytes are two vectors and a
/// quarter of each row, and turning whole vectors costs half of picking words.
pub(super) const fn is_half_and_16_bytes(ty: Option<TensorType>) -> bool {
    matches!(ty, Some(TensorType::Q4_0 | TensorType::IQ4_NL))
}

/// Bytes that eight blocks of 18 bytes have in each row.
pub(super) const EIGHT_BYTES: usize = 144;

/// Repacks as many units as go four at a time, and says how many those were.
///
/// # Safety
/// As [`repack`], for a type of [`is_half_and_16_bytes`].
#[inline(always)]
unsafe fn repack_eights<I: Isa>(call: &Repack) -> usize {
    const UNITS: usize = 4;
    const UNIT_BYTES: usize = 576;
    let mut done = 0;
    while done + UNITS <= call.units && 2 * (call.first + done + UNITS) <= call.blocks {
        let at = (call.first + done) * EIGHT_BYTES / UNITS;
        // SAFETY: as the caller promises; the eight blocks exist, as the condition of the loop says.
        unsafe {
            let next = call.data[0].wrapping_add(call.strip_bytes + ROWS * at);
            I::repack_eight(&call.data, at, call.out.add(done * UNIT_BYTES), next);
        }
        done += UNITS;
    }
    done
}

/// # Safety
/// As [`repack`]: the run's words lie in the rows from byte `at` on, in a block of `block_bytes`; `out` has room for them.
#[inline(always)]
unsafe fn repack_words<I: Isa>(rows: &Rows, (at, block_bytes): (usize, usize), run: &Words, out: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut i = 0;
        while i + 4 <= run.count {
            let vectors = I::gather_words(rows, at + 4 * i);
            for (j, v) in vectors.into_iter().enumerate() {
                I::store(out.add((i + j) * 64), change::<I>(v, run.change));
            }
            i += 4;
        }
        if i < run.count && run.count - i > 1 && block_bytes >= 16 {
            // Two or three words: four are read, as far back as is needed to stay in the block.
            let from = run.from + 4 * i;
            let back = (from + 16).saturating_sub(block_bytes).div_ceil(4);
            let vectors = I::gather_words(rows, at + 4 * i - 4 * back);
            for (j, v) in vectors.into_iter().skip(back).take(run.count - i).enumerate() {
                I::store(out.add((i + j) * 64), change::<I>(v, run.change));
            }
        } else if i < run.count {
            I::store(out.add(i * 64), change::<I>(I::gather_word(rows, at + 4 * i), run.change));
        }
    }
}

/// # Safety
/// As [`Isa`].
#[inline(always)]
unsafe fn change<I: Isa>(v: I::Words, change: Change) -> I::Words {
    // SAFETY: as the caller promises.
    unsafe {
        match change {
            Change::None => v,
            Change::Flip => I::add_bytes(v, I::splat(0x8080_8080)),
            Change::Regroup => {
                let mut out = I::splat(0);
                for j in 0..8 {
                    let nibble = I::and(I::shr(v, 4 * j), I::splat(15));
                    // Bit i to bit 8 i, by four copies that are 7 bits apart.
                    let two = I::or(nibble, I::shl(nibble, 7));
                    let four = I::and(I::or(two, I::shl(two, 14)), I::splat(0x0101_0101));
                    out = I::or(out, I::shl(four, j));
                }
                out
            }
        }
    }
}

/// The rows of the two tables for a type; evaluated at compile time, where a type without rows is an error.
const fn rows_of(ty: Option<TensorType>) -> (&'static Strips, &'static TypeInfo) {
    match ty {
        Some(ty) => match strips(ty) {
            Some(strips) => (strips, ty.info()),
            None => panic!("a type without strips is not repacked"),
        },
        None => panic!("an unpacked form is not repacked"),
    }
}

/// The rows of a strip are 16 streams. While one strip is read, the next is asked for as the one stretch of memory that it
/// is; by then it comes from the cache, in whatever order. `at` and `bytes` are those of the row that is read meanwhile.
///
/// # Safety
/// As [`Isa`]. The addresses need not be readable.
#[inline(always)]
unsafe fn prefetch_next_strip<I: Isa>(call: &Repack, at: usize, bytes: usize) {
    for line in 0..(ROWS * bytes).div_ceil(64) {
        // SAFETY: as the caller promises.
        unsafe { I::prefetch_far(call.data[0].wrapping_add(call.strip_bytes + ROWS * at + 64 * line)) };
    }
}

/// Repacks the units of one call for a floating-point type: values of `SIZE` bytes, which are kept in words as they are or, with
/// `APART`, separated by columns.
///
/// # Safety
/// As [`repack`].
#[inline(always)]
pub(crate) unsafe fn repack_values<I: Isa, const SIZE: usize, const APART: bool>(call: &Repack) {
    // SAFETY: as the caller promises; each word of a row makes 64 bytes of a unit in either form.
    unsafe {
        repack_floats::<I, SIZE>(call, |out, v| {
            if APART {
                I::store_halves(out, v);
                I::store_halves(out.add(32), I::shr(v, 16));
            } else {
                I::store(out, v);
            }
        });
    }
}

/// Values of `SIZE` bytes, by words as long as there are four of them, then one by one.
///
/// # Safety
/// As [`repack`]; `store` writes a vector of words, `64 / SIZE * 4` bytes.
#[inline(always)]
unsafe fn repack_floats<I: Isa, const SIZE: usize>(call: &Repack, store: impl Fn(*mut u8, I::Words)) {
    let per_word = 4 / SIZE;
    // The words of a unit of two columns.
    let words = 2 / per_word;
    let end = call.units * words;
    let first = call.first * words;
    // Whole words in a row; an odd column is left over.
    let whole = call.blocks / per_word;
    // SAFETY: as the caller promises.
    unsafe {
        let mut i = 0;
        while i + 4 <= end && first + i + 4 <= whole {
            prefetch_next_strip::<I>(call, 4 * (first + i), 16);
            for (j, v) in I::gather_words(&call.data, 4 * (first + i)).into_iter().enumerate() {
                store(call.out.add((i + j) * 64), v);
            }
            i += 4;
        }
        while i < end {
            let v = if first + i < whole {
                I::gather_word(&call.data, 4 * (first + i))
            } else if SIZE == 2 && (first + i) * per_word < call.blocks {
                // The last column of an odd number: the half behind it may lie outside of the matrix.
                let mut column = [0_u8; 64];
                for (word, row) in column.as_chunks_mut::<4>().0.iter_mut().zip(&call.data) {
                    word[..2].copy_from_slice(&row.add(4 * (first + i)).cast::<[u8; 2]>().read());
                }
                I::load(column.as_ptr())
            } else {
                I::splat(0)
            };
            store(call.out.add(i * 64), v);
            i += 1;
        }
    }
}
