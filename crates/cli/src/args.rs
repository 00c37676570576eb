//! What can be said on the command line. One struct per verb; no behaviour.

use crate::doctor_args::DoctorArgs;
use crate::encoder_args::{ClassifyArgs, EmbedArgs, RerankArgs};
use crate::firewall_args::ScanArgs;
use crate::guard_args::GuardArgs;
use crate::libllama_args::LibllamaArgs;
use crate::output;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::fmt::Display;
use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;
use std::str::FromStr;
use torchless::{Place, Placement, gpu};

const ABOUT: &str = "Runs open-weight language models on this machine";

/// Runs open-weight language models on this machine.
#[derive(Debug, Parser)]
#[command(name = "torchless", version, about = ABOUT, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Without a model, the small story model inside the program runs. A first word that is a \
    verb is taken as one; a model of that name is given as ./NAME."
)]
pub struct Cli {
    /// A verb other than running a model.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Running a model.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Load a model and complete a prompt (the same as no verb)
    Run(Box<RunArgs>),
    /// Show what a model file holds and what it needs
    Inspect(InspectArgs),
    /// Turn text into token ids
    Tokenize(TokenizeArgs),
    /// Turn token ids into text
    Detokenize(DetokenizeArgs),
    /// Show what a model would see of a conversation
    Render(RenderArgs),
    /// Write the logits of every position to a file
    Logits(LogitsArgs),
    /// Convert a model to GGUF, to a folder of safetensors or to the native .bin format
    Convert(ConvertArgs),
    /// Write a model with weights of fewer bits
    Quantize(QuantizeArgs),
    /// Measure which columns of a model's weights matter, for `quantize`
    Imatrix(ImatrixArgs),
    /// Measure how well a model foretells a text
    Perplexity(PerplexityArgs),
    /// Measure prefill and decode speed
    Bench(BenchArgs),
    /// Turn texts into vectors
    Embed(EmbedArgs),
    /// Say which class a text or its tokens belong to
    Classify(ClassifyArgs),
    /// Sort documents by how well they answer a query
    Rerank(RerankArgs),
    /// Say what the firewall makes of texts
    Scan(ScanArgs),
    /// Measure the classifier that finds injections and jailbreaks
    Guard(GuardArgs),
    /// Show what this machine is and what runs well on it
    Doctor(DoctorArgs),
    /// Get a prebuilt library of llama.cpp, or show which are there
    Libllama(LibllamaArgs),
}

const VERBS: &[&str] = &[
    "run",
    "inspect",
    "tokenize",
    "detokenize",
    "render",
    "logits",
    "convert",
    "quantize",
    "imatrix",
    "perplexity",
    "bench",
    "embed",
    "classify",
    "rerank",
    "scan",
    "guard",
    "doctor",
    "libllama",
    "help",
];

/// Parses the words of the command line, program name first. A verb is a verb whatever files there are: which one runs is not for
/// the current folder to say. Errors show control characters of the words spelled, since names of files may be among them.
pub fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    parse_words(words.clone()).map_err(|error| {
        let spelled = words.iter().map(|word| output::escaped(&word.to_string_lossy()).into());
        parse_words(spelled.collect()).err().unwrap_or(error)
    })
}

fn parse_words(mut words: Vec<OsString>) -> Result<Cli, clap::Error> {
    // Alone it asks for the help of the whole, as `--help` does.
    if words.len() == 2 && words[1] == "help" {
        words[1] = "--help".into();
    }
    let is_verb = words.get(1).and_then(|w| w.to_str()).is_some_and(|w| VERBS.contains(&w));
    if is_verb {
        let mut cli = Cli::try_parse_from(words)?;
        if let Some(Verb::Run(run)) = &mut cli.verb {
            run.take_dash_for_prompt();
        }
        return Ok(cli);
    }
    let mut run = RunCli::try_parse_from(words)?.run;
    run.take_dash_for_prompt();
    Ok(Cli { verb: None, run })
}

