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
use std::cmp::Reverse;
use std::io::ErrorKind;
use std::sync::Arc;
use torchless::firewall::{Finding, ScanDecision, ScanResult, ScanStatus};
use torchless::{Firewall, Message, Role};

/// A text and what the firewall makes of it; or what could not be scanned, and why. The text itself is not kept.
struct Scanned {
    source: Source,
    role: Role,
    result: ScanResult,
    /// Where each finding of the result stands.
    places: Vec<Option<Place>>,
    /// Findings that there were beyond those.
    untold: usize,
}

/// Findings of one text that are told at most: more would say nothing to anybody, and take memory.
const MOST_TOLD: usize = 1000;

/// Everything that was scanned.
#[derive(Default)]
struct Scans {
    all: Vec<Scanned>,
    /// Texts among them.
    texts: usize,
    /// Whose text no scanner looked at.
    unseen: Option<Role>,
}

/// Runs the verb.
pub fn run(args: &ScanArgs) -> Result<()> {
    let firewall = policy::firewall(&args.policy)?;
    let mut scans = Scans::default();
    inputs::each(args, &mut |input| scan(&firewall, input, args.speaker().role(), &mut scans))?;
    if scans.texts == 0 {
        output::note("torchless: there was no text to scan");
    } else if let Some(role) = scans.unseen {
        let unseen = format!("the policy has no scanner for the role {role}: what it says was not scanned");
        output::note(&format!("torchless: {unseen}"));
    }
    let written = match (args.json, args.sarif) {
        (true, _) => output::json(&report::json(&scans)),
        (_, true) => output::json(&sarif::log(&scans)),
        _ => output::write(&report::text(&scans.all)),
    };
    match written {
        // Whoever reads has had enough; the verdict stands all the same.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    scans.verdict()
}

/// Scans each message with those before it as its past.
fn scan(firewall: &Firewall, input: Input, role: Role, scans: &mut Scans) {
    let mut messages = Vec::new();
    let mut entries = Vec::new();
    for (entry, line) in input.entries {
        let source = Source { file: input.file.clone(), line };
        entries.push(match entry {
            Entry::Unseen(unseen) => (source, Err(unseen)),
            Entry::Message(message) => {
                messages.push(message);
                (source, Ok(messages.len() - 1))
            }
        });
    }
    let messages: Arc<[Message]> = messages.into();
    for (source, entry) in entries {
        scans.all.push(match entry {
            Err(unseen) => unscanned(source, role, unseen),
            Ok(at) => {
                let message = &messages[at];
                let mut result = firewall.scan_at_blocking(&messages, at);
                let untold = leave_out(&mut result.findings);
                let places = places(&message.content, &result.findings);
                if has_text(message) {
                    scans.texts += 1;
                    scans.unseen =
                        scans.unseen.or((result.status == ScanStatus::Skipped).then_some(message.role));
                }
                Scanned { source, role: message.role, result, places, untold }
            }
        });
    }
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
    Scanned { source, role, result, places: Vec::new(), untold: 0 }
}

impl Scans {
    fn decision(&self) -> ScanDecision {
        self.all.iter().map(|one| one.result.decision).max().unwrap_or(ScanDecision::Allow)
    }

    /// Whether something was not scanned that should have been.
    fn failed(&self) -> bool {
        let nothing_seen = self.texts == 0 || self.unseen.is_some();
        nothing_seen || self.all.iter().any(|one| one.result.status == ScanStatus::Error)
    }

    /// The exit code says the worst.
    fn verdict(&self) -> Result<()> {
        let verdict = match self.decision() {
            _ if self.failed() => Verdict::Failed,
            ScanDecision::Block => Verdict::Blocked,
            ScanDecision::HumanInTheLoopRequired => Verdict::Human,
            ScanDecision::Allow => return Ok(()),
        };
        Err(verdict.into())
    }
}
