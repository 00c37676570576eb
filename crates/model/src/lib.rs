//! Model specifications, the one decoder, loading, and the native Runner.
//!
//! [`ModelSpec`] is plain data; a file per family under `arch` turns a checkpoint's metadata into it; the decoder
//! follows the data and knows no family. Weights live on a device and are known by handles.

#![forbid(unsafe_code)]

mod arch;
mod config;
mod decoder;
pub mod encoder;
mod error;
mod load;
mod memory;
pub mod own_words;
mod read;
mod roles;
mod rope;
mod runner;
mod spec;
pub mod translate;

pub use arch::known_architectures;
pub use decoder::Decoder;
pub use error::ModelError;
pub use load::{LoadOptions, Progress, ScaledAdapter, load};
pub use memory::MemoryNeed;
pub use read::activation_name;
pub use runner::{NativeRunner, RunnerOptions};
pub use spec::{
    AttnSpec, DeltaSpec, ExpertStorage, Ffn, KvSource, LatentSpec, LayerSpec, Mixer, MlpForm, MlpSpec,
    ModelSpec, MoeSpec, NormForm, NormSpec, NormWeight, NormedOver, QkNorm, RopeScaling, RopeSpec,
    SharedNamed, SharedSpec, StreamsSpec, TokenInputs, Wiring,
};

use torchless_formats::Checkpoint;

/// What the checkpoint's metadata says the model is.
///
/// # Errors
/// The architecture is unknown, a key is missing, of the wrong kind, out of range, or unknown although it may
/// change the result.
pub fn spec(checkpoint: &Checkpoint) -> Result<ModelSpec, ModelError> {
    arch::spec(checkpoint, None)
}

/// The same, taking the checkpoint for another architecture than its metadata names.
///
/// # Errors
/// As for [`spec`], and where there is no such architecture.
pub fn spec_as(checkpoint: &Checkpoint, architecture: &str) -> Result<ModelSpec, ModelError> {
    arch::spec(checkpoint, Some(architecture))
}

/// Keys of `config.json` that say nothing by the value that they have, in the family that the checkpoint is of, though they may in others.
///
/// # Errors
/// As for [`spec`].
pub fn idle_keys(checkpoint: &Checkpoint) -> Result<Vec<String>, ModelError> {
    arch::idle_keys(checkpoint)
}