impl RunArgs {
    /// `-` alone is standard input, as everywhere, and no model.
    fn take_dash_for_prompt(&mut self) {
        if self.prompt.is_none()
            && self.prompt_option.is_none()
            && self.model.as_ref().is_some_and(|m| m == "-")
        {
            self.model = None;
            self.prompt = Some("-".to_owned());
        }
    }
}

/// The command line without verbs; its help is that of the whole.
#[derive(Debug, Parser)]
#[command(name = "torchless", version, about = ABOUT)]
#[command(override_usage = "torchless [OPTIONS] [MODEL] [PROMPT]\n       torchless <VERB> [OPTIONS] ...")]
#[command(after_help = AFTER_HELP)]
struct RunCli {
    #[command(flatten)]
    run: RunArgs,
}

const AFTER_HELP: &str = "\
Verbs (`torchless <VERB> --help` says more):
  run         Load a model and complete a prompt (the same as no verb)
  inspect     Show what a model file holds and what it needs
  tokenize    Turn text into token ids
  detokenize  Turn token ids into text
  render      Show what a model would see of a conversation
  logits      Write the logits of every position to a file
  convert     Convert a model to GGUF, to a folder of safetensors or to the native .bin format
  quantize    Write a model with weights of fewer bits
  imatrix     Measure which columns of a model's weights matter, for `quantize`
  perplexity  Measure how well a model foretells a text
  bench       Measure prefill and decode speed
  embed       Turn texts into vectors
  classify    Say which class a text or its tokens belong to
  rerank      Sort documents by how well they answer a query
  scan        Say what the firewall makes of texts
  guard       Measure the classifier that finds injections and jailbreaks
  doctor      Show what this machine is and what runs well on it
  libllama    Get a prebuilt library of llama.cpp, or show which are there
  help        Show this, or what a verb takes

Without a model, the small story model inside the program runs. A first word that is a verb is taken as one; a model
of that name is given as ./NAME.
Exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 the model is at fault, 4 out of resources,
5 refused by the firewall, 6 a person has to decide, 7 the firewall could not scan, 130 interrupted.";

/// How a model is opened: shared by all verbs that run one.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Positions of the context: prompt and reply together [default: what the model was trained for, up to 1048576]
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_seq_len: Option<usize>,
    /// Take the model for this architecture, whatever its metadata names
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Read the model file in this format, whatever its content looks like
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<FileFormat>,
    /// Add an adapter to the weights: a LoRA as GGUF, as safetensors or as PEFT's folder; the factor goes beside the file's own. May be
    /// given several times
    #[arg(long, value_name = "FILE[=SCALE]", value_parser = adapter)]
    pub lora: Vec<(PathBuf, f32)>,
    /// What computes [default: native, or llama.cpp with --llama-lib]
    #[arg(long, value_name = "NAME", value_enum)]
    pub engine: Option<Engine>,
    /// The library for --engine llama.cpp, or its folder [default: TORCHLESS_LLAMA_LIB, what was installed, what the system has]
    #[arg(long, value_name = "PATH")]
    pub llama_lib: Option<PathBuf>,
    /// Use the weights in place in the file instead of copying them into memory
    #[arg(long)]
    pub lazy: bool,
    /// Keep the program's memory below about this much, such as 2G, by reading weights anew; implies --lazy
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_negative_numbers = true)]
    pub memory_limit: Option<u64>,
    /// Element type of the KV cache [default: f16 for quantised weights and on a GPU; f32 for others and with --exact]
    #[arg(long, value_name = "TYPE", value_enum)]
    pub kv_dtype: Option<KvType>,
    /// Threads [default: the number of physical cores]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Keep activations and KV cache in f32 instead of quantising them: slower, for comparisons
    #[arg(long)]
    pub exact: bool,
    /// Where to run.
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// CPU kernels, for tests and bug reports [default: the best that this CPU runs; also TORCHLESS_KERNELS]
    #[arg(long, value_name = "TABLE", hide = true)]
    pub kernels: Option<String>,
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The engine of this program
    Native,
    /// The shared library of llama.cpp
    #[value(name = "llama.cpp")]
    LlamaCpp,
}

