//! Verdicts for people, and in JSON. Neither repeats the text.

use super::Scanned;
use serde_json::{Value, json};
use torchless::firewall::{Finding, ScanDecision};

/// A line for each text, and one for each finding.
pub fn text(scanned: &[Scanned]) -> String {
    let mut report = String::new();
    for one in scanned {
        let place = place(one);
        let (decision, status) = (one.result.decision.name(), one.result.status.name());
        let failed = if status == "error" { " (scan failed)" } else { "" };
        report.push_str(&format!("{place}: {decision}{failed}: {}\n", one.result.reason));
        for finding in &one.result.findings {
            let (line, column) = line_and_column(&one.text, finding.span.start);
            let seen = if finding.seen_in.is_empty() {
                String::new()
            } else {
                format!(", seen in {}", finding.seen_in)
            };
            report.push_str(&format!("  {line}:{column} {}: {}{seen}\n", finding.scanner, finding.rule));
        }
    }
    report
}

fn place(one: &Scanned) -> String {
    match one.source.line {
        Some(line) => format!("{}:{line} {}", one.source.file, one.role.name()),
        None => format!("{} {}", one.source.file, one.role.name()),
    }
}

/// Line and column of a byte, both from 1, the column in characters.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Everything in one object.
pub fn json(scanned: &[Scanned]) -> Value {
    let worst = scanned.iter().map(|one| one.result.decision).max().unwrap_or(ScanDecision::Allow);
    json!({ "decision": worst.name(), "results": scanned.iter().map(result).collect::<Vec<_>>() })
}

fn result(one: &Scanned) -> Value {
    let result = &one.result;
    json!({
        "file": one.source.file, "line": one.source.line, "role": one.role.name(),
        "decision": result.decision.name(), "status": result.status.name(), "score": result.score,
        "reason": result.reason, "coverage": result.coverage,
        "findings": result.findings.iter().map(|finding| json_finding(&one.text, finding)).collect::<Vec<_>>(),
    })
}

fn json_finding(text: &str, finding: &Finding) -> Value {
    let (line, column) = line_and_column(text, finding.span.start);
    json!({
        "scanner": finding.scanner, "rule": finding.rule, "decision": finding.decision.name(),
        "score": finding.score, "start": finding.span.start, "end": finding.span.end,
        "line": line, "column": column, "seen_in": finding.seen_in,
    })
}
