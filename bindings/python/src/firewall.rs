//! The firewall for Python: scanners, and what a configuration of them says of messages.

use crate::bulk;
use crate::failure::Failure;
use crate::model::Model;
use crate::opened::Home;
use crate::places::Places;
use crate::python_scanner::{PythonJudge, PythonScanner};
use crate::waiting::{detached, wait_for};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use torchless::ModelJudge;
use torchless::firewall::{
    AlignmentCheckScanner, AttackClassifier, AuditLog, Configuration, FailMode, Judge, JudgeError,
    JudgeFuture, Limits, Message, NativeOptions, PiiCheckScanner, PromptGuardScanner, Question, Role,
    ScanResult, ScannerOptions, Threshold, ToolCall, policy_named, registry,
};

/// A message: who, what, and calls of tools by name and arguments.
pub type Said = (String, String, Vec<(String, String)>);

/// A finding: scanner, rule, first and last character, decision, score, the form that it was seen in.
pub type PlainFinding<Name> = (String, String, usize, usize, Name, f64, String);

/// A verdict: decision, reason, score, status, coverage, findings.
pub type PlainVerdict = (&'static str, String, f64, &'static str, f64, Vec<PlainFinding<&'static str>>);

/// A scan that waits for longer waits for ever, and clocks have room for this.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// One scanner, made once and shared by all firewalls that it is in.
#[pyclass(frozen, module = "torchless._native")]
pub struct Scanner(Arc<dyn torchless::firewall::Scanner>);

#[pymethods]
impl Scanner {
    /// The scanner that policies know by this name, without options.
    #[staticmethod]
    fn builtin(py: Python<'_>, name: String) -> PyResult<Self> {
        detached(py, || Ok(Self(registry().build(&name, &ScannerOptions::none(&name))?)))
    }

    /// A Prompt Guard in a folder.
    #[staticmethod]
    fn prompt_guard(py: Python<'_>, folder: PathBuf, threads: Option<usize>) -> PyResult<Self> {
        wait_for(py, move |_| {
            let usual = NativeOptions::default();
            let options = NativeOptions { threads: threads.unwrap_or(usual.threads), ..usual };
            let opened = AttackClassifier::open(&folder, options);
            let classifier = opened.map_err(|e| Failure::Usage(format!("scanner 'prompt_guard': {e}")))?;
            Ok(Self(Arc::new(PromptGuardScanner::with_classifier(classifier))))
        })
    }

    /// A scanner that asks a judge, a model or a callable: `agent_alignment` or `pii_detection`.
    #[staticmethod]
    fn judged(name: &str, judge: &Bound<'_, PyAny>) -> PyResult<Self> {
        let judge: Arc<dyn Judge> = match judge.cast::<Model>() {
            Ok(model) => {
                let judge = ModelJudge::new(model.get().library()?).map_err(Failure::from)?;
                Arc::new(HomeJudge(judge, Home::here()))
            }
            Err(_) => Arc::new(PythonJudge::new(judge)?),
        };
        match name {
            "agent_alignment" => Ok(Self(Arc::new(AlignmentCheckScanner::new(judge)))),
            "pii_detection" => Ok(Self(Arc::new(PiiCheckScanner::new(judge)))),
            other => Err(Failure::Usage(format!("no scanner '{other}' asks a judge")).into()),
        }
    }

    /// A scanner in Python: asked about a message and those before it, it gives decision, reason, score, status, coverage and
    /// findings.
    #[staticmethod]
    fn custom(name: String, scan: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(PythonScanner::new(name, scan)?)))
    }
}

/// A model as a judge, in the process that opened it: elsewhere it would never answer.
struct HomeJudge(ModelJudge, Home);

impl Judge for HomeJudge {
    fn ask<'a>(&'a self, question: &'a Question) -> JudgeFuture<'a> {
        match self.1.check() {
            Ok(()) => self.0.ask(question),
            Err(_) => {
                Box::pin(async { Err(JudgeError("the judge was opened in another process".to_owned())) })
            }
        }
    }
}

/// A configuration: the attributes of `torchless._options.FirewallOptions`.
#[derive(FromPyObject)]
struct FirewallOptions {
    scanners: Vec<(String, Py<Scanner>)>,
    thresholds: Vec<(String, String, f32)>,
    fail_mode: String,
    time_limit: f64,
    text_limit: usize,
    audit_log: Option<PathBuf>,
}

impl FirewallOptions {
    fn limits(&self) -> Result<Limits, Failure> {
        let time = Duration::try_from_secs_f64(self.time_limit).ok();
        let Some(time) = time.filter(|time| !time.is_zero() && *time <= LONGEST) else {
            return Err(Failure::Usage(format!(
                "time_limit is {}, it has to be above 0 and at most {} seconds",
                self.time_limit,
                LONGEST.as_secs()
            )));
        };
        match self.text_limit {
            0 => Err(Failure::Usage("text_limit is 0, it has to be above 0".to_owned())),
            text_bytes => Ok(Limits { time, text_bytes }),
        }
    }

