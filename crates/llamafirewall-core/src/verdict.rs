//! What scanners found, and what follows from it. No reason ever repeats the text that was scanned.

use crate::Role;
use crate::message::{FIELD, PARTS_OF_CALLS, WHOLE};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// What is to happen with a message. The worst of several wins, so they are ordered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ScanDecision {
    /// It may pass.
    #[default]
    Allow,
    /// A person has to say whether it may pass.
    HumanInTheLoopRequired,
    /// It must not pass.
    Block,
}

impl ScanDecision {
    /// The word for people, JSON and policies.
    pub fn name(self) -> &'static str {
        match self {
            ScanDecision::Allow => "allow",
            ScanDecision::HumanInTheLoopRequired => "human_in_the_loop_required",
            ScanDecision::Block => "block",
        }
    }

    pub(crate) fn is_allow(self) -> bool {
        self == ScanDecision::Allow
    }

    pub(crate) fn is_block(self) -> bool {
        self == ScanDecision::Block
    }
}

impl fmt::Display for ScanDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether scanning worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanStatus {
    /// Every scanner gave a verdict.
    #[default]
    Success,
    /// A scanner failed, ran out of time or did not see the whole text; the fail mode decided in its place.
    Error,
    /// Nothing was configured to look at this message.
    Skipped,
}

impl ScanStatus {
    /// The word for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ScanStatus::Success => "success",
            ScanStatus::Error => "error",
            ScanStatus::Skipped => "skipped",
        }
    }
}

/// One place that a scanner objects to, or wants to be known.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Name of the scanner; the firewall fills it in.
    pub scanner: String,
    /// What was found: the name of a rule, never the text itself.
    pub rule: Cow<'static, str>,
    /// Bytes of the original text.
    pub span: Range<usize>,
    /// What this finding alone would lead to.
    pub decision: ScanDecision,
    /// How sure the scanner is, from 0 to 1.
    pub score: f32,
    /// In which form of the text it was seen, where that is not the text as it came: `base64`, `letters joined`, ...; or in which part of
    /// a tool call or field of the message, or `whole message`, where `span` means nothing.
    pub seen_in: Cow<'static, str>,
}

impl Finding {
    /// A finding that blocks.
    pub fn new(rule: impl Into<Cow<'static, str>>, span: Range<usize>) -> Self {
        Self {
            scanner: String::new(),
            rule: rule.into(),
            span,
            decision: ScanDecision::Block,
            score: 1.0,
            seen_in: Cow::Borrowed(""),
        }
    }

    /// A finding that blocks, in the name of a tool that is called.
    pub fn of_called_tool(rule: impl Into<Cow<'static, str>>) -> Self {
        Self { seen_in: Cow::Borrowed(PARTS_OF_CALLS[0]), ..Self::new(rule, 0..0) }
    }

    /// A finding that blocks, in a message with more than its text, of a scanner that cannot say where.
    pub fn of_whole_message(rule: impl Into<Cow<'static, str>>) -> Self {
        Self { seen_in: Cow::Borrowed(WHOLE), ..Self::new(rule, 0..0) }
    }

    /// Whether it is in a call of a tool, and so at no place of the text.
    pub fn is_in_call(&self) -> bool {
        PARTS_OF_CALLS.contains(&self.seen_in.as_ref())
    }

    /// Whether it is at no place of the text: in a call of a tool or a field, or in the message as a whole.
    pub fn is_beside_text(&self) -> bool {
        self.is_in_call() || self.seen_in == WHOLE || self.seen_in.starts_with(FIELD)
    }
}

/// The verdict of one scanner, or of all of them together.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanResult {
    /// What is to happen.
    pub decision: ScanDecision,
    /// Why, in words that do not quote the text.
    pub reason: String,
    /// How sure, from 0 to 1.
    pub score: f32,
    /// Whether scanning worked.
    pub status: ScanStatus,
    /// Where in the text, ordered by place.
    pub findings: Vec<Finding>,
    /// Share of the text that was seen, from 0 to 1.
    pub coverage: f32,
}

impl ScanResult {
    /// A verdict without findings, on the whole text.
    pub fn new(decision: ScanDecision, reason: impl Into<String>, score: f32) -> Self {
        Self {
            decision,
            reason: reason.into(),
            score,
            status: ScanStatus::Success,
            findings: Vec::new(),
            coverage: 1.0,
        }
    }

