//! The native [`Runner`]: a decoder and the device that holds it.

use crate::ModelError;
use crate::decoder::Decoder;
use crate::spec::ModelSpec;
use torchless_base::{Logits, RunError, Runner, RunnerInfo, SeqId, StepPlan};
use torchless_device::{Device, DeviceError};

/// Positions in one block of the KV cache.
const BLOCK_LEN: usize = 32;

/// The longest context that nobody asked for: bookkeeping grows with the context, and a file may claim any.
const LONGEST_UNASKED: usize = 1 << 20;

/// Limits to run within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Positions per sequence; `None` takes what the model was trained for, up to 2^20.
    pub max_seq_len: Option<usize>,
    /// Sequences of full length that the cache has room for.
    pub sequences: usize,
    /// Tokens per step.
    pub max_batch_tokens: usize,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self { max_seq_len: None, sequences: 1, max_batch_tokens: 512 }
    }
}

impl RunnerOptions {
    /// The limits for `spec`.
    ///
    /// # Errors
    /// More positions are asked for than the model's arithmetic is defined for.
    pub(crate) fn info(&self, spec: &ModelSpec) -> Result<RunnerInfo, ModelError> {
        let trained = spec.context.min(spec.context_limit.unwrap_or(usize::MAX));
        let max_seq_len = self.max_seq_len.unwrap_or(trained.min(LONGEST_UNASKED)).max(1);
        if let Some(limit) = spec.context_limit.filter(|&limit| max_seq_len > limit) {
            return Err(ModelError::Context { asked: max_seq_len, limit });
        }
        let blocks = max_seq_len.div_ceil(BLOCK_LEN).saturating_mul(self.sequences.max(1));
        Ok(RunnerInfo {
            vocab: spec.vocab,
            max_seq_len,
            max_batch_tokens: self.max_batch_tokens.max(1),
            block_len: BLOCK_LEN,
            blocks,
            turning_point: spec.turning_point(),
        })
    }
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
}

impl Runner for NativeRunner {
    fn info(&self) -> RunnerInfo {
        self.info
    }

    fn step(&mut self, plan: &StepPlan, logits: &mut Logits) -> Result<(), RunError> {
        plan.check(&self.info)?;
        self.decoder.forward(plan, &mut *self.device, logits).map_err(|e| self.failed(&e))
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
        RunError::Failed { runner: self.device.name(), reason: e.to_string() }
    }
}
