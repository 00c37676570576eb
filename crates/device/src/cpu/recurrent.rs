//! What recurrent layers keep of each sequence, and linear attention over it.

use super::{CpuDevice, Step};
use crate::DeviceError;
use crate::ops::StateId;
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::slots::Slots;
use torchless_base::SeqId;
use torchless_kernels::{Activation, DeltaGate, Floats, RowNorm};

/// States of all recurrent layers.
#[derive(Default)]
pub(super) struct States {
    layers: Vec<Layer>,
    slots: Slots,
    /// The slots of the step's slices.
    step: Vec<usize>,
    /// Memory of ops.
    work: Work,
}

struct Layer {
    shape: StateShape,
    /// By slot: `[history | heads' matrices]`.
    states: Vec<Vec<f32>>,
}

#[derive(Default)]
struct Work {
    convolved: Floats,
    gates: Vec<DeltaGate>,
    sums: Floats,
}

impl States {
    /// Finds the state of each slice, empty ones for sequences at their start.
    ///
    /// # Errors
    /// A sequence goes on at another position than its state has reached.
    pub(super) fn begin(&mut self, step: &Step) -> Result<(), DeviceError> {
        self.step.clear();
        if self.layers.is_empty() {
            return Ok(());
        }
        self.slots.begin();
        for part in step.parts() {
            let slot = self.slots.enter(part.seq, part.start, part.rows.len())?;
            self.make_states();
            if slot.is_new {
                self.layers.iter_mut().for_each(|layer| layer.states[slot.index].fill(0.0));
            }
            self.step.push(slot.index);
        }
        Ok(())
    }

    /// Memory for all slots.
    fn make_states(&mut self) {
        for layer in &mut self.layers {
            let len = layer.shape.len();
            layer.states.resize_with(self.slots.made(), || vec![0.0; len]);
        }
    }

    /// Notes how far the step's sequences are.
    pub(super) fn end(&mut self) {
        self.slots.end();
    }

    pub(super) fn fork(&mut self, from: SeqId, to: SeqId) {
        let Some((from, to)) = self.slots.fork(from, to) else { return };
        self.make_states();
        for layer in &mut self.layers {
            if let Ok([from, to]) = layer.states.get_disjoint_mut([from, to]) {
                to.copy_from_slice(from);
            }
        }
    }

    pub(super) fn rewind(&mut self, seq: SeqId, len: usize) -> usize {
        if self.layers.is_empty() { len } else { self.slots.rewind(seq, len) }
    }

    pub(super) fn forget(&mut self, seq: SeqId) {
        self.slots.forget(seq);
    }
}

impl CpuDevice {
    pub(super) fn make_state(&mut self, shape: &StateShape) -> StateId {
        self.states.layers.push(Layer { shape: *shape, states: Vec::new() });
        StateId(self.states.layers.len() as u32 - 1)
    }

    pub(super) fn run_split(&mut self, op: &Split<'_>) {
        let width = self.buf(op.input).width;
        let head = width / op.heads;
        let mut from = 0;
        for part in op.parts {
            let (mut out, out_width) = (self.take(part.out), self.buf(part.out).width);
            let input = &self.buf(op.input).data[..op.rows * width];
            for (row, out) in input.chunks_exact(width).zip(out.chunks_exact_mut(out_width)) {
                let to = out[part.at..].chunks_exact_mut(part.width);
                for (head, to) in row.chunks_exact(head).zip(to) {
                    to.copy_from_slice(&head[from..from + part.width]);
                }
            }
            from += part.width;
            self.give(part.out, out);
        }
    }

    pub(super) fn run_delta_net(&mut self, op: &DeltaNet) {
        let mut states = std::mem::take(&mut self.states);
        let Layer { shape, states: slots } = &mut states.layers[op.state.0 as usize];
        let (delta, work) = (shape.delta, &mut states.work);
        let n = self.step.tokens.len();
        let (width, out_width) = (delta.qkv_width(), delta.value_heads * delta.value_dim);
        self.delta_gates(op, n * delta.value_heads, &mut work.gates);
        let qkv = &self.buffers[op.qkv.0 as usize].data[..n * width];
        let conv = self.vectors.get(op.conv);
        let convolved = work.convolved.room(n * width);
        let sums = work.sums.room(n * out_width);
        for (part, &slot) in self.step.parts().iter().zip(&states.step) {
            let (history, state) = slots[slot].split_at_mut(shape.history_len());
            let rows = part.rows.start * width..part.rows.end * width;
            self.cpu.causal_conv(&qkv[rows.clone()], conv, history, &mut convolved[rows.clone()]);
            self.cpu.activate(Activation::Silu, &mut convolved[rows.clone()]);
            let gates = &work.gates[part.rows.start * delta.value_heads..part.rows.end * delta.value_heads];
            let out = &mut sums[part.rows.start * out_width..part.rows.end * out_width];
            self.cpu.delta_rule(&delta, &convolved[rows], gates, state, out);
        }
        let (mut out, mut z) = (self.take(op.out), self.take(op.z));
        let normed = &mut out[..n * out_width];
        self.cpu.rms_norm(sums, &RowNorm::whole(self.vectors.get(op.norm.0), op.norm.1), normed);
        let z_rows = &mut z[..n * out_width];
        self.cpu.glu(Activation::Silu, z_rows, normed);
        normed.copy_from_slice(z_rows);
        self.give(op.z, z);
        self.give(op.out, out);
        self.states = states;
    }

    fn delta_gates(&self, op: &DeltaNet, len: usize, out: &mut Vec<DeltaGate>) {
        let (rate, shift) = (self.vectors.get(op.rate), self.vectors.get(op.shift));
        let (alpha, beta) = (&self.buf(op.alpha).data[..len], &self.buf(op.beta).data[..len]);
        out.clear();
        out.extend(alpha.iter().zip(beta).enumerate().map(|(i, (alpha, beta))| {
            let head = i % rate.len();
            let x = alpha + shift[head];
            let softplus = if x > 20.0 { x } else { x.exp().ln_1p() };
            DeltaGate { decay: (rate[head] * softplus).exp(), beta: 1.0 / (1.0 + (-beta).exp()) }
        }));
    }
}
