//! Scanner `regex`: phrases of prompt injection, personal data, secrets of providers, and the patterns of a policy.
//!
//! Nothing here backtracks. Built-in rules are tables behind one search for keywords; patterns of a policy run in
//! linear time, or are refused.

mod accounts;
mod addresses;
mod assigned;
mod automaton;
mod cards;
mod commands;
mod matcher;
mod own;
mod personal;
mod phones;
mod phrases;
mod printed;
mod private_keys;
mod secrets;
mod tongues;

use llamafirewall_core::{
    ConfigurationError, Finding, Placement, ScanDecision, ScanFuture, ScanInput, ScanResult, Scanner,
    ScannerOptions, ScannerType, View, ViewKind, Views,
};
use matcher::Matcher;
use own::OwnPattern;
pub use own::Pattern;
use personal::Numbers;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What the built-in rules look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Phrases that are to take the place of a model's instructions, in several languages.
    Injection,
    /// Addresses of mail; telephone, card, account and social security numbers.
    Personal,
    /// Keys and tokens of about eighty providers, private keys, passwords that are written down.
    Secrets,
}

/// Something that a rule found in a form of the text.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    name: Cow<'static, str>,
    span: Range<usize>,
}

/// Finds patterns in every form in which a text can be read.
pub struct RegexScanner {
    name: String,
    matcher: Matcher,
    numbers: Option<Numbers>,
    own: Vec<OwnPattern>,
    /// What a blob leads to that nothing can read; `None` where blobs are not looked for.
    opaque: Option<ScanDecision>,
}

/// Forms in which nothing says whether a letter is a capital.
const NO_CASE: [&str; 2] = ["morse", "spelling alphabet"];

/// What a policy may say of it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    groups: Option<Vec<Group>>,
    #[serde(default)]
    patterns: Vec<Pattern>,
    opaque: Option<ScanDecision>,
}

/// Makes the scanner `regex` for a policy.
pub(crate) fn build(options: &ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    named(options, &[Group::Injection, Group::Personal])
}

/// Makes the scanner `secrets` for a policy: the same scanner, looking for something else.
pub(crate) fn build_secrets(options: &ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    named(options, &[Group::Secrets])
}

fn named(options: &ScannerOptions, groups: &[Group]) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    let read: Options = options.read()?;
    let finds_blobs = read.opaque.is_some_and(|decision| decision != ScanDecision::Allow);
    if read.groups.as_ref().is_some_and(Vec::is_empty) && read.patterns.is_empty() && !finds_blobs {
        let reason =
            "it looks for nothing: name groups (injection, personal, secrets) or patterns".to_owned();
        return Err(ConfigurationError::Options { scanner: options.name().to_owned(), reason });
    }
    let mut scanner = RegexScanner::with(read.groups.as_deref().unwrap_or(groups), read.patterns)?;
    scanner.opaque = read.opaque.or(scanner.opaque);
    Ok(Arc::new(scanner.called(options.name())))
}

impl RegexScanner {
    /// Looks for prompt injection and personal data, as the Python LlamaFirewall does.
    ///
    /// # Errors
    /// The built-in rules are broken, which a test of this crate holds against.
    pub fn new() -> Result<Self, ConfigurationError> {
        Self::with(&[Group::Injection, Group::Personal], Vec::new())
    }

