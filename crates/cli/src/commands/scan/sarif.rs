//! Verdicts in SARIF 2.1.0 (OASIS), which code hosts and editors read.

use super::Scanned;
use super::report::line_and_column;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use torchless::firewall::{Finding, ScanDecision, ScanStatus};

/// The log of one run.
pub fn log(scanned: &[Scanned]) -> Value {
    let findings =
        || scanned.iter().flat_map(|one| one.result.findings.iter().map(move |finding| (one, finding)));
    let rules: BTreeSet<String> = findings().map(|(_, finding)| rule(finding)).collect();
    let failed: Vec<Value> =
        scanned.iter().filter(|one| one.result.status == ScanStatus::Error).map(notification).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "torchless",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": failed.is_empty(),
                "toolExecutionNotifications": failed,
            }],
            "columnKind": "unicodeCodePoints",
            "results": findings().map(|(one, finding)| result(one, finding)).collect::<Vec<_>>(),
        }],
    })
}

fn rule(finding: &Finding) -> String {
    format!("{}/{}", finding.scanner, finding.rule.to_lowercase().replace(' ', "-"))
}

fn result(one: &Scanned, finding: &Finding) -> Value {
    let level = match finding.decision {
        ScanDecision::Block => "error",
        ScanDecision::HumanInTheLoopRequired => "warning",
        ScanDecision::Allow => "note",
    };
    json!({
        "ruleId": rule(finding),
        "level": level,
        "message": { "text": format!("{}: {}", finding.scanner, finding.rule) },
        "locations": [location(one, finding)],
    })
}

fn location(one: &Scanned, finding: &Finding) -> Value {
    // A message of a conversation is a line of its file, and its own bytes are none of the file's.
    let region = match one.source.line {
        Some(line) => json!({ "startLine": line }),
        None => {
            let (line, column) = line_and_column(&one.text, finding.span.start);
            let (end_line, end_column) = line_and_column(&one.text, finding.span.end);
            json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column })
        }
    };
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri(&one.source.file) }, "region": region } })
}

/// A relative reference: what a reference cannot have is written as numbers.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

fn notification(one: &Scanned) -> Value {
    json!({ "level": "error", "message": { "text": format!("{}: {}", one.source.file, one.result.reason) } })
}
