//! A reply while it is made: tokens in, text out.

use crate::Error;
use crate::guarded::ReplyDoor;
use crate::prompt::Prompt;
use llamafirewall_core::{Admitted, Firewall, Halt, OutputGuard, Passed, Refusal};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use torchless_base::TokenId;
use torchless_chat::{Piece, ReplyParser, ToolCall};
use torchless_engine::{Event as EngineEvent, FinishReason, RequestError, Ticket};
use torchless_tokenizer::{StopStrings, StreamDecoder, Tokenizer, Watched};

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
    /// More of what the model thinks before it answers; it is not part of the text.
    Reasoning(String),
    /// The model wants a tool to be called.
    ToolCall(ToolCall),
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
    /// Those of them that were read: all, unless the reply was cancelled before.
    pub prompt_read: usize,
    /// Tokens of the reply.
    pub reply_tokens: usize,
    /// From the request to the whole prompt computed.
    pub prompt_time: Duration,
    /// From there to the end.
    pub reply_time: Duration,
    /// The tokens themselves, all that the model made: those of its thinking, of calls and of what a stop string cut off are
    /// among them. Which token which text came from is not always told. Behind a firewall those of what a stop string cut off are left
    /// out, for no scanner saw that, and all of them where scanning the reply was cancelled.
    pub tokens: Vec<TokenId>,
    /// Why parts of the prompt or the reply passed that could not be scanned, where the policy says so (`fail_mode = "open"`).
    pub scan_failures: Vec<String>,
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

/// Cancels a reply from elsewhere, such as a signal handler's thread: ends it, and where scanners look at what was made already, the wait
/// for their verdict, without which that is not told. Does nothing once it has ended.
#[derive(Clone, Debug)]
pub struct Canceller {
    engine: torchless_engine::Canceller,
    end: Arc<End>,
}

impl Canceller {
    /// Cancels.
    pub fn cancel(&self) {
        self.engine.cancel();
        self.end.cancel();
    }
}

/// The end of a reply, where cancelling is for those who wait for a verdict.
#[derive(Debug, Default)]
struct End {
    is_cancelled: AtomicBool,
    has_come: AtomicBool,
    halt: Halt,
}

impl End {
    fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        if self.has_come.load(Ordering::SeqCst) {
            self.halt.call();
        }
    }

    /// From now on cancelling ends the wait, as it has to if it came too late for the engine to hear.
    fn begin(&self, reason: DoneReason) {
        self.has_come.store(true, Ordering::SeqCst);
        if reason != DoneReason::Cancelled && self.is_cancelled.load(Ordering::SeqCst) {
            self.halt.call();
        }
    }
}

/// A reply in progress. Dropping it cancels what is left.
pub struct Generation<'m> {
    ticket: Ticket,
    decoder: StreamDecoder<'m>,
    /// Of a conversation; a text that is continued is text alone.
    reply: Option<(ReplyParser, &'m Tokenizer)>,
    stop: StopStrings,
    /// To be told, in order, once the door lets it pass.
    pending: VecDeque<Event>,
    /// What the door let pass.
    passed: VecDeque<Event>,
    door: Option<ReplyDoor>,
    guarded: Option<Guarded>,
    end: Arc<End>,
    tokens: Vec<TokenId>,
    prompt_tokens: usize,
    prompt_read: usize,
    state: State,
}

/// What is known of a reply behind a door.
#[derive(Default)]
struct Guarded {
    failures: Vec<String>,
    /// Has scanned the text to its end.
    text: Option<OutputGuard>,
    /// For each token, how many bytes the reply had behind it.
    ends: Vec<usize>,
    decoded: usize,
    /// Bytes that were offered to the door.
    offered: usize,
    is_cut: bool,
}

impl Guarded {
    /// Adds a token that so many bytes came from.
    fn token(&mut self, bytes: usize) {
        self.decoded += bytes;
        self.ends.push(self.decoded);
    }

