//! Runs open-weight language models on this machine: the library people depend on.
//!
//! [`Model::open`] takes a GGUF, a safetensors folder or a native `.bin`; [`Model::admit`] offers a prompt to the
//! firewall, and [`Model::generate`] completes what was let in, as an iterator of [`Event`]s.

#![forbid(unsafe_code)]

mod bench;
mod ceilings;
mod chat;
mod encoder;
mod error;
mod export;
mod generation;
mod guarded;
mod judge;
mod llama;
mod model;
mod open;
mod opened;
mod parity;
mod perplexity;
mod placement;
mod prompt;
mod score;
mod shapes;
mod vocabulary;

pub use bench::BenchRun;
pub use ceilings::{Ceilings, CeilingsOf};
pub use chat::{checkpoint_template, now, render_options, rendered};
pub use encoder::{Candidates, Classes, Embedding, Encoder, Texts, TokenClasses};
pub use error::{Error, ErrorKind};
pub use export::{
    Calibrated, Calibration, Converted, FILE_TYPES, FileType, Importance, Overrides, Quantize, Quantized,
    Temporary, convert_to_folder, convert_to_gguf, convert_to_native, discard_temporaries, lossless,
    quantize, refuse_same, workplace, write_importance, write_temporary, write_whole,
};
pub use generation::{Canceller, DoneReason, Event, Generation, Summary};
pub use judge::ModelJudge;
pub use llama::{EngineKind, llama_library};
pub use model::{GenerateOptions, Model, default_max_tokens};
pub use open::{
    ModelOptions, RunPrecision, Source, check, kernel_tables, layout, open_runner, prefer_kernels, spec,
};
pub use parity::{
    Different, F32_TOLERANCE, HALF_TOLERANCE, Parity, ParityOptions, QUANTISED_TOLERANCE, parity,
};
pub use perplexity::{Perplexity, Stretches, perplexity};
pub use placement::{Layout, LayoutRow, MEMORY_FRACTION, Place, Placement, Split};
pub use prompt::Prompt;
pub use score::Scorer;
pub use shapes::{Mix, SHAPES, Shape};
pub(crate) use vocabulary::fits_vocab;
pub use vocabulary::{chat_template, check_ids, fits, tokenizer, tokenizer_at};

pub use llamafirewall as firewall;
pub use llamafirewall_core::{Admitted, Firewall, Message, Passed, Role};
pub use tabagent_hardware as hardware;
pub use torchless_base::{MOST_COUNTED, TokenId, counted};
pub use torchless_chat as conversation;
pub use torchless_device::{CacheType, MemoryGauge, MemoryNumbers, MemoryUse, Residency};
pub use torchless_device_gpu as gpu;
pub use torchless_formats as formats;
pub use torchless_model::encoder::{
    EncodeError, EncoderPrecision, EncoderSpec, EncoderText, HeadLevel, Pooling, Scores,
};
pub use torchless_model::{Ffn, MemoryNeed, Mixer, MlpForm, ModelSpec, RopeSpec};
pub use torchless_quant::TensorType;
pub use torchless_sampler::SamplerConfig;
pub use torchless_tokenizer::{Around, EncodeOptions, Special, Tokenizer};
