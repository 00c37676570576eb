//! The audit log: a line of JSON for each verdict, chained by hashes, without a word of what was said.
//!
//! Each line has the hash of the line before it, so that a line that is changed, taken out or put in breaks the chain
//! ([`verify`]). Who can write the file can also write it anew from the start: keep the last hash elsewhere.

use crate::{FailMode, Message, ScanResult, ScanStatus};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest line that is read back, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// What the first line follows.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be read or written.
    #[error("audit log: {0}")]
    Io(#[from] std::io::Error),
    /// The chain is broken.
    #[error("audit log, line {line}: {reason}")]
    Broken {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A log that verdicts are written to.
pub struct AuditLog {
    state: Mutex<State>,
    now: fn() -> u64,
}

struct State {
    sink: Box<dyn Write + Send>,
    last: String,
}

impl AuditLog {
    /// Goes on with the log in a file, which is made where there is none.
    ///
    /// # Errors
    /// The file cannot be opened, or what is in it is no unbroken log.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let last = match File::open(path) {
            Ok(file) => verify(BufReader::new(file))?.1,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BEGINNING.to_owned(),
            Err(e) => return Err(e.into()),
        };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self::to(Box::new(file), last, seconds_now))
    }

    /// Writes to `sink`, after a line with the hash `last`; `now` gives seconds since 1970.
    pub fn to(sink: Box<dyn Write + Send>, last: String, now: fn() -> u64) -> Self {
        Self { state: Mutex::new(State { sink, last }), now }
    }

    /// Writes a new log to `sink`.
    pub fn new(sink: Box<dyn Write + Send>, now: fn() -> u64) -> Self {
        Self::to(sink, BEGINNING.to_owned(), now)
    }

    /// Writes a verdict. Where that fails, scanning has failed.
    pub(crate) fn record(&self, message: &Message, result: ScanResult, fail_mode: FailMode) -> ScanResult {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line(&state.last, (self.now)(), message, &result);
        let hash = hash(&line);
        match state.sink.write_all(format!("{line}\n").as_bytes()).and_then(|()| state.sink.flush()) {
            Ok(()) => {
                state.last = hash;
                result
            }
            Err(e) => ScanResult {
                decision: result.decision.max(fail_mode.decision()),
                reason: format!("scan failed: the audit log cannot be written: {}", e.kind()),
                status: ScanStatus::Error,
                ..result
            },
        }
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditLog")
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A verdict in JSON. Names of rules and places are told, text is not.
fn line(before: &str, time: u64, message: &Message, result: &ScanResult) -> String {
    let findings: Vec<Value> = result
        .findings
        .iter()
        .map(|finding| {
            json!({
                "scanner": finding.scanner, "rule": finding.rule, "start": finding.span.start,
                "end": finding.span.end, "decision": finding.decision.name(), "seen_in": finding.seen_in,
            })
        })
        .collect();
    json!({
        "before": before, "time": time, "role": message.role.name(), "bytes": message.content.len(),
        "decision": result.decision.name(), "status": result.status.name(), "score": result.score,
        "coverage": result.coverage, "findings": findings,
    })
    .to_string()
}

fn hash(line: &str) -> String {
    Sha256::digest(line.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Follows the chain of a log: how many lines it has, and the hash of the last.
///
/// # Errors
/// It cannot be read, or a line does not follow the one before it.
pub fn verify(log: impl BufRead) -> Result<(usize, String), AuditError> {
    let mut last = BEGINNING.to_owned();
    let mut count = 0;
    let mut log = log;
    loop {
        let mut line = String::new();
        let read = std::io::Read::take(&mut log, LONGEST_LINE).read_line(&mut line)?;
        if read == 0 {
            return Ok((count, last));
        }
        count += 1;
        let broken = |reason| AuditError::Broken { line: count, reason };
        let line = line.strip_suffix('\n').ok_or(broken("has no end"))?;
        let value: Value = serde_json::from_str(line).map_err(|_| broken("is no JSON"))?;
        if value.get("before").and_then(Value::as_str) != Some(last.as_str()) {
            return Err(broken("does not follow the line before it"));
        }
        last = hash(line);
    }
}
