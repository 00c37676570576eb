//! libllama as a [`Runner`]: our scheduler, sampler and firewall in front of it.

use std::collections::HashMap;
use std::sync::Arc;

use torchless_base::{Logits, RunError, Runner, RunnerInfo, SeqId, StepPlan};

use crate::batch::Batch;
use crate::config::ContextConfig;
use crate::context::Context;
use crate::{Error, Model};

/// Positions in a block. The library has a cache of its own; blocks only tell the scheduler how much room there is.
const BLOCK_LEN: usize = 32;

/// Limits to run within; the rest comes from the model's [`ContextConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlamaRunnerOptions {
    /// Positions of one sequence; `None` takes what the model's configuration says.
    pub max_seq_len: Option<u32>,
    /// Sequences of full length that there is room for. Default 1.
    pub sequences: u32,
    /// Sequences that may run side by side, long or short; no more than there are tokens in a step. Default 16.
    pub max_running: u32,
    /// Tokens per step. Default 512.
    pub max_batch_tokens: u32,
}

impl Default for LlamaRunnerOptions {
    fn default() -> Self {
        Self { max_seq_len: None, sequences: 1, max_running: 16, max_batch_tokens: 512 }
    }
}

/// Runs a model through llama.cpp for the engine.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use model_loader::{LlamaRunner, LlamaRunnerOptions, Model, ModelConfig};
/// use torchless_engine::{Engine, EngineConfig};
///
/// let model = Model::load(ModelConfig::new("model.gguf")?)?;
/// let runner = LlamaRunner::new(model, LlamaRunnerOptions::default())?;
/// let engine = Engine::start(Box::new(runner), EngineConfig::default())?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LlamaRunner {
    context: Context<'static>,
    info: RunnerInfo,
    /// Which of the library's sequences is whose.
    slots: HashMap<SeqId, u32>,
    free: Vec<u32>,
    batch: Batch,
}

impl LlamaRunner {
    /// A runner with a context of its own.
    ///
    /// # Errors
    /// The context cannot be made: more than one sequence where the library's layout is unknown, too much memory, and the like.
    pub fn new(model: impl Into<Arc<Model>>, options: LlamaRunnerOptions) -> Result<Self, Error> {
        let model: Arc<Model> = model.into();
        let own = model.context_config();
        let asked = options.max_seq_len.or(own.context_size);
        let trained = u32::try_from(model.context_train_size()).unwrap_or(u32::MAX);
        let sequences = options.sequences.max(1);
        let positions = asked.unwrap_or(trained.clamp(1, 4096));
        let (all, batch) = (positions.saturating_mul(sequences), options.max_batch_tokens.max(1));
        // No more of them can be in a step, and the library has to have room for a token of each.
        let running = options.max_running.max(sequences).min(all).min(batch);
        let config = ContextConfig {
            context_size: Some(all),
            batch_size: Some(batch),
            sequences: Some(running),
            ..own.clone()
        };
        let context = model.create_shared_context(&config)?;
        let info = RunnerInfo {
            vocab: model.vocab_size(),
            max_seq_len: positions as usize,
            max_batch_tokens: context.batch_size(),
            block_len: BLOCK_LEN,
            blocks: (positions as usize).div_ceil(BLOCK_LEN) * sequences as usize,
            turning_point: None,
        };
        let free = (0..running).rev().collect();
        Ok(Self { context, info, slots: HashMap::new(), free, batch: Batch::default() })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model {
        self.context.model()
    }

    /// The library's sequence for one of the scheduler's.
    fn slot(&mut self, seq: SeqId) -> Result<u32, RunError> {
        if let Some(&slot) = self.slots.get(&seq) {
            return Ok(slot);
        }
        let running = self.slots.len();
        let slot = self.free.pop().ok_or_else(|| self.failed(format!("{running} sequences run already")))?;
        self.slots.insert(seq, slot);
        Ok(slot)
    }

    /// Makes the sequence end at `start`, as the plan says it does.
    fn rewind(&mut self, slot: u32, start: usize) -> Result<(), RunError> {
        let have = self.context.tokens(slot).len();
        let left = self.context.truncate(slot, start).map_err(|e| self.failed(e.to_string()))?;
        if left == start {
            return Ok(());
        }
        Err(self.failed(format!("a sequence is to go on at {start}, of which {have} positions are computed")))
    }

    fn failed(&self, reason: String) -> RunError {
        RunError::Failed { runner: "llama.cpp".to_owned(), reason }
    }
}

impl Runner for LlamaRunner {
    fn info(&self) -> RunnerInfo {
        self.info
    }

    fn step(&mut self, plan: &StepPlan, logits: &mut Logits) -> Result<(), RunError> {
        plan.check(&self.info)?;
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        for slice in &plan.slices {
            let slot = self.slot(slice.seq)?;
            self.rewind(slot, slice.start)?;
            batch.extend(slot, &plan.tokens[slice.tokens.clone()], slice.wanted);
        }
        let result = self.context.decode_batch(&batch);
        self.batch = batch;
        result.map_err(|e| self.failed(e.to_string()))?;
        let rows = self.context.all_logits();
        logits.reset(plan.logit_rows(), self.info.vocab).copy_from_slice(rows);
        Ok(())
    }

    /// The library keeps what it computed under its own numbers, so blocks alone are no beginning that others can share.
    fn keeps_state(&self) -> bool {
        true
    }

    fn max_sequences(&self) -> usize {
        self.context.sequence_count()
    }

    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), RunError> {
        let (from, to) = (self.slot(from)?, self.slot(to)?);
        self.context.copy_sequence(from, to).map_err(|e| self.failed(e.to_string()))
    }

    fn truncate(&mut self, seq: SeqId, len: usize) -> Result<usize, RunError> {
        let slot = self.slot(seq)?;
        self.context.truncate(slot, len).map_err(|e| self.failed(e.to_string()))
    }

    fn release(&mut self, seq: SeqId) {
        if let Some(slot) = self.slots.remove(&seq) {
            // It exists, and emptying a sequence is always possible.
            let _ = self.context.truncate(slot, 0);
            self.free.push(slot);
        }
    }
}