/// Formats of model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// GGUF.
    Gguf,
    /// Safetensors.
    Safetensors,
    /// The native format.
    Bin,
}

/// Element type of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KvType {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
    /// The upper half of single precision.
    Bf16,
    /// 8 bits and a scale per 32 values.
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits and a scale per 32 values.
    #[value(name = "q4_0")]
    Q4_0,
}

/// Where to run: shared by all verbs that run a model.
#[derive(Clone, Debug, Args)]
pub struct PlacementArgs {
    /// Where to run
    #[arg(long, value_name = "NAME", default_value = "auto", value_enum)]
    pub backend: Backend,
    /// Layers on the GPU, counted from the last one; the others run on the CPU [default: all]
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub gpu_layers: Option<usize>,
    /// Number of the GPU among those of the backend, or several between commas, which share the layers [default: 0]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = whole, allow_negative_numbers = true)]
    pub device: Vec<usize>,
    /// What several GPUs share: the layers, or every layer, of which each has a part
    #[arg(long, value_name = "WHAT", default_value = "layers", value_enum)]
    pub split: Split,
    /// The part of the GPU's memory that may be used, above 0 and at most 1 [default: 0.9]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub gpu_memory_fraction: Option<f64>,
}

/// What several GPUs share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Each has some layers, and computes while the others wait
    Layers,
    /// Each has a part of every layer; all compute at once, and add up through NCCL, RCCL or the host
    Tensor,
}

/// Where to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The first of cuda, rocm, metal and opencl that has a GPU here, or else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// NVIDIA GPUs
    Cuda,
    /// AMD GPUs
    Rocm,
    /// Apple GPUs
    Metal,
    /// Whatever has a driver for OpenCL
    Opencl,
}

impl PlacementArgs {
    /// In the words of the library.
    pub fn placement(&self) -> Placement {
        let place = match self.backend {
            Backend::Auto => Place::Auto,
            Backend::Cpu => Place::Cpu,
            Backend::Cuda => Place::Gpu(gpu::Backend::Cuda),
            Backend::Rocm => Place::Gpu(gpu::Backend::Rocm),
            Backend::Metal => Place::Gpu(gpu::Backend::Metal),
            Backend::Opencl => Place::Gpu(gpu::Backend::OpenCl),
        };
        Placement {
            place,
            devices: self.device.clone(),
            gpu_layers: self.gpu_layers,
            split: match self.split {
                Split::Layers => torchless::Split::Layers,
                Split::Tensor => torchless::Split::Tensor,
            },
            memory_fraction: self.gpu_memory_fraction,
        }
    }
}

/// `torchless [OPTIONS] [MODEL] [PROMPT]`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Model: a GGUF, a safetensors file or folder, or a native .bin [default: the model inside]
    pub model: Option<PathBuf>,
    /// Text to continue; `-` reads standard input, which is read anyway when something is piped in
    #[arg(allow_hyphen_values = false)]
    pub prompt: Option<String>,
    /// The prompt, for use without a model path
    #[arg(long = "prompt", value_name = "TEXT", conflicts_with = "prompt")]
    pub prompt_option: Option<String>,
    /// Apply the model's chat template to the prompt; on a terminal without a prompt, talk turn by turn
    #[arg(long)]
    pub chat: bool,
    /// System message; applies the chat template
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Another chat template than the model's: the name of a built-in one, or a file; applies it
    #[arg(long, value_name = "NAME|FILE")]
    pub chat_template: Option<String>,
    /// Tools that the model may call: a file with a JSON list, as chat templates take it; applies the template
    #[arg(long, value_name = "FILE")]
    pub tools: Option<PathBuf>,
    /// Show what the model thinks before it answers
    #[arg(long)]
    pub show_thinking: bool,
    /// Hold the reply to a JSON schema: a file, or JSON
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "grammar")]
    pub json_schema: Option<String>,
    /// Hold the reply to a grammar: a file or text in GBNF or Lark, or a regular expression between slashes
    #[arg(long, value_name = "FILE|TEXT")]
    pub grammar: Option<String>,
    /// Let prompt and reply pass a firewall: a policy file, or general, chatbot, coding-assistant [default: none]
    #[arg(long, value_name = "FILE|NAME")]
    pub policy: Option<String>,
    /// Tokens of the reply at most [default: a quarter of the context, 2048 at least (1024 below a context of 4096), 32768 at
    /// most]
    #[arg(short = 'n', long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub max_tokens: Option<usize>,
    /// How the next token is chosen.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// How the model is opened.
    #[command(flatten)]
    pub open: ModelArgs,
    /// How results are shown.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// How the next token is chosen.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Divides the logits; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.7, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = whole, allow_negative_numbers = true)]
    pub top_k: usize,
    /// Keep the likeliest tokens that together reach probability P; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    pub top_p: f32,
    /// Keep tokens with at least this share of the largest probability
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    pub min_p: f32,
    /// Make tokens of the last 64 less likely; 1 changes nothing
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    pub repeat_penalty: f32,
    /// Subtracted from the logits of tokens that have occurred
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Subtracted from the logits of tokens for each time that they have occurred
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// Added to the logit of one token, such as 42=-100 to ban it; may be given several times
    #[arg(long, value_name = "ID=BIAS", value_parser = bias)]
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of the choices [default: another one each time]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// End the reply before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
}

