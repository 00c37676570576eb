//! One step of work as plain data: which tokens of which sequences, where their cache lies, whose
//! logits are wanted. Made by the scheduler, read by a runner.

use crate::{BlockId, RunnerInfo, SeqId, TokenId};
use std::ops::Range;

/// What logits are divided by before they become weights; kept as bits, so that plans can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temperature(u32);

impl Temperature {
    /// A temperature of this value.
    pub fn new(value: f32) -> Self {
        Self(value.to_bits())
    }

    /// Its value.
    pub fn value(self) -> f32 {
        f32::from_bits(self.0)
    }
}

/// Which positions of a slice need logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: more tokens of the prompt follow in a later step.
    Nothing,
    /// The last position only: a token is to be chosen.
    Last,
    /// The last position, of which so many of the largest logits are enough; a runner may give the whole row.
    Largest(usize),
    /// As `Largest`, with the mass of the whole row at a temperature (see [`crate::Logits::mass`]).
    Weighed(usize, Temperature),
    /// Every position: scoring, verification of drafts.
    All,
}

/// Consecutive tokens of one sequence within a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whose tokens these are.
    pub seq: SeqId,
    /// Position of the first token in its sequence; all earlier positions are already computed.
    pub start: usize,
    /// Where the tokens lie in [`StepPlan::tokens`].
    pub tokens: Range<usize>,
    /// Tokens of the sequence that are known, computed or not: those of this slice are among them.
    pub known: usize,
    /// Where the sequence's blocks lie in [`StepPlan::blocks`], in order of position from 0.
    pub blocks: Range<usize>,
    /// Which positions need logits.
    pub wanted: Wanted,
}

impl Slice {
    /// Number of rows of logits that this slice yields.
    pub fn logit_rows(&self) -> usize {
        match self.wanted {
            Wanted::Nothing => 0,
            Wanted::Last | Wanted::Largest(_) | Wanted::Weighed(..) => 1,
            Wanted::All => self.tokens.len(),
        }
    }

    /// The temperature at which the row is to be weighed.
    pub fn temperature(&self) -> Option<Temperature> {
        match self.wanted {
            Wanted::Weighed(_, temperature) => Some(temperature),
            Wanted::Nothing | Wanted::Last | Wanted::Largest(_) | Wanted::All => None,
        }
    }
}

/// A block whose content has to be copied before the step, because two sequences share its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCopy {
    /// Source.
    pub from: BlockId,
    /// Destination.
    pub to: BlockId,
}

/// What a runner does in one step. Reused from step to step, so that planning allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// Tokens of all slices, one after the other.
    pub tokens: Vec<TokenId>,
    /// Block tables of all slices, one after the other.
    pub blocks: Vec<BlockId>,
    /// The slices; each sequence occurs at most once.
    pub slices: Vec<Slice>,
    /// Copies to make first.
    pub copies: Vec<BlockCopy>,
}

