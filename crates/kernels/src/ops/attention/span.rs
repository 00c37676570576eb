//! Attention of a few queries to the keys of one span of positions.
//!
//! Spans are fixed stretches of a sequence. Each gives a maximum, a sum of exponentials and a weighted sum of values; these
//! are merged in order of position. So a query's result depends neither on the queries beside it nor on who worked on
//! which span.

use super::kv::{Element, KvLayer, KvShape, KvType, KvValues};
use super::packed;
use super::tile::{Panel, Product, SPAN, STRIDE, Target, product};
use crate::lanes::{Lanes, WIDTH, math};
use crate::ops::softmax::shift;
use crate::ops::table::OpsTable;
use std::cmp::Ordering;
use std::ops::Range;

/// Queries of one key head, and a span.
pub(crate) struct SpanJob<'a> {
    pub layer: &'a KvLayer,
    pub blocks: &'a [u32],
    pub kv_head: usize,
    /// The first position of the span, a multiple of [`SPAN`].
    pub start: usize,
    /// Position of the first query; the others follow.
    pub position: usize,
    pub queries: usize,
    /// Rows per query: heads that share the key head.
    pub heads: usize,
    /// The queries, `[k_dim / SPAN rounded up][queries][heads]`.
    pub q: &'a [Panel],
    pub scale: f32,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
}

/// For each row the largest score, the sum of exponentials and the weighted sum of values, padded to whole registers.
/// A row that has seen no key has the sum 0.
pub(crate) struct Partial<'a> {
    pub max: &'a mut [f32],
    pub sum: &'a mut [f32],
    pub values: &'a mut [f32],
}

impl<'a> Partial<'a> {
    /// Values that a partial result of `rows` rows takes.
    pub(super) fn len(rows: usize, v_stride: usize) -> usize {
        rows * (2 + v_stride)
    }

    /// Lays a partial result over `memory` of at least [`Partial::len`] values.
    pub(super) fn over(memory: &'a mut [f32], rows: usize, v_stride: usize) -> Self {
        let (max, rest) = memory.split_at_mut(rows);
        let (sum, rest) = rest.split_at_mut(rows);
        Self { max, sum, values: &mut rest[..rows * v_stride] }
    }

    /// Nothing seen.
    pub(super) fn clear(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.values.fill(0.0);
    }
}

impl SpanJob<'_> {
    /// The positions that query `i` sees: from itself back to the beginning or to the edge of the window.
    fn visible(&self, i: usize) -> Range<usize> {
        let end = self.position + i + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Those of them in this span, counted from its start.
    fn visible_here(&self, i: usize) -> Range<usize> {
        let seen = self.visible(i);
        let end = seen.end.saturating_sub(self.start).min(SPAN);
        seen.start.saturating_sub(self.start).min(end)..end
    }

    /// The positions that any query sees in this span.
    fn touched(&self) -> Range<usize> {
        self.visible_here(0).start..self.visible_here(self.queries - 1).end
    }

    /// Which head of which block the next span begins with, if there is one.
    fn unit_after(&self) -> Option<usize> {
        let position = self.start + SPAN;
        (position < self.position + self.queries).then(|| {
            self.blocks[position / self.layer.shape().block_len] as usize * self.layer.shape().kv_heads
                + self.kv_head
        })
    }

    /// Cuts what the queries see of a run into pieces: first what each sees alone before the keys that all see, then what all
    /// see, then what each sees alone after it. In this order each query meets its keys in order of position.
    fn piece(&self, run: &Run, piece: usize) -> (Range<usize>, Range<usize>) {
        let seen = |i: usize| {
            let Range { start, end } = self.visible_here(i);
            let end = end.clamp(run.at, run.at + run.len);
            start.clamp(run.at, end)..end
        };
        let all = 0..self.queries;
        // The first query sees the smallest end, the last one the largest start.
        let common = seen(all.end - 1).start..seen(0).end;
        let query = |i: usize| i..i + 1;
        match piece.cmp(&all.end) {
            _ if common.is_empty() && piece >= all.end => (all, 0..0),
            _ if common.is_empty() => (query(piece), seen(piece)),
            Ordering::Less => (query(piece), seen(piece).start..common.start),
            Ordering::Equal => (all, common),
            Ordering::Greater => (query(piece - all.end - 1), common.end..seen(piece - all.end - 1).end),
        }
    }

    /// The stretches of blocks that hold the positions `range` of the span.
    fn runs(&self, range: Range<usize>) -> impl Iterator<Item = Run> + Clone {
        let KvShape { block_len, kv_heads, .. } = *self.layer.shape();
        let (start, blocks, kv_head) = (self.start, self.blocks, self.kv_head);
        let mut at = range.start;
        std::iter::from_fn(move || {
            let position = start + at;
            let offset = position % block_len;
            let len = (block_len - offset).min(range.end.saturating_sub(at));
            (len > 0).then(|| {
                let run =
                    Run { at, len, offset, unit: blocks[position / block_len] as usize * kv_heads + kv_head };
                at += len;
                run
            })
        })
    }
}

