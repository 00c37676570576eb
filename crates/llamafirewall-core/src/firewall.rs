//! The firewall: what a configuration makes of a message, of a trace, and of what is to be let in.

use crate::admission::Link;
use crate::configuration::Entry;
use crate::execution::{self, block_on, caught};
use crate::message::{FIELD, JOINED, place_without};
use crate::threads::Threads;
use crate::verdict::{combined, merged, scored, unscanned};
use crate::whole::{ToldOfParts, Whole};
use crate::{
    Admitted, Configuration, ConfigurationError, Content, Field, Finding, Message, OutputGuard, Passed,
    Refusal, Role, ScanDecision, ScanInput, ScanResult, ScanStatus, ScannerError, ToolCall, Trace,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Decides what reaches a model and what leaves it. Cheap to clone; clones share their scanners.
#[derive(Clone)]
pub struct Firewall {
    configuration: Arc<Configuration>,
    threads: Threads,
    /// Which configuration it is, in this process; 0 for the open one.
    id: u64,
}

impl fmt::Debug for Firewall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for role in Role::ALL {
            map.entry(&role.name(), &self.configuration.scanner_names(role).collect::<Vec<_>>());
        }
        map.finish()
    }
}

impl Firewall {
    /// A firewall that scans as configured.
    ///
    /// # Errors
    /// Two scanners of a role have one name, a threshold means nothing, or a limit is 0.
    pub fn new(configuration: Configuration) -> Result<Self, ConfigurationError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let configuration = Arc::new(configuration.checked()?);
        Ok(Self { configuration, threads: Threads::default(), id: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    /// Lets everything in.
    pub fn open() -> Self {
        Self { configuration: Arc::default(), threads: Threads::default(), id: 0 }
    }

    /// Whether nothing is scanned: for a line that tells the user.
    pub fn is_open(&self) -> bool {
        self.configuration.is_empty()
    }

    /// Names of the scanners that look at what a role says.
    pub fn scanner_names(&self, role: Role) -> impl Iterator<Item = &str> {
        self.configuration.scanner_names(role)
    }

    /// Whether nothing that `role` says is scanned.
    pub fn is_open_for(&self, role: Role) -> bool {
        self.configuration.entries(role).is_empty()
    }

    /// Scans a message with every scanner of its role, side by side, and the name and the arguments of each tool that it wants to
    /// call as texts of their own: the arguments as they are written, and the strings in them as the tool reads them. A content of
    /// parts is scanned as models see it that get them one behind the other, too, and fields are scanned together. The worst decision
    /// wins.
    pub async fn scan(&self, message: &Message, trace: Option<&[Message]>) -> ScanResult {
        if self.is_open_for(message.role) {
            return self.recorded(message, unscanned());
        }
        self.scan_input(&Arc::new(ScanInput::new(message, trace))).await
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Begins to scan a reply while it is made, after the messages of `trace`.
    pub fn output_guard(&self, role: Role, trace: Option<Trace>) -> OutputGuard {
        OutputGuard::new(self.clone(), role, trace)
    }

    /// This firewall without those of its scanners that have to see what `role` says as a whole, calls of tools and all, and those alone, if
    /// there are any.
    pub(crate) fn divided(&self, role: Role) -> (Firewall, Option<Firewall>) {
        let nothing = ScanInput::text_of(role, "");
        let (judges, others) = self
            .configuration
            .divided(role, |entry| entry.sees_calls() && settled(entry, &nothing).is_none());
        let of = |configuration| Self { configuration: Arc::new(configuration), ..self.clone() };
        let has_judges = !judges.entries(role).is_empty();
        (of(others), has_judges.then(|| of(judges)))
    }

    /// Whether a scanner of the role has to see a whole text before any of it may pass.
    pub(crate) fn needs_whole(&self, role: Role) -> bool {
        let nothing = ScanInput::text_of(role, "");
        self.configuration.entries(role).iter().any(|entry| settled(entry, &nothing).is_none())
    }

    /// Up to where no scanner of the role can object any more, whatever follows.
    pub(crate) fn settled(&self, input: &ScanInput) -> usize {
        let entries = self.configuration.entries(input.message().role).iter();
        let settled = entries.map(|entry| settled(entry, input).unwrap_or(0));
        settled.min().unwrap_or(input.text().len()).min(input.text().len())
    }

    /// Scans part of a text that is scanned as a whole later; and whether a scanner objects that names no place which accounts for it.
    pub(crate) async fn scan_part(&self, input: &Arc<ScanInput>) -> (ScanResult, bool) {
        let entries: Vec<&Entry> = self.configuration.entries(input.message().role).iter().collect();
        let results = self.scan_each(input, &entries).await;
        let to_everything = results.iter().any(|(_, result)| objects_to_everything(result));
        (combined(results), to_everything)
    }

    /// [`scan`](Self::scan), for callers without a runtime; waits as [`admit`](Self::admit) does.
    pub fn scan_blocking(&self, message: &Message, trace: Option<&[Message]>) -> ScanResult {
        block_on(self.scan(message, trace))
    }

    /// Scans the messages one after the other, each with those before it as its past. The first verdict that does
    /// not let a message pass is the answer; otherwise it is that of the last message, as one that failed where scanning an earlier one
    /// did.
    pub async fn scan_replay(&self, trace: &[Message]) -> ScanResult {
        self.replay(&trace.into(), &|| true).await.0
    }

    /// [`scan_replay`](Self::scan_replay) for callers without a runtime, as long as `goes_on` before each message but the first; and how
    /// many messages were scanned.
    pub fn scan_replay_while(
        &self,
        trace: &Arc<[Message]>,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> (ScanResult, usize) {
        block_on(self.replay(trace, goes_on))
    }

    async fn replay(
        &self,
        messages: &Arc<[Message]>,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> (ScanResult, usize) {
        let (mut last, mut failed, mut count) = (unscanned(), None, 0);
        for (at, message) in messages.iter().enumerate() {
            if at > 0 && !goes_on() {
                break;
            }
            last = self.scan_input(&Arc::new(ScanInput::of_trace(messages, at))).await;
            count += 1;
            if !last.is_allowed() {
                return (last, count);
            }
            failed = failed.or_else(|| last.failure(message.role).map(|reason| (reason, last.coverage)));
        }
        match failed {
            Some((reason, coverage)) if last.status != ScanStatus::Error => {
                (ScanResult { status: ScanStatus::Error, reason, coverage, ..last }, count)
            }
            _ => (last, count),
        }
    }

    /// [`scan_replay`](Self::scan_replay), for callers without a runtime; waits as [`admit`](Self::admit) does.
    pub fn scan_replay_blocking(&self, trace: &[Message]) -> ScanResult {
        block_on(self.scan_replay(trace))
    }

    /// Scans `message` after the messages of `stored`, and gives back the trace to store: with the message where it
    /// may pass, as it was otherwise.
    pub async fn scan_replay_build_trace(
        &self,
        message: &Message,
        stored: Option<Trace>,
    ) -> (ScanResult, Trace) {
        let mut trace = stored.unwrap_or_default();
        let result = self.scan(message, Some(&trace)).await;
        if result.is_allowed() {
            trace.push(message.clone());
        }
        (result, trace)
    }

    /// Lets `content` in or says why not. Every text is scanned, with the ones before it as its past; one that needs
    /// a person's decision is not let in.
    ///
    /// This waits on the calling thread. A scanner that needs the runtime it is called from ([`Placement::Task`](crate::Placement::Task))
    /// has none while its only thread waits here: there, this belongs on a thread for what blocks, such as tokio's `spawn_blocking`.
    ///
    /// # Errors
    /// One of the texts may not pass.
    pub fn admit<T: Content>(&self, content: T) -> Result<Admitted<T>, Refusal> {
        self.admit_after(content, &mut Passed::default())
    }

    /// [`admit`](Self::admit) for a conversation that grows: what `passed` before and is the same, to the last message before it, is not
    /// scanned again.
    ///
    /// # Errors
    /// One of the texts may not pass.
    pub fn admit_after<T: Content>(&self, content: T, passed: &mut Passed) -> Result<Admitted<T>, Refusal> {
        if self.is_open() {
            return Ok(Admitted::new(content, self.id));
        }
        let mut messages = Vec::new();
        content.visit(&mut |message| messages.push(message));
        let messages: Arc<[Message]> = messages.into();
        let mut failures = Vec::new();
        let mut link = Link::default();
        for (at, message) in messages.iter().enumerate() {
            link = link.to(message);
            if passed.has(self.id, at, link) {
                continue;
            }
            let result = block_on(self.scan_input(&Arc::new(ScanInput::of_trace(&messages, at))));
            if !result.is_allowed() {
                return Err(Refusal { role: message.role, reason: result.reason, decision: result.decision });
            }
            match result.failure(message.role) {
                Some(failure) => failures.push(failure),
                None => passed.put(self.id, at, link),
            }
        }
        Ok(Admitted::new(content, self.id).with_failures(failures))
    }

    /// Whether this firewall, or a clone of it, let the content in; an open one would have let in everything.
    pub fn has_admitted<T>(&self, content: &Admitted<T>) -> bool {
        self.is_open() || content.by() == self.id
    }

    /// Scans message `at` of a conversation, with those before it as its past, without copying them.
    ///
    /// # Panics
    /// `at` is beyond the end.
    pub fn scan_at_blocking(&self, messages: &Arc<[Message]>, at: usize) -> ScanResult {
        block_on(self.scan_input(&Arc::new(ScanInput::of_trace(messages, at))))
    }

    /// Scans a message: its text, and the names and arguments of calls, and fields.
    async fn scan_input(&self, input: &Arc<ScanInput>) -> ScanResult {
        let message = input.message();
        let entries: Vec<&Entry> = self.configuration.entries(message.role).iter().collect();
        let each = self.scan_each(input, &entries).await;
        let of_readings: Vec<&Entry> = entries.iter().copied().filter(|entry| !entry.sees_calls()).collect();
        let what = decided_on(&each, &of_readings);
        let of_text = combined(each);
        if of_readings.is_empty() {
            return self.recorded(message, of_text);
        }
        let of_text = self.scan_joined(input, of_text, &of_readings).await;
        if message.tool_calls.is_empty() && message.fields.is_empty() && message.thought.is_empty() {
            return self.recorded(message, of_text);
        }
        let mut results = vec![(what, scored(of_text, entries.len()))];
        for call in &message.tool_calls {
            for result in self.scan_call(input, call, &of_readings).await {
                results.push(("tool call", scored(result, of_readings.len())));
            }
        }
        if !message.fields.is_empty() {
            for result in self.scan_fields(input, &of_readings).await {
                results.push(("field", scored(result, of_readings.len())));
            }
        }
        let mut verdict = merged(results, |name, result| format!("{name}: {}", result.reason));
        if let Some(whole) = self.scan_whole(input, &verdict, &of_readings).await {
            let whole = scored(whole, of_readings.len());
            let whole = ScanResult { reason: format!("message: {}", whole.reason), ..whole };
            verdict = merged(vec![("", verdict), ("", whole)], |_, result| result.reason.clone());
        }
        self.recorded(message, verdict)
    }

    /// What all of a message, one behind the other, says beyond what is known of its parts.
    async fn scan_whole(
        &self,
        input: &Arc<ScanInput>,
        known: &ScanResult,
        entries: &[&Entry],
    ) -> Option<ScanResult> {
        let whole = Whole::of(input.message())?;
        let reading = |text: &str| Arc::new(input.instead(Message::new(input.message().role, text)));
        let mut each = self.scan_each(&reading(&whole.text), entries).await;
        let in_thought = match each.iter().any(|(_, result)| whole.has_found_in_thought(result)) {
            true => self.scan_one(&reading(whole.thought()), entries).await.findings,
            false => Vec::new(),
        };
        let told = ToldOfParts::of(&in_thought, &known.findings);
        each.iter_mut().for_each(|(_, result)| told.leave_new(&whole, result));
        let result = combined(each);
        let has_failed = result.status == ScanStatus::Error && known.status != ScanStatus::Error;
        let says_more = result.decision > known.decision || !result.findings.is_empty() || has_failed;
        says_more.then_some(result)
    }

    /// The verdict on a text, made worse by what its parts say one behind the other.
    async fn scan_joined(
        &self,
        input: &Arc<ScanInput>,
        mut verdict: ScanResult,
        entries: &[&Entry],
    ) -> ScanResult {
        for joined in input.message().joined() {
            let reading = Arc::new(input.instead(Message::new(input.message().role, &joined.text[..])));
            let mut result = self.scan_one(&reading, entries).await;
            for finding in &mut result.findings {
                finding.span = joined.original(finding.span.clone());
                let how = if finding.seen_in.is_empty() { "" } else { ", " };
                finding.seen_in = format!("{JOINED}{how}{}", finding.seen_in).into();
            }
            let told = Told::of(&verdict.findings);
            result.findings.retain(|finding| !told.covers(finding));
            if result.decision > verdict.decision || !result.findings.is_empty() {
                let results = vec![(JOINED, verdict), (JOINED, result)];
                verdict = merged(results, |_, result| result.reason.clone());
            }
        }
        verdict
    }

    /// Scans the texts beside the content, in one, and so the keys that they stand under; and each text behind its key, for scanners to
    /// which that says something. A key with a finding is in no name of a place.
    async fn scan_fields(&self, input: &Arc<ScanInput>, entries: &[&Entry]) -> Vec<ScanResult> {
        let (keys, values): (Vec<&Field>, Vec<&Field>) =
            input.message().fields.iter().partition(|field| field.is_key());
        let named: Vec<&Entry> = entries.iter().copied().filter(|entry| entry.reads_names()).collect();
        let readings = [(&keys, Together::of(&keys), entries), (&values, Together::of(&values), entries)];
        let by_name = (&values, Together::named(&values), &named[..]);
        let mut results = Vec::new();
        let mut unsaid = HashSet::new();
        for (fields, together, entries) in readings.into_iter().chain([by_name]) {
            if fields.is_empty() || entries.is_empty() {
                continue;
            }
            let reading = Arc::new(input.instead(Message::new(input.message().role, &together.text[..])));
            let mut each = self.scan_each(&reading, entries).await;
            each.iter_mut().for_each(|(_, result)| together.leave_values(result));
            let result = combined(each);
            if together.are_named() && result.status == ScanStatus::Success && result.is_allowed() {
                continue;
            }
            if fields[0].is_key() {
                let found = result.findings.iter().flat_map(|found| &fields[together.fields(&found.span)]);
                unsaid.extend(found.flat_map(|field| field.text.lines()));
            }
            results.push((together, fields, result));
        }
        // What is found in a value is told once.
        let mut told = HashSet::new();
        for (together, fields, result) in &mut results {
            let is_key = fields[0].is_key();
            result.findings.retain(|finding| {
                let field = together.fields(&finding.span).start;
                let what = (is_key, finding.scanner.clone(), finding.rule.clone(), finding.decision, field);
                told.insert(what) || together.starts.is_empty()
            });
        }
        let placed = results.into_iter().rev().map(|(together, fields, mut result)| {
            for finding in &mut result.findings {
                let field = fields.get(together.fields(&finding.span).start);
                let place = field.map_or(String::new(), |field| place_without(&field.place, &unsaid));
                finding.seen_in = format!("{FIELD}{place}").into();
                finding.span = 0..0;
            }
            result
        });
        placed.collect()
    }

    /// Scans every reading of a call; what is found in several of them is told of the first.
    async fn scan_call(
        &self,
        input: &Arc<ScanInput>,
        call: &ToolCall,
        entries: &[&Entry],
    ) -> Vec<ScanResult> {
        let mut results = Vec::new();
        let mut told = HashSet::new();
        for (place, text) in call.readings() {
            let reading = Arc::new(input.instead(Message::new(input.message().role, text)));
            let mut result = self.scan_one(&reading, entries).await;
            result.findings.retain(|finding| {
                let what = reading.text().get(finding.span.clone()).unwrap_or_default().to_owned();
                told.insert((finding.scanner.clone(), finding.rule.clone(), place, finding.decision, what))
            });
            for finding in &mut result.findings {
                // The place is one in the call, not in the text.
                finding.seen_in = place.into();
                finding.span = 0..0;
            }
            results.push(result);
        }
        results
    }

    /// A verdict, once it stands in the audit log.
    pub(crate) fn recorded(&self, message: &Message, result: ScanResult) -> ScanResult {
        match &self.configuration.audit {
            Some(audit) => {
                let Configuration { fail_mode, limits, .. } = *self.configuration;
                audit.record(message, result, fail_mode, limits.time)
            }
            None => result,
        }
    }

    /// Scans one text with these scanners.
    async fn scan_one(&self, input: &Arc<ScanInput>, entries: &[&Entry]) -> ScanResult {
        combined(self.scan_each(input, entries).await)
    }

    /// What each of these scanners says of one text, by name; of a text that is too long, what becomes of it.
    async fn scan_each<'a>(
        &self,
        input: &Arc<ScanInput>,
        entries: &[&'a Entry],
    ) -> Vec<(&'a str, ScanResult)> {
        if entries.is_empty() {
            return Vec::new();
        }
        let limits = self.configuration.limits;
        let bytes = bytes_of(input.message());
        if bytes > limits.text_bytes {
            let reason = format!("the text has {bytes} bytes, at most {} are scanned", limits.text_bytes);
            return vec![("", self.failure(&reason, 0.0))];
        }
        // A trace is one text to whoever is shown all of it.
        let most = limits.text_bytes;
        let fits = |entry: &&Entry| !entry.needs_trace() || fits(input.trace(), most - bytes);
        let fitting: Vec<bool> = entries.iter().map(fits).collect();
        let shown = entries.iter().zip(&fitting).filter(|(_, fits)| **fits).map(|(entry, _)| *entry);
        let shown: Vec<&Entry> = shown.collect();
        let mut outcomes = execution::run(&shown, input, limits.time, &self.threads).await.into_iter();
        let said = entries.iter().zip(fitting).map(|(entry, fits)| {
            let outcome = if fits { outcomes.next() } else { None };
            let too_long = || {
                execution::failed(&format!(
                    "the conversation has over {most} bytes, the most that are scanned"
                ))
            };
            (entry.name.as_str(), self.verdict(entry, outcome.unwrap_or_else(too_long)))
        });
        said.collect()
    }

    fn verdict(&self, entry: &Entry, outcome: Result<ScanResult, ScannerError>) -> ScanResult {
        let mut result = match outcome {
            Ok(result) => self.whole_or_failed(entry.decided(result)),
            Err(ScannerError(reason)) => self.failure(&reason, 0.0),
        };
        for finding in &mut result.findings {
            finding.scanner = entry.name.clone();
        }
        result
    }

    /// A scanner that saw only part of a text and did not object has failed.
    fn whole_or_failed(&self, result: ScanResult) -> ScanResult {
        let is_share = |number: f32| (0.0..=1.0).contains(&number);
        let reason = if !is_share(result.score) {
            "the scanner gave a score outside of 0 to 1".to_owned()
        } else if !is_share(result.coverage) {
            "the scanner saw a share of the text outside of 0 to 1".to_owned()
        } else if result.status == ScanStatus::Error {
            result.reason
        } else if result.coverage < 1.0 && result.decision != ScanDecision::Block {
            format!("only {:.0} % of the text was scanned", result.coverage * 100.0)
        } else {
            return result;
        };
        let failure =
            self.failure(&reason, Some(result.coverage).filter(|seen| is_share(*seen)).unwrap_or(0.0));
        // A failure makes no verdict milder.
        let decision = failure.decision.max(result.decision);
        ScanResult { decision, findings: result.findings, ..failure }
    }

    fn failure(&self, reason: &str, coverage: f32) -> ScanResult {
        let decision = self.configuration.fail_mode.decision();
        let score = if decision == ScanDecision::Allow { 0.0 } else { 1.0 };
        let result = ScanResult::new(decision, format!("scan failed: {reason}"), score);
        ScanResult { status: ScanStatus::Error, coverage, ..result }
    }
}

/// Bytes of the longest text that is scanned of a message: its content, a call, or its fields together.
fn bytes_of(message: &Message) -> usize {
    let calls = message.tool_calls.iter().map(|call| call.arguments.len().max(call.name.len()));
    let fields = message.fields.iter().map(|field| field.text.len()).sum();
    calls.fold(message.content.len().max(fields), usize::max)
}

/// Whether the messages have no more than so many bytes, as far as that has to be counted.
fn fits(trace: Option<&[Message]>, bytes: usize) -> bool {
    let mut left = Some(bytes);
    let calls = |message: &Message| {
        message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>()
    };
    let fields = |message: &Message| message.fields.iter().map(|field| field.text.len()).sum::<usize>();
    trace.unwrap_or_default().iter().all(|message| {
        left =
            left.and_then(|left| left.checked_sub(message.content.len() + calls(message) + fields(message)));
        left.is_some()
    })
}

/// Fields as one text, a line or more for each.
#[derive(Default)]
struct Together {
    text: String,
    ends: Vec<usize>,
    /// Where their texts begin, if each stands behind its key.
    starts: Vec<usize>,
}

impl Together {
    fn of(fields: &[&Field]) -> Self {
        let mut together = Self::default();
        fields.iter().for_each(|field| together.add(&field.text, "\n"));
        together
    }

    /// Each as JSON would have it, but that nothing is escaped.
    fn named(fields: &[&Field]) -> Self {
        let mut together = Self::default();
        for field in fields {
            together.text.push_str(&format!("\"{}\": \"", field.key()));
            together.starts.push(together.text.len());
            together.add(&field.text, "\"\n");
        }
        together
    }

    fn add(&mut self, text: &str, end: &str) {
        self.text.push_str(text);
        self.text.push_str(end);
        self.ends.push(self.text.len());
    }

    /// Whether each text stands behind its key.
    fn are_named(&self) -> bool {
        !self.starts.is_empty()
    }

    /// Leaves out what one scanner found in the keys before values, which are looked at for themselves. What it decided on nothing that it
    /// found stays.
    fn leave_values(&self, result: &mut ScanResult) {
        result.retain(|finding| {
            let start = self.starts.get(self.fields(&finding.span).start);
            start.is_none_or(|start| finding.span.start >= *start)
        });
    }

    /// Which fields a place of the text meets; none behind the end.
    fn fields(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.ends.partition_point(|end| *end <= span.start);
        let end = self.ends.partition_point(|end| *end < span.end) + 1;
        start..end.clamp(start, self.ends.len().max(start))
    }
}

/// What was found in one form of a text: for each kind of finding the places in their order, each with the last end up to it.
pub(crate) struct Told<'a>(HashMap<Kind<'a>, Vec<(usize, usize)>>);

/// Scanner, rule and decision of a finding.
pub(crate) type Kind<'a> = (&'a str, &'a str, ScanDecision);

impl<'a> Told<'a> {
    pub fn of(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut in_order: Vec<&Finding> = findings.into_iter().collect();
        in_order.sort_by_key(|finding| finding.span.start);
        let mut told = Self(HashMap::new());
        for finding in in_order {
            let places = told.0.entry(kind(finding)).or_default();
            let last = places.last().map_or(0, |place: &(usize, usize)| place.1);
            places.push((finding.span.start, last.max(finding.span.end)));
        }
        told
    }

    /// Whether the same was found at a place that meets this one.
    pub fn covers(&self, finding: &Finding) -> bool {
        self.0.get(&kind(finding)).is_some_and(|places| {
            let before = places.partition_point(|place| place.0 < finding.span.end);
            before > 0 && places[before - 1].1 > finding.span.start
        })
    }
}

pub(crate) fn kind(finding: &Finding) -> Kind<'_> {
    (&finding.scanner, &finding.rule, finding.decision)
}

/// What decided: the text, unless those alone did that look at a message with its calls.
fn decided_on(each: &[(&str, ScanResult)], of_readings: &[&Entry]) -> &'static str {
    let worst = each.iter().map(|(_, result)| result.decision).max();
    let mut deciding = each.iter().filter(|(_, result)| Some(result.decision) == worst);
    let is_of_text = |name: &str| name.is_empty() || of_readings.iter().any(|entry| entry.name == name);
    if deciding.any(|(name, _)| is_of_text(name)) { "text" } else { "message" }
}

/// Whether a scanner objects and no place that it names accounts for it; what a broken one names accounts for nothing.
fn objects_to_everything(result: &ScanResult) -> bool {
    let mut placed = result.findings.iter().filter(|finding| !finding.span.is_empty());
    let is_placed = placed.any(|finding| finding.decision >= result.decision);
    !result.is_allowed() && (result.status == ScanStatus::Error || !is_placed)
}

/// Up to where a scanner can say nothing more; one that panics when it is asked says nothing of it.
fn settled(entry: &Entry, input: &ScanInput) -> Option<usize> {
    caught(|| entry.scanner.settled(input)).ok().flatten()
}
