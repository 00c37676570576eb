//! What the engine asks of whatever computes logits.

use crate::{PlanError, SeqId, StepPlan, TokenId};

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

/// A token and its logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The token.
    pub token: TokenId,
    /// What the model gave it.
    pub logit: f32,
}

/// Rows of logits, reused from step to step: whole ones, or the largest values of each.
#[derive(Clone, Debug, Default)]
pub struct Logits {
    vocab: usize,
    data: Vec<f32>,
    listed: Vec<Scored>,
    /// Where the list of each row ends; empty where rows are whole.
    ends: Vec<usize>,
    masses: Vec<Option<f32>>,
}

impl Logits {
    /// Makes room for `rows` rows of `vocab` values and returns them, row-major, for a runner to fill.
    /// Memory grows to the largest request and is kept.
    pub fn reset(&mut self, rows: usize, vocab: usize) -> &mut [f32] {
        self.vocab = vocab;
        self.ends.clear();
        self.masses.clear();
        self.data.resize(rows * vocab, 0.0);
        &mut self.data
    }

    /// Starts over with no rows; what follows are lists.
    pub fn reset_lists(&mut self) {
        self.data.clear();
        self.listed.clear();
        self.ends.clear();
        self.masses.clear();
    }

    /// Adds a row as its largest values, in descending order, of equal ones the smaller ids first: fewer than were asked for only
    /// where the row has no others above -inf.
    pub fn push_list(&mut self, largest: impl IntoIterator<Item = Scored>) {
        self.listed.extend(largest);
        self.ends.push(self.listed.len());
        self.masses.push(None);
    }

    /// Says what the row of the last list weighs; see [`Logits::mass`].
    pub fn weigh_last(&mut self, mass: f32) {
        if let Some(last) = self.masses.last_mut() {
            *last = Some(mass);
        }
    }

    /// The sum of e^((logit - largest logit) / temperature) over the whole row `i`, of which there is a list, at the temperature that was
    /// asked for, to within [`Logits::MASS_ERROR`] of it; `None` where none was asked for.
    pub fn mass(&self, i: usize) -> Option<f32> {
        self.masses.get(i).copied().flatten()
    }

    /// How far a mass may be from the exact sum, in parts of it: what arithmetic in f32 in any order, with exp to a few units in the last
    /// place, stays well below.
    pub const MASS_ERROR: f64 = 1.0 / 8192.0;

    /// Number of rows.
    pub fn rows(&self) -> usize {
        if self.ends.is_empty() {
            self.data.len().checked_div(self.vocab).unwrap_or(0)
        } else {
            self.ends.len()
        }
    }

    /// Row `i`, in the order of the slices that wanted logits. Panics if there is no such row, or only a list of it.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.vocab..(i + 1) * self.vocab]
    }

    /// The largest values of row `i`; `None` where the row is whole. Panics if there is no such row.
    pub fn list(&self, i: usize) -> Option<&[Scored]> {
        if self.ends.is_empty() {
            return None;
        }
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.listed[start..self.ends[i]])
    }

    /// All whole rows, row-major.
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
    /// There is not enough memory for the step.
    #[error("{runner}: {reason}")]
    OutOfMemory {
        /// Who ran out of it.
        runner: String,
        /// In its own words.
        reason: String,
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

    /// Gives row `row` of the last step whole, as the only row of `logits`, where the step gave a list of it.
    ///
    /// # Errors
    /// The device failed, or this runner gives whole rows always.
    fn whole_row(&mut self, _row: usize, _logits: &mut Logits) -> Result<(), RunError> {
        Err(RunError::Unsupported { op: "a row of logits after the step", runner: "this runner".to_owned() })
    }

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
        assert_eq!((logits.rows(), logits.row(1), logits.list(1)), (2, &[4.0, 5.0, 6.0][..], None));
    }

    #[test]
    fn lists_stand_in_for_rows() {
        let mut logits = Logits::default();
        logits.reset(2, 3);
        let scored = |id| Scored { token: TokenId(id), logit: 0.5 };
        logits.reset_lists();
        assert_eq!(logits.rows(), 0);
        logits.push_list([scored(4), scored(2)]);
        logits.push_list([]);
        logits.push_list([scored(1)]);
        logits.weigh_last(1.5);
        assert_eq!((logits.mass(1), logits.mass(2), logits.mass(3)), (None, Some(1.5), None));
        assert_eq!(logits.rows(), 3);
        assert_eq!(logits.list(0), Some(&[scored(4), scored(2)][..]));
        assert_eq!((logits.list(1), logits.list(2)), (Some(&[][..]), Some(&[scored(1)][..])));
        logits.reset(1, 3);
        assert_eq!((logits.rows(), logits.list(0), logits.mass(2)), (1, None, None));
    }
}
