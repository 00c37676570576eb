//! Causal attention over a cache of blocks.
//!
//! A task is a few queries of one sequence with the heads that share one key head: up to [`ROWS`] rows that meet each key
//! and value together. Where there are fewer tasks than workers, their spans of positions are shared out as well; the
//! merging is the same either way.

mod halves;
mod kv;
mod offsets;
mod packed;
mod span;
mod tile;
mod within;

use super::disjoint::Disjoint;
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use std::ops::Range;
use std::sync::PoisonError;
use tile::SPAN;

pub(crate) use kv::Bf16;
pub use kv::{KvLayer, KvShape, KvShapeError, KvSlice, KvType, KvValues};
pub use offsets::{DistanceRows, Offsets};
pub(crate) use span::{Partial, SpanJob, finish, merge, span, span_of_codes};
pub(crate) use tile::{Panel, Product, Target};
pub use within::WithinSpec;
pub(crate) use within::multiply;

/// Rows of a task.
const ROWS: usize = 24;

/// How queries attend.
#[derive(Clone, Copy, Debug)]
pub struct AttendSpec<'a> {
    /// Query heads: a multiple of the heads of keys. Consecutive query heads share one.
    pub heads: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// A query sees this many positions, its own included; all earlier ones where there is none.
    pub window: Option<usize>,
    /// `cap * tanh(score / cap)` in place of the scores.
    pub softcap: Option<f32>,
    /// For each head the logit of a key without a value.
    pub sinks: Option<&'a [f32]>,
}

impl Cpu {
    /// Attention of the step's queries `q`, `[n, heads * k_dim]`, to the cached positions of their sequences up to their own,
    /// into `out`, `[n, heads * v_dim]`; [`Cpu::kv_append`] goes first. Slices come in the order of their rows; rows that
    /// belong to none stay as they are.
    /// Panics where lengths do not agree, slices overlap or positions lie outside of the blocks.
    /// Vaswani et al. 2017, arXiv 1706.03762, eq. 1; the running maximum is that of Milakov & Gimelshein 2018,
    /// arXiv 1805.02867.
    #[expect(clippy::too_many_arguments, reason = "five and the receiver")]
    pub fn attend(
        &self,
        layer: &KvLayer,
        slices: &[KvSlice<'_>],
        q: &[f32],
        spec: &AttendSpec<'_>,
        out: &mut [f32],
    ) {
        let work = Work { cpu: self, layer, slices, q, spec };
        work.check(out.len());
        let out = Disjoint::new(out);
        let (tasks, spans) = (work.tasks(), work.spans());
        if tasks < 2 * self.workers() && self.workers() > 1 && spans > 1 {
            return work.by_span(tasks, spans, &out);
        }
        self.for_chunks(tasks, &|memory, i| {
            let task = work.task(i);
            let mut scratch = work.scratch(memory);
            work.gather(&task, scratch.panels.q);
            let mut total = Partial::over(scratch.total, task.rows(), work.v_stride());
            total.clear();
            for span in task.spans(spec.window) {
                let mut part = Partial::over(scratch.part, task.rows(), work.v_stride());
                work.run(&task, span, &mut scratch.panels, &mut part);
                (self.kernels.ops.merge)(&mut total, &part);
            }
            work.write(&task, &total, &out);
        });
    }
}

/// All that a call of [`Cpu::attend`] was given.
struct Work<'a> {
    cpu: &'a Cpu,
    layer: &'a KvLayer,
    slices: &'a [KvSlice<'a>],
    q: &'a [f32],
    spec: &'a AttendSpec<'a>,
}

/// Queries and heads that are worked on together.
struct Task<'a> {
    slice: &'a KvSlice<'a>,
    kv_head: usize,
    /// The first query head, and how many.
    head: usize,
    heads: usize,
    /// The first query of the slice, and how many.
    query: usize,
    queries: usize,
}

