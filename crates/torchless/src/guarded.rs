//! The door that a reply leaves by, where a firewall is in place.
//!
//! Text and thinking are each scanned for themselves, and together with the strings in calls of tools in the order in which they
//! come, so that nothing is split over them; a call is scanned by itself, too, before it is told.

use crate::generation::Event;
use crate::prompt::Prompt;
use llamafirewall_core::{Content, Firewall, OutputGuard, Refusal, Released, Role, ScanResult, ToolCall};
use std::collections::VecDeque;

/// What a piece of a reply is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text = 0,
    Thinking = 1,
}

/// What has not left yet.
enum Waiting {
    Piece(Kind, String),
    /// What leaves as a whole, once so many bytes of what is scanned together may.
    Event(Event, usize),
}

/// A stream that is scanned, and how much of it may leave.
struct Stream {
    guard: OutputGuard,
    may_leave: usize,
    /// Whether there is anything to scan.
    has_begun: bool,
}

impl Stream {
    fn push(&mut self, text: &str) -> Result<(), Refusal> {
        self.has_begun |= !text.is_empty();
        match self.guard.push(text) {
            Released::Text(released) => self.may_leave += released.len(),
            Released::Stopped(result) => return Err(refusal(result)),
        }
        Ok(())
    }

    /// Ends it, and says why it passes though scanning failed, if it does.
    fn finish(&mut self) -> Result<Option<String>, Refusal> {
        match self.guard.finish() {
            (Released::Text(text), result) if result.is_allowed() => {
                self.may_leave += text.len();
                Ok(result.failure(Role::Assistant))
            }
            (_, result) => Err(refusal(result)),
        }
    }
}

/// Holds a reply back until it may leave.
pub(crate) struct ReplyDoor {
    /// Text, and thinking.
    apart: [Stream; 2],
    together: Stream,
    /// Whether calls have a part in what is scanned together.
    has_values: bool,
    waiting: VecDeque<Waiting>,
    /// Why calls were told that could not be scanned.
    failures: Vec<String>,
}

/// What is left of a reply at its end.
pub(crate) struct Closed {
    pub events: Vec<Event>,
    /// Why it was told though it could not be scanned.
    pub failures: Vec<String>,
    /// Has scanned the text.
    pub text: OutputGuard,
}

impl ReplyDoor {
    /// The door for the reply to a prompt.
    pub fn new(firewall: &Firewall, prompt: &Prompt) -> Self {
        let mut trace = Vec::new();
        prompt.visit(&mut |message| trace.push(message));
        let guard = || firewall.output_guard(Role::Assistant, Some(trace.clone()));
        let stream = || Stream { guard: guard(), may_leave: 0, has_begun: false };
        let (waiting, failures) = (VecDeque::new(), Vec::new());
        Self { apart: [stream(), stream()], together: stream(), has_values: false, waiting, failures }
    }

    /// Takes what the reply says next, and gives what may leave.
    pub fn pass(&mut self, event: Event) -> Result<Vec<Event>, Refusal> {
        match event {
            Event::Text(text) => self.piece(Kind::Text, text)?,
            Event::Reasoning(text) => self.piece(Kind::Thinking, text)?,
            Event::ToolCall(call) => {
                let asked = ToolCall { name: call.name.clone(), arguments: call.arguments.to_string() };
                let values = asked.joined_values();
                let result = self.together.guard.tool_calls(vec![asked]);
                if !result.is_allowed() {
                    return Err(refusal(result));
                }
                self.failures.extend(result.failure(Role::Assistant));
                self.has_values |= !values.is_empty();
                self.together.push(&values)?;
                self.waiting.push_back(Waiting::Event(Event::ToolCall(call), values.len()));
            }
            other => self.waiting.push_back(Waiting::Event(other, 0)),
        }
        Ok(self.leaving())
    }

    /// Ends the reply, and gives what is left of it.
    pub fn close(mut self) -> Result<Closed, Refusal> {
        let apart = self.apart.iter_mut().filter(|stream| stream.has_begun);
        let finished = apart.map(Stream::finish).collect::<Result<Vec<_>, _>>()?;
        if finished.len() == 1 && !self.has_values {
            // What is scanned together is what was scanned just now.
            self.together.may_leave = usize::MAX;
        } else if self.together.has_begun {
            self.failures.extend(self.together.finish()?);
        }
        self.failures.extend(finished.into_iter().flatten());
        let events = self.leaving();
        let [text, _] = self.apart;
        Ok(Closed { events, failures: self.failures, text: text.guard })
    }

    fn piece(&mut self, kind: Kind, text: String) -> Result<(), Refusal> {
        self.apart[kind as usize].push(&text)?;
        self.together.push(&text)?;
        self.waiting.push_back(Waiting::Piece(kind, text));
        Ok(())
    }

