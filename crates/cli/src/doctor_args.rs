//! What can be said to `torchless doctor`.

use crate::args::at_least_one;
use clap::Args;
use std::path::PathBuf;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A model to judge: whether it fits here, and with which context
    pub model: Option<PathBuf>,
    /// Threads to count with [default: the number of physical cores]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
