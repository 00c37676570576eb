//! The scanner for insecure code. What is insecure is decided in `llamafirewall-codeshield`; what follows, here.

use std::fmt::Write as _;
use std::sync::Arc;

use llamafirewall_codeshield::{Issue, Report, Treatment, prepare, scan_message, scan_named, settled};
use llamafirewall_core::{
    ConfigurationError, Finding, ScanDecision, ScanFuture, ScanInput, ScanResult, ScanStatus, Scanner,
    ScannerOptions, ScannerType,
};

/// How many issues a reason names.
const NAMED: usize = 5;

/// Looks for insecure code in messages. Whatever it finds blocks, unless it was told what to do with warnings.
#[derive(Clone, Debug)]
pub struct CodeShieldScanner {
    name: String,
    on_warning: ScanDecision,
}

/// What a policy may say.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "block")]
    on_warning: ScanDecision,
}

fn block() -> ScanDecision {
    ScanDecision::Block
}

impl Default for CodeShieldScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl CodeShieldScanner {
    /// A scanner that blocks whatever it finds.
    #[must_use]
    pub fn new() -> Self {
        prepare();
        Self { name: ScannerType::CodeShield.name().to_owned(), on_warning: block() }
    }

    /// Decides otherwise about issues that are no errors.
    #[must_use]
    pub fn on_warning(mut self, decision: ScanDecision) -> Self {
        self.on_warning = decision;
        self
    }

    fn decision(&self, issue: &Issue) -> ScanDecision {
        match issue.treatment() {
            Treatment::Block => ScanDecision::Block,
            Treatment::Warn => self.on_warning,
            Treatment::Ignore => ScanDecision::Allow,
        }
    }

    fn result(&self, report: &Report, bytes: usize) -> ScanResult {
        let findings: Vec<Finding> = report.issues.iter().map(|issue| self.finding(issue)).collect();
        let decision = findings.iter().map(|finding| finding.decision).max().unwrap_or(ScanDecision::Allow);
        let score = if decision == ScanDecision::Allow { 0.0 } else { 1.0 };
        let unread: usize = report.unread.iter().map(|range| range.len()).sum();
        ScanResult {
            decision,
            reason: reason(report),
            score,
            status: ScanStatus::Success,
            findings,
            coverage: if unread == 0 { 1.0 } else { 1.0 - unread as f32 / bytes.max(unread) as f32 },
        }
    }

    fn finding(&self, issue: &Issue) -> Finding {
        let decision = self.decision(issue);
        let score = if decision == ScanDecision::Allow { 0.0 } else { 1.0 };
        Finding { decision, score, ..Finding::new(issue.rule, issue.span.clone()) }
    }
}

/// The scanner that a policy describes.
pub(crate) fn build(options: &ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    let Options { on_warning } = options.read()?;
    let scanner = CodeShieldScanner::new().on_warning(on_warning);
    Ok(Arc::new(CodeShieldScanner { name: options.name().to_owned(), ..scanner }))
}

/// Which rules found something, and in which lines.
fn reason(report: &Report) -> String {
    if report.issues.is_empty() {
        return "no insecure code".to_owned();
    }
    let count = report.issues.len();
    let mut reason = format!("insecure code in {count} place{}: ", if count == 1 { "" } else { "s" });
    for (place, issue) in report.issues.iter().take(NAMED).enumerate() {
        let between = if place == 0 { "" } else { "; " };
        // Writing to a string does not fail.
        let _ =
            write!(reason, "{between}line {}, {}: {} ({})", issue.line, issue.rule, issue.message, issue.cwe);
    }
    if report.issues.len() > NAMED {
        reason.push_str("; and more");
    }
    reason
}

impl Scanner for CodeShieldScanner {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ScannerType {
        ScannerType::CodeShield
    }

    fn asks_by_rule(&self) -> bool {
        true
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async move {
            let text = input.text();
            let report = match &input.message().written_in {
                Some(name) => scan_named(text, name),
                None => scan_message(text),
            };
            Ok(self.result(&report, text.len()))
        })
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        // Code that is not divided at fences is judged as a whole.
        Some(if input.message().written_in.is_some() { 0 } else { settled(input.text()) })
    }
}
