//! Attention within texts: every token sees every other, near ones only where there is a window.
//!
//! A task is one head of one text, so a text's result does not depend on what else is in the batch. Keys are transposed and
//! values padded once per task; both products, and those with relative positions, are those of [`tile`](super::tile).

use super::super::disjoint::Disjoint;
use super::offsets::{Offsets, Pair};
use super::tile::{self, Panel, Product, SPAN, Target};
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH};
use crate::rounded::{self, Rounding};
use std::ops::Range;

/// Queries that are worked on together.
const ROWS: usize = 24;

/// How the tokens of a text attend to each other.
#[derive(Clone, Copy, Debug)]
pub struct WithinSpec<'a> {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Values per head.
    pub dim: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Key `j` is visible to query `i` when `|i - j| <= window`.
    pub window: Option<usize>,
    /// What the distance of two tokens adds to their score.
    pub offsets: Option<&'a Offsets>,
    /// Whether the factors of products may be rounded to bf16, where the table in use has instructions for that.
    pub halves: bool,
}

impl Cpu {
    /// Attention among the rows of each text, `texts` being ranges of rows in order: queries, keys and values
    /// `[n, heads * dim]` into `out` of the same shape. Rows of no text stay as they are.
    /// Panics where lengths do not agree, texts overlap, or a text is longer than the offsets reach.
    /// Vaswani et al. 2017, arXiv 1706.03762, eq. 1, without the mask.
    pub fn attend_within(
        &self,
        texts: &[Range<usize>],
        qkv: [&[f32]; 3],
        spec: &WithinSpec<'_>,
        out: &mut [f32],
    ) {
        let work = Work { cpu: self, qkv, spec };
        work.check(texts, out.len());
        let out = Disjoint::new(out);
        let kernel = rounded::kernel(self.kernels, Rounding::Bf16).filter(|_| spec.halves);
        self.for_chunks(texts.len() * spec.heads, &|memory, i| {
            let (text, head) = (&texts[i / spec.heads], i % spec.heads);
            match kernel {
                _ if text.is_empty() => {}
                Some(kernel) => work.run_halves((text, head), memory, &out, kernel),
                None => work.run(text, head, memory, &out),
            }
        });
    }
}

/// A product of attention for the table of kernels.
#[inline(always)]
pub(crate) fn multiply<L: Lanes>(l: L, job: &Product<'_, f32>, to: &mut Target<'_>) {
    tile::product(l, job, to);
}

/// All that a call was given.
pub(super) struct Work<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) qkv: [&'a [f32]; 3],
    pub(super) spec: &'a WithinSpec<'a>,
}

/// Scores of a block of queries, and what distances add to them.
pub(super) struct Scored<'a> {
    /// `[queries, stride]`.
    pub scores: &'a mut [f32],
    pub stride: usize,
    pub pair: Pair,
    /// `[queries, columns]` and `[tokens, columns]`.
    pub by_query: &'a [f32],
    pub by_key: &'a [f32],
}

/// Sizes of one task.
#[derive(Clone, Copy)]
struct Sizes {
    /// Tokens.
    n: usize,
    /// Values between rows of transposed keys and of scores; apart from powers of two, which share cache sets.
    stride: usize,
    /// Values between rows of values.
    v_stride: usize,
    /// Panels of a row of queries.
    panels: usize,
    /// The columns of relative positions that this text needs.
    pair: Pair,
}

/// A worker's memory.
struct Room<'m> {
    keys: &'m mut [f32],
    values: &'m mut [f32],
    /// Rows of the left operand: queries or keys.
    left: &'m mut [Panel],
    weights: &'m mut [Panel],
    scores: &'m mut [f32],
    /// `[queries, columns]` and `[tokens, columns]`.
    by_query: &'m mut [f32],
    by_key: &'m mut [f32],
    sums: &'m mut [f32],
}

impl Sizes {
    fn new(n: usize, spec: &WithinSpec<'_>) -> Self {
        let stride = n.next_multiple_of(WIDTH) + WIDTH;
        let pair = spec.offsets.map_or(Pair::default(), |offsets| offsets.columns(n));
        let (v_stride, panels) = (spec.dim.next_multiple_of(WIDTH), spec.dim.div_ceil(SPAN));
        Self { n, stride, v_stride, panels, pair }
    }

