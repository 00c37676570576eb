//! What can be said to `torchless doctor`.

use crate::args::{at_least_one, whole};
use clap::Args;
use std::path::PathBuf;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A model to judge: whether it fits here, and with which context
    pub model: Option<PathBuf>,
    /// Run the model on both engines, native and llama.cpp, and compare their logits instead
    #[arg(long, requires = "model")]
    pub parity: bool,
    /// Text to compare on; the native engine goes on with it
    #[arg(long, value_name = "TEXT", default_value = "Once upon a time", requires = "parity")]
    pub prompt: String,
    /// Tokens that it goes on with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 64, requires = "parity", value_parser = whole, allow_negative_numbers = true)]
    pub max_tokens: usize,
    /// The largest difference of logits that is none [default: 0.001 with weights in F32, 0.2 in half precision, 0.5 quantised]
    #[arg(long, value_name = "X", requires = "parity", value_parser = tolerance, allow_negative_numbers = true)]
    pub tolerance: Option<f32>,
    /// The library of llama.cpp, or its folder
    #[arg(long, value_name = "PATH", requires = "parity")]
    pub llama_lib: Option<PathBuf>,
    /// Threads to count with [default: the number of physical cores]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A difference that two numbers may have.
fn tolerance(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|x: &f32| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| "it has to be a number, at least 0".to_owned())
}
