//! What can be said to the verb of the firewall: scan.

use crate::speaker::Speaker;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use torchless::Role;

/// `torchless scan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all may pass, 5 something is blocked, 6 nothing is blocked and a person has \
to decide, 7 something was not scanned.\n\
A file that ends in .jsonl is a conversation: {\"role\": ..., \"content\": ...} in each line. Texts under other keys are \
scanned too."
)]
pub struct ScanArgs {
    /// Files and folders; `-` or nothing reads standard input
    #[arg(value_name = "FILE|-")]
    pub files: Vec<PathBuf>,
    /// Who says it: everything, also lines of conversations that name another role. Without it each line says so itself, and
    /// the rest is the user's
    #[arg(long, value_name = "ROLE", value_enum)]
    pub role: Option<RoleName>,
    /// What is looked for: a policy file, or the name of a preset (general, chatbot, coding-assistant)
    #[arg(long, value_name = "FILE|NAME", default_value = "general")]
    pub policy: String,
    /// Print one JSON object
    #[arg(long, conflicts_with = "sarif")]
    pub json: bool,
    /// Print SARIF 2.1.0, for code hosts and editors
    #[arg(long)]
    pub sarif: bool,
}

impl ScanArgs {
    /// Who says what is scanned.
    pub fn speaker(&self) -> Speaker {
        Speaker::named(self.role.map(RoleName::role))
    }
}

/// A role, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// The person
    User,
    /// The application's instructions
    System,
    /// The model
    Assistant,
    /// The result of a tool
    Tool,
    /// What was remembered
    Memory,
}

impl RoleName {
    /// The role.
    pub fn role(self) -> Role {
        match self {
            RoleName::User => Role::User,
            RoleName::System => Role::System,
            RoleName::Assistant => Role::Assistant,
            RoleName::Tool => Role::Tool,
            RoleName::Memory => Role::Memory,
        }
    }
}
