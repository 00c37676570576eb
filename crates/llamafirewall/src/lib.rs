//! Firewall for language models: the scanners, and the policies that put them in place.
//!
//! Everything of `llamafirewall-core` is here too, so that applications name one crate.

#![forbid(unsafe_code)]

mod builtin;
mod canary;
mod code_shield;
mod endpoint;
mod hidden_text;
mod judged;
mod once;
mod patterns;
mod presets;
mod prompt_guard;
mod tool_allow_list;

pub use builtin::registry;
pub use canary::CanaryScanner;
pub use code_shield::CodeShieldScanner;
pub use endpoint::Endpoint;
pub use hidden_text::HiddenAsciiScanner;
pub use judged::{AlignmentCheckScanner, ChatJudge, PiiCheckScanner, Post};
pub use llamafirewall_codeshield as codeshield;
pub use patterns::{Group, Pattern, RegexScanner};
pub use presets::{UseCase, policy_named};
pub use prompt_guard::PromptGuardScanner;
pub use tool_allow_list::ToolAllowList;

pub use llamafirewall_core::*;
pub use llamafirewall_ml::{AttackClassifier, NativeOptions};
