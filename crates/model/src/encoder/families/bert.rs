//! BERT and those that changed its head or its embeddings: RoBERTa, XLM-R, ELECTRA.
//! Devlin et al. 2018, arXiv 1810.04805; Liu et al. 2019, arXiv 1907.11692; Clark et al. 2020, arXiv 2003.10555.

use super::super::keys::{Keys, MOST_LAYERS, MOST_POSITIONS, MOST_VOCAB, MOST_WIDTH, POSITIONS, VOCAB};
use super::super::names;
use super::super::spec::{
    EmbedProjection, EmbedSpec, EncoderFfn, EncoderLayer, EncoderSpec, EncoderWiring, FfnKind, HeadSpec,
    LayerNorm, Pooling, PositionOrder, PositionSpec, Transform, WithinSpec,
};
use super::Family;
use crate::ModelError;
use crate::config::{Config, Key, key};
use torchless_device::Activation;

pub(super) const BERT: Family = Family { archs: &["bert"], spec: bert, names: &[names::BERT] };
pub(super) const ROBERTA: Family =
    Family { archs: &["roberta", "xlm-roberta", "camembert"], spec: roberta, names: &[names::ROBERTA] };
pub(super) const ELECTRA: Family = Family { archs: &["electra"], spec: electra, names: &[names::ELECTRA] };

const DIM: Key<'static> = key("", &["hidden_size"]);
const EPS: Key<'static> = key("", &["layer_norm_eps"]);
const ACT: Key<'static> = key("", &["hidden_act"]);
const TYPES: Key<'static> = key("", &["type_vocab_size"]);
const PAD: Key<'static> = key("", &["pad_token_id"]);

/// Sizes where a file says nothing.
pub(super) struct Defaults {
    pub vocab: usize,
    pub dim: usize,
    pub layers: usize,
    pub heads: usize,
    pub hidden: usize,
    pub eps: f32,
}

const BASE: Defaults = Defaults { vocab: 30522, dim: 768, layers: 12, heads: 12, hidden: 3072, eps: 1e-12 };

/// What all of BERT's shape have.
pub(super) struct Body {
    pub vocab: usize,
    pub dim: usize,
    pub norm: LayerNorm,
    pub layers: Vec<EncoderLayer>,
    pub positions: usize,
}

/// Layers in BERT's wiring with BERT's keys.
pub(super) fn body(keys: &Keys<'_>, default: &Defaults) -> Result<Body, ModelError> {
    keys.only(&["is_decoder", "add_cross_attention"], false)?;
    keys.only_text(key("", &["position_embedding_type"]), "absolute")?;
    let dim = keys.size(DIM, default.dim, MOST_WIDTH)?;
    let heads = keys.size(key("", &["num_attention_heads"]), default.heads, MOST_WIDTH)?;
    let count = keys.size(key("", &["num_hidden_layers"]), default.layers, MOST_LAYERS)?;
    let norm = keys.norm(EPS, default.eps, true)?;
    let attention = attention(keys, dim, heads)?;
    let ffn = EncoderFfn {
        hidden: keys.size(key("", &["intermediate_size"]), default.hidden, MOST_WIDTH)?,
        act: keys.activation(ACT, Activation::Gelu)?,
        kind: FfnKind::Plain,
        bias: true,
    };
    let layer = post_norm(norm, attention, ffn);
    Ok(Body {
        vocab: keys.size(VOCAB, default.vocab, MOST_VOCAB)?,
        dim,
        norm,
        layers: vec![layer; count],
        positions: keys.size(POSITIONS, 512, MOST_POSITIONS)?,
    })
}

/// Attention of `heads` heads over `dim` values, with biases.
pub(super) fn attention(keys: &Keys<'_>, dim: usize, heads: usize) -> Result<WithinSpec, ModelError> {
    attention_of(keys.config, DIM, (dim, heads))
}

/// The same, where another key says how wide it is.
pub(super) fn attention_of(
    config: &Config<'_>,
    key: Key<'_>,
    (dim, heads): (usize, usize),
) -> Result<WithinSpec, ModelError> {
    if !dim.is_multiple_of(heads) {
        return Err(config.unsupported(key, &format!("a multiple of {heads} heads")));
    }
    let head_dim = dim / heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    Ok(WithinSpec { heads, head_dim, scale, rope_theta: None, window: None, qkv_bias: true, out_bias: true })
}

