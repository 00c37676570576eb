//! What a firewall makes of scanners that object, fail, hang, panic or see too little.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use llamafirewall_core::{
    AuditLog, Configuration, ConfigurationError, FailMode, Field, Finding, Firewall, Limits, Message, Passed,
    Placement, Released, Role, ScanDecision, ScanFuture, ScanInput, ScanResult, ScanStatus, Scanner,
    ScannerError, Threshold, ToolCall, block_on,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Does what its text says.
struct Obedient(&'static str, Placement);

impl Scanner for Obedient {
    fn name(&self) -> &str {
        self.0
    }

    fn placement(&self) -> Placement {
        self.1
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async {
            match input.text() {
                "block" => Ok(ScanResult::block("asked to", 0.9)),
                "human" => Ok(ScanResult::human("asked to", 0.5)),
                "error" => Err(ScannerError("no model".to_owned())),
                "error status" => {
                    Ok(ScanResult { status: ScanStatus::Error, ..ScanResult::block("half done", 0.5) })
                }
                "nan" => Ok(ScanResult::new(ScanDecision::Allow, "", f32::NAN)),
                "half blocked" => Ok(ScanResult { coverage: 0.5, ..ScanResult::block("asked to", 0.5) }),
                "no share" => Ok(ScanResult { coverage: f32::NAN, ..ScanResult::allow("fine") }),
                "half" => Ok(ScanResult { coverage: 0.5, ..ScanResult::allow("fine") }),
                "panic" => panic!("told to"),
                "hang" => std::future::pending().await,
                text if text.starts_with("past ") => {
                    let past = input.trace().map_or(-1, |trace| trace.len() as i64);
                    Ok(ScanResult::allow(format!("{past}")))
                }
                _ => Ok(ScanResult::allow("fine")),
            }
        })
    }
}

fn configuration(placement: Placement) -> Configuration {
    let limits = Limits { time: Duration::from_millis(5), text_bytes: 100 };
    Configuration::new().add_scanner(Role::User, Arc::new(Obedient("first", placement))).with_limits(limits)
}

fn scan(configuration: Configuration, text: &str) -> ScanResult {
    Firewall::new(configuration).unwrap().scan_blocking(&Message::user(text), None)
}

#[test]
fn failures_of_every_kind_follow_the_fail_mode() {
    let modes = [
        (FailMode::Closed, ScanDecision::Block),
        (FailMode::Human, ScanDecision::HumanInTheLoopRequired),
        (FailMode::Open, ScanDecision::Allow),
    ];
    for placement in [Placement::Thread, Placement::Task] {
        for (mode, decision) in modes {
            for text in ["error", "nan", "half", "no share", "panic", "hang", "x".repeat(101).as_str()] {
                let result = scan(configuration(placement).with_fail_mode(mode), text);
                assert_eq!(
                    (result.decision, result.status),
                    (decision, ScanStatus::Error),
                    "{text}, {mode:?}"
                );
            }
        }
    }
}

#[test]
fn fields_and_traces_count_as_texts() {
    struct All;
    impl Scanner for All {
        fn name(&self) -> &str {
            "all"
        }
        fn sees_calls(&self) -> bool {
            true
        }
        fn require_full_trace(&self) -> bool {
            true
        }
        fn scan<'a>(&'a self, _: &'a ScanInput) -> ScanFuture<'a> {
            Box::pin(async { Ok(ScanResult::allow("fine")) })
        }
    }
    let limits = Limits { text_bytes: 100, ..Limits::default() };
    let configuration = Configuration::new().add_scanner(Role::User, Arc::new(All)).with_limits(limits);
    let firewall = Firewall::new(configuration).unwrap();
    let long = "x".repeat(60);
    let status = |fields: usize, before: usize| {
        let field = Field { place: "a".to_owned(), text: long.clone() };
        let message = Message::user("hi").with_fields(vec![field; fields]);
        let trace = vec![Message::assistant(&long); before];
        firewall.scan_blocking(&message, Some(&trace)).status
    };
    assert_eq!([status(1, 0), status(0, 1)], [ScanStatus::Success; 2]);
    assert_eq!([status(2, 0), status(0, 2)], [ScanStatus::Error; 2]);
}

