//! Activations in the forms that the kernels read.
//!
//! Tokens are grouped into panels of about equal width, none wider than the table's tiles. A panel holds its tokens
//! interleaved: of 32 columns (8-bit form) or one (single precision) the first token's, the second's, ..., so that a tile
//! walks through memory in a straight line. Columns are padded with zeros to a multiple of 256, the longest unit of weights.

use super::ActNeeds;
use super::isa::{Isa, PANEL_SLACK};
use super::tile::Panel;
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use std::ops::Range;

/// Columns are padded to a multiple of this.
const PAD: usize = 256;
/// Columns that share a scale.
pub(crate) const BLOCK: usize = 32;
const HALF: usize = BLOCK / 2;

/// Activations `[n, cols]` in the forms that the kernels read. Made once, refilled by [`Cpu::prepare`] without allocation.
///
/// The 8-bit form has a scale per 32 values, `amax / 127`, codes rounded to nearest; values below 1e-36 in a block without
/// greater ones count as zero, and a value that is not finite makes the scale of its block not finite. Where pairs are needed,
/// each token has two rows of that form, of which the second holds what rounding left over in the first.
pub struct Activations {
    needs: ActNeeds,
    n: usize,
    cols: usize,
    /// Where the groups of rows end, one after the other.
    ends: Vec<usize>,
    /// Values there is room for, rows padded.
    room: usize,
    codes: AlignedBuf,
    scales: AlignedBuf,
    offsets: [AlignedBuf; 2],
    sums: [AlignedBuf; 2],
    values: AlignedBuf,
    halves: AlignedBuf,
}

/// Tokens whose sums a worker keeps at a time; panels do not cross their multiples.
pub(crate) const TOKENS: usize = 512;

/// How tokens are cut into panels no wider than `widest`: each [`TOKENS`] of them, and the rest, into equal parts.
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    n: usize,
    widest: usize,
}

impl Panels {
    pub(crate) fn new(n: usize, widest: usize) -> Self {
        Self { n, widest }
    }

    pub(crate) fn count(self) -> usize {
        self.n / TOKENS * TOKENS.div_ceil(self.widest) + (self.n % TOKENS).div_ceil(self.widest)
    }

    /// The tokens of panel `p`.
    pub(crate) fn tokens(self, p: usize) -> Range<usize> {
        let per_run = TOKENS.div_ceil(self.widest);
        let start = p / per_run * TOKENS;
        let len = (self.n - start).min(TOKENS);
        let (part, parts) = (p % per_run, len.div_ceil(self.widest));
        start + len * part / parts..start + len * (part + 1) / parts
    }
}

impl Activations {
    /// Room for up to `max_tokens` rows of up to `max_cols` values in the forms of `needs`.
    /// Panics where that is more than the address space holds.
    pub fn new(max_tokens: usize, max_cols: usize, needs: ActNeeds) -> Self {
        let padded = max_cols.checked_next_multiple_of(PAD);
        let room = padded
            .and_then(|cols| cols.checked_mul(max_tokens))
            .filter(|room| *room < isize::MAX as usize / 4);
        let room = room.unwrap_or_else(|| panic!("no room for {max_tokens} x {max_cols} activations"));
        let codes = if needs.codes { room.saturating_mul(needs.code_rows()) } else { 0 };
        let values = if needs.values || needs.halves { room } else { 0 };
        let halves = if needs.halves { room + PANEL_SLACK * BLOCK } else { 0 };
        let plane = |per: usize| AlignedBuf::zeroed((codes / per + PANEL_SLACK) * size_of::<f32>());
        Self {
            needs: ActNeeds::default(),
            n: 0,
            cols: 0,
            ends: Vec::new(),
            room,
            codes: AlignedBuf::zeroed(codes + PANEL_SLACK * BLOCK),
            scales: plane(BLOCK),
            offsets: [plane(BLOCK), plane(HALF)],
            sums: [plane(BLOCK), plane(HALF)],
            values: AlignedBuf::zeroed(values * size_of::<f32>()),
            halves: AlignedBuf::zeroed(halves * 2 * size_of::<u16>()),
        }
    }

    /// Rows and columns of the last [`Cpu::prepare`].
    pub fn shape(&self) -> (usize, usize) {
        (self.n, self.cols)
    }

