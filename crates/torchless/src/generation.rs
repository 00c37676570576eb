//! A reply while it is made: tokens in, text out.

use crate::Error;
use crate::stop::{StopStrings, Watched};
use std::time::{Duration, Instant};
use torchless_base::TokenId;
use torchless_engine::{Canceller, Event as EngineEvent, FinishReason, Ticket};
use torchless_tokenizer::StreamDecoder;

/// What happens while a reply is made. The last event is `Done`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// So many tokens of the prompt are computed.
    Prompt {
        /// Computed.
        done: usize,
        /// In all.
        total: usize,
    },
    /// More of the reply; never half a character.
    Text(String),
    /// The reply is complete.
    Done(Summary),
}

/// How a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Why.
    pub reason: DoneReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the reply.
    pub reply_tokens: usize,
    /// From the request to the whole prompt computed.
    pub prompt_time: Duration,
    /// From there to the end.
    pub reply_time: Duration,
    /// The tokens themselves.
    pub tokens: Vec<TokenId>,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoneReason {
    /// The model ended it, or a stop string came.
    Stop,
    /// It is as long as was asked for.
    Length,
    /// The context is full.
    ContextFull,
    /// It was cancelled.
    Cancelled,
}

impl DoneReason {
    /// The word for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            DoneReason::Stop => "stop",
            DoneReason::Length => "length",
            DoneReason::ContextFull => "context_full",
            DoneReason::Cancelled => "cancelled",
        }
    }
}

/// A reply in progress. Dropping it cancels what is left.
pub struct Generation<'m> {
    ticket: Ticket,
    decoder: StreamDecoder<'m>,
    stop: StopStrings,
    tokens: Vec<TokenId>,
    prompt_tokens: usize,
    start: Instant,
    state: State,
}

enum State {
    Running,
    /// Text came before the end that is known already.
    Ending(DoneReason),
    Over,
}

impl<'m> Generation<'m> {
    /// `decoder` is at the start of a text or inside one, as the prompt has it.
    pub(crate) fn new(decoder: StreamDecoder<'m>, ticket: Ticket, stop: Vec<String>) -> Self {
        Self {
            ticket,
            decoder,
            stop: StopStrings::new(stop),
            tokens: Vec::new(),
            prompt_tokens: 0,
            start: Instant::now(),
            state: State::Running,
        }
    }

    /// Cancels from elsewhere, such as a signal handler's thread.
    pub fn canceller(&self) -> Canceller {
        self.ticket.canceller()
    }

    fn token(&mut self, id: TokenId) -> Option<Event> {
        self.tokens.push(id);
        match self.stop.push(&self.decoder.push(id)) {
            Watched::Text(text) if text.is_empty() => None,
            Watched::Text(text) => Some(Event::Text(text)),
            Watched::Stopped(text) => {
                self.ticket.cancel();
                Some(self.end(text, DoneReason::Stop))
            }
        }
    }

    /// The last text, if any, and then the summary.
    fn end(&mut self, text: String, reason: DoneReason) -> Event {
        if text.is_empty() {
            return self.summary(reason);
        }
        self.state = State::Ending(reason);
        Event::Text(text)
    }

    fn summary(&mut self, reason: DoneReason) -> Event {
        self.state = State::Over;
        let tokens = std::mem::take(&mut self.tokens);
        let times = self.ticket.times();
        let now = Instant::now();
        let prompt = times.prompt.unwrap_or(now);
        Event::Done(Summary {
            reason,
            prompt_tokens: self.prompt_tokens,
            reply_tokens: tokens.len(),
            prompt_time: prompt.saturating_duration_since(self.start),
            reply_time: times.end.unwrap_or(now).saturating_duration_since(prompt),
            tokens,
        })
    }

    fn finished(&mut self, reason: FinishReason) -> Event {
        let reason = match reason {
            FinishReason::Stop(_) => DoneReason::Stop,
            FinishReason::Length => DoneReason::Length,
            FinishReason::ContextFull => DoneReason::ContextFull,
            FinishReason::Cancelled | FinishReason::Failed => DoneReason::Cancelled,
        };
        let rest = self.decoder.flush();
        match self.stop.push(&rest) {
            Watched::Stopped(text) => self.end(text, DoneReason::Stop),
            Watched::Text(text) => {
                let text = text + &self.stop.finish();
                self.end(text, reason)
            }
        }
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.state {
                State::Over => return None,
                State::Ending(reason) => return Some(Ok(self.summary(reason))),
                State::Running => {}
            }
            match self.ticket.recv() {
                Some(EngineEvent::Prompt { done, total }) => {
                    self.prompt_tokens = total;
                    return Some(Ok(Event::Prompt { done, total }));
                }
                Some(EngineEvent::Token { id, .. }) => {
                    if let Some(event) = self.token(id) {
                        return Some(Ok(event));
                    }
                }
                Some(EngineEvent::Finished { reason, stats }) => {
                    self.prompt_tokens = stats.prompt_tokens;
                    return Some(Ok(self.finished(reason)));
                }
                Some(EngineEvent::Failed { error }) => {
                    self.state = State::Over;
                    return Some(Err(Error::Engine(error.to_string())));
                }
                None => {
                    self.state = State::Over;
                    return Some(Err(Error::Engine("the engine has stopped".to_owned())));
                }
            }
        }
    }
}