    /// Nothing was found; `score` is 0.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self::new(ScanDecision::Allow, reason, 0.0)
    }

    /// It must not pass.
    pub fn block(reason: impl Into<String>, score: f32) -> Self {
        Self::new(ScanDecision::Block, reason, score)
    }

    /// A person has to decide.
    pub fn human(reason: impl Into<String>, score: f32) -> Self {
        Self::new(ScanDecision::HumanInTheLoopRequired, reason, score)
    }

    /// The same verdict with findings.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }

    /// Leaves out findings. What was decided on nothing that was found, or because scanning failed, stays.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Finding) -> bool) {
        let most = |result: &Self| result.findings.iter().map(|finding| finding.decision).max();
        let before = most(self);
        self.findings.retain(stays);
        if before == Some(self.decision) && self.status == ScanStatus::Success {
            self.decision = most(self).unwrap_or_default();
        }
    }

    /// Why it passes though scanning failed, if it does.
    pub fn failure(&self, role: Role) -> Option<String> {
        let passes = self.is_allowed() && self.status == ScanStatus::Error;
        passes.then(|| format!("{role} message: {}", self.reason))
    }

    /// Whether the message may pass.
    pub fn is_allowed(&self) -> bool {
        self.decision == ScanDecision::Allow
    }
}

/// What no scanner looked at.
pub(crate) fn unscanned() -> ScanResult {
    ScanResult { status: ScanStatus::Skipped, coverage: 0.0, ..ScanResult::allow("default") }
}

/// The verdict of several scanners: the worst decision wins, its highest score counts, and the reasons of all
/// stand in the order of the configuration.
pub(crate) fn combined(mut results: Vec<(&str, ScanResult)>) -> ScanResult {
    match results.len() {
        0 => unscanned(),
        1 => results.remove(0).1,
        _ => merged(results, |name, result| format!("{name}: {}", scored_reason(result))),
    }
}

/// A verdict of so many scanners, whose reason tells the score: that of several does so already.
pub(crate) fn scored(result: ScanResult, scanners: usize) -> ScanResult {
    if scanners > 1 { result } else { ScanResult { reason: scored_reason(&result), ..result } }
}

fn scored_reason(result: &ScanResult) -> String {
    format!("{} - score: {:?}", result.reason, result.score)
}

/// One verdict of several, whose reasons are as `told`, each once.
pub(crate) fn merged(
    results: Vec<(&str, ScanResult)>,
    told: impl Fn(&str, &ScanResult) -> String,
) -> ScanResult {
    let decision = results.iter().map(|(_, result)| result.decision).max().unwrap_or_default();
    let deciding = || results.iter().filter(|(_, result)| result.decision == decision);
    let score = deciding().map(|(_, result)| result.score).fold(0.0, f32::max);
    let mut reasons: Vec<String> = Vec::new();
    for reason in deciding().map(|(name, result)| told(name, result)) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let failed = results.iter().any(|(_, result)| result.status == ScanStatus::Error);
    let coverage = results.iter().map(|(_, result)| result.coverage).fold(1.0, f32::min);
    let mut findings: Vec<Finding> = results.into_iter().flat_map(|(_, result)| result.findings).collect();
    findings.sort_by_key(|finding| (finding.span.start, finding.span.end));
    ScanResult {
        decision,
        reason: reasons.join("; "),
        score,
        status: if failed { ScanStatus::Error } else { ScanStatus::Success },
        findings,
        coverage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decision_wins_and_keeps_its_own_score() {
        let sure_allow = ScanResult::new(ScanDecision::Allow, "fine", 0.89);
        let human = ScanResult::human("odd", 0.5);
        let verdict = combined(vec![("a", sure_allow), ("b", human)]);
        assert_eq!(verdict.decision, ScanDecision::HumanInTheLoopRequired);
        assert_eq!((verdict.score, verdict.reason.as_str()), (0.5, "b: odd - score: 0.5"));
    }

    #[test]
    fn one_failure_shows_in_the_whole() {
        let broken = ScanResult { status: ScanStatus::Error, ..ScanResult::allow("no model") };
        let verdict = combined(vec![("a", ScanResult::allow("fine")), ("b", broken)]);
        assert_eq!((verdict.decision, verdict.status), (ScanDecision::Allow, ScanStatus::Error));
    }

    #[test]
    fn one_scanner_speaks_for_itself() {
        assert_eq!(combined(vec![("a", ScanResult::block("bad", 0.7))]), ScanResult::block("bad", 0.7));
    }
}
