//! Verdicts for people, and in JSON. Neither repeats the text.

use super::places::Place;
use super::sarif::{self, Log};
use super::{Scanned, Scans};
use crate::output;
use serde_json::{Value, json};
use std::io::ErrorKind;
use torchless::firewall::{Finding, ScanStatus};

/// How verdicts are told.
pub enum Form {
    Text,
    Json,
    Sarif(Box<Log>),
}

/// Verdicts on their way to standard output, each as it comes.
pub struct Report {
    form: Form,
    /// Not written yet.
    text: String,
    told: usize,
    /// Why nothing more is written.
    broken: Option<std::io::Error>,
}

/// Bytes that are written at once.
const AT_ONCE: usize = 64 << 10;

impl Report {
    pub fn new(form: Form) -> Self {
        Self { form, text: String::new(), told: 0, broken: None }
    }

    /// Whether there is a verdict in it.
    pub fn has_begun(&self) -> bool {
        self.told > 0
    }

    pub fn tell(&mut self, one: &Scanned) {
        self.begin();
        self.told += 1;
        match &mut self.form {
            Form::Text => self.text.push_str(&text(one)),
            Form::Json => {
                self.text.push_str(if self.told > 1 { "," } else { "" });
                self.text.push_str(&output::sorted(&result(one)));
            }
            Form::Sarif(log) => log.tell(one, &mut self.text),
        }
        if self.text.len() > AT_ONCE {
            self.write();
        }
    }

    /// Tells what it comes to.
    pub fn finish(mut self, scans: &Scans) -> std::io::Result<()> {
        if self.told == 0 {
            self.begin();
        }
        match &self.form {
            Form::Text => {}
            Form::Json => {
                let status = if scans.failed() { ScanStatus::Error } else { ScanStatus::Success };
                let (decision, status) = (scans.decision.name(), status.name());
                self.text.push_str(&format!("],\"decision\":\"{decision}\",\"status\":\"{status}\"}}\n"));
            }
            Form::Sarif(log) => self.text.push_str(&log.end(scans)),
        }
        self.write();
        match self.broken {
            // Whoever reads has had enough; the verdict stands all the same.
            Some(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
            _ => Ok(()),
        }
    }

    fn begin(&mut self) {
        if self.told == 0 {
            self.text.push_str(match self.form {
                Form::Text => "",
                Form::Json => "{\"results\":[",
                Form::Sarif(_) => sarif::BEGINNING,
            });
        }
    }

    fn write(&mut self) {
        if self.broken.is_none() {
            self.broken = output::write(&self.text).err();
        }
        self.text.clear();
    }
}

/// A line for a text, and one for each finding.
fn text(one: &Scanned) -> String {
    let (place, decision) = (place(one), one.result.decision.name());
    let note = match one.result.status {
        ScanStatus::Error => " (scan failed)",
        ScanStatus::Skipped => " (not scanned)",
        ScanStatus::Success => "",
    };
    let mut report = format!("{place}: {decision}{note}: {}\n", on_one_line(&one.result.reason));
    for (finding, place) in one.result.findings.iter().zip(&one.places) {
        let seen =
            if finding.seen_in.is_empty() { String::new() } else { format!(", seen in {}", finding.seen_in) };
        let place = place.map_or(String::new(), |at| format!("{}:{} ", at.start.line, at.start.column));
        let finding = on_one_line(&format!("{place}{}: {}{seen}", finding.scanner, finding.rule));
        report.push_str(&format!("  {finding}\n"));
    }
    if one.untold > 0 {
        report.push_str(&format!("  and {} more\n", one.untold));
    }
    report
}

fn place(one: &Scanned) -> String {
    let file = on_one_line(&one.source.file.to_string_lossy());
    match one.source.line {
        Some(line) if one.is_thought => format!("{file}:{line} {}, reasoning", one.role.name()),
        Some(line) => format!("{file}:{line} {}", one.role.name()),
        None => format!("{file} {}", one.role.name()),
    }
}

/// Names of files and of patterns are chosen by strangers too: none of them moves the cursor or forges a line of the report.
fn on_one_line(words: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    words.chars().map(plain).collect()
}

fn result(one: &Scanned) -> Value {
    let result = &one.result;
    let findings = result.findings.iter().zip(&one.places);
    let text = if one.is_thought { "reasoning" } else { "content" };
    json!({
        "file": one.source.file.to_string_lossy(), "line": one.source.line, "role": one.role.name(), "text": text,
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
