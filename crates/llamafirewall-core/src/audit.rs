//! The audit log: a line of JSON for each verdict, chained by hashes, without a word of what was said.
//!
//! Each line has the hash of the line before it, so that a line that is changed, taken out or put in breaks the chain at the line after
//! it ([`verify`]). Nothing follows the last line, and who can write the file can also write it anew from the start: keep the last
//! hash elsewhere.

use crate::execution::caught;
use crate::{FailMode, Limits, Message, ScanResult, ScanStatus};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{self, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest line, in bytes.
const LONGEST_LINE: usize = 1 << 20;
/// Between two tries to have the log, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// A file that is replaced so often while one line is written is no log.
const MOST_REPLACEMENTS: usize = 8;
/// Findings of a verdict that are told one by one; of the others, how many they are.
const MOST_FINDINGS: usize = 1000;

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
    sink: Sink,
    last: String,
    /// Lines up to `last`.
    lines: usize,
}

enum Sink {
    File(LogFile),
    Other(Box<dyn Write + Send>),
    /// Half a line may stand in it, so that none can follow.
    Broken,
}

/// A file that others may write to as well.
struct LogFile {
    file: File,
    path: PathBuf,
    /// Up to where `last` follows it.
    end: u64,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, AuditError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "is no regular file").into());
        }
        Ok(Self { file, path: path.to_owned(), end: 0 })
    }

    /// Keeps others from writing, if nobody else does.
    fn try_lock(&self) -> Result<Option<()>, AuditError> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e.into()),
        }
    }

    /// Whether its path still leads to it.
    #[cfg(unix)]
    fn is_in_place(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let there = match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            there => there?,
        };
        let here = self.file.metadata()?;
        Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
    }

    #[cfg(not(unix))]
    fn is_in_place(&self) -> io::Result<bool> {
        self.path.try_exists()
    }
}

impl AuditLog {
    /// Goes on with the log in a file, which is made where there is none. Several programs may write to one log: each holds the file
    /// while it writes a line, and goes on from the last line of whichever wrote it. Where the file is moved away or deleted, the log goes
    /// on in a new one of that name, with a new chain.
    ///
    /// # Errors
    /// The file cannot be opened, is no regular file or is held by another program for thirty seconds, or what is in it is no unbroken log.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        Self::open_within(path, Limits::default().time)
    }

    /// The same, and another program may hold the file for so long.
    pub(crate) fn open_within(path: &Path, limit: Duration) -> Result<Self, AuditError> {
        let mut state = State::beginning(Sink::File(LogFile::open(path)?));
        state.hold(Patience::of(limit), State::catch_up)?;
        Ok(Self { state: Mutex::new(state), now: seconds_now })
    }

    /// Writes to `sink`, after a line with the hash `last`; `now` gives seconds since 1970. Once part of a line could not be
    /// written, none follows it, and all scans have failed.
    pub fn to(sink: Box<dyn Write + Send>, last: String, now: fn() -> u64) -> Self {
        Self { state: Mutex::new(State { sink: Sink::Other(sink), last, lines: 0 }), now }
    }

    /// Writes a new log to `sink`.
    pub fn new(sink: Box<dyn Write + Send>, now: fn() -> u64) -> Self {
        Self::to(sink, BEGINNING.to_owned(), now)
    }

    /// Writes a verdict. Where that fails, or others write for as long as `limit`, scanning has failed.
    pub(crate) fn record(
        &self,
        message: &Message,
        result: ScanResult,
        fail_mode: FailMode,
        limit: Duration,
    ) -> ScanResult {
        match self.write(message, &result, Patience::of(limit)) {
            Ok(()) => result,
            Err(e) => ScanResult {
                decision: result.decision.max(fail_mode.decision()),
                reason: match e {
                    AuditError::Io(e) => {
                        let why = e.get_ref().map_or_else(|| e.kind().to_string(), ToString::to_string);
                        format!("scan failed: the audit log cannot be written: {why}")
                    }
                    broken @ AuditError::Broken { .. } => format!("scan failed: {broken}"),
                },
                status: ScanStatus::Error,
                ..result
            },
        }
    }

    fn write(&self, message: &Message, result: &ScanResult, patience: Patience) -> Result<(), AuditError> {
        let mut state = retried(patience, || match self.state.try_lock() {
            Ok(state) => Ok(Some(state)),
            Err(sync::TryLockError::Poisoned(state)) => Ok(Some(state.into_inner())),
            Err(sync::TryLockError::WouldBlock) => Ok(None),
        })?;
        state.hold(patience, |state| state.write((self.now)(), message, result))
    }
}