    /// Whether the last [`Cpu::prepare_groups`] had these rows in a group of their own.
    pub(crate) fn has_group(&self, rows: &Range<usize>) -> bool {
        match self.ends.binary_search(&rows.end) {
            Ok(i) => rows.start == if i == 0 { 0 } else { self.ends[i - 1] },
            Err(_) => false,
        }
    }

    /// The forms that the last [`Cpu::prepare`] made.
    pub(crate) fn has(&self) -> ActNeeds {
        self.needs
    }

    /// The panel of `tokens` from column `col` (a multiple of 32) on.
    pub(crate) fn panel(&self, tokens: Range<usize>, col: usize) -> Panel {
        let width = tokens.len();
        let start = tokens.start * self.cols.next_multiple_of(PAD) + col * width;
        Panel {
            width,
            codes: self.codes.as_ptr().cast::<i8>().wrapping_add(start),
            scales: self.scales.as_ptr().cast::<f32>().wrapping_add(start / BLOCK),
            offsets: [
                self.offsets[0].as_ptr().cast::<i32>().wrapping_add(start / BLOCK),
                self.offsets[1].as_ptr().cast::<i32>().wrapping_add(start / HALF),
            ],
            sums: [
                self.sums[0].as_ptr().cast::<f32>().wrapping_add(start / BLOCK),
                self.sums[1].as_ptr().cast::<f32>().wrapping_add(start / HALF),
            ],
            values: self.values.as_ptr().cast::<f32>().wrapping_add(start),
            halves: self.halves.as_ptr().cast::<u16>().wrapping_add(2 * start),
        }
    }
}

impl Cpu {
    /// Puts `x`, `[n, cols]` row-major, into the forms of `needs`.
    /// Panics where `x` is not whole rows, or `out` has no room for it or was not made for these forms.
    pub fn prepare(&self, x: &[f32], cols: usize, needs: ActNeeds, out: &mut Activations) {
        let n = x.len().checked_div(cols).unwrap_or(0);
        self.prepare_groups(x, (cols, &[n]), needs, out);
    }

    /// As [`Cpu::prepare`], for rows that are multiplied group by group, each group by matrices of its own: group `g` ends
    /// before row `ends[g]`. No group is empty, unless there are no rows.
    /// Panics as `prepare`, and where the ends do not rise up to the number of rows.
    pub fn prepare_groups(
        &self,
        x: &[f32],
        (cols, ends): (usize, &[usize]),
        needs: ActNeeds,
        out: &mut Activations,
    ) {
        let table = &self.kernels.matmul;
        let needs = needs.with_matrix(table.matrix);
        let n = x.len().checked_div(cols).unwrap_or(0);
        let padded = cols.next_multiple_of(PAD);
        assert!(n * cols == x.len(), "{} activations are not rows of {cols}", x.len());
        assert!(n * padded <= out.room, "activations were made with less room than {n} x {cols}");
        let rows = n * needs.code_rows();
        assert!(
            !needs.codes || rows * padded + PANEL_SLACK * BLOCK <= out.codes.len(),
            "activations were made without codes"
        );
        assert!(!needs.values || n * padded * 4 <= out.values.len(), "activations were made without values");
        let pairs = (n * padded + PANEL_SLACK * BLOCK) * 2 * size_of::<u16>();
        assert!(!needs.halves || pairs <= out.halves.len(), "activations were made without pairs of bf16");
        let rising = ends.windows(2).all(|w| w[0] < w[1]) && (n == 0 || ends.first() != Some(&0));
        assert!(rising && ends.last() == Some(&n), "{n} rows in groups that end at {ends:?}");
        (out.n, out.cols, out.needs) = (n, cols, needs);
        out.ends.clear();
        out.ends.extend_from_slice(ends);
        if needs.codes {
            self.for_panels((&out.ends, needs.code_rows()), table.int_width, &|tokens| {
                let rows = CodeRows { x, cols, first: tokens.start, pairs: needs.pairs };
                // SAFETY: the panel lies in the planes, whose room was checked, and belongs to this call alone; the table
                // is one that this processor can run.
                unsafe { (table.quantise)(&rows, &out.panel(tokens, 0)) }
            });
        }
        if needs.halves {
            self.for_panels((&out.ends, 1), table.int_width, &|tokens| {
                let rows = &x[tokens.start * cols..tokens.end * cols];
                // SAFETY: as above.
                unsafe { (table.halve)(rows, cols, &out.panel(tokens, 0)) }
            });
        }
        if needs.values {
            self.for_panels((&out.ends, 1), table.float_width, &|tokens| {
                let rows = &x[tokens.start * cols..tokens.end * cols];
                // SAFETY: as above.
                unsafe { interleave(rows, cols, &out.panel(tokens, 0)) }
            });
        }
    }

