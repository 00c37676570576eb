//! Scanners and judges that are written in Python.

use crate::asking::Asking;
use crate::firewall::{PlainFinding, Said};
use crate::places::Places;
use pyo3::prelude::*;
use torchless::firewall::{
    Finding, Judge, JudgeError, JudgeFuture, Message, Question, ScanDecision, ScanFuture, ScanInput,
    ScanResult, ScanStatus, Scanner, ScannerError,
};

/// What a scanner in Python says: decision, reason, score, status, coverage, findings.
type Answer = (String, String, f32, String, f32, Vec<PlainFinding<String>>);

/// A scanner in Python.
pub struct PythonScanner {
    name: String,
    scan: Asking,
}

impl PythonScanner {
    /// Asks `scan` about a message and the ones before it.
    ///
    /// # Errors
    /// Python is incomplete.
    pub fn new(name: String, scan: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { name, scan: Asking::new("scanner", scan)? })
    }

    fn verdict(&self, input: &ScanInput) -> Result<ScanResult, ScannerError> {
        let said =
            (said(input.message()), input.trace().map(|trace| trace.iter().map(said).collect::<Vec<_>>()));
        let answer = self.scan.ask(said, |answer| answer.extract::<Answer>());
        let (decision, reason, score, status, coverage, findings) = answer.map_err(ScannerError)?;
        let places = Places::new(input.text());
        let findings = findings.into_iter().map(|one| finding(one, &places));
        Ok(ScanResult {
            status: status_named(&status)?,
            coverage,
            findings: findings.collect::<Result<_, _>>()?,
            ..ScanResult::new(decision_named(&decision)?, reason, score)
        })
    }
}

/// A finding with its place in bytes; the firewall says whose it is.
fn finding(given: PlainFinding<String>, places: &Places<'_>) -> Result<Finding, ScannerError> {
    let (_, rule, start, end, decision, score, seen_in) = given;
    let (Some(first), Some(last)) = (places.byte(start), places.byte(end).filter(|_| start <= end)) else {
        return Err(ScannerError(format!("a finding from {start} to {end}, which is not in the text")));
    };
    Ok(Finding {
        decision: decision_named(&decision)?,
        score: score as f32,
        seen_in: seen_in.into(),
        ..Finding::new(rule, first..last)
    })
}

fn said(message: &Message) -> Said {
    let calls = message.tool_calls.iter().map(|call| (call.name.clone(), call.arguments.clone())).collect();
    (message.role.name().to_owned(), message.content.clone(), calls)
}

fn decision_named(name: &str) -> Result<ScanDecision, ScannerError> {
    let all = [ScanDecision::Allow, ScanDecision::HumanInTheLoopRequired, ScanDecision::Block];
    let found = all.into_iter().find(|decision| decision.name() == name);
    found.ok_or_else(|| ScannerError("the scanner gave no decision".to_owned()))
}

fn status_named(name: &str) -> Result<ScanStatus, ScannerError> {
    let all = [ScanStatus::Success, ScanStatus::Error, ScanStatus::Skipped];
    let found = all.into_iter().find(|status| status.name() == name);
    found.ok_or_else(|| ScannerError("the scanner gave no status".to_owned()))
}

impl Scanner for PythonScanner {
    fn name(&self) -> &str {
        &self.name
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async { self.verdict(input) })
    }
}

/// A judge in Python: called with instructions, what is judged, and the schema of the answer, it gives JSON.
pub struct PythonJudge(Asking);

impl PythonJudge {
    /// Asks this callable.
    ///
    /// # Errors
    /// Python is incomplete.
    pub fn new(ask: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Asking::new("judge", ask)?))
    }

    fn answer(&self, question: &Question) -> Result<serde_json::Value, JudgeError> {
        let asked = (question.system.clone(), question.user.clone(), question.schema.to_string());
        let answer = self.0.ask(asked, |answer| answer.extract::<String>()).map_err(JudgeError)?;
        serde_json::from_str(&answer).map_err(|_| JudgeError("the answer is no JSON".to_owned()))
    }
}

impl Judge for PythonJudge {
    fn ask<'a>(&'a self, question: &'a Question) -> JudgeFuture<'a> {
        Box::pin(async { self.answer(question).map_err(|e| JudgeError(e.0)) })
    }
}