    /// Looks for secrets.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn for_secrets() -> Result<Self, ConfigurationError> {
        Ok(Self::with(&[Group::Secrets], Vec::new())?.called("secrets"))
    }

    /// Looks for what these groups say, and for these patterns.
    ///
    /// # Errors
    /// One of the patterns is no regular expression, or too large.
    pub fn with(groups: &[Group], patterns: Vec<Pattern>) -> Result<Self, ConfigurationError> {
        let invalid = |reason| ConfigurationError::Options { scanner: "regex".to_owned(), reason };
        let personal = groups.contains(&Group::Personal);
        Ok(Self {
            name: "regex".to_owned(),
            opaque: groups.contains(&Group::Injection).then_some(ScanDecision::Allow),
            matcher: Matcher::new(groups).map_err(invalid)?,
            numbers: personal.then(Numbers::new).transpose().map_err(invalid)?,
            own: patterns.into_iter().map(OwnPattern::new).collect::<Result<_, _>>().map_err(invalid)?,
        })
    }

    /// The same scanner under another name.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    fn findings(&self, input: &ScanInput) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut places: BTreeMap<(Cow<'static, str>, ScanDecision), Places> = BTreeMap::new();
        for view in input.views().iter() {
            self.look(view, input.text(), &mut |found, decision, score| {
                let span = view.original(found.span);
                // The same thing seen in two forms is one finding; two rules of one name may lead to different things.
                if !places.entry((found.name.clone(), decision)).or_default().add(&span) {
                    return;
                }
                findings.push(Finding {
                    decision,
                    score,
                    seen_in: Cow::Owned(view.how().to_owned()),
                    ..Finding::new(found.name, span)
                });
            });
        }
        if let Some(decision) = self.opaque {
            let score = if decision == ScanDecision::Allow { 0.0 } else { 1.0 };
            let blobs = input.views().opaque().iter();
            findings.extend(blobs.map(|span| Finding {
                decision,
                score,
                ..Finding::new("Opaque blob", span.clone())
            }));
        }
        findings
    }

    /// Calls `each` with what is found in one form of the text `original`.
    fn look(&self, view: &View, original: &str, each: &mut dyn FnMut(Found, ScanDecision, f32)) {
        let text = view.text();
        self.matcher.look(text, &mut |seen| {
            if let Some(found) =
                seen.found.filter(|found| counts(view, original, found) && !is_printed(view, original, found))
            {
                each(found, ScanDecision::Block, 1.0);
            }
        });
        if matches!(view.kind(), ViewKind::Cipher | ViewKind::Reversed) {
            return;
        }
        let mut found = Vec::new();
        // Where digits are read as letters, those that are left are what remains of other words, and without tags the cells of a table
        // make one number.
        let has_numbers = !view.was_read_as("leet") && !view.was_read_as("markup");
        if let Some(numbers) = self.numbers.as_ref().filter(|_| has_numbers) {
            numbers.look(text, &mut found);
            found.retain(|found| is_one_number(view, original, found) && !is_printed(view, original, found));
        }
        found.into_iter().for_each(|found| each(found, ScanDecision::Block, 1.0));
        // Signs that have no case are read as small letters.
        let in_capitals =
            NO_CASE.iter().any(|form| view.was_read_as(form)).then(|| text.to_ascii_uppercase());
        for own in &self.own {
            own.look(text, each);
            in_capitals.iter().for_each(|text| own.look(text, each));
        }
    }

    /// The first byte of an end of a form that more text could make part of a finding; `None` where it may be any.
    fn open_end(&self, view: &View) -> Option<usize> {
        let text = view.text();
        let is_cipher = view.kind() == ViewKind::Cipher;
        let mut open = self.matcher.open_end(text).min(view.open_tail());
        self.matcher.look(text, &mut |seen| {
            if !is_cipher || seen.is_phrase {
                open = open.min(seen.open.unwrap_or(open));
            }
        });
        if is_cipher {
            return Some(open);
        }
        if self.numbers.is_some() {
            open = open.min(Numbers::open_end(text));
        }
        for own in &self.own {
            open = open.min(own.open_end(text)?);
        }
        Some(open)
    }

    fn verdict(&self, input: &ScanInput) -> ScanResult {
        let findings = self.findings(input);
        let decision = findings.iter().map(|finding| finding.decision).max().unwrap_or_default();
        if decision == ScanDecision::Allow {
            return ScanResult::allow("No regex patterns matched").with_findings(findings);
        }
        let score = findings.iter().filter(|f| f.decision == decision).map(|f| f.score).fold(0.0, f32::max);
        let mut names: Vec<&str> = Vec::new();
        for finding in findings.iter().filter(|finding| finding.decision == decision) {
            if !names.contains(&finding.rule.as_ref()) {
                names.push(&finding.rule);
            }
        }
        names.sort_by_key(|name| rank(name));
        let reason = format!("Regex match: {}", names.join(", "));
        ScanResult::new(decision, reason, score).with_findings(findings)
    }
}

