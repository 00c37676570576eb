//! Text from a model, token by token: the loop of decoding and choosing.

use std::fmt;

use torchless_base::TokenId;
use torchless_sampler::{Constraint, Sampler, SamplerConfig, Scratch};

use crate::Error;
use crate::context::{Canceller, Context};
use crate::text::{Shown, TextStream};

/// How to generate. A number alone is a limit of tokens, with everything else as [`SamplerConfig`] has it by default.
#[derive(Debug, Default)]
pub struct GenerateOptions {
    /// Tokens of the reply at most; `None` goes on until the model ends it or the context is full.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Strings that end the reply and are not part of it.
    pub stop: Vec<String>,
    /// Ends it from another thread.
    pub canceller: Canceller,
    /// What the reply has to look like.
    pub constraint: Option<Constrained>,
}

/// A constraint that can stand in options.
pub struct Constrained(pub Box<dyn Constraint>);

impl fmt::Debug for Constrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Constrained")
    }
}

impl From<usize> for GenerateOptions {
    fn from(max_tokens: usize) -> Self {
        Self { max_tokens: Some(max_tokens), ..Self::default() }
    }
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it.
    End,
    /// A stop string came.
    Stop,
    /// `max_tokens` was reached.
    Length,
    /// The context is full.
    ContextFull,
    /// Somebody ended it.
    Cancelled,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Its tokens, without one that ended it.
    pub tokens: Vec<TokenId>,
    /// Why it ended.
    pub reason: FinishReason,
}

/// A reply in the making: an iterator over pieces of its text.
///
/// It works in the thread that asks for the next piece. Dropping it ends the reply; what was computed stays in the context and serves
/// the next prompt that begins alike.
#[derive(Debug)]
pub struct Generation<'c, 'm> {
    context: &'c mut Context<'m>,
    sampler: Sampler,
    scratch: Scratch,
    text: Text,
    history: Vec<TokenId>,
    prompt: usize,
    max_tokens: usize,
    canceller: Canceller,
    reason: Option<FinishReason>,
    done: bool,
}

struct Text(TextStream);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text")
    }
}

impl<'m> Context<'m> {
    /// Generates a reply to `prompt`, which is the whole text so far: what sequence 0 has in common with it is used again, the rest is
    /// forgotten.
    ///
    /// # Errors
    /// As [`Context::stream`], or a step of it failed.
    pub fn generate(
        &mut self,
        prompt: &[TokenId],
        options: impl Into<GenerateOptions>,
    ) -> Result<Reply, Error> {
        let mut generation = self.stream(prompt, options)?;
        let mut text = String::new();
        for piece in &mut generation {
            text.push_str(&piece?);
        }
        let reason = generation.finish_reason().unwrap_or(FinishReason::End);
        Ok(Reply { text, tokens: generation.tokens().to_vec(), reason })
    }

    /// As [`Context::generate`], piece by piece.
    ///
    /// # Errors
    /// The options make no sense, the prompt is empty, has tokens of another vocabulary or leaves no room, or decoding it failed.
    pub fn stream<'c>(
        &'c mut self,
        prompt: &[TokenId],
        options: impl Into<GenerateOptions>,
    ) -> Result<Generation<'c, 'm>, Error> {
        let options = options.into();
        let vocab = self.model().vocab_size();
        let sampler = Sampler::new(options.sampler, vocab)?;
        let sampler = match options.constraint {
            Some(Constrained(constraint)) => sampler.with_constraint(constraint),
            None => sampler,
        };
        self.watch(options.canceller.clone());
        let cancelled = match self.prefill(prompt) {
            Err(Error::Cancelled) => true,
            other => other.map(|()| false)?,
        };
        let mut history = Vec::with_capacity(prompt.len() + options.max_tokens.unwrap_or(0).min(1 << 16));
        history.extend_from_slice(prompt);
        Ok(Generation {
            context: self,
            sampler,
            scratch: Scratch::new(vocab),
            text: Text(TextStream::new(options.stop)),
            history,
            prompt: prompt.len(),
            max_tokens: options.max_tokens.unwrap_or(usize::MAX),
            canceller: options.canceller,
            reason: cancelled.then_some(FinishReason::Cancelled),
            done: false,
        })
    }

    /// Makes sequence 0 hold `prompt` and nothing else, with the logits of its last token.
    fn prefill(&mut self, prompt: &[TokenId]) -> Result<(), Error> {
        let Some(last) = prompt.len().checked_sub(1) else { return Err(Error::NoTokens) };
        if prompt.len() > self.limits().positions {
            return Err(Error::TooLong { len: prompt.len(), limit: self.limits().positions });
        }
        let same = self.tokens(0).iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = self.truncate(0, same.min(last))?;
        self.decode_watched(&prompt[kept..])
    }
}

impl Generation<'_, '_> {
    /// Tokens of the reply so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.history[self.prompt..]
    }

    /// Why it ended, once it has.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.reason
    }

    /// Ends it from another thread. Once it is over, that does nothing any more.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Chooses a token and computes what follows it; the text that can be shown.
    fn step(&mut self) -> Result<String, Error> {
        if self.tokens().len() >= self.max_tokens {
            return Ok(self.end(FinishReason::Length));
        }
        if self.canceller.is_cancelled() {
            return Ok(self.end(FinishReason::Cancelled));
        }
        let logits = self.context.logits()?;
        let token = self.sampler.pick(logits, &self.history, &mut self.scratch)?.token;
        self.sampler.accept(token);
        if self.context.model().is_end(token) {
            return Ok(self.end(FinishReason::End));
        }
        self.history.push(token);
        let bytes = self.context.model().token_bytes(token)?;
        match self.text.0.push(&bytes) {
            Shown::Text(text) => Ok(text + &self.advance(token)?),
            Shown::Stopped(text) => {
                self.reason = Some(FinishReason::Stop);
                Ok(text)
            }
        }
    }

    /// Computes the token, unless nothing is to follow it.
    fn advance(&mut self, token: TokenId) -> Result<String, Error> {
        if self.tokens().len() >= self.max_tokens {
            return Ok(self.end(FinishReason::Length));
        }
        if self.context.tokens(0).len() >= self.context.limits().positions {
            return Ok(self.end(FinishReason::ContextFull));
        }
        match self.context.decode_watched(&[token]) {
            Ok(()) => Ok(String::new()),
            Err(Error::Cancelled) => Ok(self.end(FinishReason::Cancelled)),
            Err(error) => Err(error),
        }
    }

    /// The text that was held back.
    fn end(&mut self, reason: FinishReason) -> String {
        self.reason = Some(reason);
        self.text.0.finish()
    }
}

impl Iterator for Generation<'_, '_> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let piece = if self.reason.is_some() { Ok(String::new()) } else { self.step() };
            self.done = self.reason.is_some() || piece.is_err();
            match piece {
                Ok(text) if text.is_empty() => {}
                other => return Some(other),
            }
        }
        None
    }
}
