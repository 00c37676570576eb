//! What recurrent layers keep of each sequence, and linear attention over it.

use super::queue::{Args, Grid};
use super::{GpuDevice, Rows, number};
use crate::driver::{MemoryId, Place};
use torchless_base::{SeqId, StepPlan};
use torchless_device::{
    Activation, DeltaNet, DeviceError, HeadSharing, MemoryUse, Norm, NormKind, Slots, StateId, StateShape,
};

/// Threads of a group that walks a head's state.
const THREADS: usize = 64;

/// States of all recurrent layers.
#[derive(Default)]
pub(super) struct States {
    layers: Vec<Layer>,
    slots: Slots,
    /// Slots that there is memory for.
    room: usize,
}

#[derive(Clone, Copy)]
struct Layer {
    shape: StateShape,
    memory: Option<MemoryId>,
}

impl Layer {
    fn bytes(&self) -> u64 {
        self.shape.len() as u64 * 4
    }
}

impl States {
    pub(super) fn add(&mut self, shape: &StateShape) -> StateId {
        self.layers.push(Layer { shape: *shape, memory: None });
        StateId(self.layers.len() as u32 - 1)
    }

    pub(super) fn end(&mut self) {
        self.slots.end();
    }

    pub(super) fn rewind(&mut self, seq: SeqId, len: usize) -> usize {
        if self.layers.is_empty() { len } else { self.slots.rewind(seq, len) }
    }

    pub(super) fn forget(&mut self, seq: SeqId) {
        self.slots.forget(seq);
    }
}

impl GpuDevice {
    /// Finds the state of each slice, empty ones for sequences at their start.
    pub(super) fn begin_states(&mut self, plan: &StepPlan) -> Result<(), DeviceError> {
        if self.states.layers.is_empty() {
            return Ok(());
        }
        self.states.slots.begin();
        for (n, slice) in plan.slices.iter().enumerate() {
            let slot = self.states.slots.enter(slice.seq, slice.start, slice.tokens.len())?;
            self.step.set_slot(n, slot.index);
            self.make_room_for_states()?;
            if slot.is_new {
                for layer in self.states.layers.clone() {
                    if let Some(memory) = layer.memory {
                        let at = Place { memory, offset: slot.index as u64 * layer.bytes() };
                        self.driver.zero(at, layer.bytes())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Memory for all slots that there are; what is in the others moves along.
    fn make_room_for_states(&mut self) -> Result<(), DeviceError> {
        let (had, need) = (self.states.room, self.states.slots.made());
        if need <= had {
            return Ok(());
        }
        let room = need.next_power_of_two();
        self.finish()?;
        for i in 0..self.states.layers.len() {
            let layer = self.states.layers[i];
            let bytes = layer.bytes().saturating_mul(room as u64);
            let memory = self.take(bytes, MemoryUse::Cache, "recurrent states")?;
            if let Some(old) = layer.memory {
                let start = |memory| Place { memory, offset: 0 };
                self.driver.copy(start(old), start(memory), layer.bytes() * had as u64)?;
                self.driver.finish()?;
                self.pool.give_back(&mut *self.driver, old);
            }
            self.states.layers[i].memory = Some(memory);
        }
        self.states.room = room;
        Ok(())
    }

    pub(super) fn fork_state(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError> {
        let Some((from, to)) = self.states.slots.fork(from, to) else { return Ok(()) };
        self.make_room_for_states()?;
        for layer in self.states.layers.clone() {
            let Some(memory) = layer.memory else { continue };
            let place = |slot: usize| Place { memory, offset: slot as u64 * layer.bytes() };
            if from != to {
                self.driver.copy(place(from), place(to), layer.bytes())?;
            }
        }
        Ok(())
    }

    pub(super) fn run_delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError> {
        let layer = self.states.layers[op.state.0 as usize];
        let (shape, delta) = (layer.shape, layer.shape.delta);
        let states = layer.memory.unwrap_or(self.nothing);
        let (rows, slices, at) = (self.step.rows, self.step.count, self.step.at);
        let (width, out_width) = (delta.qkv_width(), delta.value_heads * delta.value_dim);
        let step = self.ints_memory()?;
        let [qkv, z, beta, alpha, out] =
            [op.qkv, op.z, op.beta, op.alpha, op.out].map(|b| self.buf(b).memory);
        let [conv, rate, shift] = [op.conv, op.rate, op.shift].map(|v| self.vectors[v.0 as usize].memory);
        let convolved = self.floats(|r| &mut r.convolved, rows * width, "convolved rows")?;
        let sums = self.floats(|r| &mut r.sums, rows * out_width, "yields of states")?;
        let args = Args::of(&[qkv, conv, states, step, convolved]);
        let args =
            args.ints(&[at.slice_of, at.slices, at.slots, width, shape.taps, shape.len(), rows * width]);
        self.op("convolve", Grid::Threads(rows * width), args)?;
        let args = Args::of(&[qkv, states, step]);
        let args = args.ints(&[at.slices, at.slots, width, shape.taps, shape.len()]);
        self.op("remember", Grid::Groups([width.div_ceil(THREADS), slices, 1], THREADS), args)?;
        let args = Args::of(&[convolved, alpha, beta, rate, shift, states, step, sums]);
        let args = args.ints(&[at.slices, at.slots, shape.len(), shape.history_len(), delta.key_heads]);
        let rounds = usize::from(delta.sharing == HeadSharing::Rounds);
        let args = args.ints(&[delta.value_heads, delta.key_dim, delta.value_dim, rounds]);
        self.op("delta_rule", Grid::Groups([delta.value_heads, slices, 1], THREADS), args)?;
        let norm =
            Norm { kind: NormKind::Rms { eps: op.norm.1 }, weight: op.norm.0, groups: delta.value_heads };
        self.norm_rows(&norm, sums, out, Rows::dense(rows, out_width))?;
        let args = Args::of(&[z, out, out]).ints(&[number(Activation::Silu), rows * out_width]);
        self.op("glu", Grid::Threads(rows * out_width), args)
    }
}
