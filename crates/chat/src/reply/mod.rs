//! What a reply says, told apart while it streams: text, thinking, calls of tools.
//!
//! The parser takes text as it is decoded and control tokens by name. It holds back only what may still become a tag.
//! What looks like a call and is none comes out as text: nothing that a model said is lost.

mod calls;
mod exact;
mod formats;
mod harmony;
mod markup;
mod python;
mod recipients;
#[cfg(test)]
mod tests;
mod tools;

pub use calls::ToolCall;
pub use formats::{ReplyFormat, THINKING, Thinking};
pub(crate) use harmony::is_for_reader;
pub use tools::Tools;

use calls::{CallFormat, Found, calls_in};
use harmony::Harmony;
use recipients::Recipients;

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// For the reader.
    Text(String),
    /// Thinking, which readers see only if they ask for it.
    Reasoning(String),
    /// The model wants a tool to be called.
    Call(ToolCall),
}

/// What comes before the part of a reply that is for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Thinking between these tags.
    Thinking(Thinking),
    /// Headers and channels of gpt-oss.
    Channels,
}

/// Takes a reply apart.
#[derive(Debug)]
pub struct ReplyParser {
    format: ReplyFormat,
    state: State,
    /// Not decided yet.
    held: String,
    /// White space before the call that is held; it is dropped with the call's tags.
    blank: String,
    /// Bytes of what looked like calls and was none.
    in_vain: usize,
    harmony: Option<Harmony>,
    recipients: Option<Recipients>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing but white space so far: thinking may begin.
    Start,
    Thinking,
    /// Thinking has ended, and white space after it is dropped.
    AfterThinking,
    Text,
    /// Inside a call, everything is held until its end, which was looked for up to here.
    Call(&'static CallFormat, usize),
}

/// Bytes of a call at most; a longer one is text.
const MAX_CALL: usize = 4 << 20;
/// Bytes of calls that are read in vain before the first end tag of a call counts as its end.
const MAX_IN_VAIN: usize = 16 * MAX_CALL;

impl ReplyParser {
    /// For replies in `format`; `prompt_end` is the end of the prompt, which may have begun to think already.
    pub fn new(format: ReplyFormat, prompt_end: &str) -> Self {
        let thinking = format.thinking.is_some_and(|tags| prompt_end.trim_end().ends_with(tags.open));
        let state = if thinking { State::Thinking } else { State::Start };
        let harmony = format.harmony.then(|| Harmony::new(prompt_end, format.tools.clone()));
        let recipients = format.recipients.then(|| Recipients::new(prompt_end, format.tools.clone()));
        Self { format, state, held: String::new(), blank: String::new(), in_vain: 0, harmony, recipients }
    }

    /// What the reply begins in the midst of.
    pub fn beginning(&self) -> Option<Beginning> {
        match &self.harmony {
            Some(harmony) => harmony.begins_in_header().then_some(Beginning::Channels),
            None => self.format.thinking.filter(|_| self.state == State::Thinking).map(Beginning::Thinking),
        }
    }

