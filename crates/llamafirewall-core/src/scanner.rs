//! What a scanner is, and what it is given.

use crate::{Message, Role, ScanResult, Views};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Which kind of scanner it is. The names are those of policies and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScannerType {
    /// Insecure code.
    CodeShield,
    /// Prompt injection and jailbreaks, by a classifier.
    PromptGuard,
    /// An agent that does not do what its user asked for, by a judge.
    AgentAlignment,
    /// Text that nobody sees.
    HiddenAscii,
    /// Personal data, by a judge.
    PiiDetection,
    /// Patterns.
    Regex,
    /// Secrets that were planted to be noticed.
    Canary,
    /// Tools that may be called.
    ToolAllowList,
    /// One of the application's own.
    Custom,
}

impl ScannerType {
    /// The word for policies and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ScannerType::CodeShield => "code_shield",
            ScannerType::PromptGuard => "prompt_guard",
            ScannerType::AgentAlignment => "agent_alignment",
            ScannerType::HiddenAscii => "hidden_ascii",
            ScannerType::PiiDetection => "pii_detection",
            ScannerType::Regex => "regex",
            ScannerType::Canary => "canary",
            ScannerType::ToolAllowList => "tool_allow_list",
            ScannerType::Custom => "custom",
        }
    }
}

/// Why a scanner has no verdict. Must not quote the text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScannerError(pub String);

/// A verdict to come.
pub type ScanFuture<'a> = Pin<Box<dyn Future<Output = Result<ScanResult, ScannerError>> + Send + 'a>>;

/// Where the firewall runs a scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On a thread of its own, which is left behind when time is up: for arithmetic and whatever may block.
    Thread,
    /// In the caller's task: for what takes time in proportion to the text and is done at the first poll, and for
    /// futures that need the runtime that they were called from, which is not to wait for them ([`Firewall::admit`](crate::Firewall::admit)).
    Task,
}

/// Looks at a message and gives a verdict. Built once, shared by threads, and without memory of what it saw.
pub trait Scanner: Send + Sync {
    /// How the scanner is called in reasons, reports and thresholds, where a policy does not call it otherwise.
    fn name(&self) -> &str;

    /// Which kind it is.
    fn kind(&self) -> ScannerType {
        ScannerType::Custom
    }

    /// Looks at the message.
    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a>;

    /// Where it is run.
    fn placement(&self) -> Placement {
        Placement::Thread
    }

    /// The score from which on it blocks.
    fn block_threshold(&self) -> f32 {
        1.0
    }

    /// The same scanner for a policy to which scores from `threshold` on matter, so that it names the place of such a score; `None`, the
    /// default, where it names all places anyway.
    fn at_threshold(&self, _threshold: f32) -> Option<Arc<dyn Scanner>> {
        None
    }

    /// Whether it asks a person only where a rule says so by name. A threshold, which is for scores, leaves such findings as they are.
    fn asks_by_rule(&self) -> bool {
        false
    }

    /// Whether it can say nothing without the messages before.
    fn require_full_trace(&self) -> bool {
        false
    }

    /// Whether it looks at the calls of a message itself. Others are shown what a call says as texts of their own.
    fn sees_calls(&self) -> bool {
        false
    }

    /// Whether the name that a value is given to says something to it. It is shown the values beside a content once more, each behind its key.
    fn reads_names(&self) -> bool {
        false
    }

    /// Of a text that goes on: the first byte that a continuation could still make part of a finding, or change the
    /// finding of. A stream is released up to here. `None`, which is the default, for a scanner that has to see the
    /// whole text first: nothing is released before the end.
    fn settled(&self, _input: &ScanInput) -> Option<usize> {
        None
    }
}

/// A message to scan, and what was said before it.
#[derive(Debug)]
pub struct ScanInput {
    messages: Arc<[Message]>,
    /// How many of them are the past.
    at: usize,
    /// What is scanned, where it is not the message after the past.
    own: Option<Message>,
    has_trace: bool,
    views: OnceLock<Views>,
    abandoned: AtomicBool,
}

impl ScanInput {
    /// A message, and the messages before it where they are known.
    pub fn new(message: &Message, trace: Option<&[Message]>) -> Self {
        Self::following(trace.map(Arc::from).as_ref(), message.clone())
    }

    fn after(messages: Arc<[Message]>, at: usize, has_trace: bool, own: Option<Message>) -> Self {
        Self { messages, at, own, has_trace, views: OnceLock::new(), abandoned: AtomicBool::new(false) }
    }

    /// A message after a past that is shared, where one is known.
    pub(crate) fn following(past: Option<&Arc<[Message]>>, message: Message) -> Self {
        let before = past.cloned().unwrap_or_default();
        let at = before.len();
        Self::after(before, at, past.is_some(), Some(message))
    }

    /// Another message with the same past, which is shared.
    pub(crate) fn instead(&self, message: Message) -> Self {
        Self::after(self.messages.clone(), self.at, self.has_trace, Some(message))
    }

    /// A message alone.
    pub fn text_of(role: Role, text: &str) -> Self {
        Self::new(&Message::new(role, text), None)
    }

    /// Message `at` of a trace; the ones before it are its past.
    ///
    /// # Panics
    /// `at` is beyond the end.
    pub fn of_trace(messages: &Arc<[Message]>, at: usize) -> Self {
        assert!(at < messages.len(), "message {at} of {}", messages.len());
        Self::after(messages.clone(), at, at > 0, None)
    }

    /// What is scanned.
    pub fn message(&self) -> &Message {
        self.own.as_ref().unwrap_or_else(|| &self.messages[self.at])
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.message().content
    }

    /// What was said before, where it is known.
    pub fn trace(&self) -> Option<&[Message]> {
        self.has_trace.then(|| &self.messages[..self.at])
    }

    /// Nobody waits for a verdict any more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether the time is up: a scanner that still works may stop, whatever it says is not heard.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// The text as it came and in the other forms that it can be read in; made once, for all scanners.
    pub fn views(&self) -> &Views {
        self.views.get_or_init(|| Views::of(self.text()))
    }
}
