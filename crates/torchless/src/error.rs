//! Everything that can go wrong between a path and a text, with a kind that callers act on.

use llamafirewall_core::Refusal;
use std::path::PathBuf;
use torchless_base::{RunError, counted};
use torchless_device::DeviceError;
use torchless_device_gpu::GpuError;
use torchless_engine::SubmitError;
use torchless_formats::FormatError;
use torchless_model::ModelError;
use torchless_model::encoder::EncodeError;
use torchless_tokenizer::TokenizerError;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no model file, or a damaged one.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file is no model that runs here.
    #[error("{path}: {source}")]
    Model {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },
    /// A model that does not complete text.
    #[error("{path} is an encoder, which completes no text: use the verbs embed, classify or rerank")]
    Encoder {
        /// Which file.
        path: PathBuf,
    },
    /// A model that is no encoder.
    #[error(
        "{path} completes text and is no encoder: use the verb run, or give a model for texts as vectors or classes"
    )]
    Decoder {
        /// Which file.
        path: PathBuf,
    },
    /// A text could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The tokenizer is missing or broken.
    #[error("tokenizer: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// The same of a model that is known.
    #[error("{path}: tokenizer: {source}")]
    ModelTokenizer {
        /// Where the model is.
        path: PathBuf,
        /// What is wrong with its tokenizer.
        source: TokenizerError,
    },
    /// Parts that do not belong together.
    #[error("{0}")]
    Mismatch(String),
    /// The model came without a tokenizer, and text was given.
    #[error(
        "this model has no tokenizer: give token ids instead of text (a safetensors model takes its tokenizer from a file beside it, such as tokenizer.json)"
    )]
    NoTokenizer,
    /// The chat template failed.
    #[error("chat template: {0}")]
    Template(String),
    /// Messages were given, and the model has no template for them.
    #[error(
        "this model has no chat template: it completes plain text, without --chat and --system, or talks by one that --chat-template names"
    )]
    NoTemplate,
    /// The prompt is longer than the context.
    #[error("the prompt has {}, the context holds {limit}: shorten it, or raise --max-seq-len", counted(*.tokens))]
    PromptTooLong {
        /// Tokens of the prompt; beyond [`MOST_COUNTED`](torchless_base::MOST_COUNTED) those at which counting ended.
        tokens: usize,
        /// Positions of the context.
        limit: usize,
    },
    /// The prompt did not come through the model's own firewall.
    #[error(
        "another firewall than the model's let the prompt in: offer it to Model::admit after Model::set_firewall"
    )]
    ForeignPrompt,
    /// The prompt has no token at all.
    #[error("the prompt is empty and this model has no token to begin with")]
    EmptyPrompt,
    /// An option does not fit.
    #[error("{0}")]
    Option(String),
    /// The firewall refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The model stopped running.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The engine did not take the request.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The engine failed while running.
    #[error("{0}")]
    Engine(String),
    /// A GPU could not be used.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// llama.cpp's library could not be used, or does not run the model.
    #[error(transparent)]
    Llama(#[from] model_loader::Error),
    /// A model that is larger than what is free on a device.
    #[error("the model needs {} on {device}, {} are free: {how}", size(*.needed), size(*.free))]
    DoesNotFit {
        /// Which device.
        device: String,
        /// Bytes of weights, caches and activations.
        needed: u64,
        /// Bytes that may be used there.
        free: u64,
        /// What would fit.
        how: String,
    },
    /// A tensor cannot be written in another type.
    #[error("tensor '{tensor}': {reason}")]
    Weights {
        /// Which.
        tensor: String,
        /// Why.
        reason: String,
    },
    /// The model computes what is no number.
    #[error("{what} not finite: the weights are damaged, or too large to compute with")]
    NotFinite {
        /// What is, with its verb.
        what: String,
    },
    /// A device could not do what is measured on it before a benchmark.
    #[error("measuring what the device can do: {0}")]
    Measuring(DeviceError),
    /// Files could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// In the system's words.
        source: std::io::Error,
    },
}

/// What kind of trouble it is: one exit code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Failed while running.
    Runtime,
    /// Asked for in a way that cannot be answered.
    Usage,
    /// The model is at fault.
    Model,
    /// Memory or another resource is short.
    Resources,
    /// The firewall refused.
    Refused,
}

