//! llama.cpp through its shared library: found, checked and called at run time, behind an interface that cannot be misused.
//!
//! ```no_run
//! # fn main() -> Result<(), model_loader::Error> {
//! use model_loader::{Model, ModelConfig};
//!
//! let config = ModelConfig::new("model.gguf")?.with_context_size(4096);
//! let model = Model::load(config)?;
//! let mut context = model.create_context()?;
//! let prompt = context.tokenize("Once upon a time", true)?;
//! println!("{}", context.generate(&prompt, 100)?.text);
//! # Ok(()) }
//! ```
//!
//! One build of this crate works with every release of the library from January 2025 on: what its parameters look like is measured
//! when it is loaded ([`Library::layouts`]), and options are set only where that is certain. A context borrows its model, a generation
//! its context, and what the library would end the process over is checked first. What it logs becomes events of `tracing`
//! under the target `llama.cpp`, its complaints become the words of errors.
//!
//! [`LlamaRunner`] puts the library behind the engine of torchless. This crate knows no templates but the library's own, no
//! firewall, and no network.

mod abi;
mod adapter;
mod batch;
mod binary;
mod cache;
mod chat;
mod config;
mod context;
mod embed;
mod error;
mod functions;
mod generate;
mod library;
mod logs;
mod lookup;
mod memory;
mod model;
mod quantize;
mod runner;
mod soundness;
mod state;
mod text;

pub use adapter::Adapter;
pub use batch::Batch;
pub use chat::{ChatMessage, Ending};
pub use config::{ContextConfig, KvType, ModelConfig, Pooling};
pub use context::{Canceller, Context};
pub use error::Error;
pub use generate::{Constrained, FinishReason, GenerateOptions, Generation, Reply};
pub use library::Library;
pub use lookup::{Places, VARIABLE};
pub use model::{Model, SpecialToken};
pub use quantize::{ColumnWeights, Quantization};
pub use runner::{LlamaRunner, LlamaRunnerOptions};
pub use state::State;
pub use torchless_base::{TokenId, Wanted};
pub use torchless_sampler::SamplerConfig;
