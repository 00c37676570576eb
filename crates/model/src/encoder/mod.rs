//! Encoders: bidirectional transformers that classify, rerank and embed.
//!
//! As with decoders, [`EncoderSpec`] is plain data, a function per family under `families` makes it from `config.json`,
//! and one forward pass follows it on a device. There is no cache: a step takes whole texts, one after the other, without
//! padding.

mod distances;
mod error;
mod families;
mod forward;
mod handles;
mod keys;
mod load;
mod names;
mod precision;
mod spec;
mod workspaces;

pub use error::EncodeError;
pub use families::{is_encoder, known_encoders};
pub use forward::{Encoder, EncoderText, Want};
pub use load::{EncoderOptions, load_encoder};
pub use precision::EncoderPrecision;
pub use spec::{
    ConvSpec, DisentangledSpec, DistanceMatrices, DistanceSpec, EmbedProjection, EmbedSpec, EncoderFfn,
    EncoderLayer, EncoderSpec, EncoderWiring, FfnKind, HeadLevel, HeadSpec, LayerNorm, Pooling,
    PositionOrder, PositionSpec, Scores, Transform, WithinSpec,
};

use crate::ModelError;
use torchless_formats::Checkpoint;

/// What the checkpoint's metadata says the encoder is.
///
/// # Errors
/// The architecture is unknown, a key is of the wrong kind, out of range, or unknown although it may change the result.
pub fn encoder_spec(checkpoint: &Checkpoint) -> Result<EncoderSpec, ModelError> {
    Ok(families::read(checkpoint)?.0)
}
