//! What can be said to the verbs of encoders: embed, classify, rerank.

use crate::args::{PlacementArgs, at_least_one, bytes, output};
use clap::Args;
use std::path::PathBuf;
use torchless::{EncoderPrecision, ModelOptions, Residency, RunPrecision};

/// How an encoder is opened: it has no cache and no context of its own choosing.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct EncoderOpenArgs {
    /// Use the weights in place in the file instead of copying them into memory
    #[arg(long)]
    pub lazy: bool,
    /// Hold about this much of the weights in memory, such as 2G, and read the others anew; implies --lazy
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_negative_numbers = true)]
    pub memory_limit: Option<u64>,
    /// Threads [default: the number of physical cores]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Keep activations in f32 instead of quantising them: slower with quantised weights, for comparisons
    #[arg(long)]
    pub exact: bool,
    /// Numbers in which the layers multiply: f32, bf16 or int8
    #[arg(long, value_name = "NUMBERS", default_value = "f32", value_parser = precision)]
    pub precision: EncoderPrecision,
    /// Let texts pass a firewall first: a policy file, or general, chatbot, coding-assistant [default: none]
    #[arg(long, value_name = "POLICY", conflicts_with = "ids")]
    pub policy: Option<String>,
    /// Where to run.
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// CPU kernels, for tests and bug reports [default: the best that this CPU runs; also TORCHLESS_KERNELS]
    #[arg(long, value_name = "TABLE", hide = true)]
    pub kernels: Option<String>,
}

/// The numbers of this name.
pub fn precision(name: &str) -> Result<EncoderPrecision, String> {
    let known = || EncoderPrecision::ALL.map(EncoderPrecision::name).join(", ");
    EncoderPrecision::named(name).ok_or_else(|| format!("known are {}", known()))
}

impl EncoderOpenArgs {
    /// The options in the words of the library.
    pub fn options(&self) -> ModelOptions {
        let mapped = self.lazy || self.memory_limit.is_some();
        ModelOptions {
            residency: if mapped {
                Residency::Mapped { limit: self.memory_limit }
            } else {
                Residency::Resident
            },
            encoder_precision: self.precision,
            precision: if self.exact { RunPrecision::Exact } else { RunPrecision::Fast },
            kernels: self.kernels.clone(),
            threads: self.threads,
            placement: self.placement.placement(),
            ..ModelOptions::default()
        }
    }
}

/// Ids in place of text, and files in place of printing.
#[derive(Clone, Debug, Args)]
pub struct RawArgs {
    /// Token ids instead of text, special ones included: 1,2,3, or @FILE with ids separated by blanks or commas
    #[arg(long, value_name = "IDS")]
    pub ids: Option<String>,
    /// The type of each of these tokens, such as 0,0,1,1 [default: all 0]
    #[arg(long, value_name = "TYPES", requires = "ids")]
    pub types: Option<String>,
    /// Write raw little-endian f32 to this file instead of printing
    #[arg(short, long, value_name = "FILE", conflicts_with = "json", value_parser = output())]
    pub output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `torchless embed`.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Model folder or file
    pub model: PathBuf,
    /// Texts; `-` or nothing reads one from standard input
    #[arg(conflicts_with = "ids")]
    pub texts: Vec<String>,
    /// How a text becomes one vector: cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken, pooler
    /// [default: as the model's 1_Pooling/config.json says, or mean]
    #[arg(long, value_name = "NAME")]
    pub pooling: Option<String>,
    /// Scale vectors to length 1 [default: where the model's modules.json says so]
    #[arg(long)]
    pub normalize: bool,
    /// Ids and files.
    #[command(flatten)]
    pub raw: RawArgs,
    /// How the model is opened.
    #[command(flatten)]
    pub open: EncoderOpenArgs,
}

/// `torchless classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// Model folder or file
    pub model: PathBuf,
    /// Texts; `-` or nothing reads one from standard input
    #[arg(conflicts_with = "ids")]
    pub texts: Vec<String>,
    /// Ids and files.
    #[command(flatten)]
    pub raw: RawArgs,
    /// How the model is opened.
    #[command(flatten)]
    pub open: EncoderOpenArgs,
}

/// `torchless rerank`.
#[derive(Debug, Args)]
pub struct RerankArgs {
    /// Model folder or file
    pub model: PathBuf,
    /// What is asked
    #[arg(conflicts_with = "ids", required_unless_present = "ids")]
    pub query: Option<String>,
    /// What may answer; `-` or nothing reads one from standard input
    #[arg(conflicts_with = "ids")]
    pub documents: Vec<String>,
    /// Ids and files.
    #[command(flatten)]
    pub raw: RawArgs,
    /// How the model is opened.
    #[command(flatten)]
    pub open: EncoderOpenArgs,
}