    /// Calls `f` with the rows of each panel of each group, `each` rows for a token.
    fn for_panels(&self, (ends, each): (&[usize], usize), widest: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
        let groups =
            || std::iter::once(&0).chain(ends).zip(ends).map(|(start, end)| start * each..end * each);
        let panels = |rows: &Range<usize>| Panels::new(rows.len(), widest);
        let total = groups().map(|rows| panels(&rows).count()).sum();
        self.pool().for_chunks(total, &|_, mut p| {
            for rows in groups() {
                let group = panels(&rows);
                if p < group.count() {
                    let part = group.tokens(p);
                    return f(rows.start + part.start..rows.start + part.end);
                }
                p -= group.count();
            }
        });
    }
}

/// Where the rows of a panel of codes come from.
pub(crate) struct CodeRows<'a> {
    /// All activations, `[n, cols]`.
    pub(crate) x: &'a [f32],
    pub(crate) cols: usize,
    /// The panel's first row of codes.
    pub(crate) first: usize,
    /// Whether odd rows are what rounding left over in the even ones.
    pub(crate) pairs: bool,
}

impl<'a> CodeRows<'a> {
    /// The activations of row `t` of the panel, and whether its codes are those of what is left over.
    #[inline(always)]
    fn row(&self, t: usize) -> (&'a [f32], bool) {
        let row = self.first + t;
        let (token, left) = if self.pairs { (row / 2, row % 2 == 1) } else { (row, false) };
        (&self.x[token * self.cols..(token + 1) * self.cols], left)
    }
}

/// Rows that are quantised side by side.
const TEAM: usize = 8;

/// Writes the 8-bit form of `rows` to the panel. Inlined, so that it takes on its caller's instruction set.
///
/// # Safety
/// The processor has the instruction set. The panel's integer planes must have room for its rows with the columns padded, and nobody
/// else may use them meanwhile.
#[inline(always)]
pub(crate) unsafe fn quantise<I: Isa>(rows: &CodeRows<'_>, panel: &Panel) {
    let cols = rows.cols;
    let whole = cols / BLOCK;
    // Some rows side by side, for they share lines of the planes; not more than lie in the first cache at distances of pages.
    for first in (0..panel.width).step_by(TEAM) {
        for b in 0..cols.next_multiple_of(PAD) / BLOCK {
            for t in first..panel.width.min(first + TEAM) {
                let (row, left) = rows.row(t);
                let (blocks, rest) = row.as_chunks::<BLOCK>();
                // SAFETY: block `b` of token `t` is inside the planes, be it in the padding.
                unsafe {
                    if b < whole {
                        write_block(&quantise_half::<I>(&blocks[b], left), panel, (b, t));
                    } else {
                        let mut block = [0.0; BLOCK];
                        if b == whole {
                            block[..rest.len()].copy_from_slice(rest);
                        }
                        write_block(&quantise_half::<I>(&block, left), panel, (b, t));
                    }
                }
            }
        }
    }
}

/// The block of `x`, or that of what its rounding leaves over.
///
/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn quantise_half<I: Isa>(x: &[f32; BLOCK], left: bool) -> Block {
    // SAFETY: as the caller promises.
    let block = unsafe { I::quantise_block(x) };
    if !left {
        return block;
    }
    let mut rest = [0.0; BLOCK];
    for i in 0..BLOCK {
        rest[i] = x[i] - block.scale * f32::from(block.codes[i]);
    }
    // SAFETY: as the caller promises.
    unsafe { I::quantise_block(&rest) }
}

/// The 8-bit form of 32 values.
pub(crate) struct Block {
    pub(crate) codes: [i8; BLOCK],
    pub(crate) scale: f32,
    /// Of the codes of each half.
    pub(crate) sums: [i32; 2],
}

/// The scale of a block with this greatest magnitude, and what its values are multiplied by.
#[inline(always)]
pub(crate) fn factors(most: f32) -> (f32, f32) {
    if most < 1e-36 { (0.0, 0.0) } else { (most / 127.0, 127.0 / most) }
}

