//! What an engine may use, and what a request may ask for.

use torchless_base::{RunnerInfo, TokenId};

/// How an engine shares its runner between sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Sequences that are computed at the same time; a runner's `max_batch_tokens` bounds it too. Default 64.
    pub max_running: usize,
    /// Requests that may wait for their turn; one more is refused. Default 1024.
    pub max_queued: usize,
    /// Tokens of prompts in a step while other sequences produce text, so that long prompts do not make them
    /// stutter. Alone, a prompt gets whole steps. Default 256.
    pub prefill_chunk: usize,
    /// What happens to a prompt that starts like an earlier one. Default [`PrefixReuse::Blocks`].
    pub prefix_reuse: PrefixReuse,
}

/// Whether what was computed for one sequence serves another that starts with the same tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixReuse {
    /// Full blocks are shared. For runners whose whole state lies in the engine's blocks.
    Blocks,
    /// Everything is computed anew. For runners with a cache of their own, or with recurrent layers.
    Off,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { max_running: 64, max_queued: 1024, prefill_chunk: 256, prefix_reuse: PrefixReuse::Blocks }
    }
}

/// A number of the configuration or of the runner that nothing can be done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}, it has to be {allowed}")]
pub struct ConfigError {
    /// The number's name.
    pub what: &'static str,
    /// Its value.
    pub value: usize,
    /// What would have worked.
    pub allowed: &'static str,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// No tokens at all; a prompt has one at least (the start token).
    #[error("the prompt has no tokens, it needs at least 1")]
    Empty,
    /// More tokens than a sequence can have.
    #[error("the prompt has {tokens} tokens, the context holds {limit}")]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// A token id beyond the vocabulary.
    #[error("token {token} in the {place} is not in the vocabulary of {vocab}")]
    Token {
        /// The id.
        token: TokenId,
        /// `prompt` or `stop ids`.
        place: &'static str,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// An option of the sampler.
    #[error(transparent)]
    Sampler(#[from] torchless_sampler::ConfigError),
    /// Too many requests wait already.
    #[error("{queued} requests are running or waiting, no more than {limit} may; try again later")]
    Full {
        /// Requests there are.
        queued: usize,
        /// Requests there may be.
        limit: usize,
    },
    /// The engine's worker has ended.
    #[error("the engine has stopped")]
    Stopped,
}

/// What to do with one sequence of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSpec {
    /// The prompt.
    pub tokens: Vec<TokenId>,
    /// Tokens of the reply at most. 0 computes the prompt and nothing else.
    pub max_tokens: usize,
    /// Tokens that end the reply and are not part of it.
    pub stop_ids: Vec<TokenId>,
}

/// A sequence that fits the runner. Only [`Limits::accept`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted(pub(crate) SequenceSpec);

/// What sequences have to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that a sequence may have: what the runner allows and the whole pool can hold.
    pub max_len: usize,
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Longer sequences are computed in another way from their start.
    pub turning_point: Option<usize>,
}

impl Limits {
    /// The limits of a runner.
    pub fn of(info: &RunnerInfo) -> Self {
        let max_len = info.max_seq_len.min(info.blocks.saturating_mul(info.block_len));
        Self { max_len, vocab: info.vocab, turning_point: info.turning_point }
    }

    /// Checks a sequence.
    ///
    /// # Errors
    /// A prompt that is empty or too long, or a token that does not exist.
    pub fn accept(&self, spec: SequenceSpec) -> Result<Accepted, SubmitError> {
        let (tokens, limit, vocab) = (spec.tokens.len(), self.max_len, self.vocab);
        if tokens == 0 {
            return Err(SubmitError::Empty);
        }
        if tokens > limit {
            return Err(SubmitError::TooLong { tokens, limit });
        }
        for (ids, place) in [(&spec.tokens, "prompt"), (&spec.stop_ids, "stop ids")] {
            if let Some(&token) = ids.iter().find(|id| id.index() >= vocab) {
                return Err(SubmitError::Token { token, place, vocab });
            }
        }
        Ok(Accepted(spec))
    }
}

/// Refuses what would leave an engine unable to move.
pub(crate) fn check(info: &RunnerInfo, config: &EngineConfig) -> Result<(), ConfigError> {
    let at_least_one = [
        ("the runner's vocabulary", info.vocab),
        ("the runner's longest sequence", info.max_seq_len),
        ("the runner's largest step", info.max_batch_tokens),
        ("the runner's block length", info.block_len),
        ("the runner's number of blocks", info.blocks),
        ("max_running", config.max_running),
        ("prefill_chunk", config.prefill_chunk),
    ];
    if let Some(&(what, value)) = at_least_one.iter().find(|&&(_, value)| value == 0) {
        return Err(ConfigError { what, value, allowed: "at least 1" });
    }
    if info.blocks >= u32::MAX as usize {
        let (what, value) = ("the runner's number of blocks", info.blocks);
        return Err(ConfigError { what, value, allowed: "below 2^32" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: RunnerInfo = RunnerInfo {
        vocab: 10,
        max_seq_len: 8,
        max_batch_tokens: 4,
        block_len: 2,
        blocks: 3,
        turning_point: None,
    };

    fn refused(tokens: &[u32], stop: &[u32]) -> String {
        let ids = |ids: &[u32]| ids.iter().map(|&id| TokenId(id)).collect();
        let spec = SequenceSpec { tokens: ids(tokens), max_tokens: 1, stop_ids: ids(stop) };
        Limits::of(&INFO).accept(spec).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_says_what_would_have_worked() {
        assert_eq!(refused(&[], &[]), "the prompt has no tokens, it needs at least 1");
        assert_eq!(refused(&[1; 7], &[]), "the prompt has 7 tokens, the context holds 6");
        assert_eq!(refused(&[1, 10], &[]), "token 10 in the prompt is not in the vocabulary of 10");
        assert_eq!(refused(&[1], &[2, 11]), "token 11 in the stop ids is not in the vocabulary of 10");
    }

    #[test]
    fn nothing_may_be_zero() {
        assert_eq!(check(&INFO, &EngineConfig::default()), Ok(()));
        let none = RunnerInfo { blocks: 0, ..INFO };
        let said = check(&none, &EngineConfig::default()).unwrap_err().to_string();
        assert_eq!(said, "the runner's number of blocks is 0, it has to be at least 1");
        let config = EngineConfig { prefill_chunk: 0, ..EngineConfig::default() };
        assert_eq!(check(&INFO, &config).unwrap_err().what, "prefill_chunk");
    }
}
