//! From errors to exit codes and one clear line.

use crate::output;
use std::io::Write;
use torchless::firewall::ScanDecision;
use torchless::{Error, ErrorKind};

/// Ended by Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Asked for in a way that cannot be answered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// A model that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoModel(pub String);

/// A model that does not fit into memory.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TooLarge(pub String);

/// Engines that differ, as was told on standard output.
#[derive(Debug, thiserror::Error)]
#[error("the engines differ by {largest:.2e}, which is beyond the tolerance of {tolerance}")]
pub struct Apart {
    /// The largest difference of logits.
    pub largest: f32,
    /// What it may be.
    pub tolerance: f32,
}

/// What the firewall said of what it was shown: told on standard output already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not all of it may pass")]
pub enum Verdict {
    /// Something must not pass.
    Blocked,
    /// A person has to decide.
    Human,
    /// Not everything could be scanned.
    Failed,
}

const DONE: u8 = 0;
const RUNTIME: u8 = 1;
const USAGE: u8 = 2;
const MODEL: u8 = 3;
const RESOURCES: u8 = 4;
const REFUSED: u8 = 5;
const HUMAN: u8 = 6;
const NOT_SCANNED: u8 = 7;
const INTERRUPTED: u8 = 130;

/// Help and version go to standard output and are no error, unless they cannot be written.
pub fn from_clap(error: &clap::Error) -> u8 {
    let printed = error.print();
    if error.use_stderr() {
        // Nothing is left to do where even this cannot be written.
        return USAGE;
    }
    from_result(printed.and_then(|()| std::io::stdout().flush()).map_err(Into::into))
}

/// Prints what went wrong and picks the code.
pub fn from_result(result: anyhow::Result<()>) -> u8 {
    let Err(error) = result else { return DONE };
    if is_closed_pipe(&error) {
        return DONE;
    }
    let code = code(&error);
    if code != INTERRUPTED && !error.is::<Verdict>() {
        output::note(&format!("torchless: {}", message(&error)));
    }
    code
}

/// What went wrong, and why, on one line. Many errors tell their cause themselves: it is not told twice.
pub fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() {
        return INTERRUPTED;
    }
    if error.is::<Usage>() {
        return USAGE;
    }
    if error.is::<NoModel>() {
        return MODEL;
    }
    if error.is::<TooLarge>() {
        return RESOURCES;
    }
    match error.downcast_ref::<Verdict>() {
        Some(Verdict::Blocked) => return REFUSED,
        Some(Verdict::Human) => return HUMAN,
        Some(Verdict::Failed) => return NOT_SCANNED,
        None => {}
    }
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::Usage) => USAGE,
        Some(ErrorKind::Model) => MODEL,
        Some(ErrorKind::Resources) => RESOURCES,
        Some(ErrorKind::Refused) => refused(error),
        Some(ErrorKind::Runtime) | None => RUNTIME,
    }
}

/// By what the firewall decided.
fn refused(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(Error::Refused(refusal)) if refusal.decision == ScanDecision::HumanInTheLoopRequired => HUMAN,
        _ => REFUSED,
    }
}

/// Whoever reads has had enough: no reason to complain.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code() {
        let option = Error::Option("x".to_owned());
        assert_eq!(code(&anyhow::Error::new(option)), USAGE);
        assert_eq!(code(&anyhow::Error::new(Error::Template("x".to_owned()))), MODEL);
        assert_eq!(code(&anyhow::Error::new(Usage("x".to_owned()))), USAGE);
        assert_eq!(code(&anyhow::Error::new(Interrupted)), INTERRUPTED);
        assert_eq!(code(&anyhow::anyhow!("x")), RUNTIME);
    }

    #[test]
    fn causes_are_told_once() {
        let source = std::io::Error::other("full");
        let told = Error::Io { path: "disk".into(), source };
        assert_eq!(message(&anyhow::Error::new(told).context("saving")), "saving: disk: full");
        let source = std::io::Error::other("full");
        assert_eq!(message(&anyhow::Error::new(source).context("saving")), "saving: full");
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&anyhow::Error::new(pipe).context("writing")));
        assert!(!is_closed_pipe(&anyhow::anyhow!("x")));
    }
}