/// The block of `x` by the compiler's choice of instructions.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "loops by index become vector code here, chains of iterators do not"
)]
pub(crate) fn quantise_block(x: &[f32; BLOCK]) -> Block {
    // Compared as integers, NaN is the greatest of all, so that it is not lost.
    let mut bits = 0;
    for i in 0..BLOCK {
        bits = (x[i].to_bits() & 0x7fff_ffff).max(bits);
    }
    let (scale, inverse) = factors(f32::from_bits(bits));
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    let mut codes = [0; BLOCK];
    let mut sums = [0; 2];
    for half in 0..2 {
        let mut words = [0; HALF];
        for i in 0..HALF {
            let shifted = x[half * HALF + i] * inverse + ROUND;
            let word = shifted.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
            words[i] = if word > 127 { 127 } else { word };
        }
        for i in 0..HALF {
            words[i] = if words[i] < -127 { -127 } else { words[i] };
        }
        for i in 0..HALF {
            sums[half] += words[i];
        }
        for i in 0..HALF {
            codes[half * HALF + i] = words[i] as i8;
        }
    }
    Block { codes, scale, sums }
}

/// Writes block `b` of token `t`.
///
/// # Safety
/// The block must exist in the panel's planes.
#[inline(always)]
unsafe fn write_block(block: &Block, panel: &Panel, (b, t): (usize, usize)) {
    let width = panel.width;
    let [low, high] = block.sums;
    let at = b * width + t;
    // SAFETY: as the caller promises; the planes of halves have two entries per block and token.
    unsafe {
        panel.codes.cast_mut().add(at * BLOCK).cast::<[i8; BLOCK]>().write(block.codes);
        panel.scales.cast_mut().add(at).write(block.scale);
        panel.offsets[0].cast_mut().add(at).write(-128 * (low + high));
        panel.sums[0].cast_mut().add(at).write(block.scale * (low + high) as f32);
        for half in 0..2 {
            let at = (2 * b + half) * width + t;
            panel.offsets[1].cast_mut().add(at).write(-128 * block.sums[half]);
            panel.sums[1].cast_mut().add(at).write(block.scale * block.sums[half] as f32);
        }
    }
}

/// Writes `rows`, `[panel.width, cols]`, as the nearest bf16 and the one nearest to what that leaves over. Inlined as [`quantise`].
///
/// # Safety
/// As [`quantise`], for the plane of pairs; `rows` must have `panel.width * cols` values.
#[inline(always)]
pub(crate) unsafe fn halve(rows: &[f32], cols: usize, panel: &Panel) {
    let width = panel.width;
    for (t, row) in rows.chunks_exact(cols.max(1)).enumerate() {
        let (blocks, rest) = row.as_chunks::<BLOCK>();
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let last = if rest.is_empty() { None } else { Some(&last) };
        let all = blocks.iter().chain(last).chain(std::iter::repeat(&[0.0; BLOCK]));
        for (b, block) in all.take(cols.next_multiple_of(PAD) / BLOCK).enumerate() {
            let (high, low) = pair_of_halves(block);
            // SAFETY: block `b` of token `t` is inside the plane, be it in the padding.
            unsafe {
                let to = panel.halves.cast_mut().add((2 * b * width + t) * BLOCK);
                to.cast::<[u16; BLOCK]>().write(high);
                to.add(width * BLOCK).cast::<[u16; BLOCK]>().write(low);
            }
        }
    }
}

#[inline(always)]
fn pair_of_halves(x: &[f32; BLOCK]) -> ([u16; BLOCK], [u16; BLOCK]) {
    let (mut high, mut low) = ([0; BLOCK], [0; BLOCK]);
    for i in 0..BLOCK {
        let near = nearest_half(x[i].to_bits());
        let rest = x[i] - f32::from_bits(near << 16);
        high[i] = near as u16;
        // Nothing is left over of infinity; what is no number says so in the first half already.
        low[i] = if x[i].abs() < f32::MAX { nearest_half(rest.to_bits()) as u16 } else { 0 };
    }
    (high, low)
}

/// The bits of the nearest bf16, ties to even; of what is no number, one that is none either.
#[inline(always)]
fn nearest_half(bits: u32) -> u32 {
    let rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    if bits & 0x7fff_ffff > 0x7f80_0000 { bits >> 16 | 0x40 } else { rounded }
}