/// How long somebody waits.
#[derive(Clone, Copy)]
struct Patience {
    since: Instant,
    limit: Duration,
}

impl Patience {
    fn of(limit: Duration) -> Self {
        Self { since: Instant::now(), limit }
    }

    fn left(self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }
}

/// Tries until there is something, or the time is up.
fn retried<T>(
    patience: Patience,
    mut attempt: impl FnMut() -> Result<Option<T>, AuditError>,
) -> Result<T, AuditError> {
    let mut pause = Duration::from_micros(100);
    loop {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        let left = patience.left();
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "another writer holds it").into());
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl State {
    /// Before the first line.
    fn beginning(sink: Sink) -> Self {
        Self { sink, last: BEGINNING.to_owned(), lines: 0 }
    }

    /// Does something while no other program writes to the file.
    fn hold(
        &mut self,
        patience: Patience,
        act: impl FnOnce(&mut Self) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        self.lock(patience)?;
        let done = act(self);
        if let Sink::File(log) = &self.sink {
            log.file.unlock()?;
        }
        done
    }

    /// Keeps others from writing to the file that has the log's name now.
    fn lock(&mut self, patience: Patience) -> Result<(), AuditError> {
        for _ in 0..MOST_REPLACEMENTS {
            let Sink::File(log) = &self.sink else { return Ok(()) };
            retried(patience, || log.try_lock())?;
            if log.is_in_place()? {
                return Ok(());
            }
            *self = Self::beginning(Sink::File(LogFile::open(&log.path)?));
        }
        Err(io::Error::other("its file is replaced again and again").into())
    }

    /// Follows what was added to the file since.
    fn catch_up(&mut self) -> Result<(), AuditError> {
        let Sink::File(LogFile { file, end, .. }) = &mut self.sink else { return Ok(()) };
        let length = file.metadata()?.len();
        if length < *end {
            return Err(AuditError::Broken { line: 1, reason: "has become shorter" });
        }
        if length > *end {
            file.seek(SeekFrom::Start(*end))?;
            (self.lines, self.last) = verify_after(BufReader::new(&*file), self.lines, self.last.clone())?;
            *end = length;
        }
        Ok(())
    }

    fn write(&mut self, time: u64, message: &Message, result: &ScanResult) -> Result<(), AuditError> {
        self.catch_up()?;
        let line = line(&self.last, time, message, result);
        let bytes = format!("{line}\n");
        match &mut self.sink {
            Sink::Broken => return Err(io::Error::other("a line before could not be written whole").into()),
            Sink::Other(sink) => {
                let mut counted = Counted { sink, written: 0 };
                let done = caught(|| counted.write_all(bytes.as_bytes()).and_then(|()| counted.flush()));
                if let Err(e) = done.unwrap_or_else(|panic| Err(io::Error::other(panic.to_string()))) {
                    if counted.written > 0 {
                        self.sink = Sink::Broken;
                    }
                    return Err(e.into());
                }
            }
            Sink::File(LogFile { file, end, .. }) => {
                if let Err(e) = file.write_all(bytes.as_bytes()) {
                    // Half a line would break the chain for all that come after.
                    let _ = file.set_len(*end);
                    return Err(e.into());
                }
                *end += bytes.len() as u64;
            }
        }
        (self.lines, self.last) = (self.lines + 1, hash(&line));
        Ok(())
    }
}

/// How much of a line a sink took.
struct Counted<'a> {
    sink: &'a mut Box<dyn Write + Send>,
    written: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
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

/// A verdict in JSON, no longer than a line may be. Names of rules and places are told, text is not.
fn line(before: &str, time: u64, message: &Message, result: &ScanResult) -> String {
    let mut told = result.findings.len().min(MOST_FINDINGS);
    loop {
        let line = line_with(told, before, time, message, result);
        if line.len() < LONGEST_LINE || told == 0 {
            return line;
        }
        told /= 2;
    }
}

fn line_with(told: usize, before: &str, time: u64, message: &Message, result: &ScanResult) -> String {
    let findings: Vec<Value> = result.findings[..told]
        .iter()
        .map(|finding| {
            json!({
                "scanner": finding.scanner, "rule": finding.rule, "start": finding.span.start,
                "end": finding.span.end, "decision": finding.decision.name(), "seen_in": finding.seen_in,
            })
        })
        .collect();
    let mut line = json!({
        "before": before, "time": time, "role": message.role.name(), "bytes": message.content.len(),
        "decision": result.decision.name(), "status": result.status.name(), "score": result.score,
        "coverage": result.coverage, "findings": findings,
    });
    if told < result.findings.len() {
        line["findings_not_told"] = json!(result.findings.len() - told);
    }
    line.to_string()
}

