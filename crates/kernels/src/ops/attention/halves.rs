//! Attention within texts with factors in bf16: queries, keys, values, weights and embedded distances. Scores, what is added to them
//! and softmax stay in single precision.
//!
//! All products are those of [`rounded`](crate::rounded): 32 rows by 32 columns at a time, the right side in strips of 16 columns whose
//! values lie in pairs, `[values / 2][16][2]`.

use super::super::disjoint::Disjoint;
use super::offsets::Pair;
use super::within::{Block, Scored, WithinSpec, Work};
use crate::buffer::AlignedBuf;
use crate::rounded::{BLOCK, Call, Kernel, round_to_pairs as round, to_half};
use std::ops::Range;

/// Values of a step, and columns that a call of a kernel takes.
const STEP: usize = 32;
/// Columns of a strip.
const LANES: usize = 16;
/// Pairs of values in a step of a strip.
const STRIP: usize = STEP / 2 * LANES;

/// Embedded distances of all heads in strips, padded with zeros.
pub(super) struct TableStrips {
    /// `[heads][strips][steps][STRIP]` pairs.
    pairs: Vec<u32>,
    /// Pairs of a head.
    head: usize,
}

impl TableStrips {
    /// From `[heads, dim, stride]`.
    pub(super) fn new(table: &[f32], (heads, dim, stride): (usize, usize, usize)) -> Self {
        let (strips, steps) = (stride.next_multiple_of(STEP) / LANES, dim.div_ceil(STEP));
        let head = strips * steps * STRIP;
        let mut pairs = vec![0; heads * head];
        for (table, to) in table.chunks_exact(dim * stride).zip(pairs.chunks_exact_mut(head)) {
            for (d, row) in table.chunks_exact(stride).enumerate() {
                for (column, x) in row.iter().enumerate() {
                    let at =
                        (column / LANES * steps + d / STEP) * STRIP + d % STEP / 2 * LANES + column % LANES;
                    to[at] |= u32::from(to_half(*x)) << (16 * (d % 2));
                }
            }
        }
        Self { pairs, head }
    }
}

/// Sizes of one task.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    /// Tokens and values of a head, padded to whole steps.
    tokens: usize,
    dim: usize,
    /// Between rows of scores.
    stride: usize,
    pair: Pair,
}

/// A worker's memory. Pairs are two halves.
struct Room<'m> {
    queries: &'m mut [u32],
    /// Keys row by row, and in strips.
    key_rows: &'m mut [u32],
    keys: &'m mut [u32],
    values: &'m mut [u32],
    weights: &'m mut [u32],
    scores: &'m mut [f32],
    by_query: &'m mut [f32],
    by_key: &'m mut [f32],
    sums: &'m mut [f32],
}

impl Sizes {
    fn new(n: usize, spec: &WithinSpec<'_>) -> Self {
        let tokens = n.next_multiple_of(STEP);
        let mut pair = spec.offsets.map_or(Pair::default(), |offsets| offsets.columns(n));
        let end = (pair.first + pair.width).next_multiple_of(STEP);
        pair.first = pair.first / STEP * STEP;
        pair.width = end - pair.first;
        // Apart from powers of two, which share cache sets.
        pair.stride = pair.width + LANES;
        Self { n, tokens, dim: spec.dim.next_multiple_of(STEP), stride: tokens + LANES, pair }
    }

    fn room<'m>(&self, memory: &'m mut AlignedBuf) -> Room<'m> {
        let pairs = self.dim / 2;
        let lens = [
            BLOCK * pairs,
            self.tokens * pairs,
            self.tokens * pairs,
            self.tokens * pairs,
            BLOCK * self.tokens / 2,
            BLOCK * self.stride,
            if self.pair.by_query { BLOCK * self.pair.stride } else { 0 },
            if self.pair.by_key { self.tokens * self.pair.stride } else { 0 },
            BLOCK * self.dim,
        ];
        let total = lens.iter().sum();
        memory.grow(total * size_of::<f32>());
        let (words, floats) = memory.split_words(lens[..5].iter().sum(), total);
        let mut rest = words;
        let [queries, key_rows, keys, values, weights] = std::array::from_fn(|i| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(lens[i]);
            rest = after;
            part
        });
        let mut rest = floats;
        let [scores, by_query, by_key, sums] = std::array::from_fn(|i| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(lens[5 + i]);
            rest = after;
            part
        });
        Room { queries, key_rows, keys, values, weights, scores, by_query, by_key, sums }
    }

    /// Steps over the values of a head.
    fn steps(&self) -> usize {
        self.dim / STEP
    }
}