/// Why a plan does not fit the runner it was given to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More tokens than a step may hold.
    #[error("the step has {tokens} tokens, this runner takes at most {limit}")]
    TooManyTokens {
        /// Tokens in the plan.
        tokens: usize,
        /// The runner's limit.
        limit: usize,
    },
    /// A token id beyond the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab}")]
    Token {
        /// The id.
        token: TokenId,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A sequence would grow beyond what the runner can hold.
    #[error("sequence {seq} would be {len} tokens long, the limit is {limit}")]
    TooLong {
        /// The sequence.
        seq: SeqId,
        /// Its length after the step.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The block table is too short for the positions, or names a block that does not exist.
    #[error("the blocks of sequence {seq} do not cover positions up to {len}")]
    Blocks {
        /// The sequence.
        seq: SeqId,
        /// Its length after the step.
        len: usize,
    },
    /// A slice without tokens, or ranges beyond the plan's vectors.
    #[error("the slice of sequence {seq} is empty or points beyond the plan")]
    Range {
        /// The sequence.
        seq: SeqId,
    },
}

impl StepPlan {
    /// Empties the plan and keeps its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.blocks.clear();
        self.slices.clear();
        self.copies.clear();
    }

    /// Appends a slice with its tokens and the sequence's whole block table.
    pub fn push(&mut self, at: (SeqId, usize), tokens: &[TokenId], blocks: &[BlockId], wanted: Wanted) {
        let first_token = self.tokens.len();
        let first_block = self.blocks.len();
        self.tokens.extend_from_slice(tokens);
        self.blocks.extend_from_slice(blocks);
        self.slices.push(Slice {
            seq: at.0,
            start: at.1,
            tokens: first_token..self.tokens.len(),
            known: at.1 + tokens.len(),
            blocks: first_block..self.blocks.len(),
            wanted,
        });
    }

    /// Says that the sequence of the last slice has `known` tokens, if that is more than the slice reaches to.
    pub fn announce(&mut self, known: usize) {
        if let Some(last) = self.slices.last_mut() {
            last.known = last.known.max(known);
        }
    }

    /// Rows of logits that the whole step yields.
    pub fn logit_rows(&self) -> usize {
        self.slices.iter().map(Slice::logit_rows).sum()
    }

    /// How many of the largest logits of each wanted row are enough; `None` where a whole row is wanted, or none at all.
    pub fn largest_wanted(&self) -> Option<usize> {
        let mut most = None;
        for slice in &self.slices {
            match slice.wanted {
                Wanted::Nothing => {}
                Wanted::Largest(count) | Wanted::Weighed(count, _) => most = most.max(Some(count)),
                Wanted::Last | Wanted::All => return None,
            }
        }
        most
    }

    /// Checks every number in the plan against `info`; a runner may then index without doubt.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, info: &RunnerInfo) -> Result<(), PlanError> {
        if self.tokens.len() > info.max_batch_tokens {
            let (tokens, limit) = (self.tokens.len(), info.max_batch_tokens);
            return Err(PlanError::TooManyTokens { tokens, limit });
        }
        if let Some(&token) = self.tokens.iter().find(|t| t.index() >= info.vocab) {
            return Err(PlanError::Token { token, vocab: info.vocab });
        }
        self.slices.iter().try_for_each(|slice| self.check_slice(slice, info))
    }

    fn check_slice(&self, slice: &Slice, info: &RunnerInfo) -> Result<(), PlanError> {
        let seq = slice.seq;
        let in_plan = slice.tokens.end <= self.tokens.len() && slice.blocks.end <= self.blocks.len();
        if slice.tokens.is_empty() || !in_plan || slice.blocks.start > slice.blocks.end {
            return Err(PlanError::Range { seq });
        }
        let len = slice.start.saturating_add(slice.tokens.len());
        if slice.known < len {
            return Err(PlanError::Range { seq });
        }
        if len > info.max_seq_len {
            return Err(PlanError::TooLong { seq, len, limit: info.max_seq_len });
        }
        let blocks = &self.blocks[slice.blocks.clone()];
        let covered = blocks.len().saturating_mul(info.block_len) >= len;
        if !covered || blocks.iter().any(|b| b.index() >= info.blocks) {
            return Err(PlanError::Blocks { seq, len });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> RunnerInfo {
        RunnerInfo {
            vocab: 10,
            max_seq_len: 8,
            max_batch_tokens: 4,
            block_len: 2,
            blocks: 3,
            turning_point: None,
        }
    }

    fn check(start: usize, tokens: &[u32], blocks: &[u32]) -> Result<(), PlanError> {
        let mut plan = StepPlan::default();
        let tokens: Vec<_> = tokens.iter().map(|&t| TokenId(t)).collect();
        let blocks: Vec<_> = blocks.iter().map(|&b| BlockId(b)).collect();
        plan.push((SeqId(7), start), &tokens, &blocks, Wanted::Last);
        plan.check(&info())
    }

    #[test]
    fn a_plan_that_fits_is_accepted() {
        assert_eq!(check(0, &[1, 2, 3], &[0, 1]), Ok(()));
        assert_eq!(check(5, &[9], &[2, 0, 1]), Ok(()));
    }

    #[test]
    fn a_plan_that_does_not_fit_names_what_is_wrong() {
        let seq = SeqId(7);
        assert_eq!(check(0, &[1; 5], &[0, 1, 2]), Err(PlanError::TooManyTokens { tokens: 5, limit: 4 }));
        assert_eq!(check(0, &[10], &[0]), Err(PlanError::Token { token: TokenId(10), vocab: 10 }));
        assert_eq!(check(7, &[1, 1], &[0, 1, 2]), Err(PlanError::TooLong { seq, len: 9, limit: 8 }));
        assert_eq!(check(2, &[1], &[0]), Err(PlanError::Blocks { seq, len: 3 }));
        assert_eq!(check(0, &[1], &[3]), Err(PlanError::Blocks { seq, len: 1 }));
        assert_eq!(check(0, &[], &[0]), Err(PlanError::Range { seq }));
    }

    #[test]
    fn a_slice_knows_at_least_what_it_reaches_to() {
        let mut plan = StepPlan::default();
        plan.push((SeqId(1), 4), &[TokenId(1), TokenId(2)], &[BlockId(0)], Wanted::Last);
        assert_eq!(plan.slices[0].known, 6);
        plan.announce(5);
        assert_eq!(plan.slices[0].known, 6);
        plan.announce(9);
        assert_eq!(plan.slices[0].known, 9);
    }

    #[test]
    fn logit_rows_follow_what_is_wanted() {
        let mut plan = StepPlan::default();
        let tokens = [TokenId(1), TokenId(2)];
        for (seq, wanted) in [(1, Wanted::Nothing), (2, Wanted::Last), (3, Wanted::All)] {
            plan.push((SeqId(seq), 0), &tokens, &[BlockId(0)], wanted);
        }
        assert_eq!(plan.logit_rows(), 3);
        assert_eq!(plan.slices[2].tokens, 4..6);
        plan.clear();
        assert_eq!(plan, StepPlan::default());
    }

    #[test]
    fn lists_are_enough_where_no_slice_wants_more() {
        let largest = |wanted: &[Wanted]| {
            let mut plan = StepPlan::default();
            for &wanted in wanted {
                plan.push((SeqId(1), 0), &[TokenId(1)], &[], wanted);
            }
            (plan.logit_rows(), plan.largest_wanted())
        };
        assert_eq!(largest(&[Wanted::Nothing]), (0, None));
        assert_eq!(largest(&[Wanted::Largest(3), Wanted::Nothing, Wanted::Largest(7)]), (2, Some(7)));
        let weighed = Wanted::Weighed(9, Temperature::new(0.7));
        assert_eq!(largest(&[Wanted::Largest(3), weighed]), (2, Some(9)));
        assert_eq!(largest(&[weighed, Wanted::Last]), (2, None));
        assert_eq!(largest(&[Wanted::Largest(3), Wanted::Last]), (2, None));
        assert_eq!(largest(&[Wanted::All, Wanted::Largest(3)]), (2, None));
    }
}