    fn configuration(&self) -> Result<Configuration, Failure> {
        let fail_mode = match self.fail_mode.as_str() {
            "closed" => FailMode::Closed,
            "human" => FailMode::Human,
            "open" => FailMode::Open,
            other => {
                return Err(Failure::Usage(format!(
                    "fail_mode is '{other}', it has to be closed, human or open"
                )));
            }
        };
        let mut configuration = Configuration::new().with_fail_mode(fail_mode).with_limits(self.limits()?);
        for (role, scanner) in &self.scanners {
            configuration = configuration.add_scanner(role_named(role)?, scanner.get().0.clone());
        }
        for (role, name, score) in &self.thresholds {
            configuration =
                configuration.with_threshold(role_named(role)?, name, Threshold::block_from(*score));
        }
        match &self.audit_log {
            None => Ok(configuration),
            Some(path) => {
                let log =
                    AuditLog::open(path).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
                Ok(configuration.with_audit_log(log))
            }
        }
    }
}

/// Decides what may pass.
#[pyclass(frozen, module = "torchless._native")]
pub struct Firewall(torchless::Firewall);

impl Firewall {
    /// As the library has it.
    pub fn library(&self) -> torchless::Firewall {
        self.0.clone()
    }
}

#[pymethods]
impl Firewall {
    #[new]
    fn new(py: Python<'_>, options: FirewallOptions) -> PyResult<Self> {
        detached(py, || Ok(Self(torchless::Firewall::new(options.configuration()?)?)))
    }

    /// The firewall of a preset, or of a policy file.
    #[staticmethod]
    fn from_policy(py: Python<'_>, policy: String) -> PyResult<Self> {
        wait_for(py, move |_| Ok(Self(torchless::Firewall::new(policy_named(&policy)?)?)))
    }

    /// Whether nothing is scanned.
    #[getter]
    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Roles that scanners look at, with the names of those.
    #[getter]
    fn scanners(&self) -> Vec<(&'static str, Vec<String>)> {
        let of =
            |role: Role| (role.name(), self.0.scanner_names(role).map(str::to_owned).collect::<Vec<_>>());
        Role::ALL.into_iter().map(of).filter(|(_, names)| !names.is_empty()).collect()
    }

    /// The verdict on a message, with what was said before it where that is known.
    fn scan(&self, py: Python<'_>, message: Said, trace: Option<Vec<Said>>) -> PyResult<PlainVerdict> {
        let (firewall, message) = (self.0.clone(), read(message)?);
        let trace =
            trace.map(|said| said.into_iter().map(read).collect::<Result<Vec<_>, _>>()).transpose()?;
        wait_for(py, move |_| Ok(plain(firewall.scan_blocking(&message, trace.as_deref()), &message.content)))
    }

    /// The first verdict of a conversation that does not let a message pass, or else that of the last message.
    fn scan_replay(&self, py: Python<'_>, trace: Vec<Said>) -> PyResult<PlainVerdict> {
        let firewall = self.0.clone();
        let trace: Arc<[Message]> = trace.into_iter().map(read).collect::<Result<_, _>>()?;
        wait_for(py, move |abandoned| {
            let (result, count) = firewall.scan_replay_while(&trace, &|| !abandoned.get());
            let last = count.checked_sub(1).map_or("", |last| &trace[last].content);
            Ok(plain(result, last))
        })
    }

    /// Verdicts on messages that have nothing to do with each other.
    fn scan_many(&self, py: Python<'_>, messages: Vec<Said>, threads: usize) -> PyResult<Vec<PlainVerdict>> {
        let firewall = self.0.clone();
        let messages = messages.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let verdicts = bulk::each(py, messages, threads, move |message, _| {
            Ok(plain(firewall.scan_blocking(&message, None), &message.content))
        })?;
        Ok(verdicts.into_iter().collect::<Result<Vec<_>, _>>()?)
    }
}

fn role_named(name: &str) -> Result<Role, Failure> {
    Role::named(name).ok_or_else(|| {
        let known = Role::ALL.map(Role::name).join(", ");
        Failure::Usage(format!("unknown role '{name}' (known: {known})"))
    })
}

fn read((role, content, calls): Said) -> Result<Message, Failure> {
    let calls = calls.into_iter().map(|(name, arguments)| ToolCall { name, arguments }).collect();
    Ok(Message::new(role_named(&role)?, content).with_tool_calls(calls))
}

/// A verdict with places as Python counts them: in characters, not in bytes.
fn plain(result: ScanResult, text: &str) -> PlainVerdict {
    let places = Places::new(text);
    let finding = |finding: torchless::firewall::Finding| {
        let (start, end) = (places.character(finding.span.start), places.character(finding.span.end));
        let (rule, seen_in) = (finding.rule.into_owned(), finding.seen_in.into_owned());
        (finding.scanner, rule, start, end, finding.decision.name(), short(finding.score), seen_in)
    };
    let findings = result.findings.into_iter().map(finding).collect();
    let coverage = short(result.coverage);
    (result.decision.name(), result.reason, short(result.score), result.status.name(), coverage, findings)
}

/// The f64 that is written as the f32 is.
fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
