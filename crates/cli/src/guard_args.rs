//! What can be said to `torchless guard`.

use crate::args::{Backend, at_least_one, whole};
use crate::encoder_args::precision;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use torchless::EncoderPrecision;

/// The classifier behind the firewall's scanner `prompt_guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    #[command(subcommand)]
    pub verb: GuardVerb,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub enum GuardVerb {
    /// Measure it on labelled texts: recall, false positives, area under the curve and time, per data set and over all
    Eval(GuardEvalArgs),
}

/// `torchless guard eval`.
#[derive(Debug, Args)]
pub struct GuardEvalArgs {
    /// Files of JSON lines {"text": "...", "label": "injection" or "benign", "dataset": "...", "role": "user"}; the last
    /// two may be left out, and stand for the file's name and user
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// A Prompt Guard to measure: a folder with config.json, safetensors and tokenizer.json [default: the detector inside]
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,
    /// Threads of the model of --model [default: the number of processors]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one, requires = "model", allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Numbers in which the layers of --model multiply: f32, bf16 or int8
    #[arg(long, value_name = "NUMBERS", default_value = "f32", value_parser = precision, requires = "model")]
    pub precision: EncoderPrecision,
    /// Where the model of --model runs
    #[arg(long, value_name = "NAME", default_value = "cpu", value_enum, requires = "model")]
    pub backend: Backend,
    /// Number of the GPU among those of the backend [default: 0]
    #[arg(long, value_name = "N", requires = "model", value_parser = whole, allow_negative_numbers = true)]
    pub device: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}