/// In a text whose letters were exchanged only phrases mean something, and in a reversed one those that begin with a
/// telling word. What stands in the place of a secret, such as `$name`, does so also where its signs are read as letters.
fn counts(view: &View, original: &str, found: &Found) -> bool {
    match view.kind() {
        ViewKind::InPlace | ViewKind::Unpacked if view.was_read_as("leet") => {
            let as_it_came = &original.as_bytes()[view.original(found.span.clone())];
            phrases::is_phrase(&found.name) || !secrets::is_placeholder(as_it_came)
        }
        ViewKind::InPlace | ViewKind::Unpacked if view.was_read_as("markup") => {
            phrases::is_phrase(&found.name)
        }
        ViewKind::InPlace | ViewKind::Unpacked => true,
        ViewKind::Cipher => phrases::is_phrase(&found.name),
        ViewKind::Reversed => {
            let text = &view.text()[found.span.clone()];
            let last = text.rsplit(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty());
            phrases::is_phrase(&found.name) && last.is_some_and(View::may_end_reversed)
        }
    }
}

/// Whether personal data in another form of the text is what a dump or uuencode prints in the text as it came.
fn is_printed(view: &View, original: &str, found: &Found) -> bool {
    if view.kind() != ViewKind::InPlace || view.how().is_empty() {
        return false;
    }
    let span = view.original(found.span.clone());
    match found.name.as_ref() {
        addresses::ADDRESS => printed::is_no_address(original, &span),
        personal::ACCOUNT => printed::is_no_account(original, &span),
        personal::PHONE => printed::stands_in_dump(original, &span),
        _ => false,
    }
}

/// Whether a number is one in the text as it came too: lists of digits make numbers where gaps are left out, and values
/// that begin like an escape of quoted-printable where it is read.
fn is_one_number(view: &View, original: &str, found: &Found) -> bool {
    let span = view.original(found.span.clone());
    if view.was_read_as("letters joined") && !is_evenly_apart(&original[span.clone()]) {
        return false;
    }
    let is_cut = matches!(original.as_bytes()[..span.start], [.., b'=', a, b] if a.is_ascii_digit() && b.is_ascii_digit());
    !(is_cut && view.was_read_as("escapes"))
}

/// Whether every gap between two letters or digits is the same blank, dash or point, the narrowest a single one.
fn is_evenly_apart(text: &str) -> bool {
    let gaps = || text.split(char::is_alphanumeric).filter(|gap| !gap.is_empty());
    let Some(sign) = gaps().next().and_then(|gap| gap.chars().next()) else { return true };
    let is_of_sign = gaps().all(|gap| gap.chars().all(|c| c == sign));
    " .-".contains(sign) && is_of_sign && gaps().any(|gap| gap.chars().count() == 1)
}

/// The order in which the Python LlamaFirewall looks for things; its first is the one it reports.
fn rank(name: &str) -> usize {
    const ORDER: [&str; 5] =
        ["Prompt injection", "Email address", "Phone number", "Credit card", "Social security number"];
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

/// Places where one thing was found, by their beginnings.
#[derive(Default)]
struct Places(BTreeMap<usize, usize>);

impl Places {
    /// Adds a place, unless it overlaps one of its neighbours.
    fn add(&mut self, span: &Range<usize>) -> bool {
        let before = self.0.range(..span.end).next_back();
        if before.is_some_and(|(_, end)| *end > span.start) {
            return false;
        }
        self.0.insert(span.start, span.end);
        true
    }
}

impl Scanner for RegexScanner {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ScannerType {
        ScannerType::Regex
    }

    fn placement(&self) -> Placement {
        Placement::Task
    }

    fn asks_by_rule(&self) -> bool {
        true
    }

    fn reads_names(&self) -> bool {
        true
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async { Ok(self.verdict(input)) })
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        // Whatever the last word is to become, it stays; and up to it everything is looked at as if it ended there.
        let text = Views::without_last_word(input.text());
        // So is what stands before letters that are to be one word.
        let before = Views::without_open_tail(input.text());
        let ends = [text, before].into_iter().take(1 + usize::from(before != text));
        let mut settled = Views::open_reversed(text, matcher::LONGEST_PHRASE);
        for view in ends.flat_map(|text| Views::open(text, matcher::LONGEST_PHRASE)) {
            settled = settled.min(view.original(self.open_end(&view)?..view.text().len()).start);
        }
        Some(settled)
    }
}