/// Writes the single-precision form of `rows`, `[panel.width, cols]`.
///
/// # Safety
/// As [`quantise`], for the plane of values; `rows` must have `panel.width * cols` values.
unsafe fn interleave(rows: &[f32], cols: usize, panel: &Panel) {
    let values = panel.values.cast_mut();
    let width = panel.width;
    if width == 1 {
        // SAFETY: one token's columns lie in one piece in both.
        unsafe { values.copy_from_nonoverlapping(rows.as_ptr(), cols) };
    }
    // Columns outside, so that what is written is one line after another.
    let first = if width == 1 { cols } else { 0 };
    for c in first..cols {
        for t in 0..width {
            // SAFETY: column `c` of token `t` is inside the plane and the rows.
            unsafe { values.add(c * width + t).write(*rows.get_unchecked(t * cols + c)) };
        }
    }
    for i in cols * width..cols.next_multiple_of(PAD) * width {
        // SAFETY: as above, in the padding.
        unsafe { values.add(i).write(0.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{available, by_name};

    /// Blocks of every kind: noise, zeros, numbers that count as zero, ties between two codes, one that outweighs all others.
    fn blocks() -> Vec<f32> {
        let mut state = 1_u32;
        let mut noise = |size: f32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * size
        };
        let mut x: Vec<f32> = (0..BLOCK * 64).map(|i| noise(10_f32.powi((i / BLOCK) as i32 - 37))).collect();
        x.extend([0.0; BLOCK]);
        x.extend((0..BLOCK).map(|i| (i as f32 - 15.5) * if i % 2 == 0 { 1.0 } else { -1.0 }));
        x.extend((0..BLOCK).map(|i| if i == 0 { -127.0 } else { i as f32 + 0.5 }));
        x.extend((0..BLOCK).map(|i| if i == 31 { f32::MAX } else { f32::MIN_POSITIVE }));
        // Not a whole block.
        x.extend((0..19).map(|i| i as f32));
        x
    }

    /// All that is written for each row of codes: codes and scale of each block, offsets and sums of it and of its halves.
    fn written(table: &'static crate::Kernels, x: &[f32], (cols, pairs): (usize, bool)) -> Vec<Vec<u32>> {
        let needs = ActNeeds { codes: true, pairs, ..ActNeeds::default() };
        let n = x.len() / cols;
        let mut acts = Activations::new(n, cols, needs);
        Cpu::new(table, 1).prepare(x, cols, needs, &mut acts);
        let panels = Panels::new(n * needs.code_rows(), table.matmul.int_width);
        let tokens = (0..panels.count()).map(|p| panels.tokens(p));
        tokens
            .flat_map(|tokens| rows_of(&acts.panel(tokens, 0), cols.next_multiple_of(PAD) / BLOCK))
            .collect()
    }

    fn rows_of(panel: &Panel, blocks: usize) -> Vec<Vec<u32>> {
        let row = |t: usize| {
            let block = |b: usize| {
                let (at, halves) = (b * panel.width + t, [0, 1].map(|half| (2 * b + half) * panel.width + t));
                // SAFETY: the blocks of this row lie in the planes.
                unsafe {
                    let codes = panel.codes.add(at * BLOCK).cast::<[u32; BLOCK / 4]>().read_unaligned();
                    let one = [
                        panel.scales.add(at).cast(),
                        panel.offsets[0].add(at).cast(),
                        panel.sums[0].add(at).cast(),
                    ];
                    let two =
                        halves.map(|at| [panel.offsets[1].add(at).cast(), panel.sums[1].add(at).cast()]);
                    let words =
                        one.into_iter().chain(two.into_iter().flatten()).map(|p: *const u32| p.read());
                    codes.into_iter().chain(words).collect::<Vec<_>>()
                }
            };
            (0..blocks).flat_map(block).collect()
        };
        (0..panel.width).map(row).collect()
    }

    /// Rows beside others and alone, whole ones and pairs: as the portable table, which takes each alone.
    #[test]
    fn every_table_quantises_to_the_same_bits() {
        let (x, scalar) = (blocks(), by_name("scalar").expect("there is always one"));
        for cols in [x.len(), 352, 64, 31] {
            for n in [1, 2, 4, 5, 6, 15, 16, 17, 32, 45].into_iter().filter(|n| n * cols <= 20 * x.len()) {
                let rows: Vec<f32> = x.iter().cycle().take(n * cols).copied().collect();
                for pairs in [false, true] {
                    let wanted = written(scalar, &rows, (cols, pairs));
                    for table in available() {
                        let found = written(table, &rows, (cols, pairs));
                        assert!(found == wanted, "{}, {n} x {cols}, pairs: {pairs}", table.name);
                    }
                }
            }
        }
    }
}
