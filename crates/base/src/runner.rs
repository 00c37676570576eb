//! What the engine asks of whatever computes logits.

use crate::{PlanError, SeqId, StepPlan};

/// Limits of a runner, fixed when it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerInfo {
    /// Tokens in the vocabulary: the width of a row of logits.
    pub vocab: usize,
    /// Positions that one sequence may have.
    pub max_seq_len: usize,
    /// Tokens that one step may have, over all slices.
    pub max_batch_tokens: usize,
    /// Positions in one block of the KV cache.
    pub block_len: usize,
    /// Blocks in the pool, over all sequences.
    pub blocks: usize,
    /// Sequences with more known tokens than this are computed in another way from their first position on: what was
    /// computed of one that grows beyond, or of a shorter one, is of no use to it. `None` where length changes nothing.
    pub turning_point: Option<usize>,
}

/// Rows of logits, reused from step to step.
#[derive(Clone, Debug, Default)]
pub struct Logits {
    vocab: usize,
    data: Vec<f32>,
}

impl Logits {
    /// Makes room for `rows` rows of `vocab` values and returns them, row-major, for a runner to fill.
    /// Memory grows to the largest request and is kept.
    pub fn reset(&mut self, rows: usize, vocab: usize) -> &mut [f32] {
        self.vocab = vocab;
        self.data.resize(rows * vocab, 0.0);
        &mut self.data
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len().checked_div(self.vocab).unwrap_or(0)
    }

    /// Row `i`, in the order of the slices that wanted logits. Panics if there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.vocab..(i + 1) * self.vocab]
    }

    /// All rows, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }
}

/// Why a step failed. Sequences of a failed step have to be released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The plan does not fit the runner.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The runner cannot do what was asked.
    #[error("{op} is not supported by {runner}")]
    Unsupported {
        /// What was asked.
        op: &'static str,
        /// Who was asked.
        runner: String,
    },
    /// A device or foreign library failed.
    #[error("{runner}: {reason}")]
    Failed {
        /// Who failed.
        runner: String,
        /// In its own words.
        reason: String,
    },
}

/// Computes logits for planned steps: the native decoder, or a foreign library.
///
/// Blocks are room handed out by the engine's pool. A runner with a cache of its own ignores them and goes by
/// [`SeqId`] and position alone; per-sequence state (recurrent layers) is keyed by [`SeqId`] too.
pub trait Runner: Send {
    /// Its limits.
    fn info(&self) -> RunnerInfo;

    /// Runs one step and fills `logits` with [`StepPlan::logit_rows`] rows in the order of the slices.
    ///
    /// # Errors
    /// The plan does not fit ([`StepPlan::check`]), or the device failed.
    fn step(&mut self, plan: &StepPlan, logits: &mut Logits) -> Result<(), RunError>;

    /// Whether sequences have state beside the blocks, so that blocks alone do not make a beginning that others can share.
    fn keeps_state(&self) -> bool {
        false
    }

    /// Sequences that it can keep at the same time.
    fn max_sequences(&self) -> usize {
        usize::MAX
    }

    /// Makes `to` a copy of `from` as far as the runner keeps state of its own; blocks are shared or copied by
    /// the pool.
    ///
    /// # Errors
    /// The runner cannot copy its state.
    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), RunError>;

    /// Forgets positions from `len` on and returns the length really reached, which is smaller where state
    /// exists only at checkpoints.
    ///
    /// # Errors
    /// The runner cannot go back.
    fn truncate(&mut self, seq: SeqId, len: usize) -> Result<usize, RunError>;

    /// Forgets a sequence. Unknown sequences are ignored.
    fn release(&mut self, seq: SeqId);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_keep_rows_apart() {
        let mut logits = Logits::default();
        assert_eq!(logits.rows(), 0);
        logits.reset(2, 3).copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((logits.rows(), logits.row(1)), (2, &[4.0, 5.0, 6.0][..]));
    }
}
