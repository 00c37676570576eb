//! How families of models mark their thinking and their calls: rows, found by template and vocabulary.

use super::calls::{self, CallFormat, CallParser};
use super::tools::Tools;

/// Tags around thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinking {
    /// Before it.
    pub open: &'static str,
    /// After it.
    pub close: &'static str,
}

const fn tags(open: &'static str, close: &'static str) -> Thinking {
    Thinking { open, close }
}

/// Qwen, DeepSeek and most others; Magistral; Seed-OSS; Command A; Gemma 4; EXAONE; Apertus; Granite 3.2.
pub const THINKING: [Thinking; 9] = [
    tags("<think>", "</think>"),
    tags("[THINK]", "[/THINK]"),
    tags("<seed:think>", "</seed:think>"),
    tags("<|START_THINKING|>", "<|END_THINKING|>"),
    tags("<|channel>thought", "<channel|>"),
    tags("<thought>", "</thought>"),
    tags("<|inner_prefix|>", "<|inner_suffix|>"),
    tags("<thinking>", "</thinking>"),
    tags("Here is my thought process:", "Here is my response:"),
];

/// What the replies of a model may hold.
#[derive(Clone, Debug, Default)]
pub struct ReplyFormat {
    pub(super) thinking: Option<Thinking>,
    pub(super) calls: Vec<&'static CallFormat>,
    /// What may be called.
    pub(super) tools: Tools,
    /// For calls without a tag: what a reply as a whole may be.
    pub(super) whole_reply: Option<CallParser>,
    /// Channels of gpt-oss take the place of all tags.
    pub(super) harmony: bool,
    /// So do the recipients of functionary v3.2.
    pub(super) recipients: bool,
    /// Whether it is known how the model writes its calls.
    pub(super) calls_known: bool,
    /// White space at the beginning of thinking is dropped.
    pub(super) trims: bool,
}

impl ReplyFormat {
    /// Finds the format of a model: what its template writes, and what its vocabulary has as one token.
    pub fn detect(template: &str, has_token: &dyn Fn(&str) -> bool) -> Self {
        let known = |tag: &str| template.contains(tag) || has_token(tag);
        // Its channels are told by control tokens alone.
        let harmony = ["<|start|>", "<|channel|>", "<|message|>"].iter().all(|token| has_token(token));
        let recipients = template.contains(">>>${recipient}");
        let thinking = THINKING.iter().find(|tags| known(tags.open) && known(tags.close)).copied();
        // A template that cuts thinking off names the closing tag alone.
        let cuts =
            THINKING.iter().find(|tags| tags.close.contains('/') && template.contains(tags.close)).copied();
        Self { thinking: thinking.or(cuts), harmony, recipients, trims: true, ..Self::default() }
    }

    /// The same for a model that was given tools: calls of them are looked for as well.
    #[must_use]
    pub fn with_calls(mut self, template: &str, has_token: &dyn Fn(&str) -> bool, tools: Tools) -> Self {
        self.tools = tools;
        let known = |tag: &str| template.contains(tag) || has_token(tag);
        let signed = |sign: Option<&str>| sign.is_some_and(|sign| template.contains(sign));
        let formats = calls::FORMATS.iter();
        self.calls = formats.filter(|format| known(format.begin) || signed(format.sign)).collect();
        let llama = known("<|python_tag|>") || template.contains("\"parameters\": dictionary");
        self.whole_reply = (llama || self.calls.is_empty()).then_some(calls::json_calls as CallParser);
        self.calls_known = !self.calls.is_empty() || llama || self.harmony || self.recipients;
        self
    }

    /// Whether it is known in which form the model calls tools. Where not, a reply that is one call in JSON is found alone.
    pub fn calls_known(&self) -> bool {
        self.calls_known
    }

    /// Whether replies may hold thinking.
    pub fn thinks(&self) -> bool {
        self.thinking.is_some() || self.harmony
    }
}