/// Consecutive positions inside one block.
#[derive(Clone, Copy)]
struct Run {
    /// The first position, counted from the start of the span.
    at: usize,
    len: usize,
    /// The first position, counted from the start of the block.
    offset: usize,
    /// Which head of which block.
    unit: usize,
}

impl OpsTable {
    /// Computes the partial result of a span, from a cache of this type. A function each: all in one took minutes to compile.
    pub(super) fn span(&self, dtype: KvType) -> SpanFunction {
        match dtype {
            KvType::F16 => self.span_f16,
            KvType::F32 => self.span_f32,
            KvType::Bf16 => self.span_bf16,
            KvType::Q8_0 => self.span_q8_0,
            KvType::Q4_0 => self.span_q4_0,
        }
    }
}

/// The job; a panel for each row; room for what has to be taken out of keys or codes; what comes out.
pub(super) type SpanFunction = fn(&SpanJob<'_>, &mut [Panel], &mut [f32], &mut Partial<'_>);

/// As [`span`] for keys and values in codes, of which `rooms` takes one head of a block in single precision at a time.
#[inline(always)]
pub(crate) fn span_of_codes<L: Lanes, const BITS: usize>(
    l: L,
    job: &SpanJob<'_>,
    scores: &mut [Panel],
    rooms: &mut [f32],
    out: &mut Partial<'_>,
) {
    out.clear();
    let shape = *job.layer.shape();
    let (keys, values) = rooms.split_at_mut(shape.laid_out_keys());
    for run in job.runs(clear(job, scores)) {
        let positions = run.offset..run.offset + run.len;
        packed::decode_keys::<L, BITS>(l, job.layer, (run.unit, positions), keys);
        score_run(l, job, &run, (&*keys, &[]), scores);
    }
    weigh_all(l, job, scores, out);
    for run in job.runs(job.touched()) {
        let positions = run.offset..run.offset + run.len;
        match shape.values {
            KvValues::Own => {
                packed::decode_values::<L, BITS>(l, job.layer, (run.unit, positions), values);
                let from = run.offset * shape.v_stride();
                weigh_run(l, job, &run, (&values[from..], &[]), (scores, out.values));
            }
            KvValues::InKeys => {
                let groups = positions.start / WIDTH * WIDTH..positions.end.next_multiple_of(WIDTH);
                packed::decode_keys::<L, BITS>(l, job.layer, (run.unit, groups), keys);
                let from = values_of_keys(l, &shape, &run, (&*keys, &mut *values));
                weigh_run(l, job, &run, (&values[from..], &[]), (scores, out.values));
            }
        }
    }
}