fn hash(line: &str) -> String {
    Sha256::digest(line.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Follows the chain of a log: how many lines it has, and the hash of the last.
///
/// # Errors
/// It cannot be read, or a line does not follow the one before it.
pub fn verify(log: impl BufRead) -> Result<(usize, String), AuditError> {
    verify_after(log, 0, BEGINNING.to_owned())
}

/// The same for what comes after `count` lines, the last of which has the hash `last`.
fn verify_after(
    mut log: impl BufRead,
    mut count: usize,
    mut last: String,
) -> Result<(usize, String), AuditError> {
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut log, LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok((count, last));
        }
        count += 1;
        let broken = |reason| AuditError::Broken { line: count, reason };
        let line = line.strip_suffix(b"\n").ok_or(broken("has no end"))?;
        let line = std::str::from_utf8(line).map_err(|_| broken("is no UTF-8"))?;
        let value: Value = serde_json::from_str(line).map_err(|_| broken("is no JSON"))?;
        if value.get("before").and_then(Value::as_str) != Some(last.as_str()) {
            return Err(broken("does not follow the line before it"));
        }
        last = hash(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Finding;

    fn record(log: &AuditLog, findings: usize) -> ScanResult {
        let findings = (0..findings).map(|at| Finding::new("r".repeat(2000), at..at + 1)).collect();
        let result = ScanResult::block("x", 1.0).with_findings(findings);
        log.record(&Message::user("x"), result, FailMode::Closed, Duration::from_secs(10))
    }

    #[test]
    fn several_writers_keep_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let logs = [AuditLog::open(&path).unwrap(), AuditLog::open(&path).unwrap()];
        std::thread::scope(|scope| {
            for log in &logs {
                scope.spawn(|| (0..50).for_each(|_| assert_eq!(record(log, 1).status, ScanStatus::Success)));
            }
        });
        assert_eq!(verify(BufReader::new(File::open(&path).unwrap())).unwrap().0, 100);
        std::fs::write(&path, "{}\n").unwrap();
        assert_eq!(record(&logs[0], 1).status, ScanStatus::Error);
        assert!(matches!(AuditLog::open(&path), Err(AuditError::Broken { line: 1, .. })));
    }

    #[test]
    fn a_log_that_another_holds_is_waited_for_no_longer_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::open(&path).unwrap();
        let other = File::open(&path).unwrap();
        other.lock().unwrap();
        let limit = Duration::from_millis(5);
        let result = log.record(&Message::user("x"), ScanResult::allow("fine"), FailMode::Closed, limit);
        assert_eq!((result.decision.name(), result.status), ("block", ScanStatus::Error));
        assert!(result.reason.ends_with("another writer holds it"), "{}", result.reason);
        assert!(AuditLog::open_within(&path, limit).is_err());
        other.unlock().unwrap();
        assert_eq!(record(&log, 1).status, ScanStatus::Success);
    }

    #[cfg(unix)]
    #[test]
    fn a_log_whose_file_is_gone_goes_on_in_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let moved = folder.path().join("audit.1.jsonl");
        let logs = [AuditLog::open(&path).unwrap(), AuditLog::open(&path).unwrap()];
        let record_all = || {
            for log in &logs {
                assert_eq!(record(log, 1).status, ScanStatus::Success);
            }
        };
        let lines = |path: &Path| verify(BufReader::new(File::open(path).unwrap())).unwrap().0;
        record_all();
        std::fs::rename(&path, &moved).unwrap();
        record_all();
        assert_eq!((lines(&moved), lines(&path)), (2, 2));
        std::fs::remove_file(&path).unwrap();
        record_all();
        assert_eq!(lines(&path), 2);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(record(&logs[0], 1).status, ScanStatus::Error);
        assert!(AuditLog::open(Path::new("/dev/null")).unwrap_err().to_string().contains("no regular file"));
    }

    #[test]
    fn a_line_of_other_bytes_is_one_that_is_broken() {
        let broken = verify(&b"\xff\xfe\n"[..]).unwrap_err().to_string();
        assert_eq!(broken, "audit log, line 1: is no UTF-8");
    }

    #[test]
    fn no_verdict_is_too_long_to_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        record(&AuditLog::open(&path).unwrap(), 5000);
        let text = std::fs::read_to_string(&path).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        let told = line["findings"].as_array().unwrap().len();
        assert!(told > 100 && line["findings_not_told"] == 5000 - told);
        assert_eq!(verify(text.as_bytes()).unwrap().0, 1);
    }
}
