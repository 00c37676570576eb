//! What can go wrong, with what would have worked.

use std::path::PathBuf;

use torchless_base::TokenId;

/// Why a library, a model or a context cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No library of llama.cpp was found.
    #[error(
        "llama.cpp's shared library was not found: {}; `torchless libllama install` gets one; or name the file or \
         its folder (--llama-lib, TORCHLESS_LLAMA_LIB, or ModelConfig::with_library in a program)", .looked.join(", ")
    )]
    NoLibrary {
        /// Where it was looked for, and what was there instead.
        looked: Vec<String>,
    },
    /// A folder of builds has none for this machine.
    #[error(transparent)]
    Select(#[from] tabagent_hardware::SelectError),
    /// The file is there, but it is no library for this machine.
    #[error("'{}' is {what}; needed is {needed}", .path.display())]
    ForeignBinary {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What this machine loads.
        needed: String,
    },
    /// The system's loader refused it.
    #[error("'{}' cannot be loaded: {reason}", .path.display())]
    CannotLoad {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A library of something else, or a llama.cpp of another time.
    #[error(
        "'{}' is no llama.cpp that can be used: it lacks {}; a libllama from January 2025 on has them all",
        .path.display(), .symbols.join(", ")
    )]
    MissingSymbols {
        /// The file.
        path: PathBuf,
        /// Functions it does not export.
        symbols: Vec<&'static str>,
    },
    /// A second llama.cpp in one process: both would share parts of ggml that do not fit together.
    #[error(
        "this process already runs '{}', and '{}' beside it would mix two versions of ggml; use one library per process",
        .loaded.display(), .asked.display()
    )]
    AnotherLibrary {
        /// The one in use.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// There is nothing that could compute.
    #[error(
        "no back-end of ggml could be loaded for '{}'; its plug-ins (libggml-cpu*) have to lie in the same folder", .path.display()
    )]
    NoBackend {
        /// The library.
        path: PathBuf,
    },
    /// This build has no calling convention for it.
    #[error("llama.cpp's library can be called on x86-64 and AArch64 only")]
    Architecture,
    /// An option cannot be set because nobody knows where its field lies.
    #[error(
        "{option} cannot be set: {} in this build of llama.cpp ({found}). Leave the option out to run with the library's \
         defaults, or use an official release from b4753 on",
        if *.known { format!("{params} has no such field") } else { format!("the layout of {params} is unknown") }
    )]
    UnknownLayout {
        /// The option.
        option: &'static str,
        /// The struct.
        params: &'static str,
        /// What was measured.
        found: String,
        /// Whether the layout is known and lacks the field.
        known: bool,
    },
    /// The library lacks what a function needs.
    #[error("this build of llama.cpp cannot {what}: it lacks {symbol}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
        /// The missing function.
        symbol: &'static str,
    },
    /// There is no file to load.
    #[error("the model '{}' {what}, it has to be a GGUF file", .path.display())]
    NoModel {
        /// Where it was to be.
        path: PathBuf,
        /// What is there instead.
        what: &'static str,
    },
    /// The model file is no GGUF, or a damaged one.
    #[error(transparent)]
    Format(#[from] torchless_formats::FormatError),
    /// A model in a format that only torchless itself runs.
    #[error("'{}' is a {format} model; llama.cpp runs GGUF files (`torchless convert` makes one)", .path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// The library would not load the model.
    #[error("llama.cpp cannot load '{}': {said}", .path.display())]
    Load {
        /// The model.
        path: PathBuf,
        /// The library's words.
        said: String,
    },
    /// Layers for a GPU that is not there.
    #[error(
        "{layers} layers are to run on a GPU, and llama.cpp finds none here ({devices}); set GPU layers to 0, or use a build \
         with a back-end for your GPU (CUDA, Vulkan, ROCm, Metal) and its driver"
    )]
    NoGpu {
        /// Layers asked for.
        layers: u32,
        /// Devices there are.
        devices: String,
    },
    /// More memory than there is.
    #[error("{what} needs {} and {} are free; {instead}", size(*.need), size(*.free))]
    Memory {
        /// What for.
        what: String,
        /// Bytes needed.
        need: u64,
        /// Bytes there are.
        free: u64,
        /// What would work.
        instead: &'static str,
    },
    /// The library would not make a context.
    #[error("llama.cpp cannot create a context of {positions} positions: {said}")]
    Context {
        /// Positions asked for.
        positions: u32,
        /// The library's words.
        said: String,
    },
    /// A number outside its range.
    #[error("{option} is {value}, it has to be {allowed}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would have worked.
        allowed: String,
    },
    /// A token id beyond the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab}")]
    Token {
        /// The id.
        token: TokenId,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Nothing to compute.
    #[error("there are no tokens, at least 1 is needed")]
    NoTokens,
    /// A sequence number beyond the context's.
    #[error("sequence {sequence} does not exist, the context has {sequences} (ModelConfig::with_sequences)")]
    Sequence {
        /// The number.
        sequence: u32,
        /// Sequences there are.
        sequences: u32,
    },
    /// More tokens than the context holds.
    #[error(
        "{len} tokens do not fit the context of {limit}; give it more (ModelConfig::with_context_size) or clear it"
    )]
    TooLong {
        /// Tokens there would be.
        len: usize,
        /// Positions there are.
        limit: usize,
    },
    /// A batch that the library would not survive.
    #[error("the batch has {tokens} tokens, the limit is {limit} (ModelConfig::with_batch_size)")]
    BatchTooLong {
        /// Its tokens.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// A batch whose positions do not follow on what was computed.
    #[error("sequence {sequence} goes on at position {expected}, the batch has {position}")]
    Position {
        /// The sequence.
        sequence: u32,
        /// Its next position.
        expected: u32,
        /// The one given.
        position: u32,
    },
    /// No logits were computed there.
    #[error("there are no logits: decode tokens first, and ask for those of a position that wanted them")]
    NoLogits,
    /// The library failed while computing.
    #[error("llama.cpp failed to decode (status {status}): {said}")]
    Decode {
        /// Its status.
        status: i32,
        /// Its words.
        said: String,
    },
    /// Somebody ended the computation.
    #[error("cancelled")]
    Cancelled,
    /// Text that cannot be passed on.
    #[error("{what} {why}")]
    Text {
        /// Which text.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A saved state that does not belong here.
    #[error("this state cannot be restored: {0}")]
    State(String),
    /// An adapter that does not load, or fit.
    #[error("llama.cpp cannot use the adapter '{}': {said}", .path.display())]
    Adapter {
        /// Its file.
        path: PathBuf,
        /// The library's words.
        said: String,
    },
    /// A file that the library does not quantise.
    #[error("llama.cpp does not quantise '{}': {said}", .path.display())]
    Quantize {
        /// The file.
        path: PathBuf,
        /// The library's words.
        said: String,
    },
    /// The options of the sampler.
    #[error(transparent)]
    SamplerConfig(#[from] torchless_sampler::ConfigError),
    /// No token could be chosen.
    #[error(transparent)]
    Sampler(#[from] torchless_sampler::SampleError),
}

fn size(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib >= 1.0 { format!("{gib:.1} GiB") } else { format!("{:.1} MiB", gib * 1024.0) }
}