/// Computes the partial result of a span. `scores` has a panel for each row; `rows` has room for the values of a block where
/// the cache has them in its keys.
#[inline(always)]
pub(crate) fn span<L: Lanes, E: Element>(
    l: L,
    job: &SpanJob<'_>,
    scores: &mut [Panel],
    rows: &mut [f32],
    out: &mut Partial<'_>,
) {
    out.clear();
    let (keys, values) = job.layer.planes::<E>();
    score(l, job, (keys, values), scores);
    weigh_all(l, job, scores, out);
    match job.layer.shape().values {
        KvValues::Own => collect(l, job, (keys, values), scores, out.values),
        KvValues::InKeys => collect_from_keys(l, job, (keys, rows), scores, out.values),
    }
}

/// Products of queries and keys.
#[inline(always)]
fn score<L: Lanes, E: Element>(l: L, job: &SpanJob<'_>, (keys, values): (&[E], &[E]), scores: &mut [Panel]) {
    let (head_len, v_len) = job.layer.shape().head_lens();
    let first_value = job.runs(job.touched()).next().and_then(|run| values.get(run.unit * v_len..));
    let mut runs = job.runs(clear(job, scores));
    while let Some(run) = runs.next() {
        let next = runs.clone().next().map(|next| &keys[next.unit * head_len + next.offset..]);
        let next = next.or(first_value).unwrap_or(&[]);
        score_run(l, job, &run, (&keys[run.unit * head_len..][..head_len], next), scores);
    }
}

/// Sets the scores to zero that will be computed. Lanes are keys, so these are whole groups of them; those that a query does not
/// see are masked by [`weigh`].
#[inline(always)]
fn clear(job: &SpanJob<'_>, scores: &mut [Panel]) -> Range<usize> {
    let touched = job.touched();
    let groups = touched.start / WIDTH * WIDTH..touched.end.next_multiple_of(WIDTH);
    for row in scores {
        row[groups.clone()].fill(0.0);
    }
    groups
}

/// Products of queries and the keys of a run, which lie in `head`; `next` is what will be read after them.
#[inline(always)]
fn score_run<L: Lanes, E: Element>(
    l: L,
    job: &SpanJob<'_>,
    run: &Run,
    (head, next): (&[E], &[E]),
    scores: &mut [Panel],
) {
    let shape = *job.layer.shape();
    let rows = job.queries * job.heads;
    for (panel, first) in (0..shape.k_dim).step_by(SPAN).enumerate() {
        let product_of = Product {
            a: &job.q[panel * rows..][..rows],
            k: 0..SPAN.min(shape.k_dim - first),
            b: &head[first * shape.block_len + run.offset..],
            b_stride: shape.block_len,
            cols: run.len,
            next,
        };
        let c = &mut scores.as_flattened_mut()[run.at..];
        product(l, &product_of, &mut Target { c, stride: STRIDE });
    }
}

/// Turns all scores into weights.
#[inline(always)]
fn weigh_all<L: Lanes>(l: L, job: &SpanJob<'_>, scores: &mut [Panel], out: &mut Partial<'_>) {
    for (row, scores) in scores.iter_mut().enumerate() {
        (out.max[row], out.sum[row]) = weigh(l, job, job.visible_here(row / job.heads), scores);
    }
}