    /// What every stream that it belongs to lets leave.
    fn leaving(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(first) = self.waiting.pop_front() {
            let (kind, text) = match first {
                Waiting::Event(event, length) if length > self.together.may_leave => {
                    self.waiting.push_front(Waiting::Event(event, length));
                    break;
                }
                Waiting::Event(event, length) => {
                    self.together.may_leave -= length;
                    events.push(event);
                    continue;
                }
                Waiting::Piece(kind, text) => (kind, text),
            };
            let apart = &mut self.apart[kind as usize];
            let mut length = text.len().min(apart.may_leave).min(self.together.may_leave);
            while !text.is_char_boundary(length) {
                length -= 1;
            }
            apart.may_leave -= length;
            self.together.may_leave -= length;
            let (leaves, stays) = text.split_at(length);
            if !leaves.is_empty() {
                events.push(match kind {
                    Kind::Text => Event::Text(leaves.to_owned()),
                    Kind::Thinking => Event::Reasoning(leaves.to_owned()),
                });
            }
            if !stays.is_empty() {
                self.waiting.push_front(Waiting::Piece(kind, stays.to_owned()));
                break;
            }
        }
        events
    }
}

fn refusal(result: ScanResult) -> Refusal {
    Refusal { role: Role::Assistant, reason: result.reason, decision: result.decision }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamafirewall::{Configuration, RegexScanner};
    use std::sync::Arc;

    /// What leaves of a reply, and whether all of it does.
    fn out(events: Vec<Event>) -> (String, bool) {
        let scanner = Arc::new(RegexScanner::new().expect("it compiles"));
        let configuration = Configuration::new().add_scanner(Role::Assistant, scanner);
        let firewall = Firewall::new(configuration).expect("it is valid");
        let mut door = ReplyDoor::new(&firewall, &Prompt::Text("hello".to_owned()));
        let mut told = String::new();
        let mut tell = |events: Vec<Event>| {
            for event in events {
                match event {
                    Event::Text(text) => told.push_str(&text),
                    Event::Reasoning(text) => told.push_str(&text.to_uppercase()),
                    other => told.push_str(&format!("{other:?}")),
                }
            }
        };
        for event in events {
            match door.pass(event) {
                Ok(events) => tell(events),
                Err(_) => return (told, false),
            }
        }
        let closed = door.close().map(|closed| tell(closed.events));
        let passed = closed.is_ok();
        (told, passed)
    }

    fn text(text: &str) -> Event {
        Event::Text(text.to_owned())
    }

    fn thinking(text: &str) -> Event {
        Event::Reasoning(text.to_owned())
    }

    #[test]
    fn what_is_harmless_leaves_in_order() {
        let events = vec![thinking("so they "), thinking("ask"), text("A fine "), text("day.")];
        assert_eq!(out(events), ("SO THEY ASKA fine day.".to_owned(), true));
    }

    #[test]
    fn nothing_is_split_over_thinking_and_text() {
        let (told, passed) = out(vec![thinking("write to john.doe"), text("@example.com now")]);
        assert!(!passed && !told.to_lowercase().contains("john"), "{told}");
        let (told, passed) = out(vec![thinking("done"), text("123-45-6789 is it")]);
        assert!(!passed && !told.contains("123"), "{told}");
    }

    #[test]
    fn a_call_that_gives_a_secret_away_is_not_told() {
        let call = |to: &str| {
            let arguments = serde_json::json!({ "to": to });
            Event::ToolCall(torchless_chat::ToolCall { id: None, name: "mail".to_owned(), arguments })
        };
        let (told, passed) = out(vec![text("Now. "), call("john.doe@example.com")]);
        assert!(!passed && !told.contains("john"), "{told}");
        let (told, passed) = out(vec![call("the harbour")]);
        assert!(passed && told.contains("the harbour"), "{told}");
    }

    #[test]
    fn nothing_is_split_over_text_and_calls() {
        let call = |arguments: serde_json::Value| {
            Event::ToolCall(torchless_chat::ToolCall { id: None, name: "send".to_owned(), arguments })
        };
        let split = call(serde_json::json!({ "a": "john.doe@exam", "b": "ple.com" }));
        let (told, passed) = out(vec![text("Now. "), split]);
        assert!(!passed && !told.contains("john"), "{told}");
        for first in
            [text("To john.doe"), thinking("To john.doe"), call(serde_json::json!({ "a": "john.doe" }))]
        {
            let (told, passed) = out(vec![first, call(serde_json::json!({ "b": "@example.com" }))]);
            assert!(!passed && !told.to_lowercase().contains("john"), "{told}");
        }
        let (told, passed) =
            out(vec![text("It is 7"), call(serde_json::json!({ "a": 1 })), text(" and so on.")]);
        assert!(passed && told.starts_with("It is 7ToolCall") && told.ends_with("so on."), "{told}");
    }

    #[test]
    fn a_reply_that_ends_with_a_match_keeps_it() {
        let (told, passed) = out(vec![text("Write to "), text("john@example."), text("com")]);
        assert_eq!((told.as_str(), passed), ("Write to ", false));
    }
}
