//! Reading the parts that families share, in both dialects: sizes, norms, and what is before and after the layers.
//!
//! What a file leaves out is filled in from the family's table of defaults ([`crate::arch::Family`]) by the
//! configuration, not here. A family corrects what it does otherwise in the specification it gets.

mod attention;
mod ffn;
pub(crate) mod moe;
mod rope;

pub(crate) use attention::{attention, attentions, kv_sources, rotate, sliding, sliding_layers, window};
pub use ffn::activation_name;
pub(crate) use ffn::{glu, glus, plain_mlp};
pub(crate) use rope::{RopeAsk, local_rope, rope};

use crate::ModelError;
use crate::config::{Config, Dialect, Key, key};
use crate::roles::{Part, Role};
use crate::spec::{LayerSpec, ModelSpec, NormSpec, NormWeight};
use torchless_device::Pairing;

/// Bounds that no real model comes near; they keep products of sizes within 64 bits.
pub(crate) const MAX_WIDTH: usize = 1 << 20;
pub(crate) const MAX_LAYERS: usize = 4096;
pub(crate) const MAX_CONTEXT: usize = 1 << 28;

const DIM: Key = key("embedding_length", &["hidden_size", "n_embd"]);
const LAYERS: Key = key("block_count", &["num_hidden_layers", "n_layer"]);
const CONTEXT: Key = key("context_length", &["max_position_embeddings", "n_positions"]);
const VOCAB: Key = key("vocab_size", &["vocab_size"]);
const TIED: Key = key("", &["tie_word_embeddings"]);
const RMS_EPS: Key = key("attention.layer_norm_rms_epsilon", &["rms_norm_eps"]);
const LAYER_EPS: Key = key(
    "attention.layer_norm_epsilon",
    &["layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"],
);
const GUESSING: Key = key("nextn_predict_layers", &["num_nextn_predict_layers", "num_mtp_layers"]);

/// What every decoder has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Width of the residual stream.
    pub dim: usize,
    /// Number of layers.
    pub layers: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Tokens in the vocabulary.
    pub vocab: usize,
}

pub(crate) fn sizes(c: &Config<'_>) -> Result<Sizes, ModelError> {
    Ok(Sizes {
        dim: c.need_size(DIM, MAX_WIDTH)?,
        layers: c.need_size(LAYERS, MAX_LAYERS)?,
        context: c.need_size(CONTEXT, MAX_CONTEXT)?,
        vocab: vocab(c)?,
    })
}

/// Sizes without the layers at the end that guess at tokens further on, and how many there are of these: GGUF counts them among the
/// layers, `config.json` does not.
pub(crate) fn without_guessing_layers(c: &Config<'_>, sizes: Sizes) -> Result<(Sizes, usize), ModelError> {
    let guessing = c.count(GUESSING, MAX_LAYERS)?.unwrap_or(0);
    if c.dialect == Dialect::Json {
        return Ok((sizes, guessing));
    }
    if guessing >= sizes.layers {
        return Err(c.bad(GUESSING, &format!("fewer than the {} layers", sizes.layers)));
    }
    Ok((Sizes { layers: sizes.layers - guessing, ..sizes }, guessing))
}

/// GGUF files often leave the key out: the embedding table has one row per token.
fn vocab(c: &Config<'_>) -> Result<usize, ModelError> {
    if let Some(n) = c.size(VOCAB, u32::MAX as usize)? {
        return Ok(n);
    }
    let table = match c.dialect {
        Dialect::Gguf => c.checkpoint().tensors.get("token_embd.weight").ok(),
        Dialect::Json => None,
    };
    match table {
        Some(t) => Ok(t.rows()),
        None => c.need_size(VOCAB, u32::MAX as usize),
    }
}

/// A root mean square norm.
pub(crate) fn rms(c: &Config<'_>) -> Result<NormSpec, ModelError> {
    Ok(NormSpec::rms(c.need_positive(RMS_EPS)?))
}

/// A layer norm with weight and bias.
pub(crate) fn layer_norm(c: &Config<'_>) -> Result<NormSpec, ModelError> {
    Ok(NormSpec::layer(c.need_positive(LAYER_EPS)?))
}

/// How a family's weights of norms are stored: GGUF has them whole.
pub(crate) fn less_one(c: &Config<'_>, norm: NormSpec) -> NormSpec {
    let weight = if c.dialect == Dialect::Json { NormWeight::LessOne } else { NormWeight::Plain };
    NormSpec { weight, ..norm }
}

/// Pairs are adjacent in GGUF, whose converters reorder rows, and halves elsewhere.
pub(crate) fn reordered(c: &Config<'_>) -> Pairing {
    if c.dialect == Dialect::Gguf { Pairing::Adjacent } else { Pairing::Halves }
}

/// A model of these layers, with a plain embedding and head.
pub(crate) fn model(
    c: &Config<'_>,
    sizes: Sizes,
    layers: Vec<LayerSpec>,
    final_norm: NormSpec,
) -> Result<ModelSpec, ModelError> {
    let tied_head = tied_head(c)?;
    Ok(ModelSpec {
        arch: c.arch.clone(),
        vocab: sizes.vocab,
        dim: sizes.dim,
        embed_scale: 1.0,
        learned_positions: None,
        token_inputs: None,
        streams: None,
        layers,
        final_norm,
        tied_head,
        head_bias: false,
        logit_scale: 1.0,
        logit_softcap: None,
        context: sizes.context,
        context_limit: None,
        skipped_layers: 0,
    })
}

/// Whether the embedding table is the head too. A head in the file is used whatever `config.json` says, as in transformers, unless it is a
/// copy of the table.
fn tied_head(c: &Config<'_>) -> Result<bool, ModelError> {
    let tensor = |role| match c.naming.find(role, None, Part::Weight) {
        Some(name) if c.has_tensor(&name) => c.checkpoint().tensors.get(&name).map(Some),
        _ => Ok(None),
    };
    if c.dialect == Dialect::Gguf {
        return Ok(!c.has(Role::Head, None, Part::Weight));
    }
    if !c.flag(TIED)?.unwrap_or(false) {
        return Ok(false);
    }
    let (Some(head), Some(table)) = (tensor(Role::Head)?, tensor(Role::TokenEmbedding)?) else {
        return Ok(true);
    };
    let same = head.same_values(table);
    // Having been compared is no reason to stay in memory.
    [head, table].iter().for_each(|tensor| tensor.data.release());
    Ok(same)
}

/// Whether a part has a bias: GGUF shows it by the tensor of the first layer, `config.json` by `flag`.
pub(crate) fn bias(c: &Config<'_>, role: Role, flag: Key<'_>) -> Result<bool, ModelError> {
    let stated = c.flag(flag)?.unwrap_or(false);
    Ok(match c.dialect {
        Dialect::Gguf => c.has(role, Some(0), Part::Bias),
        Dialect::Json => stated,
    })
}

/// Whether queries, keys and values have biases; in GGUF any family's may be one below the other in one tensor.
pub(crate) fn qkv_bias(c: &Config<'_>, flag: Key<'_>) -> Result<bool, ModelError> {
    Ok(bias(c, Role::Query, flag)? || bias(c, Role::FusedQkv, flag)?)
}
