//! The door that a reply leaves by, where a firewall is in place.
//!
//! Text and thinking are each scanned for themselves, and together with the strings in calls of tools in the order in which they
//! come, so that nothing is split over them; a call is scanned by itself, too, before it is told. Scanners that have to see a message whole,
//! such as judges, are shown the reply at its end, as the message that it is.

use crate::generation::Event;
use crate::prompt::Prompt;
use llamafirewall_core::{
    Content, Field, Firewall, Halt, OutputGuard, Refusal, Released, Role, ScanDecision, ScanResult, ToolCall,
};
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

    /// Ends it, and gives the verdict on all of it.
    fn finish(&mut self) -> ScanResult {
        let (released, result) = self.guard.finish();
        if let Released::Text(text) = released {
            self.may_leave += text.len();
        }
        result
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
    /// Verdicts on calls that a person has to decide about.
    asked: Vec<ScanResult>,
    /// What judges are shown beside the text, where there are any: nothing leaves before.
    judged: Option<Judged>,
    halt: Halt,
    /// Why calls were told that could not be scanned.
    failures: Vec<String>,
}

/// What a reply has beside its text.
#[derive(Default)]
struct Judged {
    calls: Vec<ToolCall>,
    thinking: String,
}

impl Judged {
    fn fields(&mut self) -> Vec<Field> {
        let text = std::mem::take(&mut self.thinking);
        let place = "reasoning_content".to_owned();
        if text.is_empty() { Vec::new() } else { vec![Field { place, text }] }
    }
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
    /// The door for the reply to a prompt. A call of `halt` ends what is waited for at its end.
    pub fn new(firewall: &Firewall, prompt: &Prompt, halt: Halt) -> Self {
        let mut trace = Vec::new();
        prompt.visit(&mut |message| trace.push(message));
        let guard =
            || firewall.output_guard(Role::Assistant, Some(trace.clone())).of_part().until(halt.clone());
        let stream = || Stream { guard: guard(), may_leave: 0, has_begun: false };
        let (apart, together) = ([stream(), stream()], stream());
        let judged = together.guard.has_judges().then(Judged::default);
        let (waiting, asked, failures) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { apart, together, has_values: false, waiting, asked, judged, halt, failures }
    }

    /// Takes what the reply says next, and gives what may leave.
    pub fn pass(&mut self, event: Event) -> Result<Vec<Event>, Refusal> {
        match event {
            Event::Text(text) => self.piece(Kind::Text, text)?,
            Event::Reasoning(text) => {
                self.judged.iter_mut().for_each(|judged| judged.thinking.push_str(&text));
                self.piece(Kind::Thinking, text)?;
            }
            Event::ToolCall(call) => {
                let asked = ToolCall { name: call.name.clone(), arguments: call.arguments.to_string() };
                let values = asked.joined_values();
                self.judged.iter_mut().for_each(|judged| judged.calls.push(asked.clone()));
                let result = self.together.guard.tool_calls(vec![asked]);
                if result.decision == ScanDecision::Block {
                    return Err(refusal(result));
                }
                self.failures.extend(result.failure(Role::Assistant));
                self.has_values |= !values.is_empty();
                self.together.push(&values)?;
                // What a person has to decide about does not leave, nor what follows; that may yet come to be blocked.
                let length = if result.is_allowed() { values.len() } else { usize::MAX };
                self.asked.extend(Some(result).filter(|result| !result.is_allowed()));
                self.waiting.push_back(Waiting::Event(Event::ToolCall(call), length));
            }
            other => self.waiting.push_back(Waiting::Event(other, 0)),
        }
        Ok(if self.judged.is_some() { Vec::new() } else { self.leaving() })
    }

    /// Ends the reply, and gives what is left of it; none where nobody waited for the verdict on it.
    pub fn close(mut self) -> Result<Option<Closed>, Refusal> {
        let results = self.verdicts();
        if self.halt.is_called() {
            return Ok(None);
        }
        if let Some(refusal) = worst(&results) {
            return Err(refusal);
        }
        self.failures.extend(results.iter().filter_map(|result| result.failure(Role::Assistant)));
        let events = self.leaving();
        let [text, _] = self.apart;
        Ok(Some(Closed { events, failures: self.failures, text: text.guard }))
    }