/// Turns the scores of a row into weights; returns the largest score and the sum of the weights.
#[inline(always)]
fn weigh<L: Lanes>(l: L, job: &SpanJob<'_>, visible: Range<usize>, row: &mut Panel) -> (f32, f32) {
    if visible.is_empty() {
        return (f32::NEG_INFINITY, 0.0);
    }
    let groups = visible.start / WIDTH..visible.end.div_ceil(WIDTH);
    let (before, after) = (groups.start * WIDTH..visible.start, visible.end..groups.end * WIDTH);
    let (scale, cap) = (l.splat(job.scale), job.softcap.map(|cap| l.splat(cap)));
    for group in &mut row.as_chunks_mut::<WIDTH>().0[groups.clone()] {
        let mut x = l.mul(l.load(group), scale);
        if let Some(cap) = cap {
            x = l.mul(cap, math::tanh(l, l.div(x, cap)));
        }
        l.store(x, group);
    }
    row[before].fill(f32::NEG_INFINITY);
    row[after].fill(f32::NEG_INFINITY);
    let (first, groups) = (groups.start, &mut row.as_chunks_mut::<WIDTH>().0[groups]);
    let mut max = l.splat(f32::NEG_INFINITY);
    for group in &*groups {
        max = l.max(l.load(group), max);
    }
    let max = l.reduce_max(max);
    let shift = l.splat(shift(max));
    let mut sum = l.zero();
    let last = groups.len() - 1;
    for (i, group) in groups.iter_mut().enumerate() {
        let (x, at) = (l.load(group), (first + i) * WIDTH);
        let weight = if i == 0 || i == last {
            edge_weight(l, x, shift, (&visible, at))
        } else {
            math::exp(l, l.sub(x, shift))
        };
        sum = l.add(sum, weight);
        l.store(weight, group);
    }
    (max, l.reduce_sum(sum))
}

/// The weights of scores that begin at `at`, of which some may not be `visible`. Those are left out of the exponential: what is too
/// small for a float takes the processor longer than a row of others.
#[inline(always)]
fn edge_weight<L: Lanes>(l: L, x: L::V, shift: L::V, (visible, at): (&Range<usize>, usize)) -> L::V {
    let lane = l.load(&std::array::from_fn(|i| i as f32));
    let start = l.splat(visible.start.saturating_sub(at) as f32);
    let end = l.splat((visible.end - at) as f32);
    let seen = |x, other| l.select_lt(lane, start, other, l.select_lt(lane, end, x, other));
    seen(math::exp(l, l.sub(seen(x, shift), shift)), l.zero())
}

/// Sums of values by weight. Keys that only some queries see are left to these, so that what a query does not see cannot
/// reach it, not even as 0 times infinity.
#[inline(always)]
fn collect<L: Lanes, E: Element>(
    l: L,
    job: &SpanJob<'_>,
    (keys, values): (&[E], &[E]),
    weights: &[Panel],
    out: &mut [f32],
) {
    let shape = *job.layer.shape();
    let (k_len, head_len) = shape.head_lens();
    let stride = shape.v_stride();
    let next_key = job.unit_after().map_or(&[][..], |unit| &keys[unit * k_len..]);
    let mut runs = job.runs(job.touched());
    while let Some(run) = runs.next() {
        let next = runs.clone().next().map_or(next_key, |next| &values[next.unit * head_len..]);
        let head = &values[run.unit * head_len..][..head_len];
        weigh_run(l, job, &run, (&head[run.offset * stride..], next), (weights, out));
    }
}

/// As [`collect`] where values are the ends of keys: those of a run are first laid out position by position.
#[inline(always)]
fn collect_from_keys<L: Lanes, E: Element>(
    l: L,
    job: &SpanJob<'_>,
    (keys, rows): (&[E], &mut [f32]),
    weights: &[Panel],
    out: &mut [f32],
) {
    let shape = *job.layer.shape();
    let (head_len, _) = shape.head_lens();
    for run in job.runs(job.touched()) {
        let from = values_of_keys(l, &shape, &run, (&keys[run.unit * head_len..][..head_len], &mut *rows));
        weigh_run(l, job, &run, (&rows[from..], &[]), (weights, &mut *out));
    }
}

/// Lays the values that are the ends of a run's keys out position by position; says where in `rows` the first one begins.
#[inline(always)]
fn values_of_keys<L: Lanes, E: Element>(
    l: L,
    shape: &KvShape,
    run: &Run,
    (head, rows): (&[E], &mut [f32]),
) -> usize {
    let stride = shape.v_stride();
    let values = &head[(shape.k_dim - shape.v_dim) * shape.block_len..];
    let first = run.offset / WIDTH;
    let end = (run.offset + run.len).div_ceil(WIDTH);
    for (dim, values) in values.chunks_exact(shape.block_len).enumerate() {
        let groups = &values.as_chunks::<WIDTH>().0[first..end];
        for (group, rows) in groups.iter().zip(rows.chunks_exact_mut(WIDTH * stride)) {
            let lanes = l.to_array(E::load(l, group));
            for (value, row) in lanes.iter().zip(rows.chunks_exact_mut(stride)) {
                row[dim] = *value;
            }
        }
    }
    (run.offset - first * WIDTH) * stride
}