/// Multiplies rows with two strips.
fn multiply(
    kernel: Kernel,
    (a, a_stride): (&[u32], usize),
    b: &[u32],
    (steps, strip): (usize, usize),
    to: Out<'_>,
) {
    let rows = to.rows.next_multiple_of(LANES);
    assert!(a.len() >= (rows - 1) * a_stride + steps * LANES, "rows of {} pairs", a.len());
    assert!(b.len() >= strip + steps * STRIP, "strips of {} pairs", b.len());
    assert!(to.c.len() >= (rows - 1) * to.stride + STEP, "sums of {} values", to.c.len());
    let call = Call {
        a: a.as_ptr().cast(),
        a_stride: a_stride * 4,
        rows: to.rows,
        b: [b.as_ptr().cast(), b[strip..].as_ptr().cast()],
        b_step: STRIP * 4,
        steps,
        sums: to.c.as_mut_ptr().cast(),
        sums_stride: to.stride * 4,
    };
    // SAFETY: the lengths were checked above: rows and sums up to a multiple of 16, both strips with all steps. The kernel is
    // that of a table which this processor can run.
    unsafe { (kernel.multiply)(&call) };
}

/// Where a product goes: 32 columns of some rows.
struct Out<'a> {
    c: &'a mut [f32],
    stride: usize,
    rows: usize,
}