/// Fails where it is told to, and counts what it is asked.
struct Counts(Arc<Mutex<Vec<String>>>);

impl Scanner for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        self.0.lock().unwrap().push(input.text().to_owned());
        let fails = input.text() == "fail";
        Box::pin(async move {
            if fails { Err(ScannerError("no model".to_owned())) } else { Ok(ScanResult::allow("fine")) }
        })
    }
}

fn counting() -> (Firewall, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let scanner = Arc::new(Counts(asked.clone()));
    let configuration =
        Configuration::new().with_fail_mode(FailMode::Open).add_scanner(Role::User, scanner.clone());
    (Firewall::new(configuration.add_scanner(Role::Assistant, scanner)).unwrap(), asked)
}

#[test]
fn what_has_passed_is_scanned_again_only_where_something_changed() {
    let (firewall, asked) = counting();
    let mut passed = Passed::default();
    let mut admit = |texts: &[&str]| {
        let talk: Vec<Message> = texts.iter().map(|text| Message::user(*text)).collect();
        let admitted = firewall.admit_after(talk, &mut passed).unwrap();
        (asked.lock().unwrap().drain(..).collect::<Vec<_>>().join(" "), admitted.failures().len())
    };
    assert_eq!(admit(&["a", "b"]), ("a b".to_owned(), 0));
    assert_eq!(admit(&["a", "b", "c"]), ("c".to_owned(), 0));
    assert_eq!(admit(&["a", "x", "c"]), ("x c".to_owned(), 0));
    assert_eq!(admit(&["c"]), ("c".to_owned(), 0));
    // Who could not be asked is asked again.
    assert_eq!(admit(&["c", "fail"]), ("fail".to_owned(), 1));
    assert_eq!(admit(&["c", "fail", "d"]), ("fail d".to_owned(), 1));
    assert_eq!(admit(&["c", "fail", "d"]), ("fail".to_owned(), 1));
    let (another, asked) = counting();
    another.admit_after(vec![Message::user("c")], &mut passed).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_reply_that_passed_is_not_scanned_again_as_it_is() {
    let (firewall, asked) = counting();
    let mut passed = Passed::default();
    let mut talk = vec![Message::user("hi")];
    firewall.admit_after(talk.clone(), &mut passed).unwrap();
    let mut guard = firewall.output_guard(Role::Assistant, Some(talk.clone()));
    guard.push("a reply");
    guard.remember(&mut passed);
    guard.finish();
    guard.remember(&mut passed);
    talk.push(Message::assistant("a reply"));
    asked.lock().unwrap().clear();
    let same = firewall.admit_after(talk.clone(), &mut passed).unwrap();
    assert!(same.failures().is_empty() && asked.lock().unwrap().is_empty());
    // What came after its end has not passed.
    guard.push("!");
    guard.remember(&mut passed);
    talk[1].content.push('!');
    asked.lock().unwrap().clear();
    firewall.admit_after(talk, &mut passed).unwrap();
    assert_eq!(asked.lock().unwrap()[..], ["a reply!"]);
}

#[test]
fn a_failure_makes_no_verdict_milder() {
    let result = scan(configuration(Placement::Task).with_fail_mode(FailMode::Open), "error status");
    assert_eq!((result.decision, result.status), (ScanDecision::Block, ScanStatus::Error));
}

#[test]
fn a_scanner_that_hangs_does_not_hide_what_another_found() {
    let both = configuration(Placement::Thread).with_fail_mode(FailMode::Open);
    struct Blocks;
    impl Scanner for Blocks {
        fn name(&self) -> &str {
            "blocks"
        }
        fn scan<'a>(&'a self, _: &'a ScanInput) -> ScanFuture<'a> {
            Box::pin(async { Ok(ScanResult::block("always", 1.0)) })
        }
    }
    let result = scan(both.add_scanner(Role::User, Arc::new(Blocks)), "hang");
    assert_eq!((result.decision, result.status), (ScanDecision::Block, ScanStatus::Error));
}

/// Says where `secret` stands.
struct Finds(&'static str);

impl Scanner for Finds {
    fn name(&self) -> &str {
        self.0
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        let places = input
            .text()
            .match_indices("secret")
            .map(|(at, word)| Finding::new("Secret", at..at + word.len()));
        let findings: Vec<Finding> = places.collect();
        let verdict =
            if findings.is_empty() { ScanResult::allow("fine") } else { ScanResult::block("found", 0.5) };
        Box::pin(async { Ok(verdict.with_findings(findings)) })
    }
}

#[test]
fn what_is_found_in_several_readings_of_a_call_is_told_once() {
    let call = ToolCall { name: "mail".to_owned(), arguments: r#"{"to": "secret"}"#.to_owned() };
    let message = Message::assistant("").with_tool_calls(vec![call.clone(), call]);
    for (scanners, reason) in [
        (&["a"][..], "tool call: found - score: 0.5"),
        (&["a", "b"], "tool call: a: found - score: 0.5; b: found - score: 0.5"),
    ] {
        let add = |configuration: Configuration, name: &&'static str| {
            configuration.add_scanner(Role::Assistant, Arc::new(Finds(name)))
        };
        let firewall = Firewall::new(scanners.iter().fold(Configuration::new(), add)).unwrap();
        let result = firewall.scan_blocking(&message, None);
        assert_eq!(result.reason, reason);
        assert_eq!(result.findings.len(), 2 * scanners.len(), "one of each call and scanner");
        assert!(result.findings.iter().all(Finding::is_in_call));
    }
}

#[test]
fn a_reply_goes_on_after_a_call_that_a_person_has_to_decide_about() {
    let scanner = Arc::new(Obedient("first", Placement::Task));
    let firewall = Firewall::new(Configuration::new().add_scanner(Role::Assistant, scanner)).unwrap();
    for (said, decision) in [("block", ScanDecision::Block), ("fine", ScanDecision::HumanInTheLoopRequired)] {
        let mut guard = firewall.output_guard(Role::Assistant, None);
        let call = ToolCall { name: "human".to_owned(), arguments: "{}".to_owned() };
        assert_eq!(guard.tool_calls(vec![call]).decision, ScanDecision::HumanInTheLoopRequired);
        assert_eq!(guard.push(said), Released::Text(String::new()));
        let (released, result) = guard.finish();
        assert_eq!((result.decision, released), (decision, Released::Stopped(result)));
    }
}

/// Sees a message whole, and writes down what it is shown.
#[derive(Default)]
struct Judge(Mutex<Vec<Message>>);

impl Scanner for Judge {
    fn name(&self) -> &str {
        "judge"
    }

    fn sees_calls(&self) -> bool {
        true
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        self.0.lock().unwrap().push(input.message().clone());
        Box::pin(async { Ok(ScanResult::allow("fine")) })
    }
}

#[test]
fn parts_of_a_reply_are_not_shown_to_who_has_to_see_it_whole() {
    let judge = Arc::new(Judge::default());
    let firewall = Firewall::new(Configuration::new().add_scanner(Role::Assistant, judge.clone())).unwrap();
    let call = ToolCall { name: "mail".to_owned(), arguments: "{}".to_owned() };
    for calls in [vec![call], vec![]] {
        let mut guard = firewall.output_guard(Role::Assistant, None).of_part();
        assert!(guard.has_judges() && !matches!(guard.push("done"), Released::Stopped(_)));
        assert!(calls.is_empty() || guard.tool_calls(calls.clone()).is_allowed());
        assert!(guard.finish().1.is_allowed() && judge.0.lock().unwrap().is_empty());
        assert!(guard.judged(calls.clone(), Vec::new()).is_allowed());
        let reply = Message::assistant("done");
        assert_eq!(judge.0.lock().unwrap().split_off(0), [reply.clone().with_tool_calls(calls.clone())]);
        // The text alone has been judged only where nothing came with it.
        let mut passed = Passed::default();
        guard.remember(&mut passed);
        firewall.admit_after(vec![reply], &mut passed).unwrap();
        assert_eq!(judge.0.lock().unwrap().split_off(0).len(), calls.len());
    }
    assert!(!finds(Role::Assistant).output_guard(Role::Assistant, None).of_part().has_judges());
}

fn finds(role: Role) -> Firewall {
    Firewall::new(Configuration::new().add_scanner(role, Arc::new(Finds("a")))).unwrap()
}

#[test]
fn parts_are_scanned_one_behind_the_other_and_told_once() {
    let found = |parts: &[&str]| {
        let result = finds(Role::User).scan_blocking(&Message::of_parts(Role::User, parts), None);
        let told = result.findings.iter().map(|found| (found.span.clone(), found.seen_in.to_string()));
        (result.decision, told.collect::<Vec<_>>())
    };
    let joined = |span| (span, "parts joined".to_owned());
    assert_eq!(found(&["a sec", "ret"]), (ScanDecision::Block, vec![joined(2..9)]));
    assert_eq!(found(&["a sec ", " ret"]), (ScanDecision::Block, vec![joined(2..11)]));
    let both = vec![(0..6, String::new()), joined(7..14)];
    assert_eq!(found(&["secret", "sec", "ret"]), (ScanDecision::Block, both));
    assert_eq!(found(&["a", "b"]), (ScanDecision::Allow, vec![]));
}

#[test]
fn nothing_is_split_over_thought_content_and_calls() {
    let found = |thought: &str, content: &str, values: &[&str]| {
        let call = |value: &&str| ToolCall { name: "f".into(), arguments: format!(r#"{{"a": "{value}"}}"#) };
        let calls = values.iter().map(call).collect();
        let message = Message::assistant(content).with_tool_calls(calls).after_thought(thought);
        let result = finds(Role::Assistant).scan_blocking(&message, None);
        let told = result.findings.iter().map(|found| (found.span.clone(), found.seen_in.to_string()));
        assert_eq!(result.is_allowed(), result.findings.is_empty(), "{}", result.reason);
        told.collect::<Vec<_>>()
    };
    let joined = |span| (span, "message joined".to_owned());
    let in_call = || (0..0, "arguments of a tool call".to_owned());
    assert_eq!(found("my sec", "ret is", &[]), [joined(0..3)]);
    assert_eq!(found("", "my sec", &["ret"]), [joined(3..6)]);
    assert_eq!(found("s", "e", &["cr", "et"]), [joined(0..1)]);
    assert_eq!(found("", "so", &["sec", "ret"]), [in_call()]);
    assert_eq!(found("sec", "", &["ret"]), [(0..0, "whole message".to_owned())]);
    // What one part says alone is told of that part, and what was thought alone elsewhere.
    assert_eq!(found("a secret", "so", &["fine"]), []);
    assert_eq!(found("", "a secret", &["fine"]), [(2..8, String::new())]);
    assert_eq!(found("", "so", &["secret", "fine"]), [in_call()]);
    assert_eq!(found("a secret", "secret sec", &["ret"]), [(0..6, String::new()), joined(7..10)]);
    let parts = Message::of_parts(Role::Assistant, ["so", "my s", "ec"]);
    let call = ToolCall { name: "f".into(), arguments: r#"["ret"]"#.into() };
    let result = finds(Role::Assistant).scan_blocking(&parts.with_tool_calls(vec![call]), None);
    assert_eq!((result.reason.as_str(), &result.findings[0].span), ("message: found - score: 0.5", &(6..10)));
}

#[test]
fn a_message_that_is_too_long_as_a_whole_has_failed() {
    let half = "x".repeat(60);
    let call = ToolCall { name: "f".into(), arguments: format!("[\"{half}\"]") };
    let scanner = Arc::new(Obedient("first", Placement::Task));
    for (mode, decision) in [(FailMode::Closed, ScanDecision::Block), (FailMode::Open, ScanDecision::Allow)] {
        let limits = Limits { text_bytes: 100, ..Limits::default() };
        let configuration = Configuration::new().add_scanner(Role::Assistant, scanner.clone());
        let firewall = Firewall::new(configuration.with_limits(limits).with_fail_mode(mode)).unwrap();
        let message = Message::assistant(&*half).with_tool_calls(vec![call.clone()]);
        let result = firewall.scan_blocking(&message, None);
        assert_eq!((result.decision, result.status), (decision, ScanStatus::Error));
    }
}

#[test]
fn fields_are_scanned_and_named() {
    let field = |place: &str, text: &str| Field { place: place.to_owned(), text: text.to_owned() };
    let message =
        Message::user("hi").with_fields(vec![field("a", "fine"), field("b.c", "a secret"), field("d", "")]);
    let result = finds(Role::User).scan_blocking(&message, None);
    assert_eq!((result.decision, result.reason.as_str()), (ScanDecision::Block, "field: found - score: 0.5"));
    assert_eq!(result.findings[0].seen_in, "field b.c");
    assert!(result.findings[0].is_beside_text() && !result.findings[0].is_in_call());
}

#[test]
fn keys_are_scanned_and_one_with_a_finding_is_in_no_place() {
    let field = |place: &str, text: &str| Field { place: place.to_owned(), text: text.to_owned() };
    let seen = |fields: &[(&str, &str)]| -> Vec<String> {
        let fields = fields.iter().map(|(place, text)| field(place, text)).collect();
        let result = finds(Role::User).scan_blocking(&Message::user("hi").with_fields(fields), None);
        result.findings.iter().map(|finding| finding.seen_in.to_string()).collect()
    };
    assert_eq!(seen(&[("a.{key}", "secret")]), ["field a.{key}"]);
    let fields = [("x.my-secret[1].y", "secret"), ("{key}", "x"), ("x.{key}", "my-secret"), ("{key}", "y")];
    assert_eq!(seen(&fields), ["field x.*[1].y", "field x.{key}"]);
    assert_eq!(seen(&[("x", "a secret"), ("{key}", "x")]), ["field x"]);
    assert_eq!(seen(&[("x", "sec"), ("{key}", "ret")]), [""; 0]);
}

/// Objects to a word that is given to a name.
struct Given;

impl Scanner for Given {
    fn name(&self) -> &str {
        "given"
    }

    fn reads_names(&self) -> bool {
        true
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        let place = |word: &str| input.text().find(word).map(|at| at..at + word.len());
        let given = place("\"key\": \"word").map(|at| Finding::new("Given", at.end - 4..at.end));
        let findings: Vec<Finding> =
            given.into_iter().chain(place("odd").map(|at| Finding::new("Odd", at))).collect();
        let verdict =
            if findings.is_empty() { ScanResult::allow("fine") } else { ScanResult::block("found", 1.0) };
        Box::pin(async { Ok(verdict.with_findings(findings)) })
    }
}

#[test]
fn values_are_shown_behind_their_keys_to_who_reads_them() {
    let firewall = Firewall::new(Configuration::new().add_scanner(Role::User, Arc::new(Given))).unwrap();
    let seen = |fields: &[(&str, &str)]| -> (bool, Vec<String>) {
        let field = |(place, text): &(&str, &str)| Field { place: (*place).into(), text: (*text).into() };
        let message = Message::user("hi").with_fields(fields.iter().map(field).collect());
        let result = firewall.scan_blocking(&message, None);
        let told = result.findings.iter().map(|found| format!("{} in {}", found.rule, found.seen_in));
        (result.is_allowed(), told.collect())
    };
    let told = |what: &str| (false, vec![what.to_owned()]);
    assert_eq!(seen(&[("n", "x"), ("a.key[2]", "word")]), told("Given in field a.key[2]"));
    assert_eq!(seen(&[("a", "odd"), ("key", "x")]), told("Odd in field a"));
    assert_eq!(seen(&[("odd", "x"), ("b", "word")]), (true, vec![]));
    let fine = Message::user("hi").with_fields(vec![Field { place: "a".into(), text: "x".into() }]);
    let reason = firewall.scan_blocking(&fine, None).reason;
    assert_eq!(reason.matches("field").count(), 1, "{reason}");
    assert_eq!(seen(&[("odd", "x"), ("key", "word")]), told("Given in field key"));
}

#[test]
fn admission_shows_calls_as_calls() {
    struct NoCalls;
    impl Scanner for NoCalls {
        fn name(&self) -> &str {
            "no_calls"
        }
        fn sees_calls(&self) -> bool {
            true
        }
        fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
            let any = !input.message().tool_calls.is_empty();
            Box::pin(async move {
                Ok(if any { ScanResult::block("a call", 1.0) } else { ScanResult::allow("none") })
            })
        }
    }
    let configuration = Configuration::new().add_scanner(Role::Assistant, Arc::new(NoCalls));
    let firewall = Firewall::new(configuration).unwrap();
    let call = ToolCall { name: "rm_rf".to_owned(), arguments: "{}".to_owned() };
    let talk =
        |calls: Vec<ToolCall>| vec![Message::user("hi"), Message::assistant("").with_tool_calls(calls)];
    assert!(firewall.admit(talk(vec![call])).is_err());
    assert!(firewall.admit(talk(vec![])).is_ok());
}

#[test]
fn thresholds_decide_by_score() {
    let threshold = |block, human| {
        configuration(Placement::Task).with_threshold(Role::User, "first", Threshold { block, human })
    };
    assert_eq!(scan(threshold(0.95, None), "block").decision, ScanDecision::Allow);
    assert_eq!(scan(threshold(0.95, Some(0.8)), "block").decision, ScanDecision::HumanInTheLoopRequired);
    assert_eq!(scan(threshold(0.5, None), "human").decision, ScanDecision::Block);
    assert_eq!(scan(threshold(1.0, None), "error").decision, ScanDecision::Block);
    // Where nothing was found there is nothing to decide on.
    assert_eq!(scan(threshold(0.0, None), "fine").decision, ScanDecision::Allow);
    assert_eq!(scan(threshold(1.0, Some(0.0)), "fine").decision, ScanDecision::Allow);
    assert_eq!(scan(threshold(0.0, None), "human").decision, ScanDecision::Block);
    // What is not objected to any more has to be seen as a whole.
    let half = scan(threshold(0.9, None), "half blocked");
    assert_eq!((half.decision, half.status), (ScanDecision::Block, ScanStatus::Error));
    assert_eq!(scan(threshold(0.5, None), "half blocked").status, ScanStatus::Success);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let twice =
        configuration(Placement::Task).add_scanner(Role::User, Arc::new(Obedient("first", Placement::Task)));
    assert!(matches!(Firewall::new(twice), Err(ConfigurationError::NameTaken(name)) if name == "first"));
    for (name, threshold) in [
        ("second", Threshold::block_from(0.5)),
        ("first", Threshold::block_from(f32::NAN)),
        ("first", Threshold::block_from(1.5)),
        ("first", Threshold { block: 0.5, human: Some(0.6) }),
    ] {
        let wrong = configuration(Placement::Task).with_threshold(Role::User, name, threshold);
        assert!(matches!(Firewall::new(wrong), Err(ConfigurationError::Threshold { .. })), "{threshold:?}");
    }
    for (limits, what) in [
        (Limits { time: Duration::ZERO, ..Limits::default() }, ": time has"),
        (Limits { text_bytes: 0, ..Limits::default() }, ": text_bytes has"),
    ] {
        let error = Firewall::new(configuration(Placement::Task).with_limits(limits)).err().unwrap();
        assert!(error.to_string().contains(what), "{error}");
    }
    struct From(f32);
    impl Scanner for From {
        fn name(&self) -> &str {
            "from"
        }
        fn block_threshold(&self) -> f32 {
            self.0
        }
        fn scan<'a>(&'a self, _: &'a ScanInput) -> ScanFuture<'a> {
            Box::pin(async { Ok(ScanResult::allow("fine")) })
        }
    }
    for (threshold, is_meant) in [(0.5, true), (7.0, false), (f32::NAN, false)] {
        let own = Configuration::new().add_scanner(Role::User, Arc::new(From(threshold)));
        assert_eq!(Firewall::new(own).is_ok(), is_meant, "{threshold}");
    }
}

#[test]
fn roles_without_scanners_pass_and_say_so() {
    let firewall = Firewall::new(configuration(Placement::Task)).unwrap();
    let result = firewall.scan_blocking(&Message::tool("block"), None);
    assert_eq!((result.decision, result.status), (ScanDecision::Allow, ScanStatus::Skipped));
    assert!(!firewall.is_open());
    assert!(Firewall::new(Configuration::new()).unwrap().is_open());
}

#[test]
fn a_replay_ends_at_the_first_objection() {
    let firewall = Firewall::new(configuration(Placement::Task)).unwrap();
    let trace = |texts: &[&str]| texts.iter().map(|text| Message::user(*text)).collect::<Vec<_>>();
    let replay = |texts: &[&str]| firewall.scan_replay_blocking(&trace(texts));
    assert_eq!(replay(&[]).status, ScanStatus::Skipped);
    assert_eq!(replay(&["a", "human", "block"]).decision, ScanDecision::HumanInTheLoopRequired);
    assert_eq!(replay(&["past first"]).reason, "-1");
    assert_eq!(replay(&["a", "b", "past of two"]).reason, "2");
}

#[test]
fn a_replay_tells_that_scanning_an_earlier_message_failed() {
    let firewall = Firewall::new(configuration(Placement::Task).with_fail_mode(FailMode::Open)).unwrap();
    let replay = |texts: &[&str]| {
        let trace: Vec<Message> = texts.iter().map(|text| Message::user(*text)).collect();
        let result = firewall.scan_replay_blocking(&trace);
        (result.decision, result.status, result.coverage, result.reason)
    };
    let failed =
        (ScanDecision::Allow, ScanStatus::Error, 0.0, "user message: scan failed: no model".to_owned());
    assert_eq!(replay(&["a", "error", "b"]), failed);
    assert_eq!(replay(&["error", "half", "b"]), failed);
    assert_eq!(replay(&["a", "b", "error"]).3, "scan failed: no model");
    assert_eq!(replay(&["a", "error", "block"]).0, ScanDecision::Block);
}

#[test]
fn a_trace_grows_by_what_may_pass() {
    let firewall = Firewall::new(configuration(Placement::Task)).unwrap();
    let build = |text: &str, stored| block_on(firewall.scan_replay_build_trace(&Message::user(text), stored));
    let (result, trace) = build("past of none", None);
    assert_eq!((result.reason.as_str(), trace.len()), ("0", 1));
    let (result, trace) = build("human", Some(trace));
    assert_eq!((result.is_allowed(), trace.len()), (false, 1));
}

#[test]
fn admission_scans_every_text_with_its_past() {
    let firewall = Firewall::new(configuration(Placement::Task)).unwrap();
    let talk = vec![Message::system("block"), Message::user("human")];
    let refusal = firewall.admit(talk).unwrap_err();
    assert_eq!((refusal.role, refusal.decision), (Role::User, ScanDecision::HumanInTheLoopRequired));
    assert!(firewall.admit(vec![Message::system("block"), Message::user("fine")]).is_ok());
}

#[test]
fn roles_are_read_by_the_names_they_are_written_with_and_two_others() {
    for role in Role::ALL {
        let written = serde_json::to_string(&role).unwrap();
        assert_eq!(written, format!("\"{role}\""));
        assert_eq!(serde_json::from_str::<Role>(&written).unwrap(), role);
    }
    let read = |text| serde_json::from_str::<Role>(text);
    assert_eq!(read("\"developer\"").unwrap(), Role::System);
    assert_eq!(read("\"function\"").unwrap(), Role::Tool);
    assert!(read("5").unwrap_err().to_string().contains("integer `5`, expected a role: user"));
    assert!(read("\"User\"").is_err());
}

/// Says of a reply what it was made with, and that no text can change it.
struct Says(&'static str, fn() -> Result<ScanResult, ScannerError>);

impl Scanner for Says {
    fn name(&self) -> &str {
        self.0
    }

    fn placement(&self) -> Placement {
        Placement::Task
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        Some(input.text().len())
    }

    fn scan<'a>(&'a self, _: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async { (self.1)() })
    }
}

fn firewall_of(says: impl IntoIterator<Item = Says>) -> Firewall {
    let add =
        |configuration: Configuration, scanner| configuration.add_scanner(Role::Assistant, Arc::new(scanner));
    Firewall::new(says.into_iter().fold(Configuration::new(), add)).unwrap()
}

fn blocks(span: std::ops::Range<usize>) -> ScanResult {
    ScanResult::block("bad", 1.0).with_findings(vec![Finding::new("Bad", span)])
}

#[test]
fn an_objection_without_a_place_holds_a_reply_back_whatever_others_found() {
    let known = || {
        let finding = Finding { decision: ScanDecision::Allow, ..Finding::new("Known", 0..3) };
        Ok(ScanResult::allow("fine").with_findings(vec![finding]))
    };
    let person = || {
        let finding = Finding { decision: ScanDecision::HumanInTheLoopRequired, ..Finding::new("Odd", 8..9) };
        Ok(ScanResult::human("odd", 1.0).with_findings(vec![finding]))
    };
    let objections: [fn() -> Result<ScanResult, ScannerError>; 6] = [
        || Err(ScannerError("broken".to_owned())),
        || Ok(ScanResult::block("bad", 1.0)),
        || Ok(ScanResult::human("odd", 1.0)),
        || Ok(blocks(0..0)),
        || Ok(ScanResult { status: ScanStatus::Error, ..blocks(8..9) }),
        || {
            let finding = Finding { decision: ScanDecision::Allow, ..Finding::new("Known", 8..9) };
            Ok(ScanResult::block("bad", 1.0).with_findings(vec![finding]))
        },
    ];
    for (number, objection) in objections.into_iter().enumerate() {
        for other in [known, person] {
            let firewall = firewall_of([Says("other", other), Says("objects", objection)]);
            let mut guard = firewall.output_guard(Role::Assistant, None);
            let more = guard.push("How to: mix it. ");
            assert!(!matches!(&more, Released::Text(text) if !text.is_empty()), "{number}: {more:?}");
            assert!(matches!(guard.finish().0, Released::Stopped(_)), "{number}");
        }
    }
    let firewall = firewall_of([Says("other", known), Says("objects", || Ok(blocks(8..usize::MAX)))]);
    let mut guard = firewall.output_guard(Role::Assistant, None);
    assert_eq!(guard.push("How to: mix it. "), Released::Text("How to: ".to_owned()));
}

#[test]
fn an_objection_to_what_has_left_holds_back_what_follows() {
    struct Late;
    impl Scanner for Late {
        fn name(&self) -> &str {
            "late"
        }
        fn settled(&self, input: &ScanInput) -> Option<usize> {
            Some(input.text().len())
        }
        fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
            let is_late = input.text().contains("then");
            Box::pin(async move { Ok(if is_late { blocks(0..4) } else { ScanResult::allow("fine") }) })
        }
    }
    let configuration = Configuration::new().add_scanner(Role::Assistant, Arc::new(Late));
    let mut guard = Firewall::new(configuration).unwrap().output_guard(Role::Assistant, None);
    assert_eq!(guard.push("First "), Released::Text("First ".to_owned()));
    assert_eq!(guard.push("and then "), Released::Text(String::new()));
    assert!(matches!(guard.finish().0, Released::Stopped(_)));
}

#[test]
fn every_verdict_has_its_line_whoever_asked_for_it() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let log = AuditLog::new(Box::new(lines.clone()), || 0);
    let firewall = Firewall::new(configuration(Placement::Task).with_audit_log(log)).unwrap();
    for message in [Message::user("fine"), Message::tool("nobody looks")] {
        let messages: Arc<[Message]> = Arc::from([message]);
        let before = lines.0.lock().unwrap().len();
        firewall.scan_blocking(&messages[0], None);
        firewall.scan_replay_blocking(&messages);
        firewall.scan_at_blocking(&messages, 0);
        let written = lines.0.lock().unwrap()[before..].to_vec();
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 3, "{:?}", messages[0].role);
    }
}

#[test]
fn no_line_follows_half_a_line() {
    /// Takes so many bytes, fails once, and works again.
    struct Once(Option<usize>);
    impl std::io::Write for Once {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.take() {
                Some(0) => Err(std::io::ErrorKind::StorageFull.into()),
                Some(left) => {
                    self.0 = Some(left.saturating_sub(bytes.len()));
                    Ok(left.min(bytes.len()))
                }
                None => Ok(bytes.len()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for (taken, after) in [(10, ScanStatus::Error), (0, ScanStatus::Success)] {
        let log = AuditLog::new(Box::new(Once(Some(taken))), || 0);
        let firewall = Firewall::new(configuration(Placement::Task).with_audit_log(log)).unwrap();
        let statuses = [0; 2].map(|_| firewall.scan_blocking(&Message::user("fine"), None).status);
        assert_eq!(statuses, [ScanStatus::Error, after], "{taken}");
    }
}
