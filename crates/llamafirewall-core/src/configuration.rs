//! Which scanners look at whom, and what happens when they cannot.

use crate::execution::{asked, caught};
use crate::{AuditLog, Finding, Role, ScanDecision, ScanResult, ScanStatus, Scanner};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// No scanner of that name is registered.
    #[error("unknown scanner '{name}' (known: {known})")]
    UnknownScanner {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A scanner cannot be made from its options.
    #[error("scanner '{scanner}': {reason}")]
    Options {
        /// Which.
        scanner: String,
        /// Why.
        reason: String,
    },
    /// Two scanners of one name.
    #[error("the name '{0}' is taken by another scanner")]
    NameTaken(String),
    /// A threshold that means nothing.
    #[error("{role}, scanner '{scanner}': {reason}")]
    Threshold {
        /// Whose messages.
        role: Role,
        /// Which scanner.
        scanner: String,
        /// What is wrong.
        reason: String,
    },
    /// A limit of 0 lets nothing be scanned.
    #[error("a limit of 0 lets nothing be scanned: {0} has to be above 0")]
    NoLimit(&'static str),
    /// A policy that is none.
    #[error("policy: {0}")]
    Policy(String),
}

/// What decides where a scanner fails, runs out of time or does not see the whole text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailMode {
    /// The message is blocked.
    #[default]
    Closed,
    /// A person has to decide.
    Human,
    /// The message passes; the status still says that scanning failed.
    Open,
}

impl FailMode {
    /// What a failure leads to.
    pub fn decision(self) -> ScanDecision {
        match self {
            FailMode::Closed => ScanDecision::Block,
            FailMode::Human => ScanDecision::HumanInTheLoopRequired,
            FailMode::Open => ScanDecision::Allow,
        }
    }
}

/// How far scanning goes. Neither may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For each scanner and message, from where it begins; for a thread to begin on it waits as long at most.
    pub time: Duration,
    /// Longest text that is scanned: a content, the arguments of a call, the fields of a message, the conversation for whoever sees all of
    /// it. A longer one counts as a failure.
    pub text_bytes: usize,
}

impl Default for Limits {
    /// Thirty seconds, 4 MiB.
    fn default() -> Self {
        Self { time: Duration::from_secs(30), text_bytes: 4 << 20 }
    }
}

/// Scores that decide in place of a scanner's own threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// From this score on the message is blocked.
    pub block: f32,
    /// From this score on a person has to decide.
    pub human: Option<f32>,
}

impl Threshold {
    /// Blocks from `score` on.
    pub fn block_from(score: f32) -> Self {
        Self { block: score, human: None }
    }

    /// What a score leads to.
    pub fn decision(self, score: f32) -> ScanDecision {
        if score >= self.block {
            ScanDecision::Block
        } else if self.human.is_some_and(|human| score >= human) {
            ScanDecision::HumanInTheLoopRequired
        } else {
            ScanDecision::Allow
        }
    }

    fn fault(self) -> Option<&'static str> {
        let is_score = |score: f32| (0.0..=1.0).contains(&score);
        if !is_score(self.block) || !self.human.is_none_or(is_score) {
            Some("a threshold is a number from 0 to 1")
        } else if self.human.is_some_and(|human| human > self.block) {
            Some("the threshold for a person's decision lies above the one that blocks")
        } else {
            None
        }
    }
}

/// A scanner in its place.
#[derive(Clone)]
pub(crate) struct Entry {
    pub scanner: Arc<dyn Scanner>,
    pub name: String,
    pub threshold: Option<Threshold>,
}

impl Entry {
    /// Whether its scanner is shown no readings of calls; one that panics when it is asked is.
    pub fn sees_calls(&self) -> bool {
        caught(|| self.scanner.sees_calls()).unwrap_or(false)
    }

    /// Whether its scanner is shown values behind their keys; one that panics when it is asked is not.
    pub fn reads_names(&self) -> bool {
        caught(|| self.scanner.reads_names()).unwrap_or(false)
    }

    /// Whether its scanner is to see all that was said before; one that panics when it is asked is not.
    pub fn needs_trace(&self) -> bool {
        caught(|| self.scanner.require_full_trace()).unwrap_or(false)
    }

    /// What its threshold, where it has one, makes of a verdict.
    pub fn decided(&self, mut result: ScanResult) -> ScanResult {
        let is_score = (0.0..=1.0).contains(&result.score) && result.status == ScanStatus::Success;
        let Some(threshold) = self.threshold.filter(|_| is_score) else { return result };
        // One that panics when it is asked goes by its scores.
        let by_rule = caught(|| self.scanner.asks_by_rule()).unwrap_or(false);
        let is_asked = |decision| by_rule && decision == ScanDecision::HumanInTheLoopRequired;
        // A score of 0 says that there is nothing to decide on, whatever the threshold.
        let is_nothing = result.score <= 0.0 && result.decision.is_allow();
        if !is_asked(result.decision) && !is_nothing {
            let asked = result.findings.iter().any(|finding| is_asked(finding.decision));
            let least = if asked { ScanDecision::HumanInTheLoopRequired } else { ScanDecision::Allow };
            result.decision = threshold.decision(result.score).max(least);
        }
        // What the scanner only wants to be known stays so.
        let is_settled = |finding: &Finding| finding.decision.is_allow() || is_asked(finding.decision);
        for finding in result.findings.iter_mut().filter(|finding| !is_settled(finding)) {
            finding.decision = threshold.decision(finding.score);
        }
        result
    }

