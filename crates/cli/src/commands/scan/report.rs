//! Verdicts for people, and in JSON. Neither repeats the text.

use super::places::Place;
use super::{Scanned, Scans};
use serde_json::{Value, json};
use torchless::firewall::{Finding, ScanStatus};

/// A line for each text, and one for each finding.
pub fn text(scanned: &[Scanned]) -> String {
    let mut report = String::new();
    for one in scanned {
        let (place, decision) = (place(one), one.result.decision.name());
        let note = match one.result.status {
            ScanStatus::Error => " (scan failed)",
            ScanStatus::Skipped => " (not scanned)",
            ScanStatus::Success => "",
        };
        report.push_str(&format!("{place}: {decision}{note}: {}\n", on_one_line(&one.result.reason)));
        for (finding, place) in one.result.findings.iter().zip(&one.places) {
            let seen = if finding.seen_in.is_empty() {
                String::new()
            } else {
                format!(", seen in {}", finding.seen_in)
            };
            let place = place.map_or(String::new(), |at| format!("{}:{} ", at.start.line, at.start.column));
            let finding = on_one_line(&format!("{place}{}: {}{seen}", finding.scanner, finding.rule));
            report.push_str(&format!("  {finding}\n"));
        }
        if one.untold > 0 {
            report.push_str(&format!("  and {} more\n", one.untold));
        }
    }
    report
}

fn place(one: &Scanned) -> String {
    let file = on_one_line(&one.source.file.to_string_lossy());
    match one.source.line {
        Some(line) => format!("{file}:{line} {}", one.role.name()),
        None => format!("{file} {}", one.role.name()),
    }
}

/// Names of files and of patterns are chosen by strangers too: none of them moves the cursor or forges a line of the report.
fn on_one_line(words: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    words.chars().map(plain).collect()
}

/// Everything in one object.
pub fn json(scans: &Scans) -> Value {
    let status = if scans.failed() { ScanStatus::Error } else { ScanStatus::Success };
    json!({
        "decision": scans.decision().name(), "status": status.name(),
        "results": scans.all.iter().map(result).collect::<Vec<_>>(),
    })
}

fn result(one: &Scanned) -> Value {
    let result = &one.result;
    let findings = result.findings.iter().zip(&one.places);
    json!({
        "file": one.source.file.to_string_lossy(), "line": one.source.line, "role": one.role.name(),
        "decision": result.decision.name(), "status": result.status.name(), "score": result.score,
        "reason": result.reason, "coverage": result.coverage,
        "findings": findings.map(|(finding, place)| json_finding(finding, place.as_ref())).collect::<Vec<_>>(),
        "findings_not_told": one.untold,
    })
}

fn json_finding(finding: &Finding, place: Option<&Place>) -> Value {
    let span = place.map(|_| &finding.span);
    json!({
        "scanner": finding.scanner, "rule": finding.rule, "decision": finding.decision.name(),
        "score": finding.score, "start": span.map(|span| span.start), "end": span.map(|span| span.end),
        "line": place.map(|at| at.start.line), "column": place.map(|at| at.start.column),
        "seen_in": finding.seen_in,
    })
}