/// How results are shown.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct ShowArgs {
    /// Print layers, tokens and prompt progress
    #[arg(long, conflicts_with = "quiet")]
    pub debug: bool,
    /// Print nothing but the text
    #[arg(short, long)]
    pub quiet: bool,
    /// Print one JSON object at the end instead of text
    #[arg(long)]
    pub json: bool,
    /// Print one JSON object per event while it happens
    #[arg(long, conflicts_with = "json")]
    pub jsonl: bool,
    /// List the places where models can run, and leave
    #[arg(long)]
    pub list_backends: bool,
}

/// `torchless inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Model file or folder
    pub model: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// List every tensor
    #[arg(long)]
    pub tensors: bool,
    /// Positions of the context that memory is counted for [default: some, up to what the model was trained for]
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_seq_len: Option<usize>,
    /// Where it would run.
    #[command(flatten)]
    pub placement: PlacementArgs,
}

/// `torchless tokenize`.
#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// Model file or folder
    pub model: PathBuf,
    /// Text; `-` or nothing reads standard input
    pub text: Option<String>,
    /// Print ids alone, separated by commas
    #[arg(long)]
    pub ids: bool,
    /// Add no special tokens and take those in the text as text
    #[arg(long)]
    pub no_special: bool,
}

/// `torchless detokenize`.
#[derive(Debug, Args)]
pub struct DetokenizeArgs {
    /// Model file or folder
    pub model: PathBuf,
    /// Token ids, separated by blanks or commas
    #[arg(required = true, allow_negative_numbers = true)]
    pub ids: Vec<String>,
}

/// `torchless render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Model file or folder, template file (.jinja), or the name of a built-in template
    pub model: PathBuf,
    /// JSON file with a list of messages, or an object with `messages` and `tools`; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub messages: PathBuf,
    /// JSON file with the list of tools that the model may call
    #[arg(long, value_name = "FILE")]
    pub tools: Option<PathBuf>,
    /// End where the assistant's reply begins
    #[arg(long)]
    pub add_generation_prompt: bool,
    /// Another template than the model's: the name of a built-in one, or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub chat_template: Option<String>,
    /// A variable for the template, such as enable_thinking=false; may be given several times
    #[arg(long, value_name = "NAME=JSON", value_parser = template_arg)]
    pub template_arg: Vec<(String, String)>,
    /// What a template without a model takes for the beginning of text
    #[arg(long, value_name = "TEXT", default_value = "<s>")]
    pub bos_token: String,
    /// What a template without a model takes for the end of text
    #[arg(long, value_name = "TEXT", default_value = "</s>")]
    pub eos_token: String,
    /// The time that the template sees, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub now: Option<i64>,
    /// Print JSON: the text, and its parts by who wrote them
    #[arg(long)]
    pub json: bool,
}