    /// Whether the threshold that its scanner says it has means something.
    fn own_threshold(&self) -> Result<(), String> {
        let own = asked(|| self.scanner.block_threshold()).map_err(|e| e.to_string())?;
        Threshold::block_from(own).fault().map_or(Ok(()), |fault| Err(fault.to_owned()))
    }

    /// Decides by the score from now on.
    fn set_threshold(&mut self, threshold: Threshold) -> Result<(), String> {
        if let Some(fault) = threshold.fault() {
            return Err(fault.to_owned());
        }
        self.threshold = Some(threshold);
        let lowest = threshold.human.unwrap_or(threshold.block);
        let scanner = asked(|| self.scanner.at_threshold(lowest)).map_err(|e| e.to_string())?;
        self.scanner = scanner.unwrap_or_else(|| self.scanner.clone());
        Ok(())
    }
}

/// Which scanners look at what each role says. A role without scanners is not scanned.
#[derive(Clone, Default)]
pub struct Configuration {
    entries: BTreeMap<Role, Vec<Entry>>,
    thresholds: Vec<(Role, String, Threshold)>,
    pub(crate) fail_mode: FailMode,
    pub(crate) limits: Limits,
    pub(crate) audit: Option<Arc<AuditLog>>,
}

impl Configuration {
    /// No scanners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a scanner look at what a role says, after those that already do.
    #[must_use]
    pub fn add_scanner(self, role: Role, scanner: Arc<dyn Scanner>) -> Self {
        let name = asked(|| scanner.name().to_owned()).unwrap_or_else(|_| "nameless".to_owned());
        self.add_scanner_as(role, name, scanner)
    }

    /// [`add_scanner`](Self::add_scanner) by another name than the scanner has itself: thresholds, reasons and findings have this one.
    #[must_use]
    pub fn add_scanner_as(mut self, role: Role, name: impl Into<String>, scanner: Arc<dyn Scanner>) -> Self {
        let entry = Entry { scanner, name: name.into(), threshold: None };
        self.entries.entry(role).or_default().push(entry);
        self
    }

    /// Decides by the score of the scanner called `name` instead of by its own verdict.
    #[must_use]
    pub fn with_threshold(mut self, role: Role, name: impl Into<String>, threshold: Threshold) -> Self {
        self.thresholds.push((role, name.into(), threshold));
        self
    }

    /// Says what a failure leads to; by default it blocks.
    #[must_use]
    pub fn with_fail_mode(mut self, fail_mode: FailMode) -> Self {
        self.fail_mode = fail_mode;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes every verdict to a log.
    #[must_use]
    pub fn with_audit_log(mut self, log: AuditLog) -> Self {
        self.audit = Some(Arc::new(log));
        self
    }

    /// Names of the scanners that look at what `role` says, in their order.
    pub fn scanner_names(&self, role: Role) -> impl Iterator<Item = &str> {
        self.entries(role).iter().map(|entry| entry.name.as_str())
    }

    pub(crate) fn entries(&self, role: Role) -> &[Entry] {
        self.entries.get(&role).map_or(&[], Vec::as_slice)
    }

    /// The same for two, of which the first has the scanners of the role that `are_first`, and the second the others.
    pub(crate) fn divided(&self, role: Role, are_first: impl Fn(&Entry) -> bool) -> (Self, Self) {
        let (first, second) = self.entries(role).iter().cloned().partition(are_first);
        let with = |entries: Vec<Entry>| {
            let mut configuration = self.clone();
            configuration.entries.insert(role, entries);
            configuration
        };
        (with(first), with(second))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.values().all(Vec::is_empty)
    }

    /// Puts thresholds where they belong, and refuses what cannot be meant.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigurationError> {
        let Limits { time, text_bytes } = self.limits;
        for (name, is_zero) in [("time", time.is_zero()), ("text_bytes", text_bytes == 0)] {
            if is_zero {
                return Err(ConfigurationError::NoLimit(name));
            }
        }
        for entries in self.entries.values() {
            let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(ConfigurationError::NameTaken(twice[0].to_owned()));
            }
        }
        for (role, name, threshold) in std::mem::take(&mut self.thresholds) {
            let entries = self.entries.entry(role).or_default();
            let entry = entries.iter_mut().find(|entry| entry.name == name);
            let entry = entry.ok_or_else(|| "no such scanner looks at this role".to_owned());
            let set = entry.and_then(|entry| entry.set_threshold(threshold));
            set.map_err(|reason| ConfigurationError::Threshold { role, scanner: name, reason })?;
        }
        for (role, entries) in &self.entries {
            for entry in entries {
                let (role, scanner) = (*role, entry.name.clone());
                entry.own_threshold().map_err(|reason| ConfigurationError::Threshold {
                    role,
                    scanner,
                    reason,
                })?;
            }
        }
        Ok(self)
    }
}
