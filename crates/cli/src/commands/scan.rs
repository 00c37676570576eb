//! `torchless scan`: what the firewall makes of texts, folders of texts, and conversations.

mod conversation;
mod fields;
mod inputs;
mod places;
mod report;
mod sarif;

use crate::exit::Verdict;
use crate::firewall_args::ScanArgs;
use crate::{output, policy};
use anyhow::Result;
use inputs::{Entry, Input, Source, Unseen};
use places::{Place, places};
use report::{Form, Report};
use std::cmp::Reverse;
use std::sync::Arc;
use torchless::firewall::{Finding, ScanDecision, ScanResult, ScanStatus};
use torchless::{Firewall, Message, Role};

/// A text and what the firewall makes of it; or what could not be scanned, and why. Told at once and not kept: a conversation may have
/// a million lines.
struct Scanned {
    source: Source,
    role: Role,
    /// Whether it is what was thought, and not the content of its line.
    is_thought: bool,
    result: ScanResult,
    /// Where each finding of the result stands.
    places: Vec<Option<Place>>,
    /// Findings that there were beyond those.
    untold: usize,
}

/// Findings of one text that are told at most: more would say nothing to anybody, and take memory.
const MOST_TOLD: usize = 1000;

/// What everything that was scanned comes to.
#[derive(Default)]
struct Scans {
    decision: ScanDecision,
    /// Whether a scan failed, or something could not be read.
    has_errors: bool,
    /// Texts that were there.
    texts: usize,
    /// Whose texts no scanner looked at.
    unseen: Vec<Role>,
}

/// Runs the verb.
pub fn run(args: &ScanArgs) -> Result<()> {
    let firewall = policy::firewall(&args.policy)?;
    let mut scans = Scans::default();
    let mut report = Report::new(match (args.json, args.sarif) {
        (true, _) => Form::Json,
        (_, true) => Form::Sarif(Box::default()),
        _ => Form::Text,
    });
    let role = args.speaker().role();
    let read = inputs::each(args, &mut |input| scan(&firewall, input, role, &mut scans, &mut report));
    if read.is_ok() {
        scans.note();
    }
    if read.is_ok() || report.has_begun() {
        report.finish(&scans)?;
    }
    read?;
    scans.verdict()
}

/// Scans each message with those before it as its past.
fn scan(firewall: &Firewall, input: Input, role: Role, scans: &mut Scans, report: &mut Report) {
    let mut messages = Vec::new();
    let mut entries = Vec::new();
    for (entry, line) in input.entries {
        entries.push(match entry {
            Entry::Unseen(unseen) => (line, Err(unseen)),
            Entry::Message(message) => {
                messages.push(message);
                (line, Ok((messages.len() - 1, false)))
            }
            Entry::Thought(message) => {
                messages.push(message);
                (line, Ok((messages.len() - 1, true)))
            }
        });
    }
    let messages: Arc<[Message]> = messages.into();
    for (line, entry) in entries {
        let source = Source { file: input.file.clone(), line };
        let one = match entry {
            Err(unseen) => unscanned(source, unseen.role.unwrap_or(role), unseen),
            Ok((at, is_thought)) => {
                let one = Scanned { is_thought, ..scanned(firewall, source, &messages, at) };
                if has_text(&messages[at]) {
                    scans.saw(&one);
                }
                one
            }
        };
        scans.count(&one);
        report.tell(&one);
    }
}

fn scanned(firewall: &Firewall, source: Source, messages: &Arc<[Message]>, at: usize) -> Scanned {
    let message = &messages[at];
    let mut result = firewall.scan_at_blocking(messages, at);
    if result.status == ScanStatus::Skipped {
        result.reason = format!("no scanner of the policy looks at the role {}", message.role);
    }
    let untold = leave_out(&mut result.findings);
    let places = places(&message.content, &result.findings);
    Scanned { source, role: message.role, result, places, untold, is_thought: false }
}

/// Leaves the worst findings, in the order of their places, and says how many went.
fn leave_out(findings: &mut Vec<Finding>) -> usize {
    let untold = findings.len().saturating_sub(MOST_TOLD);
    if untold > 0 {
        findings.sort_by_key(|finding| Reverse(finding.decision));
        findings.truncate(MOST_TOLD);
        findings.sort_by_key(|finding| (finding.span.start, finding.span.end));
        findings.shrink_to_fit();
    }
    untold
}

fn has_text(message: &Message) -> bool {
    !message.content.is_empty() || !message.tool_calls.is_empty() || !message.fields.is_empty()
}

/// What could not be read may not pass.
fn unscanned(source: Source, role: Role, unseen: Unseen) -> Scanned {
    let decision = if unseen.status == ScanStatus::Error { ScanDecision::Block } else { ScanDecision::Allow };
    let result = ScanResult::new(decision, unseen.reason, 0.0);
    let result = ScanResult { status: unseen.status, coverage: 0.0, ..result };
    Scanned { source, role, result, places: Vec::new(), untold: 0, is_thought: false }
}

impl Scans {
    fn count(&mut self, one: &Scanned) {
        self.decision = self.decision.max(one.result.decision);
        self.has_errors |= one.result.status == ScanStatus::Error;
    }

    /// Counts a text that was there to be scanned.
    fn saw(&mut self, one: &Scanned) {
        self.texts += 1;
        if one.result.status == ScanStatus::Skipped && !self.unseen.contains(&one.role) {
            self.unseen.push(one.role);
        }
    }

    /// Says on standard error what else keeps it from being a scan of everything.
    fn note(&self) {
        let roles: Vec<&str> = self.unseen.iter().map(|role| role.name()).collect();
        let without = "torchless: the policy has no scanner for the role";
        match &roles[..] {
            _ if self.texts == 0 => output::note("torchless: there was no text to scan"),
            [] => {}
            [role] => output::note(&format!("{without} {role}: what it says was not scanned")),
            roles => output::note(&format!("{without}s {}: what they say was not scanned", roles.join(", "))),
        }
    }

    /// Whether something was not scanned that should have been.
    fn failed(&self) -> bool {
        self.has_errors || self.texts == 0 || !self.unseen.is_empty()
    }

    /// The exit code says the worst.
    fn verdict(&self) -> Result<()> {
        let verdict = match self.decision {
            _ if self.failed() => Verdict::Failed,
            ScanDecision::Block => Verdict::Blocked,
            ScanDecision::HumanInTheLoopRequired => Verdict::Human,
            ScanDecision::Allow => return Ok(()),
        };
        Err(verdict.into())
    }
}