/// Adds the values of a run, `values`, by weight; `next` is what will be read after them.
#[inline(always)]
fn weigh_run<L: Lanes, E: Element>(
    l: L,
    job: &SpanJob<'_>,
    run: &Run,
    (values, next): (&[E], &[E]),
    (weights, out): (&[Panel], &mut [f32]),
) {
    let stride = job.layer.shape().v_stride();
    for piece in 0..2 * job.queries + 1 {
        let (queries, at) = job.piece(run, piece);
        if at.is_empty() {
            continue;
        }
        let rows = queries.start * job.heads..queries.end * job.heads;
        let product_of = Product {
            a: &weights[rows.clone()],
            k: at.clone(),
            b: &values[(at.start - run.at) * stride..],
            b_stride: stride,
            cols: stride,
            next,
        };
        let c = &mut out[rows.start * stride..rows.end * stride];
        product(l, &product_of, &mut Target { c, stride });
    }
}

/// Adds the partial result of a later span.
#[inline(always)]
pub(crate) fn merge<L: Lanes>(l: L, into: &mut Partial<'_>, from: &Partial<'_>) {
    let rows = into.sum.len();
    let stride = into.values.len() / rows;
    for row in 0..rows {
        if from.sum[row] == 0.0 {
            continue;
        }
        let (a, b) = (into.max[row], from.max[row]);
        if into.sum[row] == 0.0 && b.is_finite() {
            (into.max[row], into.sum[row]) = (b, from.sum[row]);
            into.values[row * stride..][..stride].copy_from_slice(&from.values[row * stride..][..stride]);
            continue;
        }
        let max = if a > b { a } else { b };
        let (fa, fb) = (decay(l, a, max), decay(l, b, max));
        into.max[row] = max;
        into.sum[row] = into.sum[row] * fa + from.sum[row] * fb;
        let (to, _) = into.values[row * stride..][..stride].as_chunks_mut::<WIDTH>();
        let (add, _) = from.values[row * stride..][..stride].as_chunks::<WIDTH>();
        let (fa, fb) = (l.splat(fa), l.splat(fb));
        for (to, add) in to.iter_mut().zip(add) {
            l.store(l.fma(l.load(add), fb, l.mul(l.load(to), fa)), to);
        }
    }
}

/// By how much a sum relative to `max` shrinks when `new` is the largest score.
#[inline(always)]
fn decay<L: Lanes>(l: L, max: f32, new: f32) -> f32 {
    l.to_array(math::exp(l, l.splat(max - shift(new))))[0]
}

/// Divides by the sums: `out` takes row `row`. A `sink` takes part in the sum only.
#[inline(always)]
pub(crate) fn finish<L: Lanes>(l: L, partial: &Partial<'_>, row: usize, sink: Option<f32>, out: &mut [f32]) {
    let (max, sum) = (partial.max[row], partial.sum[row]);
    let (sum, factor) = match sink {
        None => (sum, 1.0),
        Some(sink) => {
            let new = if max > sink { max } else { sink };
            let factor = decay(l, max, new);
            (sum * factor + decay(l, sink, new), factor)
        }
    };
    let stride = partial.values.len() / partial.sum.len();
    let values = &partial.values[row * stride..][..out.len()];
    // Nothing seen, as in a window of length 0, gives zeros.
    let factor = if sum == 0.0 { 0.0 } else { factor / sum };
    for (out, value) in out.iter_mut().zip(values) {
        *out = value * factor;
    }
}