/// `torchless logits`.
#[derive(Debug, Args)]
pub struct LogitsArgs {
    /// Model file or folder
    pub model: PathBuf,
    /// Token ids: 1,2,3, or @FILE with ids separated by blanks or commas
    #[arg(long, value_name = "IDS", allow_negative_numbers = true)]
    pub ids: String,
    /// File for raw little-endian f32, [tokens, vocabulary]
    #[arg(short, long, value_name = "FILE", value_parser = output())]
    pub output: PathBuf,
    /// How the model is opened.
    #[command(flatten)]
    pub open: ModelArgs,
}

/// `torchless convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Model: a safetensors file or folder; for GGUF, any model
    pub input: PathBuf,
    /// What to write: GGUF where its name ends in .gguf, a native .bin where it ends in .bin; else a folder of safetensors
    /// from GGUF, and a native .bin from safetensors
    #[arg(value_parser = output())]
    pub output: PathBuf,
    /// In a .bin: element type of the gate and up projections; everything else stays f32 [default: f32]
    #[arg(long, value_enum)]
    pub quant: Option<NativeQuant>,
    /// In a GGUF: type of the matrices, F32, F16, BF16 or Q8_0; in a folder, F32, F16 or BF16 [default: that of
    /// the input where it is F32, F16 or BF16 throughout, else F32]
    #[arg(long = "type", value_name = "TYPE")]
    pub ty: Option<String>,
}

/// Element types of the native format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NativeQuant {
    /// Single precision.
    F32,
    /// 8-bit integers in groups of 64.
    Int8,
}

/// `torchless quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// Model: a GGUF, all parts of one, or a safetensors file or folder
    pub input: PathBuf,
    /// The GGUF file to write
    #[arg(value_parser = output())]
    pub output: PathBuf,
    /// Kind of file, such as Q4_K_M, Q8_0, IQ3_S: the type of most weights, with larger ones where errors cost more
    #[arg(value_name = "TYPE")]
    pub ty: String,
    /// How much each column matters: a file of `torchless imatrix` or of llama.cpp
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// Tensor type of the head, or of the embedding table where that is the head
    #[arg(long, value_name = "TYPE")]
    pub output_tensor_type: Option<String>,
    /// Tensor type of the embedding table
    #[arg(long, value_name = "TYPE")]
    pub token_embedding_type: Option<String>,
    /// Give all matrices the same type
    #[arg(long)]
    pub pure: bool,
    /// Leave the head as it is, or the embedding table where that is the head
    #[arg(long, conflicts_with = "output_tensor_type")]
    pub leave_output_tensor: bool,
    /// Quantise weights again that are quantised already, to their loss
    #[arg(long)]
    pub allow_requantize: bool,
    /// Threads [default: the number of physical cores]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub threads: Option<usize>,
}

/// `torchless imatrix`.
#[derive(Debug, Args)]
pub struct ImatrixArgs {
    /// Model: a GGUF with weights of many bits, such as F16
    pub model: PathBuf,
    /// Text file; `-` reads standard input
    pub file: PathBuf,
    /// The GGUF file to write, for `quantize --imatrix` here and in llama.cpp
    #[arg(value_parser = output())]
    pub output: PathBuf,
    /// Tokens of a stretch, which is read from the start of the context
    #[arg(short = 'c', long, value_name = "N", default_value_t = 512, value_parser = at_least_one, allow_negative_numbers = true)]
    pub context: usize,
    /// Read so many stretches at most
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub chunks: Option<usize>,
    /// Measure the head too
    #[arg(long)]
    pub process_output: bool,
    /// How the model is opened.
    #[command(flatten)]
    pub open: ModelArgs,
}

/// `torchless perplexity`.
#[derive(Debug, Args)]
pub struct PerplexityArgs {
    /// Model file or folder
    pub model: PathBuf,
    /// Text file; `-` reads standard input
    pub file: PathBuf,
    /// Tokens of a stretch, of which the second half is scored
    #[arg(short = 'c', long, value_name = "N", default_value_t = 512, value_parser = at_least_one, allow_negative_numbers = true)]
    pub context: usize,
    /// Score so many stretches at most
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub chunks: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How the model is opened.
    #[command(flatten)]
    pub open: ModelArgs,
}