    /// Takes decoded text.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        if let Some(harmony) = &mut self.harmony {
            return harmony.push(text);
        }
        if let Some(recipients) = &mut self.recipients {
            return recipients.push(text);
        }
        self.held.push_str(text);
        let mut out = Vec::new();
        while self.step(&mut out) {}
        out
    }

    /// Takes a control token by its name. One that means nothing here is dropped, as control tokens are.
    pub fn control(&mut self, name: &str) -> Vec<Piece> {
        if let Some(harmony) = &mut self.harmony {
            return harmony.control(name);
        }
        let thinking = self.format.thinking.filter(|tags| tags.open == name || tags.close == name);
        if let Some(tags) = thinking {
            let held = self.flush_held();
            self.state = if tags.open == name { State::Thinking } else { State::AfterThinking };
            return held;
        }
        // Text may stand before the token in a tag.
        let ends_tag = |begin: &str| begin.strip_suffix(name).is_some_and(|head| self.held.ends_with(head));
        if matches!(self.state, State::Call(..)) || self.format.calls.iter().any(|call| ends_tag(call.begin))
        {
            return self.push(name);
        }
        Vec::new()
    }

    /// The reply has ended.
    pub fn finish(&mut self) -> Vec<Piece> {
        if let Some(harmony) = &mut self.harmony {
            return harmony.finish();
        }
        if let Some(recipients) = &mut self.recipients {
            return recipients.finish();
        }
        let mut out = Vec::new();
        while let State::Call(format, _) = self.state {
            let end = self.end_tag(format, 0);
            match self.calls(format, self.held.len()) {
                Found::Calls(calls) => self.called(self.held.len(), calls, &mut out),
                _ => self.no_call(end.unwrap_or(self.held.len()), &mut out),
            }
            while self.step(&mut out) {}
        }
        if matches!(self.state, State::Start | State::Text | State::AfterThinking)
            && let Some(calls) =
                self.format.whole_reply.and_then(|parse| calls_in(parse, &self.held, &self.format.tools))
        {
            self.held.clear();
            return calls.into_iter().map(Piece::Call).collect();
        }
        out.extend(self.flush_held());
        out
    }

    fn flush_held(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let piece = match self.state {
            State::Thinking => Piece::Reasoning(held.trim_end().to_owned()),
            State::AfterThinking => Piece::Text(held.trim_start().to_owned()),
            _ => Piece::Text(held),
        };
        let empty = matches!(&piece, Piece::Text(text) | Piece::Reasoning(text) if text.is_empty());
        if empty { Vec::new() } else { vec![piece] }
    }

    /// Decides about the beginning of what is held; `false` if more is needed.
    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => self.start(),
            State::Thinking => self.thinking(out),
            State::AfterThinking => {
                self.held.drain(..self.held.len() - self.held.trim_start().len());
                let more = !self.held.is_empty();
                self.state = if more { State::Text } else { State::AfterThinking };
                more
            }
            State::Text => self.text(out),
            State::Call(format, from) => self.call(format, from, out),
        }
    }

    fn start(&mut self) -> bool {
        let text = self.held.trim_start();
        let Some(tags) = self.format.thinking else {
            self.state = State::Text;
            return true;
        };
        if let Some(after) = text.strip_prefix(tags.open) {
            self.held = after.to_owned();
            self.state = State::Thinking;
            return true;
        }
        if tags.open.starts_with(text) {
            return false;
        }
        self.state = State::Text;
        true
    }

    fn thinking(&mut self, out: &mut Vec<Piece>) -> bool {
        let Some(tags) = self.format.thinking else { return false };
        let starting = self.held.trim_start().len();
        if out.is_empty() && self.held.len() > starting && self.format.trims {
            self.held.drain(..self.held.len() - starting);
            self.format.trims = false;
        }
        if let Some(at) = self.held.find(tags.close) {
            let thought = self.held[..at].trim_end().to_owned();
            self.held.drain(..at + tags.close.len());
            if !thought.is_empty() {
                out.push(Piece::Reasoning(thought));
            }
            self.state = State::AfterThinking;
            return true;
        }
        // White space before the closing tag belongs to neither.
        let solid = self.held.trim_end().len();
        let keep = open_end(&self.held[..solid], &[tags.close]);
        let ready = if keep > 0 { self.held[..solid - keep].trim_end().len() } else { solid };
        if ready > 0 {
            self.format.trims = false;
            out.push(Piece::Reasoning(self.held.drain(..ready).collect()));
        }
        false
    }

    fn text(&mut self, out: &mut Vec<Piece>) -> bool {
        if self.format.whole_reply.is_some() && maybe_json(&self.held) {
            return false;
        }
        let first = self.format.calls.iter().filter_map(|call| Some((self.held.find(call.begin)?, *call)));
        if let Some((at, call)) = first.min_by_key(|(at, call)| (*at, std::cmp::Reverse(call.begin.len()))) {
            let before: String = self.held.drain(..at).collect();
            if before.trim().is_empty() {
                self.blank = before;
            } else {
                out.push(Piece::Text(before));
            }
            self.state = State::Call(call, 0);
            return true;
        }
        let begins: Vec<&str> = self.format.calls.iter().map(|call| call.begin).collect();
        let keep = open_end(&self.held, &begins);
        if self.held.len() > keep {
            out.push(Piece::Text(self.held.drain(..self.held.len() - keep).collect()));
            self.format.whole_reply = None;
        }
        false
    }

    /// Looks for the end of a call from a place on. An argument may hold the end tag too: one that leaves the call open is none.
    fn call(&mut self, format: &'static CallFormat, from: usize, out: &mut Vec<Piece>) -> bool {
        if self.held.len() > MAX_CALL {
            self.no_call(self.held.len(), out);
            return true;
        }
        let Some(end) = self.end_tag(format, from) else {
            let begun = open_end(&self.held, &[format.end]);
            self.state = State::Call(format, self.held.len() - begun);
            return false;
        };
        match self.calls(format, end) {
            Found::Calls(calls) => self.called(end, calls, out),
            Found::Open => self.state = State::Call(format, end),
            Found::Text => self.no_call(end, out),
        }
        true
    }

    /// Where the first end tag ends that begins here or later.
    fn end_tag(&self, format: &CallFormat, from: usize) -> Option<usize> {
        let from = from.max(format.begin.len());
        let rest = self.held.get(from..).filter(|_| !format.end.is_empty())?;
        Some(from + rest.find(format.end)? + format.end.len())
    }

    /// What the held bytes up to `end` are, tags included.
    fn calls(&mut self, format: &CallFormat, end: usize) -> Found {
        if self.in_vain > MAX_IN_VAIN {
            return Found::Text;
        }
        let raw = &self.held[..end];
        let inner = raw.strip_prefix(format.begin).unwrap_or(raw);
        let inner =
            if format.end.is_empty() { inner } else { inner.strip_suffix(format.end).unwrap_or(inner) };
        let found = format.found(inner, &self.format.tools);
        if !matches!(found, Found::Calls(_)) {
            self.in_vain += end;
        }
        found
    }

    fn called(&mut self, end: usize, calls: Vec<ToolCall>, out: &mut Vec<Piece>) {
        self.held.drain(..end);
        self.blank.clear();
        out.extend(calls.into_iter().map(Piece::Call));
        self.state = State::AfterThinking;
    }

    /// What is held up to `end` is text after all.
    fn no_call(&mut self, end: usize, out: &mut Vec<Piece>) {
        let mut text = std::mem::take(&mut self.blank);
        text.extend(self.held.drain(..end));
        out.push(Piece::Text(text));
        self.format.whole_reply = None;
        self.state = State::Text;
    }
}

/// Bytes at the end of `text` that may be the beginning of one of `tags`.
fn open_end(text: &str, tags: &[&str]) -> usize {
    let open = |tag: &&str| {
        let limit = text.len().min(tag.len().saturating_sub(1));
        (1..=limit).rev().find(|&n| tag.is_char_boundary(n) && text.ends_with(&tag[..n]))
    };
    tags.iter().filter_map(open).max().unwrap_or(0)
}

/// Whether a reply may still be one JSON object or list as a whole.
fn maybe_json(text: &str) -> bool {
    text.len() <= MAX_CALL && (text.trim_start().is_empty() || text.trim_start().starts_with(['{', '[']))
}
