//! Mixtures of experts: rows go to the experts that were chosen for them, together with all others of the same expert,
//! and come back as a weighted sum.

use super::stack::{Grouped, On};
use super::{CpuDevice, apply_norm};
use crate::DeviceError;
use crate::experts::{Experts, Gating, SigmoidGate};
use crate::ops::{Store, VectorId};
use crate::routing::Choice;
use torchless_kernels::{Floats, WeightedRow};

/// Memory of routed units, kept from step to step.
#[derive(Default)]
pub(super) struct Routed {
    choices: Vec<Choice>,
    room: Floats,
    /// For each expert how many rows it has, then where its next one goes.
    places: Vec<usize>,
    /// Which row of the input lies at each place.
    rows: Vec<u32>,
    /// Where the results of a row lie, in the order of its choice.
    terms: Vec<WeightedRow>,
    x: Floats,
    gate: Floats,
    up: Floats,
    y: Floats,
}

impl Routed {
    /// Chooses experts for each row of `scores`.
    fn choose(
        &mut self,
        op: &Experts,
        scores: &mut [f32],
        (bias, factors): (Option<&[f32]>, Option<&[f32]>),
    ) {
        let (experts, chosen) = (op.routing.experts, op.routing.chosen);
        self.choices.resize(op.rows * chosen, Choice::default());
        let room = self.room.room(experts);
        for (scores, out) in scores.chunks_exact_mut(experts).zip(self.choices.chunks_exact_mut(chosen)) {
            op.routing.choose(scores, bias, room, out);
            if let Some(factors) = factors {
                out.iter_mut().for_each(|c| c.weight *= factors[c.expert as usize]);
            }
        }
    }

    /// Puts the choices in the order of experts; rows of one expert keep their order.
    fn group(&mut self, experts: usize, chosen: usize, grouped: &mut Grouped) {
        self.places.clear();
        self.places.resize(experts, 0);
        self.choices.iter().for_each(|c| self.places[c.expert as usize] += 1);
        grouped.groups.clear();
        let mut start = 0;
        for (expert, place) in self.places.iter_mut().enumerate() {
            let len = std::mem::replace(place, start);
            grouped.groups.push(expert, len);
            start += len;
        }
        self.rows.resize(self.choices.len(), 0);
        self.terms.clear();
        for (i, choice) in self.choices.iter().enumerate() {
            let place = &mut self.places[choice.expert as usize];
            self.rows[*place] = (i / chosen) as u32;
            self.terms.push(WeightedRow { row: *place as u32, factor: choice.weight });
            *place += 1;
        }
    }
}

impl CpuDevice {
    fn values(&self, id: Option<VectorId>) -> Option<&[f32]> {
        id.map(|id| self.vectors.get(id))
    }

    pub(super) fn run_experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        let mut scores = self.take(op.scores);
        let mut routed = std::mem::take(&mut self.routed);
        let experts = op.routing.experts;
        let vectors = (self.values(op.bias), self.values(op.factors));
        routed.choose(op, &mut scores[..op.rows * experts], vectors);
        self.give(op.scores, scores);
        routed.group(experts, op.routing.chosen, &mut self.grouped);
        self.gather(op, &mut routed);
        let done = self.run_units(op, &mut routed);
        if done.is_ok() {
            let (mut out, width) = (self.take(op.out), self.buf(op.out).width);
            let sum = &mut out[..op.rows * width];
            if op.store == Store::Set {
                sum.fill(0.0);
            }
            self.cpu.add_weighted_rows(&routed.y[..routed.terms.len() * width], width, &routed.terms, sum);
            self.give(op.out, out);
        }
        self.routed = routed;
        done
    }

    /// Brings the rows, optionally normed, into the order of experts.
    fn gather(&mut self, op: &Experts, routed: &mut Routed) {
        let Some(scratch) = &mut self.scratch else { return };
        let buffer = &self.buffers[op.input.0 as usize];
        let (width, mut x) = (buffer.width, &buffer.data[..op.rows * buffer.width]);
        if let Some(norm) = &op.norm {
            let normed = scratch.normed.room(op.rows * width);
            apply_norm(&self.cpu, norm, &self.vectors, (x, width), normed);
            x = normed;
        }
        let out = routed.x.room(routed.rows.len() * width);
        self.cpu.gather_rows(x, width, &routed.rows, out);
    }

    fn run_units(&mut self, op: &Experts, routed: &mut Routed) -> Result<(), DeviceError> {
        let stack = |linear: &crate::experts::ExpertLinear| &self.stacks[linear.stack.0 as usize];
        let bias = |linear: &crate::experts::ExpertLinear| linear.bias.map(|b| self.vectors.get(b));
        let Routed { rows, x, gate, up, y, .. } = routed;
        let n = rows.len();
        let (dim, hidden) = (stack(&op.gate).cols, stack(&op.gate).rows);
        let x = &x[..n * dim];
        for (linear, out) in [(&op.gate, &mut *gate), (&op.up, &mut *up)] {
            let out = out.room(n * hidden);
            let on = On {
                cpu: &self.cpu,
                stream: &mut self.stream,
                precision: self.precision,
                seen: self.seen.by.as_mut(),
            };
            self.grouped.product(on, (stack(linear), bias(linear)), x, out)?;
        }
        let (gate, up) = (&mut gate[..n * hidden], &up[..n * hidden]);
        match op.gating {
            Gating::Plain(act) => self.cpu.glu(act, gate, up),
            Gating::Clamped { alpha, limit } => self.cpu.clamped_glu((alpha, limit), gate, up),
        }
        let on = On {
            cpu: &self.cpu,
            stream: &mut self.stream,
            precision: self.precision,
            seen: self.seen.by.as_mut(),
        };
        let out = y.room(n * stack(&op.down).rows);
        self.grouped.product(on, (stack(&op.down), bias(&op.down)), gate, out)
    }

    pub(super) fn run_sigmoid_gate(&mut self, op: &SigmoidGate) {
        let mut data = self.take(op.buf);
        let (gate, width) = (self.buf(op.gate), self.buf(op.buf).width);
        self.cpu.sigmoid_gate(&mut data[..op.rows * width], &gate.data[..op.rows * gate.width]);
        self.give(op.buf, data);
    }
}