    /// Lays the parts of a worker's memory out.
    fn room<'m>(&self, dim: usize, memory: &'m mut AlignedBuf) -> Room<'m> {
        let lens = [
            self.panels * ROWS * tile::STRIDE,
            ROWS * tile::STRIDE,
            dim * self.stride,
            self.n * self.v_stride,
            ROWS * self.stride,
            if self.pair.by_query { ROWS * self.pair.stride } else { 0 },
            if self.pair.by_key { self.n.next_multiple_of(ROWS) * self.pair.stride } else { 0 },
            ROWS * self.v_stride,
        ];
        let total = lens.iter().sum();
        memory.grow(total * size_of::<f32>());
        let mut rest = memory.as_mut_f32(total);
        let parts = lens.map(|len| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            part
        });
        let [left, weights, keys, values, scores, by_query, by_key, sums] = parts;
        let (left, weights) = (left.as_chunks_mut().0, weights.as_chunks_mut().0);
        Room { keys, values, left, weights, scores, by_query, by_key, sums }
    }
}

impl Work<'_> {
    fn check(&self, texts: &[Range<usize>], out: usize) {
        let width = self.spec.heads * self.spec.dim;
        assert!(width > 0, "attend_within: {} heads of {}", self.spec.heads, self.spec.dim);
        let rows = out / width;
        assert!(
            self.qkv.iter().all(|x| x.len() == rows * width) && out == rows * width,
            "attend_within: shapes"
        );
        let mut end = 0;
        for text in texts {
            assert!(text.start >= end && text.end >= text.start, "attend_within: texts overlap");
            end = text.end;
            if let Some(offsets) = self.spec.offsets {
                offsets.check(text.len(), self.spec.heads, self.spec.dim);
            }
        }
        assert!(end <= rows, "attend_within: a text ends at row {end} of {rows}");
    }

    fn run(&self, text: &Range<usize>, head: usize, memory: &mut AlignedBuf, out: &Disjoint<'_, f32>) {
        let sizes = Sizes::new(text.len(), self.spec);
        let mut room = sizes.room(self.spec.dim, memory);
        let at = text.start * self.spec.heads * self.spec.dim + head * self.spec.dim;
        self.arrange(&sizes, at, &mut room);
        if sizes.pair.by_key {
            self.relate_keys(&sizes, (head, at), &mut room);
        }
        for first in (0..sizes.n).step_by(ROWS) {
            let block = Block { first, rows: ROWS.min(sizes.n - first), head };
            self.gather(self.qkv[0], at, &block, &mut room);
            self.score(&sizes, &block, &mut room);
            self.relate(&sizes, &block, &mut room);
            self.weigh(&sizes, &block, &mut room);
            self.collect(&sizes, &block, &mut room);
            self.write(&sizes, (&block, text.start), (room.sums, out));
        }
    }

    /// Transposes the keys of a head, and brings its values together.
    fn arrange(&self, sizes: &Sizes, at: usize, room: &mut Room<'_>) {
        let (width, dim) = (self.spec.heads * self.spec.dim, self.spec.dim);
        let row = |x: usize, j: usize| &self.qkv[x][at + j * width..][..dim];
        for first in (0..sizes.n).step_by(WIDTH) {
            for j in first..(first + WIDTH).min(sizes.n) {
                for (key, column) in row(1, j).iter().zip(room.keys.chunks_exact_mut(sizes.stride)) {
                    column[j] = *key;
                }
            }
        }
        for column in room.keys.chunks_exact_mut(sizes.stride) {
            column[sizes.n..].fill(0.0);
        }
        for (j, to) in room.values.chunks_exact_mut(sizes.v_stride).enumerate() {
            to[..dim].copy_from_slice(row(2, j));
            to[dim..].fill(0.0);
        }
    }

    /// Copies some rows of a head into panels.
    fn gather(&self, from: &[f32], at: usize, block: &Block, room: &mut Room<'_>) {
        let (width, dim) = (self.spec.heads * self.spec.dim, self.spec.dim);
        for row in 0..block.rows {
            let values = &from[at + (block.first + row) * width..][..dim];
            for (i, part) in values.chunks(SPAN).enumerate() {
                room.left[i * block.rows + row][..part.len()].copy_from_slice(part);
            }
        }
    }

    /// `c = left * b` over the values of a head.
    fn product(&self, rows: usize, left: &[Panel], b: (&[f32], usize, usize), to: &mut Target<'_>) {
        let (b, b_stride, cols) = b;
        for (panel, first) in (0..self.spec.dim).step_by(SPAN).enumerate() {
            let job = Product {
                a: &left[panel * rows..][..rows],
                k: 0..SPAN.min(self.spec.dim - first),
                b: &b[first * b_stride..],
                b_stride,
                cols,
                next: &[],
            };
            (self.cpu.kernels.ops.multiply)(&job, to);
        }
    }

    /// Products of queries and the keys that any of them sees.
    fn score(&self, sizes: &Sizes, block: &Block, room: &mut Room<'_>) {
        let seen = block.seen(sizes.n, self.spec.window);
        let (from, to) = (seen.start / WIDTH * WIDTH, seen.end.next_multiple_of(WIDTH));
        for row in room.scores.chunks_exact_mut(sizes.stride).take(block.rows) {
            row[from..to].fill(0.0);
        }
        let mut target = Target { c: &mut room.scores[from..], stride: sizes.stride };
        self.product(block.rows, room.left, (&room.keys[from..], sizes.stride, to - from), &mut target);
    }

    /// Products of all keys and the relative positions that queries are embedded at.
    fn relate_keys(&self, sizes: &Sizes, (head, at): (usize, usize), room: &mut Room<'_>) {
        let Some(offsets) = self.spec.offsets else { return };
        let Some(table) = offsets.queries(head, sizes.pair) else { return };
        for first in (0..sizes.n).step_by(ROWS) {
            let block = Block { first, rows: ROWS.min(sizes.n - first), head };
            self.gather(self.qkv[1], at, &block, room);
            let rows = &mut room.by_key[first * sizes.pair.stride..][..block.rows * sizes.pair.stride];
            let columns = offsets.between(sizes.pair, &(0..sizes.n), &(first..first + block.rows));
            for row in rows.chunks_exact_mut(sizes.pair.stride) {
                row[columns.clone()].fill(0.0);
            }
            let b = (&table.values[columns.start..], table.stride, columns.len());
            let mut target = Target { c: &mut rows[columns.start..], stride: sizes.pair.stride };
            self.product(block.rows, room.left, b, &mut target);
        }
    }

    /// Products of some queries and the relative positions that keys are embedded at.
    fn relate_queries(&self, sizes: &Sizes, block: &Block, room: &mut Room<'_>) {
        let Some(offsets) = self.spec.offsets else { return };
        let Some(table) = offsets.keys(block.head, sizes.pair) else { return };
        let (seen, stride) = (block.seen(sizes.n, self.spec.window), sizes.pair.stride);
        let columns = offsets.between(sizes.pair, &(block.first..block.first + block.rows), &seen);
        for row in room.by_query.chunks_exact_mut(stride).take(block.rows) {
            row[columns.clone()].fill(0.0);
        }
        let b = (&table.values[columns.start..], table.stride, columns.len());
        let mut target = Target { c: &mut room.by_query[columns.start..], stride };
        self.product(block.rows, room.left, b, &mut target);
    }

    /// Scales the scores and adds what distances add.
    fn relate(&self, sizes: &Sizes, block: &Block, room: &mut Room<'_>) {
        self.relate_queries(sizes, block, room);
        let (by_query, by_key) = (&*room.by_query, &*room.by_key);
        let scored = Scored { scores: room.scores, stride: sizes.stride, pair: sizes.pair, by_query, by_key };
        self.add_distances(sizes.n, block, scored);
    }

    /// Adds what distances add, and scales.
    #[inline(always)]
    pub(super) fn add_distances(&self, n: usize, block: &Block, scored: Scored<'_>) {
        let (pair, scale) = (scored.pair, self.spec.scale);
        for (row, scores) in scored.scores.chunks_exact_mut(scored.stride).take(block.rows).enumerate() {
            let seen = block.seen_by(row, n, self.spec.window);
            let scores = &mut scores[seen.clone()];
            let Some(offsets) = self.spec.offsets else {
                (self.cpu.kernels.ops.scale)(scores, scale);
                continue;
            };
            if pair.by_query {
                let products = &scored.by_query[row * pair.stride..][..pair.width];
                let columns = offsets.rows(block.first + row, &seen);
                let even = offsets.even(block.first + row, &seen);
                let even = even.start - seen.start..even.end - seen.start;
                let mut add = |some: Range<usize>| {
                    for (score, &column) in scores[some.clone()].iter_mut().zip(&columns[some]) {
                        *score += products[column as usize - pair.first];
                    }
                };
                add(0..even.start);
                add(even.end..seen.len());
                if let Some(&column) = columns[even.clone()].first() {
                    let run = &products[column as usize - pair.first..][..even.len()];
                    (self.cpu.kernels.ops.add)(&mut scores[even], run);
                }
            }
            if pair.by_key {
                let keys = scored.by_key[seen.start * pair.stride..].chunks_exact(pair.stride);
                for ((score, key), &column) in
                    scores.iter_mut().zip(keys).zip(offsets.rows(block.first + row, &seen))
                {
                    *score += key[column as usize - pair.first];
                }
            }
            (self.cpu.kernels.ops.scale)(scores, scale);
            if let Some(biases) = offsets.biases(block.head, block.first + row, &seen) {
                (self.cpu.kernels.ops.add)(scores, biases);
            }
        }
    }

    fn weigh(&self, sizes: &Sizes, block: &Block, room: &mut Room<'_>) {
        self.soften((room.scores, sizes.stride), sizes.n, block);
    }

    /// Turns scores into weights that sum to 1.
    pub(super) fn soften(&self, (scores, stride): (&mut [f32], usize), n: usize, block: &Block) {
        let all = block.seen(n, self.spec.window);
        for (row, scores) in scores.chunks_exact_mut(stride).take(block.rows).enumerate() {
            let seen = block.seen_by(row, n, self.spec.window);
            (self.cpu.kernels.ops.softmax)(&mut scores[seen.clone()]);
            scores[all.start..seen.start].fill(0.0);
            scores[seen.end..all.end].fill(0.0);
        }
    }

    /// Sums of values by weight.
    fn collect(&self, sizes: &Sizes, block: &Block, room: &mut Room<'_>) {
        let seen = block.seen(sizes.n, self.spec.window);
        room.sums[..block.rows * sizes.v_stride].fill(0.0);
        for start in seen.clone().step_by(SPAN) {
            let span = start..(start + SPAN).min(seen.end);
            for (row, panel) in room.weights[..block.rows].iter_mut().enumerate() {
                let weights = &room.scores[row * sizes.stride..][span.clone()];
                panel[..span.len()].copy_from_slice(weights);
            }
            let job = Product {
                a: &room.weights[..block.rows],
                k: 0..span.len(),
                b: &room.values[start * sizes.v_stride..],
                b_stride: sizes.v_stride,
                cols: sizes.v_stride,
                next: &[],
            };
            (self.cpu.kernels.ops.multiply)(&job, &mut Target { c: room.sums, stride: sizes.v_stride });
        }
    }

    fn write(
        &self,
        sizes: &Sizes,
        (block, start): (&Block, usize),
        (sums, out): (&[f32], &Disjoint<'_, f32>),
    ) {
        for row in 0..block.rows {
            let at = (start + block.first + row) * self.spec.heads + block.head;
            // SAFETY: a head of a token belongs to one task (texts do not overlap, see `check`), which one chunk has.
            let to = unsafe { out.part(at * self.spec.dim, self.spec.dim) };
            to.copy_from_slice(&sums[row * sizes.v_stride..][..self.spec.dim]);
        }
    }
}

/// Some queries of a text and the head that they belong to.
pub(super) struct Block {
    pub first: usize,
    pub rows: usize,
    pub head: usize,
}

impl Block {
    /// The keys that query number `row` of the block sees.
    pub(super) fn seen_by(&self, row: usize, n: usize, window: Option<usize>) -> Range<usize> {
        let i = self.first + row;
        window.map_or(0..n, |w| i.saturating_sub(w)..n.min(i.saturating_add(w).saturating_add(1)))
    }

    /// The keys that any of the queries sees.
    pub(super) fn seen(&self, n: usize, window: Option<usize>) -> Range<usize> {
        self.seen_by(0, n, window).start..self.seen_by(self.rows - 1, n, window).end
    }
}
