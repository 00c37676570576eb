//! From what went wrong to a Python exception of the hierarchy in `torchless/_errors.py`, with the library's message.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use torchless::firewall::ConfigurationError;
use torchless::{Error, ErrorKind};

/// Why work was not done.
#[derive(Debug)]
pub enum Failure {
    /// The library says why.
    Library(Error),
    /// A firewall that cannot be made.
    Firewall(ConfigurationError),
    /// A libllama, or what loads it, says why.
    Llama(model_loader::Error),
    /// Asked for in a way that cannot be answered.
    Usage(String),
    /// A fault of this program.
    Internal(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Library(error)
    }
}

impl From<model_loader::Error> for Failure {
    fn from(error: model_loader::Error) -> Self {
        Failure::Llama(error)
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        Failure::Firewall(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| match failure.exception(py) {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        })
    }
}

impl Failure {
    /// The exception itself, for those that are handed over instead of raised.
    ///
    /// # Errors
    /// The package is incomplete.
    pub fn exception<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let classes = py.import("torchless._errors")?;
        let one = |name: &str, message: &str| classes.getattr(name)?.call1((message,));
        match self {
            Failure::Library(Error::Refused(refusal)) => {
                let parts =
                    (refusal.to_string(), refusal.role.name(), refusal.decision.name(), &refusal.reason);
                classes.getattr("RefusedError")?.call1(parts)
            }
            Failure::Library(error) => one(class(error.kind()), &message(error)),
            Failure::Llama(error) => one(crate::llama::class(error), &crate::llama::message(error)),
            Failure::Firewall(error) => one("UsageError", &error.to_string()),
            Failure::Usage(message) => one("UsageError", message),
            Failure::Internal(what) => PyRuntimeError::new_err(format!("fault in torchless: {what}"))
                .into_value(py)
                .into_bound_py_any(py),
        }
    }
}

fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Runtime => "EngineError",
        ErrorKind::Usage => "UsageError",
        ErrorKind::Model => "ModelError",
        ErrorKind::Resources => "ResourceError",
        ErrorKind::Refused => "RefusedError",
    }
}

/// The library's message, in Python's words where it names options of the command.
fn message(error: &Error) -> String {
    match error {
        Error::NoTemplate => {
            "this model has no chat template: it completes plain text with generate(), or talks by one \
                              that Model.open(chat_template=...) names"
                .to_owned()
        }
        Error::NoTokenizer => {
            "this model has no tokenizer, without which it takes no text: put one beside it, such as tokenizer.json"
                .to_owned()
        }
        Error::PromptTooLong { tokens, limit } => format!(
            "the prompt has {}, the context holds {limit}: shorten it, or open the model with a larger context_size",
            torchless::counted(*tokens)
        ),
        error => in_pythons_words(&error.to_string()),
    }
}

/// Options of a reply that begin a message about them.
const OPTIONS: [&str; 6] =
    ["top-p", "min-p", "repeat-penalty", "presence-penalty", "frequency-penalty", "logit-bias"];

/// A message with options as Python calls them, and the command where it can be reached from there.
pub fn in_pythons_words(message: &str) -> String {
    let message = message.replace(" --list-backends", " python -m torchless --list-backends");
    match OPTIONS.iter().find(|option| message.starts_with(**option)) {
        Some(option) => message.replacen(option, &option.replace('-', "_"), 1),
        None => message,
    }
}
