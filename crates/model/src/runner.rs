//! The native [`Runner`]: a decoder and the device that holds it.

use crate::ModelError;
use crate::decoder::Decoder;
use crate::memory::activation_bytes;
use crate::spec::{Ffn, ModelSpec};
use torchless_base::{Logits, RunError, Runner, RunnerInfo, SeqId, StepPlan};
use torchless_device::{Device, DeviceError, MemoryGauge, Residency};

/// Positions in one block of the KV cache.
const BLOCK_LEN: usize = 32;

/// The longest context that nobody asked for: bookkeeping grows with the context, and a file may claim any.
const LONGEST_UNASKED: usize = 1 << 20;

/// Tokens per step where weights are resident: enough to hide what a product pays once per step, and half the buffers of [`LARGE_BATCH`].
const USUAL_BATCH: usize = 256;
/// Tokens per step where each step reads weights anew, or deals tokens out to experts, of which each gets few, or where the model is so
/// small that it takes no more than [`MOST_BYTES`].
const LARGE_BATCH: usize = 512;
/// Bytes of activations that [`USUAL_BATCH`] tokens of a model of 1B take.
const MOST_BYTES: u64 = 52 << 20;

/// Limits to run within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Positions per sequence; `None` takes what the model was trained for, up to 2^20.
    pub max_seq_len: Option<usize>,
    /// Sequences of full length that the cache has room for.
    pub sequences: usize,
    /// Tokens per step, no more than the cache has room for; `None` takes 256 where all weights are resident, every token meets them and the model is not small, else 512.
    pub max_batch_tokens: Option<usize>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self { max_seq_len: None, sequences: 1, max_batch_tokens: None }
    }
}

impl RunnerOptions {
    /// The limits for `spec`, with weights that live as `residency` says.
    ///
    /// # Errors
    /// More positions are asked for than the model's arithmetic is defined for.
    pub(crate) fn info(&self, spec: &ModelSpec, residency: Residency) -> Result<RunnerInfo, ModelError> {
        let trained = spec.context.min(spec.context_limit.unwrap_or(usize::MAX));
        let max_seq_len = self.max_seq_len.unwrap_or(trained.min(LONGEST_UNASKED)).max(1);
        if let Some(limit) = spec.context_limit.filter(|&limit| max_seq_len > limit) {
            return Err(ModelError::Context { asked: max_seq_len, limit });
        }
        let blocks = max_seq_len.div_ceil(BLOCK_LEN).saturating_mul(self.sequences.max(1));
        let most = self.max_batch_tokens.unwrap_or_else(|| usual_batch(spec, residency)).max(1);
        Ok(RunnerInfo {
            vocab: spec.vocab,
            max_seq_len,
            // No step has more tokens than there is room for.
            max_batch_tokens: most.min(blocks.saturating_mul(BLOCK_LEN)),
            block_len: BLOCK_LEN,
            blocks,
            turning_point: spec.turning_point(),
        })
    }
}

fn usual_batch(spec: &ModelSpec, residency: Residency) -> usize {
    let has_experts = spec.layers.iter().any(|layer| matches!(layer.ffn, Ffn::Experts(_)));
    let is_small = activation_bytes(spec, LARGE_BATCH) <= MOST_BYTES;
    if has_experts || is_small || residency != Residency::Resident { LARGE_BATCH } else { USUAL_BATCH }
}

/// Runs the native decoder on one device.
pub struct NativeRunner {
    decoder: Decoder,
    device: Box<dyn Device>,
    info: RunnerInfo,
}

impl NativeRunner {
    pub(crate) fn new(decoder: Decoder, device: Box<dyn Device>, info: RunnerInfo) -> Self {
        Self { decoder, device, info }
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        self.decoder.spec()
    }

    /// Where it runs.
    pub fn device_name(&self) -> String {
        self.device.name()
    }

    /// Gauges of the memory of devices that have some of their own.
    pub fn memory(&self) -> Vec<MemoryGauge> {
        self.device.memory()
    }
}

impl Runner for NativeRunner {
    fn info(&self) -> RunnerInfo {
        self.info
    }

    fn step(&mut self, plan: &StepPlan, logits: &mut Logits) -> Result<(), RunError> {
        plan.check(&self.info)?;
        self.decoder.forward(plan, &mut *self.device, logits).map_err(|e| self.failed(&e))
    }

    fn whole_row(&mut self, row: usize, logits: &mut Logits) -> Result<(), RunError> {
        self.decoder.whole_row(row, &mut *self.device, logits).map_err(|e| self.failed(&e))
    }

    fn keeps_state(&self) -> bool {
        self.spec().state_bytes() > 0
    }

    /// What is in blocks the pool shares; states are copied.
    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), RunError> {
        self.device.fork(from, to).map_err(|e| self.failed(&e))
    }

    /// Positions beyond `len` are overwritten in blocks before they are read again. A state cannot go back: the sequence starts
    /// anew.
    fn truncate(&mut self, seq: SeqId, len: usize) -> Result<usize, RunError> {
        self.device.rewind(seq, len).map_err(|e| self.failed(&e))
    }

    fn release(&mut self, seq: SeqId) {
        self.device.forget(seq);
    }
}

impl NativeRunner {
    fn failed(&self, e: &DeviceError) -> RunError {
        let (runner, reason) = (self.device.name(), e.to_string());
        match e.is_short_of_memory() {
            true => RunError::OutOfMemory { runner, reason },
            false => RunError::Failed { runner, reason },
        }
    }
}
