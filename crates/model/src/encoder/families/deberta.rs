//! DeBERTa-v2 and v3: attention to content and to relative positions, disentangled. He et al. 2020, arXiv 2006.03654;
//! He et al. 2021, arXiv 2111.09543.

use super::super::keys::{Keys, MOST_POSITIONS, MOST_WIDTH, bad};
use super::super::names;
use super::super::spec::{
    ConvSpec, DisentangledSpec, DistanceMatrices, DistanceSpec, EmbedProjection, EmbedSpec, EncoderSpec,
    LayerNorm, Pooling, PositionOrder, PositionSpec,
};
use super::Family;
use super::bert::{Body, Defaults, body, dense};
use crate::ModelError;
use crate::config::{Key, key};
use serde_json::Value as Json;
use torchless_device::Activation;

pub(super) const FAMILY: Family = Family { archs: &["deberta-v2"], spec, names: &[names::DEBERTA] };

const DEFAULTS: Defaults =
    Defaults { vocab: 128100, dim: 1536, layers: 24, heads: 24, hidden: 6144, eps: 1e-7 };
const ATTENTION_TYPES: &str = "pos_att_type";
const HEAD_DIM: Key<'static> = key("", &["attention_head_size"]);
const BUCKETS: Key<'static> = key("", &["position_buckets"]);
const TAPS: Key<'static> = key("", &["conv_kernel_size"]);
const GROUPS: Key<'static> = key("", &["conv_groups"]);
const NORM_TABLE: Key<'static> = key("", &["norm_rel_ebd"]);
const POOLER_SIZE: Key<'static> = key("", &["pooler_hidden_size"]);
/// Distances and tables are held for each pair of positions that a text can have.
const MOST_DISTANCES: usize = 4096;

fn spec(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let mut body = body(keys, &DEFAULTS)?;
    let distance = distance(keys, &mut body)?;
    let head = head(keys, body.dim)?;
    Ok(EncoderSpec {
        arch: keys.config.arch.clone(),
        vocab: body.vocab,
        dim: body.dim,
        embed: embed(keys, &body)?,
        layers: body.layers,
        distance,
        conv: conv(keys, body.dim, body.norm)?,
        final_norm: None,
        pooler: None,
        head,
        context: body.positions,
    })
}

fn embed(keys: &Keys<'_>, body: &Body) -> Result<EmbedSpec, ModelError> {
    let width = keys.size(key("", &["embedding_size"]), body.dim, MOST_WIDTH)?;
    let types = keys.config.count(key("", &["type_vocab_size"]), MOST_WIDTH)?.unwrap_or(0);
    let absolute = keys.flag(key("", &["position_biased_input"]), true)?;
    Ok(EmbedSpec {
        width,
        positions: absolute.then_some(PositionSpec { rows: body.positions, order: PositionOrder::Place }),
        types: (types > 0).then_some(types),
        norm: body.norm,
        projection: (width != body.dim).then_some(EmbedProjection::BeforeNorm),
    })
}

/// What distances add, and the scale of the scores, in which each kind of product counts.
fn distance(keys: &Keys<'_>, body: &mut Body) -> Result<Option<DistanceSpec>, ModelError> {
    let (content_to_position, position_to_content) = attention_types(keys)?;
    let relative = keys.flag(key("", &["relative_attention"]), false)?;
    let table = table(keys, body)?;
    if relative {
        check_table(keys, body, &table)?;
    }
    let head_dim = keys.config.size(HEAD_DIM, MOST_WIDTH)?;
    let kinds = 1 + usize::from(content_to_position) + usize::from(position_to_content);
    for layer in &mut body.layers {
        let attention = &mut layer.attention;
        // The output projection has as many columns as hidden states have values.
        if head_dim.is_some_and(|d| d != attention.head_dim) {
            return Err(keys.config.unsupported(HEAD_DIM, &attention.head_dim.to_string()));
        }
        attention.scale = 1.0 / ((attention.head_dim * kinds) as f32).sqrt();
    }
    let shared = keys.flag(key("", &["share_att_key"]), false)?;
    let source = if shared { DistanceMatrices::Shared } else { DistanceMatrices::Own };
    let spec = DisentangledSpec { content_to_position, position_to_content, source, ..table };
    Ok(relative.then_some(DistanceSpec::Disentangled(spec)))
}

