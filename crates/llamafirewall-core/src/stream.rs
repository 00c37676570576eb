//! A reply on its way out: released as far as no scanner could still object to it, and not a byte further.

use crate::admission::Link;
use crate::execution::{Halt, block_on};
use crate::verdict::{merged, unscanned};
use crate::{Field, Firewall, Message, Passed, Role, ScanInput, ScanResult, ScanStatus, ToolCall};
use std::sync::Arc;

/// Bytes before what is undecided that scanners are shown again, so that they see what stands before a match.
const CONTEXT: usize = 1024;
/// What is undecided is looked at again when it has grown by this share, once it is long.
const GROWTH: usize = 8;
/// The same for what a look begins with: a scanner may find no place of rest for long.
const GROWTH_OF_SEEN: usize = 128;
/// Up to here it is looked at on every push.
const SHORT: usize = 4096;

/// What became of a piece of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Released {
    /// This much more may be shown; it may be empty.
    Text(String),
    /// The reply has to end here. Nothing of what was found was released.
    Stopped(ScanResult),
}

/// Scans a reply while it is made. Split in whatever way, a reply gets the verdict that it gets as a whole. What scans waits on the calling
/// thread, as [`Firewall::admit`] does.
#[derive(Debug)]
pub struct OutputGuard {
    firewall: Firewall,
    role: Role,
    /// What was said before the reply.
    trace: Option<Arc<[Message]>>,
    text: String,
    /// Bytes of a character that is not whole yet.
    partial: Vec<u8>,
    released: usize,
    /// Where a look begins: nothing before it is undecided, and nothing that was found reaches over it.
    rest: Vec<usize>,
    /// Length of the text at the last look.
    looked: usize,
    /// What needs a person's decision is not released, but may yet come to be blocked.
    held: Option<usize>,
    stopped: Option<ScanResult>,
    /// Calls that need a person's decision: what follows may yet be blocked.
    asked: Vec<ScanResult>,
    /// Scanners that are shown the reply as a whole, where this is a part of it.
    judges: Option<Firewall>,
    halt: Halt,
    /// Whether all of it was scanned at its end, and passed.
    has_passed: bool,
}

impl OutputGuard {
    pub(crate) fn new(firewall: Firewall, role: Role, trace: Option<Vec<Message>>) -> Self {
        Self {
            firewall,
            role,
            trace: trace.map(Arc::from),
            text: String::new(),
            partial: Vec::new(),
            released: 0,
            rest: vec![0],
            looked: 0,
            held: None,
            stopped: None,
            asked: Vec::new(),
            judges: None,
            halt: Halt::default(),
            has_passed: false,
        }
    }

    /// The same guard for one part of a reply, such as its text or its thinking. Scanners that look at calls themselves and have to see a
    /// whole message, as judges do, say nothing of parts: [`judged`](Self::judged) shows them the reply, and nothing of it may be told
    /// before.
    #[must_use]
    pub fn of_part(mut self) -> Self {
        let (others, judges) = self.firewall.divided(self.role);
        self.firewall = others;
        self.judges = judges;
        self
    }

    /// The same guard, whose waits at the end of a reply are over when `halt` is called: what was not scanned does not pass.
    #[must_use]
    pub fn until(mut self, halt: Halt) -> Self {
        self.halt = halt;
        self
    }

    /// Whether there are scanners that have to be shown the reply as a whole.
    pub fn has_judges(&self) -> bool {
        self.judges.is_some()
    }

    /// Takes more of the reply, and releases what no scanner can object to any more.
    pub fn push(&mut self, text: &str) -> Released {
        self.end_character();
        self.take(text)
    }

    /// What of a character came is none, where no bytes follow.
    fn end_character(&mut self) {
        if !std::mem::take(&mut self.partial).is_empty() {
            self.text.push(char::REPLACEMENT_CHARACTER);
            self.has_passed = false;
        }
    }

    fn take(&mut self, text: &str) -> Released {
        if let Some(result) = &self.stopped {
            return Released::Stopped(result.clone());
        }
        self.text.push_str(text);
        self.has_passed &= text.is_empty();
        let grown = self.text.len() - self.looked;
        let has_grown = |length: usize, share: usize| length <= SHORT || grown * share >= length;
        let seen = self.text.len() - self.rest.first().copied().unwrap_or(0);
        let is_worth_it =
            has_grown(self.text.len() - self.released, GROWTH) && has_grown(seen, GROWTH_OF_SEEN);
        if self.firewall.needs_whole(self.role) || !is_worth_it {
            return Released::Text(String::new());
        }
        self.look()
    }

    /// The same for bytes, which may end within a character. What is no UTF-8 is replaced.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Released {
        self.partial.extend_from_slice(bytes);
        let mut text = String::new();
        let mut taken = 0;
        for chunk in self.partial.utf8_chunks() {
            text.push_str(chunk.valid());
            taken += chunk.valid().len();
            let reaches_end = taken + chunk.invalid().len() == self.partial.len();
            if reaches_end && chunk.invalid().len() < 4 && may_go_on(chunk.invalid()) {
                break;
            }
            taken += chunk.invalid().len();
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.partial.drain(..taken);
        self.take(&text)
    }