impl Task<'_> {
    fn rows(&self) -> usize {
        self.queries * self.heads
    }

    fn position(&self) -> usize {
        self.slice.start_pos + self.query
    }

    /// The spans that the queries see.
    fn spans(&self, window: Option<usize>) -> Range<usize> {
        let first = window.map_or(0, |window| (self.position() + 1).saturating_sub(window));
        first / SPAN..(self.position() + self.queries).div_ceil(SPAN)
    }
}

/// The queries of a task and their scores.
struct Panels<'a> {
    q: &'a mut [Panel],
    scores: &'a mut [Panel],
    /// Keys of a block where the cache has codes, and its values, position by position, where it has those or keys alone.
    values: &'a mut [f32],
}

/// A worker's memory.
struct Scratch<'a> {
    panels: Panels<'a>,
    total: &'a mut [f32],
    part: &'a mut [f32],
}

impl<'a> Work<'a> {
    fn check(&self, out: usize) {
        let shape = self.layer.shape();
        let AttendSpec { heads, sinks, .. } = *self.spec;
        assert!(heads > 0 && heads.is_multiple_of(shape.kv_heads), "{heads} heads over {shape:?}");
        assert!(sinks.is_none_or(|sinks| sinks.len() == heads), "attend: a sink for each of {heads} heads");
        let rows = self.q.len() / (heads * shape.k_dim);
        let want = (rows * heads * shape.k_dim, rows * heads * shape.v_dim);
        assert_eq!((self.q.len(), out), want, "attend: queries and output");
        self.slices.iter().for_each(|slice| slice.check(shape, rows));
        let ordered = self.slices.windows(2).all(|w| w[0].first_row + w[0].n_tokens <= w[1].first_row);
        assert!(ordered, "attend: slices overlap or are out of order");
    }

    fn v_stride(&self) -> usize {
        self.layer.shape().v_stride()
    }

    /// Query heads per head of keys.
    fn group(&self) -> usize {
        self.spec.heads / self.layer.shape().kv_heads
    }

    fn heads_per_task(&self) -> usize {
        self.group().min(ROWS)
    }

    fn queries_per_task(&self) -> usize {
        ROWS / self.heads_per_task()
    }

    fn tasks_of(&self, slice: &KvSlice<'_>) -> usize {
        let columns = self.layer.shape().kv_heads * self.group().div_ceil(self.heads_per_task());
        columns * slice.n_tokens.div_ceil(self.queries_per_task())
    }

    fn tasks(&self) -> usize {
        self.slices.iter().map(|slice| self.tasks_of(slice)).sum()
    }

    /// An upper bound of the spans of a task.
    fn spans(&self) -> usize {
        let ends = self.slices.iter().map(|slice| slice.start_pos + slice.n_tokens);
        ends.max().unwrap_or(0).div_ceil(SPAN)
    }

