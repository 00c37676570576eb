//! `torchless scan`: what the firewall makes of texts, folders of texts, and conversations.

mod inputs;
mod report;
mod sarif;

use crate::exit::Verdict;
use crate::firewall_args::ScanArgs;
use crate::{output, policy};
use anyhow::Result;
use inputs::{Input, Source};
use torchless::firewall::{ScanDecision, ScanResult, ScanStatus};
use torchless::{Firewall, Message, Role};

/// A text and what the firewall makes of it.
struct Scanned {
    source: Source,
    role: Role,
    text: String,
    result: ScanResult,
}

/// Runs the verb.
pub fn run(args: &ScanArgs) -> Result<()> {
    let firewall = policy::firewall(&args.policy)?;
    let mut scanned = Vec::new();
    for input in inputs::read(args)? {
        scan(&firewall, input, &mut scanned);
    }
    match (args.json, args.sarif) {
        (true, _) => output::json(&report::json(&scanned))?,
        (_, true) => output::json(&sarif::log(&scanned))?,
        _ => output::write(&report::text(&scanned))?,
    }
    verdict(&scanned)
}

/// Scans each message with those before it as its past.
fn scan(firewall: &Firewall, input: Input, scanned: &mut Vec<Scanned>) {
    let messages: Vec<Message> = input.messages.iter().map(|(message, _)| message.clone()).collect();
    for (at, (message, line)) in input.messages.into_iter().enumerate() {
        let past = if at == 0 { None } else { Some(&messages[..at]) };
        let result = firewall.scan_blocking(&message, past);
        let source = Source { file: input.file.clone(), line };
        scanned.push(Scanned { source, role: message.role, text: message.content, result });
    }
}

/// The exit code says the worst.
fn verdict(scanned: &[Scanned]) -> Result<()> {
    let any = |test: fn(&ScanResult) -> bool| scanned.iter().any(|one| test(&one.result));
    let verdict = if any(|result| result.status == ScanStatus::Error) {
        Verdict::Failed
    } else if any(|result| result.decision == ScanDecision::HumanInTheLoopRequired) && !any(is_blocked) {
        Verdict::Human
    } else if any(is_blocked) {
        Verdict::Blocked
    } else {
        return Ok(());
    };
    Err(verdict.into())
}

fn is_blocked(result: &ScanResult) -> bool {
    result.decision == ScanDecision::Block
}