    /// Ends the reply: gives what is left of it, and the verdict on the whole.
    pub fn finish(&mut self) -> (Released, ScanResult) {
        self.end_character();
        if let Some(result) = &self.stopped {
            return (Released::Stopped(result.clone()), result.clone());
        }
        let message = Message::new(self.role, std::mem::take(&mut self.text));
        let mut results = vec![("", self.scanned(&self.firewall, &message))];
        results.extend(self.asked.drain(..).map(|asked| ("", asked)));
        let result = match results.len() {
            1 => results.remove(0).1,
            _ => merged(results, |_, result| result.reason.clone()),
        };
        if !result.is_allowed() {
            self.stopped = Some(result.clone());
            return (Released::Stopped(result.clone()), result);
        }
        let left = message.content[self.released..].to_owned();
        self.released = message.content.len();
        self.text = message.content;
        self.has_passed = result.status != ScanStatus::Error;
        (Released::Text(left), result)
    }

    /// Shows the reply, with this guard's part as its text, to the scanners that have to see it as a whole; after [`finish`](Self::finish).
    pub fn judged(&mut self, calls: Vec<ToolCall>, beside: Vec<Field>) -> ScanResult {
        let Some(judges) = &self.judges else { return unscanned() };
        let message = Message::new(self.role, &self.text[..]).with_tool_calls(calls).with_fields(beside);
        let result = self.scanned(judges, &message);
        // What passed with more beside it has not passed alone.
        let is_text = message.tool_calls.is_empty() && message.fields.is_empty();
        self.has_passed &= is_text && result.is_allowed() && result.status != ScanStatus::Error;
        if !result.is_allowed() {
            self.stopped = Some(result.clone());
        }
        result
    }

    /// The verdict on a message, or that nobody waited for it. Where all scanners are judges, parts are nobody's to scan.
    fn scanned(&self, firewall: &Firewall, message: &Message) -> ScanResult {
        if self.judges.is_some() && firewall.is_open_for(self.role) {
            return unscanned();
        }
        let scan = firewall.scan(message, self.trace.as_deref());
        let ended = || {
            let result = ScanResult::block("scan failed: nobody waited for the verdict", 1.0);
            firewall.recorded(message, ScanResult { status: ScanStatus::Error, coverage: 0.0, ..result })
        };
        block_on(self.halt.or(scan)).unwrap_or_else(ended)
    }

    /// Counts the reply, where it has ended and passed, to what has passed of its conversation: it is not scanned again as the next
    /// message there, if that is the same.
    pub fn remember(&self, passed: &mut Passed) {
        if self.has_passed {
            let before = self.trace.as_deref().unwrap_or_default();
            let link = before.iter().fold(Link::default(), |link, message| link.to(message));
            let link = link.to(&Message::new(self.role, &self.text[..]));
            passed.put(self.firewall.id(), before.len(), link);
        }
    }

    /// Scans calls of tools that the reply asks for, their arguments included. After some that need a person's decision the reply goes on,
    /// held back: what follows may be blocked, and the verdict at its end is on all of it.
    pub fn tool_calls(&mut self, calls: Vec<ToolCall>) -> ScanResult {
        let message = Message::new(self.role, "").with_tool_calls(calls);
        let result = self.scanned(&self.firewall, &message);
        if result.decision.is_block() {
            self.stopped = Some(result.clone());
        } else if !result.is_allowed() {
            self.held = Some(self.held.map_or(self.text.len(), |held| held.min(self.text.len())));
            self.asked.push(result.clone());
        }
        result
    }

    /// Scans what is undecided, and releases what is not.
    fn look(&mut self) -> Released {
        self.looked = self.text.len();
        let from = self.start_of_look();
        let message = Message::new(self.role, &self.text[from..]);
        let input = Arc::new(ScanInput::following(self.trace.as_ref(), message));
        let settled = from + self.firewall.settled(&input);
        let (result, to_everything) = block_on(self.firewall.scan_part(&input));
        let mut end = if to_everything { self.released } else { settled };
        if !result.is_allowed() {
            let objections = result.findings.iter().filter(|finding| !finding.decision.is_allow());
            for finding in objections {
                let start = from.saturating_add(finding.span.start);
                let stop = from.saturating_add(finding.span.end);
                let has_left = stop <= self.released;
                if has_left && from > 0 && start < from + CONTEXT / 2 {
                    // It may come of what is not seen before it.
                    continue;
                }
                if has_left || finding.span.is_empty() {
                    // An objection to nothing, or to what has left, is one to all that follows.
                    end = self.released;
                    continue;
                }
                end = end.min(start);
                if stop <= settled && finding.decision.is_block() {
                    return self.stop(from, result);
                }
                if stop <= settled {
                    self.held = Some(self.held.map_or(start, |held| held.min(start)));
                }
            }
        }
        end = end.min(self.held.unwrap_or(end)).max(self.released);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        if settled == self.text.len() && self.rest.last().is_some_and(|last| settled >= last + CONTEXT / 4) {
            self.rest.push(settled);
        }
        let released = self.text[self.released..end].to_owned();
        self.released = end;
        Released::Text(released)
    }

    /// Ends the reply with what was found from `from` on.
    fn stop(&mut self, from: usize, mut result: ScanResult) -> Released {
        for finding in &mut result.findings {
            finding.span = from.saturating_add(finding.span.start)..from.saturating_add(finding.span.end);
        }
        let message = Message::new(self.role, &self.text);
        let result = self.firewall.recorded(&message, result);
        self.stopped = Some(result.clone());
        Released::Stopped(result)
    }

    /// The last place of rest that leaves context enough before what is undecided.
    fn start_of_look(&mut self) -> usize {
        let wanted = self.released.saturating_sub(CONTEXT);
        let usable = self.rest.partition_point(|rest| *rest <= wanted);
        // Earlier ones are not needed again.
        self.rest.drain(..usable.saturating_sub(1));
        self.rest.first().copied().unwrap_or(0)
    }
}

/// Whether bytes that are no character may become one.
fn may_go_on(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [first, ..] => matches!(first, 0xc2..=0xf4),
    }
}