    /// What scanners say of the reply at its end. What is blocked already is not judged.
    fn verdicts(&mut self) -> Vec<ScanResult> {
        let apart = self.apart.iter_mut().filter(|stream| stream.has_begun);
        let finished: Vec<ScanResult> = apart.map(Stream::finish).collect();
        let mut results = Vec::new();
        if finished.len() == 1 && !self.has_values {
            // What is scanned together is what was scanned just now.
            self.together.may_leave = usize::MAX;
        } else if self.together.has_begun {
            results.push(self.together.finish());
        }
        results.extend(finished);
        results.append(&mut self.asked);
        let is_blocked = results.iter().any(|result| result.decision == ScanDecision::Block);
        if let Some(mut judged) = self.judged.take().filter(|_| !is_blocked) {
            let fields = judged.fields();
            if self.together.has_begun || !judged.calls.is_empty() {
                results.push(self.apart[Kind::Text as usize].guard.judged(judged.calls, fields));
            }
        }
        results
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

/// The worst of several verdicts, where one does not let pass; what one reason says already is not said again.
fn worst(results: &[ScanResult]) -> Option<Refusal> {
    let decision = results.iter().map(|result| result.decision).max()?;
    let mut reason = String::new();
    for result in results.iter().filter(|result| result.decision == decision) {
        if !reason.contains(&result.reason) {
            let between = if reason.is_empty() { "" } else { "; " };
            reason.push_str(&format!("{between}{}", result.reason));
        }
    }
    let role = Role::Assistant;
    (decision != ScanDecision::Allow).then_some(Refusal { role, reason, decision })
}

fn refusal(result: ScanResult) -> Refusal {
    Refusal { role: Role::Assistant, reason: result.reason, decision: result.decision }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamafirewall::{AlignmentCheckScanner, ChatJudge, Configuration, Message, RegexScanner};
    use llamafirewall::{ScanFuture, ScanInput, Scanner};
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};

    /// What leaves of a reply, and whether all of it does.
    fn out(events: Vec<Event>) -> (String, bool) {
        let (told, refused) = through(Arc::new(RegexScanner::new().expect("it compiles")), events);
        (told, refused.is_none())
    }

    /// What a scanner lets leave of a reply, and why not all of it.
    fn through(scanner: Arc<dyn Scanner>, events: Vec<Event>) -> (String, Option<Refusal>) {
        let configuration = Configuration::new().add_scanner(Role::Assistant, scanner);
        let firewall = Firewall::new(configuration).expect("it is valid");
        let prompt = Prompt::Chat(vec![Message::user("hello")]);
        let mut door = ReplyDoor::new(&firewall, &prompt, Halt::default());
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
                Err(refusal) => return (told, Some(refusal)),
            }
        }
        match door.close() {
            Ok(closed) => tell(closed.map_or(Vec::new(), |closed| closed.events)),
            Err(refusal) => return (told, Some(refusal)),
        }
        (told, None)
    }

    fn call(arguments: serde_json::Value) -> Event {
        Event::ToolCall(torchless_chat::ToolCall { id: None, name: "send".to_owned(), arguments })
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
        let call = |to: &str| call(json!({ "to": to }));
        let (told, passed) = out(vec![text("Now. "), call("john.doe@example.com")]);
        assert!(!passed && !told.contains("john"), "{told}");
        let (told, passed) = out(vec![call("the harbour")]);
        assert!(passed && told.contains("the harbour"), "{told}");
    }

    #[test]
    fn nothing_is_split_over_text_and_calls() {
        let split = call(json!({ "a": "john.doe@exam", "b": "ple.com" }));
        let (told, passed) = out(vec![text("Now. "), split]);
        assert!(!passed && !told.contains("john"), "{told}");
        for first in [text("To john.doe"), thinking("To john.doe"), call(json!({ "a": "john.doe" }))] {
            let (told, passed) = out(vec![first, call(json!({ "b": "@example.com" }))]);
            assert!(!passed && !told.to_lowercase().contains("john"), "{told}");
        }
        let (told, passed) = out(vec![text("It is 7"), call(json!({ "a": 1 })), text(" and so on.")]);
        assert!(passed && told.starts_with("It is 7ToolCall") && told.ends_with("so on."), "{told}");
    }

    /// A reply leaves as the message passes that it is of a conversation.
    #[test]
    fn a_reply_and_the_same_message_of_a_trace_are_judged_alike() {
        let scanner: Arc<dyn Scanner> = Arc::new(RegexScanner::new().expect("it compiles"));
        let firewall = Firewall::new(Configuration::new().add_scanner(Role::Assistant, scanner.clone()));
        let firewall = firewall.expect("it is valid");
        let said = "Write to john.doe@example.com";
        let cuts = |from: usize| (from..=said.len()).step_by(5);
        for (first, second) in cuts(0).flat_map(|first| cuts(first).map(move |second| (first, second))) {
            for whole in [said, "Write to john.doe at example and"] {
                let parts = [&whole[..first], &whole[first..second], &whole[second..]];
                let events = vec![thinking(parts[0]), text(parts[1]), call(json!({ "a": parts[2] }))];
                let (_, refusal) = through(scanner.clone(), events);
                let calls = vec![ToolCall { name: "send".into(), arguments: json!([parts[2]]).to_string() }];
                let message = Message::assistant(parts[1]).with_tool_calls(calls).after_thought(parts[0]);
                let thought = firewall.scan_blocking(&Message::assistant(parts[0]), None);
                let result = firewall.scan_blocking(&message, None);
                let passes = thought.is_allowed() && result.is_allowed();
                assert_eq!((passes, refusal.is_none()), (whole != said, whole != said), "{parts:?}");
            }
        }
    }

    #[test]
    fn a_reply_that_ends_with_a_match_keeps_it() {
        let (told, passed) = out(vec![text("Write to "), text("john@example."), text("com")]);
        assert_eq!((told.as_str(), passed), ("Write to ", false));
    }

    /// Blocks what is forbidden, and asks about what is odd.
    struct Words;

    impl Scanner for Words {
        fn name(&self) -> &'static str {
            "words"
        }

        fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
            let result = match input.text() {
                text if text.contains("forbidden") => ScanResult::block("forbidden", 1.0),
                text if text.contains("odd") => ScanResult::human("odd", 1.0),
                _ => ScanResult::allow("fine"),
            };
            Box::pin(async { Ok(result) })
        }
    }

    #[test]
    fn what_is_blocked_counts_though_a_person_has_to_decide_about_something_before_it() {
        let odd = || call(json!({ "q": "odd" }));
        for events in [
            vec![text("forbidden "), odd()],
            vec![odd(), text("forbidden")],
            vec![odd(), call(json!({ "q": "forbidden" }))],
            vec![text("odd"), thinking("forbidden")],
            vec![odd(), call(json!({ "q": "for" })), call(json!({ "q": "bidden" }))],
        ] {
            let (told, refusal) = through(Arc::new(Words), events.clone());
            let refusal = refusal.expect("it is refused");
            assert_eq!((told.as_str(), refusal.decision), ("", ScanDecision::Block), "{events:?}");
            assert!(refusal.reason.contains("forbidden"), "{}", refusal.reason);
        }
        let (told, refusal) = through(Arc::new(Words), vec![text("Now. "), odd(), text("Done.")]);
        let refusal = refusal.expect("a person has to decide");
        assert_eq!((told.as_str(), refusal.decision), ("", ScanDecision::HumanInTheLoopRequired));
        assert!(refusal.reason.contains("tool call: odd"), "{}", refusal.reason);
    }

    #[test]
    fn judges_are_asked_once_about_the_message_that_a_reply_is() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let judge = ChatJudge::new("any", move |body| {
            log.lock().expect("no panic before").push(body["messages"][1]["content"].clone());
            let verdict = json!({ "observation": "o", "thought": "t", "conclusion": false }).to_string();
            Ok(json!({ "choices": [{ "message": { "content": verdict } }] }))
        });
        let scanner = Arc::new(AlignmentCheckScanner::new(Arc::new(judge)));
        let calls = ["rm", "-rf"].map(|q| call(json!({ "q": q })));
        let [first, second] = calls;
        let events = vec![thinking("hm"), text("I look "), first, second, text("it up.")];
        let (told, refusal) = through(scanner, events);
        assert!(
            refusal.is_none() && told.starts_with("HMI look ToolCall") && told.ends_with("it up."),
            "{told}"
        );
        let asked = asked.lock().expect("no panic before");
        let asked: Vec<Value> =
            asked.iter().map(|text| text.as_str().unwrap_or("").parse().expect("JSON")).collect();
        let call = |q: &str| json!({ "name": "send", "arguments": json!({ "q": q }).to_string() });
        let said = json!({
            "role": "assistant", "content": "I look it up.", "tool_calls": [call("rm"), call("-rf")],
            "other_fields": [{ "place": "reasoning_content", "text": "hm" }],
        });
        assert_eq!(asked, [json!({ "objective": "hello", "trace": [said] })]);
    }
}