    /// Task number `i`, slice after slice, one key head after the other.
    fn task(&self, mut i: usize) -> Task<'a> {
        let mut slices = self.slices;
        while i >= self.tasks_of(&slices[0]) {
            i -= self.tasks_of(&slices[0]);
            slices = &slices[1..];
        }
        let slice = &slices[0];
        let (per_task, group) = (self.queries_per_task(), self.group());
        let tiles = slice.n_tokens.div_ceil(per_task);
        let parts = group.div_ceil(self.heads_per_task());
        let (column, query) = (i / tiles, i % tiles * per_task);
        let in_group = column % parts * self.heads_per_task();
        Task {
            slice,
            kv_head: column / parts,
            head: column / parts * group + in_group,
            heads: self.heads_per_task().min(group - in_group),
            query,
            queries: per_task.min(slice.n_tokens - query),
        }
    }

    /// Lays the parts of a worker's memory out.
    fn scratch<'m>(&self, memory: &'m mut AlignedBuf) -> Scratch<'m> {
        let q = self.layer.shape().k_dim.div_ceil(SPAN) * ROWS;
        let partial = Partial::len(ROWS, self.v_stride());
        let values = self.layer.shape().laid_out_keys() + self.layer.shape().laid_out_values();
        let len = (q + ROWS) * tile::STRIDE + 2 * partial + values;
        memory.grow(len * size_of::<f32>());
        let (panels, rest) = memory.as_mut_f32(len).split_at_mut((q + ROWS) * tile::STRIDE);
        let (q, scores) = panels.as_chunks_mut().0.split_at_mut(q);
        let (partials, values) = rest.split_at_mut(2 * partial);
        let (total, part) = partials.split_at_mut(partial);
        Scratch { panels: Panels { q, scores, values }, total, part }
    }

    /// Copies the queries of a task into panels.
    fn gather(&self, task: &Task<'_>, panels: &mut [Panel]) {
        let k_dim = self.layer.shape().k_dim;
        for row in 0..task.rows() {
            let token = task.slice.first_row + task.query + row / task.heads;
            let head = task.head + row % task.heads;
            let from = &self.q[(token * self.spec.heads + head) * k_dim..][..k_dim];
            for (i, part) in from.chunks(SPAN).enumerate() {
                panels[i * task.rows() + row][..part.len()].copy_from_slice(part);
            }
        }
    }

    /// The partial result of one span.
    fn run(&self, task: &Task<'_>, span: usize, panels: &mut Panels<'_>, out: &mut Partial<'_>) {
        let job = SpanJob {
            layer: self.layer,
            blocks: task.slice.blocks,
            kv_head: task.kv_head,
            start: span * SPAN,
            position: task.position(),
            queries: task.queries,
            heads: task.heads,
            q: panels.q,
            scale: self.spec.scale,
            window: self.spec.window,
            softcap: self.spec.softcap,
        };
        self.cpu.kernels.ops.span(self.layer.shape().dtype)(
            &job,
            &mut panels.scores[..task.rows()],
            panels.values,
            out,
        );
    }

    /// Writes the results of a task to their places.
    fn write(&self, task: &Task<'_>, total: &Partial<'_>, out: &Disjoint<'_, f32>) {
        let v_dim = self.layer.shape().v_dim;
        for row in 0..task.rows() {
            let token = task.slice.first_row + task.query + row / task.heads;
            let head = task.head + row % task.heads;
            let sink = self.spec.sinks.map(|sinks| sinks[head]);
            // SAFETY: a head of a token belongs to one task (slices do not overlap, see `check`), which one chunk has.
            let out = unsafe { out.part((token * self.spec.heads + head) * v_dim, v_dim) };
            (self.cpu.kernels.ops.finish)(total, row, sink, out);
        }
    }

    /// Shares out the spans of all tasks, then merges.
    fn by_span(&self, tasks: usize, spans: usize, out: &Disjoint<'_, f32>) {
        let stride = self.v_stride();
        let rows = (0..tasks).map(|i| self.task(i).rows()).max().unwrap_or(0);
        let len = Partial::len(rows, stride);
        let mut memory = self.cpu.shared.lock().unwrap_or_else(PoisonError::into_inner);
        memory.grow(tasks * spans * len * size_of::<f32>());
        let parts = Disjoint::new(memory.as_mut_f32(tasks * spans * len));
        self.cpu.for_chunks(tasks * spans, &|memory, unit| {
            let (task, span) = (self.task(unit / spans), unit % spans);
            if task.spans(self.spec.window).contains(&span) {
                let mut scratch = self.scratch(memory);
                self.gather(&task, scratch.panels.q);
                // SAFETY: each unit has a part of its own.
                let part = unsafe { parts.part(unit * len, len) };
                let mut part = Partial::over(part, task.rows(), stride);
                self.run(&task, span, &mut scratch.panels, &mut part);
            }
        });
        self.cpu.for_chunks(tasks, &|memory, i| {
            let task = self.task(i);
            let mut total = Partial::over(self.scratch(memory).total, task.rows(), stride);
            total.clear();
            for span in task.spans(self.spec.window) {
                // SAFETY: the spans of a task are merged by the one chunk that has it, one after the other.
                let part = unsafe { parts.part((i * spans + span) * len, len) };
                (self.cpu.kernels.ops.merge)(&mut total, &Partial::over(part, task.rows(), stride));
            }
            self.write(&task, &total, out);
        });
    }
}