/// The sizes of the table of distances.
fn table(keys: &Keys<'_>, body: &Body) -> Result<DisentangledSpec, ModelError> {
    let most = key("", &["max_relative_positions"]);
    // Numbers below 1 stand for the default.
    let positive = |key: Key| match keys.config.get(key) {
        Some((crate::config::Value::Int(n), _)) if *n < 1 => Ok(None),
        _ => keys.config.size(key, MOST_POSITIONS),
    };
    let max_distance = positive(most)?.unwrap_or(body.positions);
    let count = positive(BUCKETS)?;
    let span = count.unwrap_or(max_distance);
    let norm = match keys.config.text(NORM_TABLE)? {
        None => None,
        Some(text) => {
            let words: Vec<_> = text.split('|').map(|w| w.trim().to_lowercase()).collect();
            if let Some(_other) = words.iter().find(|w| *w != "layer_norm" && *w != "none") {
                return Err(keys.config.unsupported(NORM_TABLE, "none, layer_norm"));
            }
            words.iter().any(|w| w == "layer_norm").then_some(LayerNorm { bias: true, ..body.norm })
        }
    };
    Ok(DisentangledSpec {
        span,
        buckets: count,
        max_distance,
        content_to_position: false,
        position_to_content: false,
        source: DistanceMatrices::Shared,
        norm,
    })
}

/// Refuses tables that are too large, and buckets that distances would not fill in order.
fn check_table(keys: &Keys<'_>, body: &Body, table: &DisentangledSpec) -> Result<(), ModelError> {
    if table.span > MOST_DISTANCES {
        let (what, supported) =
            (format!("{} relative positions", table.span), format!("up to {MOST_DISTANCES}"));
        return Err(ModelError::Unsupported { what, supported });
    }
    let out_of_order = |n: usize| table.max_distance <= n / 2 + 1 && body.positions > n / 2 + 1;
    if table.buckets.is_some_and(|n| n < 4 || out_of_order(n)) {
        return Err(keys.config.unsupported(BUCKETS, "4 to twice max_relative_positions"));
    }
    Ok(())
}

/// Whether queries and whether keys meet embedded distances: a list, or one text with bars.
fn attention_types(keys: &Keys<'_>) -> Result<(bool, bool), ModelError> {
    let Some(value) = keys.json(ATTENTION_TYPES) else { return Ok((false, false)) };
    let wrong = || bad(ATTENTION_TYPES, value, "c2p, p2c or both");
    let words: Vec<String> = match value {
        Json::String(text) => text.to_lowercase().split('|').map(|w| w.trim().to_owned()).collect(),
        Json::Array(list) => {
            let words: Option<_> = list.iter().map(|w| w.as_str().map(str::to_owned)).collect();
            words.ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    if words.iter().any(|w| w != "c2p" && w != "p2c") {
        return Err(wrong());
    }
    let has = |word: &str| words.iter().any(|w| w == word);
    Ok((has("c2p"), has("p2c")))
}

fn conv(keys: &Keys<'_>, dim: usize, norm: LayerNorm) -> Result<Option<ConvSpec>, ModelError> {
    let taps = keys.config.count(TAPS, 1024)?.unwrap_or(0);
    let groups = keys.size(GROUPS, 1, MOST_WIDTH)?;
    let act = keys.activation(key("", &["conv_act"]), Activation::Tanh)?;
    if taps == 0 {
        return Ok(None);
    }
    if taps % 2 == 0 {
        return Err(keys.config.unsupported(TAPS, "odd numbers"));
    }
    if !dim.is_multiple_of(groups) {
        return Err(keys.config.unsupported(GROUPS, &format!("divisors of {dim}")));
    }
    Ok(Some(ConvSpec { taps, groups, act, norm }))
}

fn head(keys: &Keys<'_>, dim: usize) -> Result<Option<super::super::spec::HeadSpec>, ModelError> {
    if keys.config.size(POOLER_SIZE, MOST_WIDTH)?.is_some_and(|n| n != dim) {
        return Err(keys.config.unsupported(POOLER_SIZE, &dim.to_string()));
    }
    let act = keys.activation(key("", &["pooler_hidden_act"]), Activation::Gelu)?;
    keys.head((Pooling::First, Some(dense(act))), None)
}