/// `torchless bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model file or folder
    #[arg(required_unless_present = "shape", conflicts_with = "shape")]
    pub model: Option<PathBuf>,
    /// Random weights in the shape of a well-known model instead of a file
    #[arg(long, value_name = "NAME")]
    pub shape: Option<String>,
    /// Tensor type of the random weights, such as Q4_0, Q8_0, Q4_K_M, F16 [default: Q4_0]
    #[arg(long = "type", value_name = "TYPE")]
    pub ty: Option<String>,
    /// Write the random model as GGUF and leave
    #[arg(long, value_name = "FILE", value_parser = output())]
    pub write: Option<PathBuf>,
    /// Tokens of the prompt; 0 leaves this test out
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512, value_parser = whole, allow_negative_numbers = true)]
    pub prompt: usize,
    /// Tokens to generate; 0 leaves this test out
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128, value_parser = whole, allow_negative_numbers = true)]
    pub generate: usize,
    /// Tokens in the cache before anything is measured
    #[arg(short = 'd', long, value_name = "N", default_value_t = 0, value_parser = whole, allow_negative_numbers = true)]
    pub depth: usize,
    /// Sequences at once
    #[arg(short = 'b', long, value_name = "N", default_value_t = 1, value_parser = at_least_one, allow_negative_numbers = true)]
    pub batch: usize,
    /// Repetitions of each test
    #[arg(short = 'r', long, value_name = "N", default_value_t = 5, value_parser = at_least_one, allow_negative_numbers = true)]
    pub repetitions: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How the model is opened.
    #[command(flatten)]
    pub open: ModelArgs,
}

/// A file to write. `-` elsewhere stands for a stream, which a file of that name would be a surprise for.
pub fn output() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("it is no file to write: standard output is /dev/stdout, a file of that name ./-"),
        false => Ok(path),
    })
}

/// A number above 0.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    within(text, 1, usize::MAX)
}

/// A number that may be 0.
pub fn whole(text: &str) -> Result<usize, String> {
    within(text, 0, usize::MAX)
}

fn seed(text: &str) -> Result<u64, String> {
    within(text, 0, u64::MAX)
}

fn within<T: FromStr<Err = ParseIntError> + PartialOrd + Display>(
    text: &str,
    least: T,
    most: T,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(n) if n >= least => Ok(n),
        Err(e) if *e.kind() == IntErrorKind::PosOverflow => Err(format!("it has to be at most {most}")),
        _ => Err(format!("it has to be a whole number, at least {least}")),
    }
}

/// `2G`, `500M`, `1.5GiB`, or plain bytes; the letters stand for powers of 1024.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size: give bytes, or a number with K, M, G or T, such as 2G");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let power = match text[digits..].trim().to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b')
    {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let value = number * 1024f64.powi(power);
    if !(1.0..1e18).contains(&value) {
        return Err(wrong());
    }
    Ok(value as u64)
}

