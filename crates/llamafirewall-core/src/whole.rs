//! A message from its first word to its last: what was thought, what is said and what tools are given, one behind the other, as a
//! reply comes that is scanned while it is made. Nothing is split over them.

use crate::firewall::{Kind, Told, kind};
use crate::message::{Joined, PARTS_OF_CALLS, WHOLE};
use crate::{Finding, Message, ScanResult};
use std::collections::HashSet;
use std::ops::Range;

/// How what findings are seen in is called that are in no part of a message for itself.
const ONE_BEHIND_THE_OTHER: &str = "message joined";

pub(crate) struct Whole {
    pub text: String,
    /// Bytes of the text that are the content.
    said: Range<usize>,
    content: Joined,
}

impl Whole {
    /// None where one part is all that there is.
    pub fn of(message: &Message) -> Option<Self> {
        let content = message.unbroken();
        let values: Vec<String> = message.tool_calls.iter().map(crate::ToolCall::joined_values).collect();
        let parts = || [&message.thought, &content.text].into_iter().chain(&values);
        parts().filter(|part| !part.is_empty()).nth(1)?;
        let text = parts().map(String::as_str).collect();
        let said = message.thought.len()..message.thought.len() + content.text.len();
        Some(Self { text, said, content })
    }

    /// Whether something was found that begins in what was thought.
    pub fn has_found_in_thought(&self, result: &ScanResult) -> bool {
        result.findings.iter().any(|finding| self.is_thought(finding))
    }

    /// Whether a finding begins in what was thought: it may go on in what was said by chance, as an address before a word does.
    fn is_thought(&self, finding: &Finding) -> bool {
        finding.span.start < finding.span.end.min(self.said.start)
    }

    /// What was thought.
    pub fn thought(&self) -> &str {
        &self.text[..self.said.start]
    }

    /// Gives a finding its place in the message.
    fn place(&self, finding: &mut Finding) {
        let Range { start, end } = finding.span;
        let in_content = start.max(self.said.start)..end.min(self.said.end);
        let how = if finding.seen_in.is_empty() { "" } else { ", " };
        (finding.span, finding.seen_in) = if !in_content.is_empty() {
            let from = self.said.start;
            let span = self.content.original(in_content.start - from..in_content.end - from);
            (span, format!("{ONE_BEHIND_THE_OTHER}{how}{}", finding.seen_in).into())
        } else if start >= self.said.end && start < end {
            (0..0, PARTS_OF_CALLS[1].into())
        } else {
            (0..0, WHOLE.into())
        };
    }
}

/// What was found in the parts of a message, each for itself.
pub(crate) struct ToldOfParts<'a> {
    thought: Told<'a>,
    content: Told<'a>,
    calls: HashSet<Kind<'a>>,
}

impl<'a> ToldOfParts<'a> {
    pub fn of(in_thought: &'a [Finding], in_message: &'a [Finding]) -> Self {
        let in_content = in_message.iter().filter(|finding| !finding.is_beside_text());
        let in_calls = in_message.iter().filter(|finding| finding.is_in_call());
        Self {
            thought: Told::of(in_thought),
            content: Told::of(in_content),
            calls: in_calls.map(kind).collect(),
        }
    }

    /// Leaves of what one scanner found in the whole what no part says, at its place in the message.
    pub fn leave_new(&self, whole: &Whole, result: &mut ScanResult) {
        result.retain(|finding| !(whole.is_thought(finding) && self.thought.covers(finding)));
        result.findings.iter_mut().for_each(|finding| whole.place(finding));
        result.retain(|finding| match () {
            () if finding.is_in_call() => !self.calls.contains(&kind(finding)),
            () => finding.is_beside_text() || !self.content.covers(finding),
        });
    }
}
