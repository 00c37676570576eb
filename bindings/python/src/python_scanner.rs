//! Scanners and judges that are written in Python.

use crate::firewall::{PlainFinding, Said};
use crate::places::Places;
use pyo3::prelude::*;
use torchless::firewall::{
    Finding, Judge, JudgeError, JudgeFuture, Message, Question, ScanDecision, ScanFuture, ScanInput,
    ScanResult, ScanStatus, Scanner, ScannerError,
};

/// Python has gone away.
const GONE: &str = "Python is shutting down";

/// What a scanner in Python says: decision, reason, score, status, coverage, findings.
type Answer = (String, String, f32, String, f32, Vec<PlainFinding<String>>);

/// A scanner in Python.
pub struct PythonScanner {
    name: String,
    scan: Py<PyAny>,
}

impl PythonScanner {
    /// Calls `scan` with a message and the ones before it.
    pub fn new(name: String, scan: Py<PyAny>) -> Self {
        Self { name, scan }
    }

    fn verdict(&self, input: &ScanInput) -> Result<ScanResult, ScannerError> {
        let said =
            (said(input.message()), input.trace().map(|trace| trace.iter().map(said).collect::<Vec<_>>()));
        let answer = Python::try_attach(|py| {
            let answer = self.scan.call1(py, said).map_err(|e| raised(py, "scanner", &e))?;
            answer.extract::<Answer>(py).map_err(|e| raised(py, "scanner", &e))
        });
        let (decision, reason, score, status, coverage, findings) =
            answer.unwrap_or_else(|| Err(GONE.to_owned())).map_err(ScannerError)?;
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

/// Which exception it was; its message may quote the text.
fn raised(py: Python<'_>, who: &str, error: &PyErr) -> String {
    let name = error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    format!("the {who} raised {name}")
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
pub struct PythonJudge(Py<PyAny>);

impl PythonJudge {
    /// Asks this callable.
    pub fn new(ask: Py<PyAny>) -> Self {
        Self(ask)
    }

    fn answer(&self, question: &Question) -> Result<serde_json::Value, JudgeError> {
        let asked = (&question.system, &question.user, question.schema.to_string());
        let answer = Python::try_attach(|py| {
            let answer = self.0.call1(py, asked).map_err(|e| raised(py, "judge", &e))?;
            answer.extract::<String>(py).map_err(|e| raised(py, "judge", &e))
        });
        let answer = answer.unwrap_or_else(|| Err(GONE.to_owned())).map_err(JudgeError)?;
        serde_json::from_str(&answer).map_err(|_| JudgeError("the answer is no JSON".to_owned()))
    }
}

impl Judge for PythonJudge {
    fn ask<'a>(&'a self, question: &'a Question) -> JudgeFuture<'a> {
        Box::pin(async { self.answer(question).map_err(|e| JudgeError(e.0)) })
    }
}