    /// Nobody waited for the verdict on the reply: no token of it is told.
    fn hide(&mut self) {
        (self.is_cut, self.offered) = (true, 0);
    }

    /// Tokens whose bytes were all offered to the door, up to the last that brought any: those of a stop string were not.
    fn seen(&self) -> usize {
        if !self.is_cut {
            return self.ends.len();
        }
        let within = self.ends.partition_point(|end| *end <= self.offered);
        let last = within.checked_sub(1).map_or(0, |at| self.ends[at]);
        if last == 0 { 0 } else { self.ends.partition_point(|end| *end < last) + 1 }
    }
}

enum State {
    Running,
    /// Text came before the end that is known already.
    Ending(DoneReason),
    Over,
}

impl<'m> Generation<'m> {
    /// `decoder` is at the start of a text or inside one, as the prompt has it; `reply` takes the text apart.
    pub(crate) fn new(
        decoder: StreamDecoder<'m>,
        reply: Option<(ReplyParser, &'m Tokenizer)>,
        ticket: Ticket,
        stop: Vec<String>,
    ) -> Self {
        Self {
            ticket,
            decoder,
            reply,
            stop: StopStrings::new(stop),
            pending: VecDeque::new(),
            passed: VecDeque::new(),
            door: None,
            guarded: None,
            end: Arc::default(),
            tokens: Vec::new(),
            prompt_tokens: 0,
            prompt_read: 0,
            state: State::Running,
        }
    }

    /// The same reply, which has to pass the firewall's door, to a prompt.
    pub(crate) fn behind(mut self, firewall: &Firewall, prompt: &Admitted<Prompt>) -> Self {
        if !firewall.is_open() {
            let failures = prompt.failures().to_vec();
            self.guarded = Some(Guarded { failures, ..Guarded::default() });
            self.door = Some(ReplyDoor::new(firewall, prompt.get(), self.end.halt.clone()));
        }
        self
    }

    /// Counts the text of the reply, once that has ended and passed the firewall, to what has passed of its conversation.
    pub fn remember(&self, passed: &mut Passed) {
        if let Some(text) = self.guarded.as_ref().and_then(|guarded| guarded.text.as_ref()) {
            text.remember(passed);
        }
    }

    /// Cancels it from elsewhere.
    pub fn canceller(&self) -> Canceller {
        Canceller { engine: self.ticket.canceller(), end: Arc::clone(&self.end) }
    }

    fn token(&mut self, id: TokenId) {
        self.tokens.push(id);
        let text = self.decoder.push(id);
        let mut bytes = text.len();
        let mut pieces = Vec::new();
        match &mut self.reply {
            None => pieces.push(Piece::Text(text)),
            Some((reply, tokenizer)) => {
                pieces.extend(reply.push(&text));
                if let Some(name) = tokenizer.piece(id).filter(|_| tokenizer.is_control(id)) {
                    bytes += name.len();
                    pieces.extend(reply.control(&name));
                }
            }
        }
        if let Some(guarded) = &mut self.guarded {
            guarded.token(bytes);
        }
        if self.tell(pieces) {
            self.ticket.cancel();
            self.state = State::Ending(DoneReason::Stop);
        }
    }

    /// Queues the pieces of a reply; `true` if a stop string ended it.
    fn tell(&mut self, pieces: Vec<Piece>) -> bool {
        for piece in pieces {
            let (text, stopped) = match piece {
                Piece::Reasoning(text) => {
                    self.guarded.iter_mut().for_each(|guarded| guarded.offered += text.len());
                    self.tell_beside_text(Event::Reasoning(text));
                    continue;
                }
                Piece::Call(call) => {
                    self.tell_beside_text(Event::ToolCall(call));
                    continue;
                }
                Piece::Text(text) => match self.stop.push(&text) {
                    Watched::Text(text) => (text, false),
                    Watched::Stopped(text) => (text, true),
                },
            };
            if !text.is_empty() {
                self.tell_text(text);
            }
            if stopped {
                self.guarded.iter_mut().for_each(|guarded| guarded.is_cut = true);
                return true;
            }
        }
        false
    }

    /// Queues what is no text, behind the text before it: a stop string does not reach over it.
    fn tell_beside_text(&mut self, event: Event) {
        self.tell_held();
        self.pending.push_back(event);
    }

    /// Queues the text that could have begun a stop string.
    fn tell_held(&mut self) {
        let held = self.stop.finish();
        if !held.is_empty() {
            self.tell_text(held);
        }
    }

    fn tell_text(&mut self, text: String) {
        self.guarded.iter_mut().for_each(|guarded| guarded.offered += text.len());
        self.pending.push_back(Event::Text(text));
    }

    /// Lets what is to be told pass the door; whether there was anything.
    fn pass(&mut self) -> Result<bool, Refusal> {
        if let Some(event) = self.pending.pop_front() {
            match &mut self.door {
                Some(door) => self.passed.extend(door.pass(event)?),
                None => self.passed.push_back(event),
            }
            return Ok(true);
        }
        let State::Ending(reason) = self.state else { return Ok(false) };
        let Some(door) = self.door.take() else { return Ok(false) };
        self.end.begin(reason);
        let closed = door.close()?;
        if closed.is_none() {
            self.state = State::Ending(DoneReason::Cancelled);
        }
        if let Some(guarded) = &mut self.guarded {
            match closed {
                Some(closed) => {
                    self.passed.extend(closed.events);
                    guarded.failures.extend(closed.failures);
                    guarded.text = Some(closed.text);
                }
                None => guarded.hide(),
            }
        }
        Ok(true)
    }

    fn summary(&mut self, reason: DoneReason) -> Event {
        self.state = State::Over;
        let mut tokens = std::mem::take(&mut self.tokens);
        let reply_tokens = tokens.len();
        let mut scan_failures = Vec::new();
        if let Some(guarded) = &mut self.guarded {
            tokens.truncate(guarded.seen());
            scan_failures = std::mem::take(&mut guarded.failures);
            scan_failures.dedup();
        }
        let times = self.ticket.times();
        let now = Instant::now();
        let prompt = times.prompt.unwrap_or(now);
        Event::Done(Summary {
            reason,
            prompt_tokens: self.prompt_tokens,
            prompt_read: self.prompt_read,
            reply_tokens,
            prompt_time: prompt.saturating_duration_since(times.asked),
            reply_time: times.end.unwrap_or(now).saturating_duration_since(prompt),
            tokens,
            scan_failures,
        })
    }

    fn finished(&mut self, reason: FinishReason) {
        let reason = match reason {
            FinishReason::Stop(_) => DoneReason::Stop,
            FinishReason::Length => DoneReason::Length,
            FinishReason::ContextFull => DoneReason::ContextFull,
            FinishReason::Cancelled | FinishReason::Failed => DoneReason::Cancelled,
        };
        let rest = self.decoder.flush();
        let pieces = match &mut self.reply {
            None => vec![Piece::Text(rest)],
            Some((reply, _)) => {
                let mut pieces = reply.push(&rest);
                pieces.extend(reply.finish());
                pieces
            }
        };
        if self.tell(pieces) {
            self.state = State::Ending(DoneReason::Stop);
            return;
        }
        self.tell_held();
        self.state = State::Ending(reason);
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.passed.pop_front() {
                return Some(Ok(event));
            }
            match self.pass() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(refusal) => {
                    self.ticket.cancel();
                    self.pending.clear();
                    self.state = State::Over;
                    return Some(Err(refusal.into()));
                }
            }
            match self.state {
                State::Over => return None,
                State::Ending(reason) => return Some(Ok(self.summary(reason))),
                State::Running => {}
            }
            match self.ticket.recv() {
                Some(EngineEvent::Prompt { done, total }) => {
                    (self.prompt_tokens, self.prompt_read) = (total, done);
                    return Some(Ok(Event::Prompt { done, total }));
                }
                Some(EngineEvent::Token { id, .. }) => self.token(id),
                Some(EngineEvent::Finished { reason, stats }) => {
                    self.prompt_tokens = stats.prompt_tokens;
                    self.finished(reason);
                }
                Some(EngineEvent::Failed { error }) => {
                    self.state = State::Over;
                    return Some(Err(failed(error)));
                }
                None => {
                    self.state = State::Over;
                    return Some(Err(Error::Engine("the engine has stopped".to_owned())));
                }
            }
        }
    }
}