/// A layer that norms its sums.
pub(super) fn post_norm(norm: LayerNorm, attention: WithinSpec, ffn: EncoderFfn) -> EncoderLayer {
    EncoderLayer {
        wiring: EncoderWiring::PostNorm,
        attention_norm: Some(norm),
        attention,
        ffn_norm: norm,
        ffn,
    }
}

/// A matrix with bias and a function.
pub(super) fn dense(act: Activation) -> Transform {
    Transform { act, bias: true, norm: None }
}

/// The pooler of a model without head, where its file has one.
pub(super) fn pooler(keys: &Keys<'_>, head: Option<&HeadSpec>, prefix: &str) -> Option<Transform> {
    let has = |name: &str| keys.config.has_tensor(name) || keys.config.has_tensor(&format!("{prefix}{name}"));
    (head.is_none() && has("pooler.dense.weight")).then(|| dense(Activation::Tanh))
}

/// The table of token types; BERT's relatives have one row at least.
fn types(keys: &Keys<'_>) -> Result<Option<usize>, ModelError> {
    Ok(Some(keys.size(TYPES, 2, MOST_WIDTH)?))
}

fn finish(body: Body, embed: EmbedSpec, keys: &Keys<'_>) -> EncoderSpec {
    EncoderSpec {
        arch: keys.config.arch.clone(),
        vocab: body.vocab,
        dim: body.dim,
        context: context(&embed, body.positions),
        embed,
        layers: body.layers,
        distance: None,
        conv: None,
        final_norm: None,
        pooler: None,
        head: None,
    }
}

/// Tokens that the table of positions has rows for.
pub(super) fn context(embed: &EmbedSpec, positions: usize) -> usize {
    match embed.positions {
        Some(PositionSpec { rows, order: PositionOrder::AfterPadding { pad } }) => {
            rows.saturating_sub(pad as usize + 1)
        }
        _ => positions,
    }
}

fn bert(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let body = body(keys, &BASE)?;
    let positions = Some(PositionSpec { rows: body.positions, order: PositionOrder::Place });
    let embed =
        EmbedSpec { width: body.dim, positions, types: types(keys)?, norm: body.norm, projection: None };
    let head = keys.head((Pooling::First, Some(dense(Activation::Tanh))), None)?;
    let pooler = pooler(keys, head.as_ref(), names::BERT.prefix);
    Ok(EncoderSpec { head, pooler, ..finish(body, embed, keys) })
}

fn roberta(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let vocab = if keys.config.arch == "roberta" { 50265 } else { BASE.vocab };
    let body = body(keys, &Defaults { vocab, ..BASE })?;
    let pad = keys.config.count(PAD, MOST_VOCAB)?.unwrap_or(1) as u32;
    let order = PositionOrder::AfterPadding { pad };
    let positions = Some(PositionSpec { rows: body.positions, order });
    let embed =
        EmbedSpec { width: body.dim, positions, types: types(keys)?, norm: body.norm, projection: None };
    let head = keys.head((Pooling::First, Some(dense(Activation::Tanh))), None)?;
    let pooler = pooler(keys, head.as_ref(), names::ROBERTA.prefix);
    Ok(EncoderSpec { head, pooler, ..finish(body, embed, keys) })
}

fn electra(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let body = body(keys, &Defaults { dim: 256, heads: 4, hidden: 1024, ..BASE })?;
    let positions = Some(PositionSpec { rows: body.positions, order: PositionOrder::Place });
    let width = keys.size(key("", &["embedding_size"]), 128, MOST_WIDTH)?;
    let projection = (width != body.dim).then_some(EmbedProjection::AfterNorm);
    let embed = EmbedSpec { width, positions, types: types(keys)?, norm: body.norm, projection };
    // The function of the head is fixed: `summary_activation` belongs to another one.
    let head = keys.head((Pooling::First, Some(dense(Activation::Gelu))), None)?;
    Ok(EncoderSpec { head, ..finish(body, embed, keys) })
}