impl Error {
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Model { source: ModelError::Context { .. }, .. } => ErrorKind::Usage,
            Error::Model { source: ModelError::Device(error), .. } => of_loading(error),
            Error::Model { source: ModelError::MemoryLimit { .. }, .. } => ErrorKind::Resources,
            Error::Format(error) if error.is_short_of_resources() => ErrorKind::Resources,
            Error::Format(_) | Error::Model { .. } => ErrorKind::Model,
            Error::Tokenizer(_) | Error::ModelTokenizer { .. } => ErrorKind::Model,
            Error::Template(_) | Error::Mismatch(_) => ErrorKind::Model,
            Error::Weights { .. } | Error::NotFinite { .. } => ErrorKind::Model,
            Error::NoTokenizer | Error::NoTemplate | Error::PromptTooLong { .. } => ErrorKind::Usage,
            Error::EmptyPrompt | Error::ForeignPrompt | Error::Option(_) | Error::Submit(_) => {
                ErrorKind::Usage
            }
            Error::Encode(EncodeError::Device(error)) | Error::Measuring(error) => of_running(error),
            Error::Encode(_) | Error::Encoder { .. } | Error::Decoder { .. } => ErrorKind::Usage,
            Error::Gpu(GpuError::Unavailable { .. } | GpuError::NoDevice { .. }) => ErrorKind::Usage,
            Error::Gpu(
                GpuError::OutOfMemory { .. } | GpuError::TooLarge { .. } | GpuError::Exhausted { .. },
            ) => ErrorKind::Resources,
            Error::Llama(error) => of_llama(error),
            Error::DoesNotFit { .. } => ErrorKind::Resources,
            Error::Gpu(_) => ErrorKind::Runtime,
            Error::Refused(_) => ErrorKind::Refused,
            Error::Run(RunError::OutOfMemory { .. }) => ErrorKind::Resources,
            Error::Run(_) | Error::Engine(_) | Error::Io { .. } => ErrorKind::Runtime,
        }
    }
}

/// What a device cannot do with a model is the model's fault; that it fails is not.
fn of_loading(error: &DeviceError) -> ErrorKind {
    match error {
        DeviceError::Unsupported { .. } | DeviceError::Weights { .. } => ErrorKind::Model,
        other => of_running(other),
    }
}

fn of_running(error: &DeviceError) -> ErrorKind {
    if error.is_short_of_memory() { ErrorKind::Resources } else { ErrorKind::Runtime }
}

/// A library that is missing or cannot do something was asked for by name.
fn of_llama(error: &model_loader::Error) -> ErrorKind {
    use model_loader::Error as Llama;
    match error {
        Llama::NoLibrary { .. }
        | Llama::Select(_)
        | Llama::ForeignBinary { .. }
        | Llama::CannotLoad { .. } => ErrorKind::Usage,
        Llama::MissingSymbols { .. } | Llama::AnotherLibrary { .. } | Llama::NoBackend { .. } => {
            ErrorKind::Usage
        }
        Llama::Architecture | Llama::UnknownLayout { .. } | Llama::Unsupported { .. } => ErrorKind::Usage,
        Llama::NoGpu { .. } | Llama::Option { .. } => ErrorKind::Usage,
        Llama::Format(_) | Llama::NoModel { .. } | Llama::NotGguf { .. } | Llama::Load { .. } => {
            ErrorKind::Model
        }
        Llama::Memory { .. } => ErrorKind::Resources,
        _ => ErrorKind::Runtime,
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 20) {
        mebibytes if mebibytes < 1024.0 => format!("{mebibytes:.1} MiB"),
        mebibytes => format!("{:.2} GiB", mebibytes / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorKind::{Model, Resources, Runtime};
    use super::*;

    #[test]
    fn a_device_that_fails_is_not_the_models_fault() {
        let loading =
            |source: DeviceError| Error::Model { path: "model".into(), source: source.into() }.kind();
        let running = |source: DeviceError| Error::Encode(source.into()).kind();
        let device = || "gpu".to_owned();
        let large = || DeviceError::TooLarge { device: device(), bytes: 2, what: "x".to_owned(), most: 1 };
        let failed = || DeviceError::Failed("the device was lost".to_owned());
        let exhausted = || DeviceError::Exhausted("the driver ran out of memory".to_owned());
        let unsupported =
            DeviceError::Unsupported { op: "heads of 4096 values".to_owned(), device: device() };
        assert_eq!([large(), exhausted(), failed()].map(running), [Resources, Resources, Runtime]);
        assert_eq!([large(), exhausted(), failed()].map(loading), [Resources, Resources, Runtime]);
        assert_eq!(loading(unsupported), Model);
        let (runner, reason) = (device(), "x".to_owned());
        assert_eq!(Error::Run(RunError::OutOfMemory { runner, reason }).kind(), Resources);
        assert_eq!(Error::Measuring(large()).kind(), Resources);
    }
}