/// What a step failed with keeps its kind.
fn failed(error: RequestError) -> Error {
    match error {
        RequestError::Run(error) => Error::Run(error),
        other => Error::Engine(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_what_was_cut_off_are_not_seen() {
        let seen = |bytes: &[usize], offered: usize| {
            let mut guarded = Guarded { offered, is_cut: true, ..Guarded::default() };
            bytes.iter().for_each(|bytes| guarded.token(*bytes));
            guarded.seen()
        };
        assert_eq!(seen(&[3, 4, 5], 7), 2);
        assert_eq!(seen(&[3, 4, 5], 8), 2);
        assert_eq!(seen(&[3, 4, 5], 6), 1);
        // One that brought nothing may be the beginning of a character that was cut off.
        assert_eq!(seen(&[0, 3, 0, 4], 3), 2);
        assert_eq!(seen(&[0, 3], 0), 0);
        let whole = Guarded { ends: vec![1, 2], ..Guarded::default() };
        assert_eq!(whole.seen(), 2);
    }

    /// Is never done, and cancels the reply that it looks at.
    #[derive(Default)]
    struct Endless(std::sync::Mutex<Option<Canceller>>);

    impl llamafirewall_core::Scanner for Endless {
        fn name(&self) -> &'static str {
            "endless"
        }

        fn scan<'a>(&'a self, _: &'a llamafirewall_core::ScanInput) -> llamafirewall_core::ScanFuture<'a> {
            let canceller = self.0.lock().expect("no panic before");
            canceller.iter().for_each(Canceller::cancel);
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn cancelling_ends_the_wait_for_the_verdict_on_a_reply() {
        use crate::{GenerateOptions, Model, ModelOptions, Source};
        use llamafirewall_core::{Configuration, Role};
        let options = ModelOptions { threads: Some(1), ..ModelOptions::default() };
        let mut model = Model::open(&Source::Inside, &options, &mut |_, _| {}).expect("it opens");
        let scanner = Arc::new(Endless::default());
        let configuration = Configuration::new().add_scanner(Role::Assistant, scanner.clone());
        model.set_firewall(Firewall::new(configuration).expect("it is valid"));
        let prompt = model.admit(Prompt::Text("Once".to_owned())).expect("nobody looks at it");
        let options = GenerateOptions { max_tokens: Some(4), ..GenerateOptions::default() };
        let mut reply = model.generate(&prompt, &options).expect("it begins");
        *scanner.0.lock().expect("no panic before") = Some(reply.canceller());
        let events: Vec<Event> = reply.by_ref().map(|event| event.expect("no refusal")).collect();
        let Some(Event::Done(summary)) = events.last() else { panic!("{events:?}") };
        assert_eq!((summary.reason, summary.tokens.len()), (DoneReason::Cancelled, 0));
        assert!(!events.iter().any(|event| matches!(event, Event::Text(_))), "{events:?}");
    }

    #[test]
    fn cancelling_too_late_for_the_engine_is_for_the_end() {
        for (reason, is_late) in [(DoneReason::Length, true), (DoneReason::Cancelled, false)] {
            let end = End::default();
            end.cancel();
            end.begin(reason);
            assert_eq!(end.halt.is_called(), is_late);
            end.cancel();
            assert!(end.halt.is_called());
        }
    }
}
