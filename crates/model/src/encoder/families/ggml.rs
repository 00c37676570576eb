//! Encoders in GGUF, as llama.cpp's converter writes them: BERT with RoBERTa and XLM-R, whose tables of positions lack the rows
//! before the first there, and NomicBERT.

use super::super::keys::{Keys, MOST_LAYERS, MOST_POSITIONS, MOST_WIDTH};
use super::super::names;
use super::super::spec::{
    EmbedSpec, EncoderFfn, EncoderSpec, FfnKind, HeadLevel, HeadSpec, Pooling, PositionOrder, PositionSpec,
    Scores, WithinSpec,
};
use super::Family;
use super::bert::{attention_of, dense, post_norm};
use crate::ModelError;
use crate::config::{Config, Key, Value, key};
use torchless_device::Activation;

pub(super) const FAMILIES: &[Family] = &[
    Family { archs: &["bert"], spec: bert, names: &[names::GGML, names::GGML_FUSED] },
    Family { archs: &["nomic-bert"], spec: nomic, names: &[names::GGML_FUSED, names::GGML] },
];

const DIM: Key<'static> = key("embedding_length", &[]);
const LAYERS: Key<'static> = key("block_count", &[]);
const HEADS: Key<'static> = key("attention.head_count", &[]);
const KV_HEADS: Key<'static> = key("attention.head_count_kv", &[]);
const HIDDEN: Key<'static> = key("feed_forward_length", &[]);
const EPS: Key<'static> = key("attention.layer_norm_epsilon", &[]);
const CONTEXT: Key<'static> = key("context_length", &[]);
const CAUSAL: Key<'static> = key("attention.causal", &[]);
const THETA: Key<'static> = key("rope.freq_base", &[]);
const TURNED: Key<'static> = key("rope.dimension_count", &[]);
const SCALING: Key<'static> = key("rope.scaling.type", &[]);
const EVERY: Key<'static> = key("moe_every_n_layers", &[]);
const POOLING: Key<'static> = key("pooling_type", &[]);
const LABELS: Key<'static> = key("classifier.output_labels", &[]);
const FEWER: &str = "as many as query heads";

fn bert(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let (c, spec) = (keys.config, body(keys, FfnKind::Plain, Activation::Gelu)?);
    let rows = rows(c, "position_embd.weight")?;
    let positions = Some(PositionSpec { rows, order: PositionOrder::Place });
    let embed = EmbedSpec { positions, ..spec.embed };
    Ok(EncoderSpec { embed, context: spec.context.min(rows), head: head(c)?, ..spec })
}

fn nomic(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let c = keys.config;
    if c.count(EVERY, MOST_LAYERS)?.unwrap_or(0) > 0 {
        return Err(c.unsupported(EVERY, "0"));
    }
    if c.text(SCALING)?.is_some_and(|kind| kind != "none") {
        return Err(c.unsupported(SCALING, "none"));
    }
    let mut spec = body(keys, FfnKind::Gated, Activation::Silu)?;
    let theta = c.positive(THETA)?.unwrap_or(10000.0);
    for layer in &mut spec.layers {
        let turned = c.size(TURNED, MOST_WIDTH)?.unwrap_or(layer.attention.head_dim);
        if turned != layer.attention.head_dim || turned % 2 == 1 {
            return Err(c.unsupported(TURNED, "the whole head, and even"));
        }
        layer.attention.rope_theta = Some(theta);
    }
    Ok(EncoderSpec { head: head(c)?, ..spec })
}

/// What they share. Biases are there or not as the first layer has them, in all layers alike.
fn body(keys: &Keys<'_>, kind: FfnKind, act: Activation) -> Result<EncoderSpec, ModelError> {
    let c = keys.config;
    // How texts become vectors is the business of whoever embeds.
    c.pass(POOLING);
    if c.flag(CAUSAL)? == Some(true) {
        return Err(c.unsupported(CAUSAL, "false"));
    }
    let (dim, heads) = (c.need_size(DIM, MOST_WIDTH)?, c.need_size(HEADS, MOST_WIDTH)?);
    if c.size(KV_HEADS, MOST_WIDTH)?.is_some_and(|kv_heads| kv_heads != heads) {
        return Err(c.unsupported(KV_HEADS, FEWER));
    }
    let has = |name: &str| c.has_tensor(&format!("blk.0.{name}.bias"));
    let attention = WithinSpec {
        qkv_bias: has("attn_q") || has("attn_qkv"),
        out_bias: has("attn_output"),
        ..attention_of(c, DIM, (dim, heads))?
    };
    let ffn = EncoderFfn { hidden: c.need_size(HIDDEN, MOST_WIDTH)?, act, kind, bias: has("ffn_up") };
    let norm = keys.norm(EPS, 1e-12, true)?;
    let types = c.has_tensor("token_types.weight").then(|| rows(c, "token_types.weight")).transpose()?;
    Ok(EncoderSpec {
        arch: c.arch.clone(),
        vocab: rows(c, "token_embd.weight")?,
        dim,
        embed: EmbedSpec { width: dim, positions: None, types, norm, projection: None },
        layers: vec![post_norm(norm, attention, ffn); c.need_size(LAYERS, MOST_LAYERS)?],
        distance: None,
        conv: None,
        final_norm: None,
        pooler: None,
        head: None,
        context: c.need_size(CONTEXT, MOST_POSITIONS)?,
    })
}

/// Rows of a table, which its shape alone says in every file.
fn rows(c: &Config<'_>, name: &str) -> Result<usize, ModelError> {
    match c.checkpoint().tensors.get(name)?.shape[..] {
        [rows, _] => Ok(rows),
        ref shape => {
            let name = name.to_owned();
            Err(ModelError::Shape { name, found: shape.to_vec(), expected: vec![0, 0] })
        }
    }
}

/// A classifier of the first token, where the file has one: rerankers do.
fn head(c: &Config<'_>) -> Result<Option<HeadSpec>, ModelError> {
    let named = match c.get(LABELS) {
        Some((Value::List(list), _)) => Some(c.texts(LABELS, list.len())?.unwrap_or_default()),
        _ => None,
    };
    if !c.has_tensor("cls.output.weight") {
        return Ok(None);
    }
    let count = rows(c, "cls.output.weight")?;
    let labels = named.filter(|labels| labels.len() == count);
    let labels = labels.unwrap_or_else(|| (0..count).map(|i| format!("LABEL_{i}")).collect());
    let scores = if count == 1 { Scores::Sigmoid } else { Scores::Softmax };
    let transform = Some(dense(Activation::Tanh));
    Ok(Some(HeadSpec { level: HeadLevel::Text(Pooling::First), transform, labels, scores }))
}
