//! CodeShield: insecure code in messages, by patterns and by syntax trees.
//!
//! [`scan_message`] finds the code of a message by its fences and reads each piece as the language that the fence
//! names; [`scan_code`] reads one piece of code, [`scan_named`] a file by its ending. What they look for is what the Python CodeShield looks for: its
//! patterns, and the rules that it hands to semgrep, here checks over trees of tree-sitter. No process is started, no
//! file is read, and the time is bounded: [`Report::unread`] names what was too long or too deep to be analysed.
//!
//! It is the one crate that links C grammars. What a firewall does with an issue is decided elsewhere.

#![forbid(unsafe_code)]

mod base64;
mod blocks;
mod code;
mod fences;
mod html;
mod issue;
mod json;
mod language;
mod parts;
mod patterns;
mod rules;
mod scan;
mod syntax;
mod texts;

pub use base64::is_within_base64;
pub use issue::{Issue, Severity, Treatment};
pub use language::Language;
pub use scan::{Report, RuleInfo, prepare, rules, scan_code, scan_message, scan_named, settled};
