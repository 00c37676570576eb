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

    /// What computes, opened already.
    pub(crate) fn of(runner: NativeRunner) -> Self {
        Self { runner }
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        self.runner.spec()
    }

    /// Calls `each` with the logits of `ids`, `[some positions, vocab]` at a time, in order.
    ///
    /// # Errors
    /// An id is not in the vocabulary, there are more than the context holds, logits are not finite, or `each` fails.
    pub fn score(
        &mut self,
        ids: &[TokenId],
        each: &mut dyn FnMut(&[f32]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        self.score_from(ids, 0, each)
    }

    /// As [`Scorer::score`], with the logits of the positions from `first` on alone.
    ///
    /// # Errors
    /// As there.
    pub fn score_from(
        &mut self,
        ids: &[TokenId],
        first: usize,
        each: &mut dyn FnMut(&[f32]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        score_from(&mut self.runner, ids, first, each)
    }
}

/// Calls `each` with the logits of `ids` from position `first` on, `[some positions, vocab]` at a time, in order. The runner has seen no
/// other sequence.
pub(crate) fn score_from(
    runner: &mut dyn Runner,
    ids: &[TokenId],
    first: usize,
    each: &mut dyn FnMut(&[f32]) -> std::io::Result<()>,
) -> Result<(), Error> {
    let info = runner.info();
    check_ids(ids, info.vocab)?;
    if ids.len() > info.max_seq_len {
        return Err(Error::PromptTooLong { tokens: ids.len(), limit: info.max_seq_len });
    }
    let blocks: Vec<_> = (0..ids.len().div_ceil(info.block_len) as u32).map(BlockId).collect();
    let (mut plan, mut logits) = (StepPlan::default(), Logits::default());
    let (context, scored) = ids.split_at(first.min(ids.len()));
    let mut start = 0;
    for (part, wanted, most) in [(context, Wanted::Nothing, 512), (scored, Wanted::All, 128)] {
        for tokens in part.chunks(info.max_batch_tokens.min(most)) {
            plan.clear();
            plan.push((SeqId(0), start), tokens, &blocks, wanted);
            plan.announce(ids.len());
            runner.step(&plan, &mut logits)?;
            if wanted == Wanted::All {
                check_finite(logits.as_slice(), info.vocab, start)?;
                each(logits.as_slice()).map_err(|e| Error::Io { path: "output".into(), source: e })?;
            }
            start += tokens.len();
        }
    }
    Ok(())
}

/// What is computed from numbers that are none says nothing. `first` is the position of the first of `rows`.
fn check_finite(rows: &[f32], vocab: usize, first: usize) -> Result<(), Error> {
    match rows.iter().position(|logit| !logit.is_finite()) {
        Some(at) => {
            Err(Error::NotFinite { what: format!("the logits of position {} are", first + at / vocab) })
        }
        None => Ok(()),
    }
}
