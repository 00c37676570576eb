//! Logits of given tokens: no sampling, no text, no firewall.

use crate::Error;
use crate::check_ids;
use crate::open::{ModelOptions, Source, open_runner};
use torchless_base::{BlockId, Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_model::{ModelSpec, NativeRunner};

/// Computes logits of every position.
pub struct Scorer {
    runner: NativeRunner,
}

impl Scorer {
    /// Opens a model; `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// As [`open_runner`].
    pub fn open(
        source: &Source,
        options: &ModelOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let checkpoint = source.checkpoint()?;
        Ok(Self { runner: open_runner(source, &checkpoint, options, progress)? })
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        self.runner.spec()
    }

    /// Calls `each` with the logits of `ids`, `[some positions, vocab]` at a time, in order.
    ///
    /// # Errors
    /// An id is not in the vocabulary, there are more than the context holds, or `each` fails.
    pub fn score(
        &mut self,
        ids: &[TokenId],
        each: &mut dyn FnMut(&[f32]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let info = self.runner.info();
        check_ids(ids, info.vocab)?;
        if ids.len() > info.max_seq_len {
            return Err(Error::PromptTooLong { tokens: ids.len(), limit: info.max_seq_len });
        }
        let blocks: Vec<_> = (0..ids.len().div_ceil(info.block_len) as u32).map(BlockId).collect();
        let (mut plan, mut logits) = (StepPlan::default(), Logits::default());
        for (part, tokens) in ids.chunks(info.max_batch_tokens.min(128)).enumerate() {
            plan.clear();
            let start = part * info.max_batch_tokens.min(128);
            plan.push((SeqId(0), start), tokens, &blocks, Wanted::All);
            plan.announce(ids.len());
            self.runner.step(&plan, &mut logits)?;
            each(logits.as_slice()).map_err(|e| Error::Io { path: "output".into(), source: e })?;
        }
        Ok(())
    }
}
