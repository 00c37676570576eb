//! Verdicts in SARIF 2.1.0 (OASIS), which code hosts and editors read.

use super::places::Place;
use super::{Scanned, Scans};
use crate::output;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use torchless::firewall::{Finding, ScanDecision, ScanStatus};

/// What is told of a text: a finding, or an objection that has no place.
struct Told<'a> {
    one: &'a Scanned,
    rule: String,
    words: String,
    message: String,
    decision: ScanDecision,
    score: f32,
    place: Option<&'a Place>,
}

/// How the log of one run begins, up to its results.
pub const BEGINNING: &str = "{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{\"results\":[";

/// Notifications at most; of the others, how many they are.
const MOST_NOTIFICATIONS: usize = 1000;

/// What of a log stands behind its results.
#[derive(Default)]
pub struct Log {
    has_results: bool,
    /// By their ids, each with its place in the list.
    rules: HashMap<String, usize>,
    rule_list: Vec<Value>,
    files: BTreeSet<String>,
    notifications: Vec<Value>,
    /// Beyond those that are told.
    untold: usize,
}

impl Log {
    /// Writes the results of a text.
    pub fn tell(&mut self, one: &Scanned, out: &mut String) {
        self.files.insert(uri(&one.source.file));
        for told in told(one) {
            let rule = match self.rules.get(&told.rule) {
                Some(index) => *index,
                None => {
                    self.rule_list.push(rule(&told.rule, &told.words));
                    self.rules.insert(told.rule.clone(), self.rule_list.len() - 1);
                    self.rule_list.len() - 1
                }
            };
            out.push_str(if self.has_results { "," } else { "" });
            out.push_str(&output::sorted(&result(&told, rule)));
            self.has_results = true;
        }
        if one.result.status != ScanStatus::Success {
            self.notify(|| notification(one));
        }
        if one.untold > 0 {
            self.notify(|| more(one));
        }
    }

    fn notify(&mut self, notification: impl FnOnce() -> Value) {
        if self.notifications.len() < MOST_NOTIFICATIONS {
            self.notifications.push(notification());
        } else {
            self.untold += 1;
        }
    }

    /// The rest of the log.
    pub fn end(&self, scans: &Scans) -> String {
        let beyond = (self.untold > 0).then(|| {
            json!({ "level": "error", "message": { "text": format!("and {} notifications more", self.untold) } })
        });
        let files: Vec<Value> =
            self.files.iter().map(|file| json!({ "location": { "uri": file } })).collect();
        let rest = json!({
            "artifacts": files,
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": !scans.failed(),
                "toolExecutionNotifications": self.notifications.iter().chain(&beyond).collect::<Vec<_>>(),
            }],
            "tool": { "driver": {
                "name": "torchless",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": self.rule_list,
            }},
        });
        // Its own brace is open already.
        format!("],{}]}}\n", &output::sorted(&rest)[1..])
    }
}

fn told(one: &Scanned) -> Vec<Told<'_>> {
    let findings = one.result.findings.iter().zip(&one.places).map(|(finding, place)| Told {
        one,
        rule: format!("{}/{}", finding.scanner, finding.rule.to_lowercase().replace(' ', "-")),
        words: finding.rule.to_string(),
        message: message(finding),
        decision: finding.decision,
        score: finding.score,
        place: place.as_ref(),
    });
    let mut all: Vec<Told> = findings.collect();
    let decision = one.result.decision;
    let is_objection = one.result.status != ScanStatus::Error && decision != ScanDecision::Allow;
    if is_objection && all.iter().all(|told| told.decision < decision) {
        let rule = format!("verdict/{}", decision.name().replace('_', "-"));
        let words = "The text as a whole".to_owned();
        let (message, score) = (one.result.reason.clone(), one.result.score);
        all.push(Told { one, rule, words, message, decision, score, place: None });
    }
    all
}

fn message(finding: &Finding) -> String {
    let place =
        if finding.is_beside_text() { format!(", in the {}", finding.seen_in) } else { String::new() };
    format!("{}: {}{place}", finding.scanner, finding.rule)
}

fn rule(id: &str, words: &str) -> Value {
    json!({ "id": id, "name": words, "shortDescription": { "text": words }, "properties": { "tags": ["security"] } })
}

fn result(told: &Told, rule: usize) -> Value {
    let level = match told.decision {
        ScanDecision::Block => "error",
        ScanDecision::HumanInTheLoopRequired => "warning",
        ScanDecision::Allow => "note",
    };
    json!({
        "ruleId": told.rule,
        "ruleIndex": rule,
        "level": level,
        "rank": 100.0 * told.score.clamp(0.0, 1.0),
        "message": { "text": told.message },
        "locations": [location(told.one, told.place)],
    })
}

fn location(one: &Scanned, place: Option<&Place>) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&one.source.file) } });
    // A message of a conversation is a line of its file, and its own bytes are none of the file's.
    match (one.source.line, place) {
        (Some(line), _) => physical["region"] = json!({ "startLine": line }),
        (None, Some(Place { start, end })) => {
            physical["region"] = json!({
                "startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column,
            });
        }
        (None, None) => {}
    }
    json!({ "physicalLocation": physical })
}

/// A reference to a file, relative to the working folder where it is inside of it: what a reference cannot have is written as numbers.
fn uri(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let path = named(path, std::env::current_dir().ok().as_deref());
    let path = path.as_os_str().as_encoded_bytes();
    let scheme = if path.starts_with(b"/") { "file://" } else { "" };
    let path = path.iter().map(|b| if plain(*b) { (*b as char).to_string() } else { format!("%{b:02X}") });
    scheme.chars().map(String::from).chain(path).collect()
}

/// A path under one name, however it was written: without `.` and `..` where these can be told from the names alone.
fn named(path: &Path, folder: Option<&Path>) -> PathBuf {
    let Some(folder) = folder.filter(|_| path != Path::new("-")) else { return path.to_owned() };
    let mut whole = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::CurDir => {}
            // Above a link is not where its name stands.
            Component::ParentDir if whole.is_symlink() => whole.push(part),
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    whole.strip_prefix(folder).map_or_else(|_| whole.clone(), Path::to_owned)
}

/// What was not scanned, as an error or as a remark.
fn notification(one: &Scanned) -> Value {
    let level = if one.result.status == ScanStatus::Error { "error" } else { "note" };
    json!({
        "level": level,
        "message": { "text": format!("{}: {}", one.source.file.display(), one.result.reason) },
        "locations": [location(one, None)],
    })
}

/// What there was beyond what is told.
fn more(one: &Scanned) -> Value {
    json!({
        "level": "note",
        "message": { "text": format!("{}: {} findings more", one.source.file.display(), one.untold) },
        "locations": [location(one, None)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let inside = folder.join("a b.txt");
        for path in ["a b.txt", "./a b.txt", "x/../a b.txt", inside.to_str().unwrap()] {
            assert_eq!(named(Path::new(path), Some(&folder)), Path::new("a b.txt"), "{path}");
        }
        let outside = folder.parent().unwrap().join("c.txt");
        assert_eq!(named(Path::new("../c.txt"), Some(&folder)), outside);
        assert_eq!(named(Path::new("-"), Some(&folder)), Path::new("-"));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_leads_to_its_file() {
        use std::os::unix::ffi::OsStrExt;
        let name = Path::new(std::ffi::OsStr::from_bytes(b"bad\xff.txt"));
        assert_eq!(uri(name), "bad%FF.txt");
    }
}
