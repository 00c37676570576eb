//! Firewall core: messages, scanners, verdicts and admission; knows no models and no network.
//!
//! Whatever reaches a model has passed [`Firewall::admit`]: [`Admitted`] has no other constructor. A
//! [`Configuration`] says which [`Scanner`]s look at what each [`Role`] says; [`Firewall::open`] has none, lets
//! everything through and says so. Scanners themselves live in crate `llamafirewall`, engines in
//! `llamafirewall-ml`; what joins them is here: [`InferenceEngine`] and [`Judge`].

#![forbid(unsafe_code)]

mod admission;
mod alarm;
mod audit;
mod configuration;
mod execution;
mod firewall;
mod inference;
mod judge;
mod message;
mod normalize;
mod policy;
mod registry;
mod scanner;
mod stream;
mod threads;
mod torchscript;
mod verdict;
mod whole;

pub use admission::{Admitted, Content, Passed, Refusal};
pub use audit::{AuditError, AuditLog, verify as verify_audit_log};
pub use configuration::{Configuration, ConfigurationError, FailMode, Limits, Threshold};
pub use execution::{Halt, block_on};
pub use firewall::Firewall;
pub use inference::{InferenceEngine, InferenceError};
pub use judge::{Judge, JudgeError, JudgeFuture, Question};
pub use message::{Field, Message, Role, ToolCall, Trace};
pub use normalize::{Invisible, View, ViewKind, Views};
pub use registry::{BuildScanner, Registry, ScannerOptions};
pub use scanner::{Placement, ScanFuture, ScanInput, Scanner, ScannerError, ScannerType};
pub use stream::{OutputGuard, Released};
pub use torchscript::{TorchDevice, model_for, select_model};
pub use verdict::{Finding, ScanDecision, ScanResult, ScanStatus};