fn template_arg(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("'{text}' is no variable: give NAME=JSON, such as enable_thinking=false");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_alphanumeric()) {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The last part after `=` is a factor where it is a number and no file has the whole name.
fn adapter(text: &str) -> Result<(PathBuf, f32), String> {
    let whole = PathBuf::from(text);
    let Some((path, scale)) = text.rsplit_once('=').filter(|_| !whole.exists()) else {
        return Ok((whole, 1.0));
    };
    match scale.trim().parse::<f32>() {
        Ok(scale) if scale.is_finite() => Ok((PathBuf::from(path), scale)),
        _ => Err(format!("'{scale}' is no factor: give FILE or FILE=SCALE, such as story.gguf=0.5")),
    }
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let wrong = || format!("'{text}' is no bias: give ID=BIAS, such as 42=-100");
    let (id, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((id.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn run(words: &[&str]) -> Result<RunArgs, String> {
        let words = std::iter::once("torchless").chain(words.iter().copied()).map(OsString::from).collect();
        let cli = parse(words).map_err(|e| e.to_string())?;
        Ok(match cli.verb {
            None => cli.run,
            Some(Verb::Run(run)) => *run,
            Some(other) => return Err(format!("{other:?}")),
        })
    }

    #[test]
    fn a_model_and_a_prompt_need_no_verb() {
        for words in [&["m.gguf", "hello"][..], &["run", "m.gguf", "hello"]] {
            let args = run(words).unwrap();
            assert_eq!(
                (args.model.as_deref(), args.prompt.as_deref()),
                (Some(Path::new("m.gguf")), Some("hello"))
            );
        }
    }

    #[test]
    fn a_dash_alone_is_the_prompt() {
        for words in [&["-"][..], &["run", "-"], &["--seed", "1", "-"]] {
            let args = run(words).unwrap();
            assert_eq!((args.model, args.prompt.as_deref()), (None, Some("-")), "{words:?}");
        }
        assert_eq!(run(&["m.gguf", "-"]).unwrap().model.as_deref(), Some(Path::new("m.gguf")));
    }

    #[test]
    fn a_verb_counts_as_the_first_word_only() {
        assert!(run(&["inspect", "m.gguf"]).unwrap_err().contains("Inspect"));
        assert_eq!(
            run(&["--max-tokens", "3", "inspect"]).unwrap().model.as_deref(),
            Some(Path::new("inspect"))
        );
    }

    #[test]
    fn numbers_out_of_range_are_told_what_would_work() {
        let most = usize::MAX.to_string();
        for (words, want) in [
            (&["--top-k", "-1"][..], "it has to be a whole number, at least 0"),
            (&["-n", "-1"], "it has to be a whole number, at least 0"),
            (&["-t", "-1"], "it has to be a whole number, at least 1"),
            (&["-t", "x"], "it has to be a whole number, at least 1"),
            (&["-n", "99999999999999999999"], &most),
            (&["--seed", "-1"], "it has to be a whole number, at least 0"),
            (&["--memory-limit", "-1"], "'-1' is no size"),
        ] {
            let error = run(words).unwrap_err();
            assert!(error.contains(want), "{words:?}: {error}");
        }
    }

    #[test]
    fn errors_of_usage_spell_control_characters() {
        for words in [
            &["--\u{1b}[31mfoo"][..],
            &["m", "x", "--temperature", "\u{1b}[31m1"],
            &["m", "--kv-dtype", "\u{9b}"],
        ] {
            let words =
                std::iter::once("torchless").chain(words.iter().copied()).map(OsString::from).collect();
            let error = parse(words).unwrap_err().render().ansi().to_string();
            assert!(error.contains("\\u001b[31m") || error.contains("\\u009b"), "{error:?}");
            assert!(!error.contains("\u{1b}[31mf") && !error.contains('\u{9b}'), "{error:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, want) in [("2G", 2 << 30), ("1.5k", 1536), ("7", 7), ("3MiB", 3 << 20), ("1gb", 1 << 30)] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "G", "-1", "1x", "0", "9e99", "1..2"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn biases_name_a_token() {
        assert_eq!(
            run(&["--logit-bias", "5=-100", "--logit-bias", "6=1.5"]).unwrap().sampling.logit_bias,
            [(5, -100.0), (6, 1.5)]
        );
        assert!(run(&["--logit-bias", "x=1"]).is_err());
    }

    #[test]
    fn adapters_may_have_a_factor() {
        let lora = |text: &str| run(&["m.gguf", "--lora", text]).map(|args| args.open.lora);
        assert_eq!(lora("a.gguf").unwrap(), [(PathBuf::from("a.gguf"), 1.0)]);
        assert_eq!(lora("a=b.gguf=-0.5").unwrap(), [(PathBuf::from("a=b.gguf"), -0.5)]);
        assert!(lora("a.gguf=x").is_err() && lora("a.gguf=nan").is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        RunCli::command().debug_assert();
    }
}