impl Work<'_> {
    /// One head of one text.
    pub(super) fn run_halves(
        &self,
        (text, head): (&Range<usize>, usize),
        memory: &mut AlignedBuf,
        out: &Disjoint<'_, f32>,
        kernel: Kernel,
    ) {
        let sizes = Sizes::new(text.len(), self.spec);
        let mut room = sizes.room(memory);
        let at = text.start * self.spec.heads * self.spec.dim + head * self.spec.dim;
        self.arrange_halves(&sizes, at, &mut room);
        self.relate_key_halves(&sizes, head, &mut room, kernel);
        for first in (0..sizes.n).step_by(BLOCK) {
            let block = Block { first, rows: BLOCK.min(sizes.n - first), head };
            for row in 0..block.rows {
                let to = &mut room.queries[row * sizes.dim / 2..][..sizes.dim / 2];
                round(self.row(0, at, first + row), to);
            }
            let seen = block.seen(sizes.n, self.spec.window);
            let seen = seen.start / STEP * STEP..seen.end.next_multiple_of(STEP);
            self.score_halves(&sizes, &block, (&seen, kernel), &mut room);
            let (by_query, by_key) = (&*room.by_query, &*room.by_key);
            let scored =
                Scored { scores: room.scores, stride: sizes.stride, pair: sizes.pair, by_query, by_key };
            self.add_distances(sizes.n, &block, scored);
            self.soften((room.scores, sizes.stride), sizes.n, &block);
            self.collect_halves(&sizes, &block, (&seen, kernel), &mut room);
            self.write_halves(&sizes, (&block, text.start), (room.sums, out));
        }
    }

    /// A head of a token's query, key or value.
    fn row(&self, of: usize, at: usize, token: usize) -> &[f32] {
        &self.qkv[of][at + token * self.spec.heads * self.spec.dim..][..self.spec.dim]
    }

    /// Brings keys and values of a head into strips.
    fn arrange_halves(&self, sizes: &Sizes, at: usize, room: &mut Room<'_>) {
        let pairs = sizes.dim / 2;
        for (token, to) in room.key_rows.chunks_exact_mut(pairs).enumerate() {
            if token < sizes.n {
                round(self.row(1, at, token), to);
            } else {
                to.fill(0);
            }
        }
        for (rows, strip) in
            room.key_rows.chunks_exact(LANES * pairs).zip(room.keys.chunks_exact_mut(LANES * pairs))
        {
            // A strip is the transposed rows: `[pairs][LANES]`.
            for (lane, row) in rows.chunks_exact(pairs).enumerate() {
                for (x, to) in row.iter().zip(strip.chunks_exact_mut(LANES)) {
                    to[lane] = *x;
                }
            }
        }
        let strip = sizes.tokens / 2 * LANES;
        for pair in 0..sizes.tokens / 2 {
            let mut rows = room.queries.chunks_exact_mut(pairs);
            let [even, odd] = std::array::from_fn(|i| {
                let (to, token) = (rows.next().unwrap_or_default(), 2 * pair + i);
                round(if token < sizes.n { self.row(2, at, token) } else { &[] }, to);
                &*to
            });
            for (s, values) in room.values.chunks_exact_mut(strip).enumerate() {
                let half = s * LANES / 2..(s + 1) * LANES / 2;
                interleave(&even[half.clone()], &odd[half], &mut values[pair * LANES..][..LANES]);
            }
        }
    }

    /// Products of all keys and the relative positions that queries are embedded at.
    fn relate_key_halves(&self, sizes: &Sizes, head: usize, room: &mut Room<'_>, kernel: Kernel) {
        let Some(offsets) = self.spec.offsets else { return };
        let [_, Some(table)] = offsets.halves() else { return };
        let (pairs, stride) = (sizes.dim / 2, sizes.pair.stride);
        for first in (0..sizes.n).step_by(BLOCK) {
            let rows = BLOCK.min(sizes.n - first);
            let columns = offsets.between(sizes.pair, &(0..sizes.n), &(first..first + rows));
            let a = (&room.key_rows[first * pairs..], pairs);
            let out = &mut room.by_key[first * stride..];
            table.multiply(kernel, a, (head, sizes, columns), Out { c: out, stride, rows });
        }
    }

    /// Products of a block's queries with keys and with relative positions.
    fn score_halves(
        &self,
        sizes: &Sizes,
        block: &Block,
        (seen, kernel): (&Range<usize>, Kernel),
        room: &mut Room<'_>,
    ) {
        let (pairs, stride) = (sizes.dim / 2, sizes.stride);
        for key in seen.clone().step_by(STEP) {
            let out = Out { c: &mut room.scores[key..], stride, rows: block.rows };
            let b = &room.keys[key * pairs..];
            multiply(kernel, (room.queries, pairs), b, (sizes.steps(), LANES * pairs), out);
        }
        let Some(offsets) = self.spec.offsets else { return };
        let [Some(table), _] = offsets.halves() else { return };
        let queries = block.first..block.first + block.rows;
        let columns = offsets.between(sizes.pair, &queries, &block.seen(sizes.n, self.spec.window));
        let out = Out { c: room.by_query, stride: sizes.pair.stride, rows: block.rows };
        table.multiply(kernel, (room.queries, pairs), (block.head, sizes, columns), out);
    }

    /// Sums of values by weight.
    fn collect_halves(
        &self,
        sizes: &Sizes,
        block: &Block,
        (seen, kernel): (&Range<usize>, Kernel),
        room: &mut Room<'_>,
    ) {
        let (pairs, own) = (sizes.tokens / 2, block.seen(sizes.n, self.spec.window));
        for row in 0..block.rows {
            let scores = &mut room.scores[row * sizes.stride..][..sizes.tokens];
            scores[seen.start..own.start].fill(0.0);
            scores[own.end..seen.end].fill(0.0);
            round(&scores[seen.clone()], &mut room.weights[row * pairs + seen.start / 2..][..seen.len() / 2]);
        }
        let strip = pairs * LANES;
        for column in (0..sizes.dim).step_by(STEP) {
            let out = Out { c: &mut room.sums[column..], stride: sizes.dim, rows: block.rows };
            let a = (&room.weights[seen.start / 2..], pairs);
            let b = &room.values[column / LANES * strip + seen.start / 2 * LANES..];
            multiply(kernel, a, b, (seen.len() / STEP, strip), out);
        }
    }

    fn write_halves(
        &self,
        sizes: &Sizes,
        (block, start): (&Block, usize),
        (sums, out): (&[f32], &Disjoint<'_, f32>),
    ) {
        let dim = self.spec.dim;
        for row in 0..block.rows {
            let at = (start + block.first + row) * self.spec.heads + block.head;
            // SAFETY: a head of a token belongs to one task (texts do not overlap, see `check`), which one chunk has.
            let to = unsafe { out.part(at * dim, dim) };
            to.copy_from_slice(&sums[row * sizes.dim..][..dim]);
        }
    }
}

impl TableStrips {
    /// Products of rows with some columns, counted from the pair's first.
    fn multiply(
        &self,
        kernel: Kernel,
        a: (&[u32], usize),
        (head, sizes, columns): (usize, &Sizes, Range<usize>),
        to: Out<'_>,
    ) {
        let strip = sizes.steps() * STRIP;
        let (start, end) = (columns.start / STEP * STEP, columns.end.next_multiple_of(STEP));
        for column in (start..end).step_by(STEP) {
            let first = (sizes.pair.first + column) / LANES * strip;
            let b = &self.pairs[head * self.head..][..self.head][first..];
            let out = Out { c: &mut to.c[column..], stride: to.stride, rows: to.rows };
            multiply(kernel, a, b, (sizes.steps(), strip), out);
        }
    }
}

/// Pairs of the values of two rows, of which each has them in pairs.
fn interleave(even: &[u32], odd: &[u32], to: &mut [u32]) {
    let (to, _) = to.as_chunks_mut::<2>();
    for ((even, odd), to) in even.iter().zip(odd).zip(to) {
        *to = [even & 0xffff | odd << 16, even >> 16 | odd & 0xffff_0000];
    }
}
