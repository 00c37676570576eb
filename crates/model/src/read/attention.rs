//! Grouped-query attention with its rotary embedding.

use super::{MAX_CONTEXT, MAX_LAYERS, MAX_WIDTH, RopeAsk, Sizes, bias, qkv_bias, rope};
use crate::ModelError;
use crate::config::{Config, Key, Value, key};
use crate::roles::Role;
use crate::spec::{AttnSpec, KvSource};
use torchless_device::Pairing;

const HEADS: Key = key("attention.head_count", &["num_attention_heads", "n_head"]);
const KV_HEADS: Key = key("attention.head_count_kv", &["num_key_value_heads"]);
const HEAD_DIM: Key = key("attention.key_length", &["head_dim"]);
const V_DIM: Key = key("attention.value_length", &[]);
const ATTN_BIAS: Key = key("", &["attention_bias"]);
const WINDOW: Key = key("attention.sliding_window", &["sliding_window"]);
const PATTERN: Key =
    key("attention.sliding_window_pattern", &["sliding_window_pattern", "_sliding_window_pattern"]);
const LAYER_TYPES: Key = key("", &["layer_types"]);

/// The attention of all layers, where they have one: no positions, no window, no norms; biases as `attention_bias` says.
pub(crate) fn attention(c: &Config<'_>, sizes: &Sizes) -> Result<AttnSpec, ModelError> {
    let heads = c.need_size(HEADS, MAX_WIDTH)?;
    let kv_heads = c.size(KV_HEADS, MAX_WIDTH)?.unwrap_or(heads);
    with_heads(c, sizes, (heads, kv_heads))
}

/// The same of layers that may differ in their number of heads for keys and values.
pub(crate) fn attentions(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<AttnSpec>, ModelError> {
    let heads = c.need_size(HEADS, MAX_WIDTH)?;
    let kv_heads = c.counts(KV_HEADS, sizes.layers, MAX_WIDTH)?.unwrap_or_else(|| vec![heads; sizes.layers]);
    kv_heads.into_iter().map(|kv_heads| with_heads(c, sizes, (heads, kv_heads))).collect()
}

fn with_heads(
    c: &Config<'_>,
    sizes: &Sizes,
    (heads, kv_heads): (usize, usize),
) -> Result<AttnSpec, ModelError> {
    if !heads.is_multiple_of(kv_heads) {
        return Err(c.bad(KV_HEADS, &format!("a divisor of the {heads} query heads")));
    }
    let head_dim = match c.size(HEAD_DIM, MAX_WIDTH)? {
        Some(n) => n,
        None if sizes.dim.is_multiple_of(heads) => sizes.dim / heads,
        None => return Err(c.bad(HEADS, &format!("a divisor of the width {}", sizes.dim))),
    };
    Ok(AttnSpec {
        heads,
        kv_heads,
        head_dim,
        v_dim: c.size(V_DIM, MAX_WIDTH)?.unwrap_or(head_dim),
        scale: 1.0 / (head_dim as f32).sqrt(),
        rope: None,
        window: None,
        softcap: None,
        sinks: false,
        gated: false,
        qkv_bias: qkv_bias(c, ATTN_BIAS)?,
        clip: None,
        qk_norm: None,
        inner_norm: None,
        out_bias: bias(c, Role::MixerOut, ATTN_BIAS)?,
        v_norm: None,
        kv: KvSource::Own,
    })
}

/// The sliding window where the file has one; 0 means none.
pub(crate) fn window(c: &Config<'_>) -> Result<Option<usize>, ModelError> {
    Ok(c.count(WINDOW, MAX_CONTEXT)?.filter(|&w| w > 0))
}

/// What `layer_types` says: whether each layer slides. `None` where the file has no such list.
pub(crate) fn sliding_layers(c: &Config<'_>, sizes: &Sizes) -> Result<Option<Vec<bool>>, ModelError> {
    let Some(types) = c.texts(LAYER_TYPES, sizes.layers)? else { return Ok(None) };
    let slides = |ty: &String| match ty.as_str() {
        "sliding_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    };
    let all: Option<Vec<_>> = types.iter().map(slides).collect();
    all.map(Some).ok_or_else(|| c.bad(LAYER_TYPES, "sliding_attention or full_attention for each layer"))
}

/// Which layers slide: as `layer_types` says, or a list in GGUF, or all but the last of each turn of `usual` layers unless a
/// key gives another length.
pub(crate) fn sliding(c: &Config<'_>, sizes: &Sizes, usual: usize) -> Result<Vec<bool>, ModelError> {
    let types = sliding_layers(c, sizes)?;
    let own = match c.get(PATTERN) {
        Some((Value::List(_), _)) => c.flags(PATTERN, sizes.layers)?,
        _ => None,
    };
    let pattern = if own.is_some() { 0 } else { c.count(PATTERN, MAX_LAYERS)?.unwrap_or(usual) };
    let turns = || (1..=sizes.layers).map(|i| pattern == 0 || !i.is_multiple_of(pattern)).collect();
    Ok(types.or(own).unwrap_or_else(turns))
}

/// Where layers find keys and values of which only the first `own` have any: the others take them from the last one of those that
/// slides, or does not, as they do themselves. `None` where there is no such layer.
pub(crate) fn kv_sources(slides: &[bool], own: usize) -> Option<Vec<KvSource>> {
    let earlier = |here| slides[..own].iter().rposition(|slides| *slides == here).map(KvSource::Layer);
    let source = |(i, here): (usize, &bool)| if i < own { Some(KvSource::Own) } else { earlier(*here) };
    slides.iter().enumerate().map(source).collect()
}

/// Gives the attention its rotary embedding; what comes back is the limit of positions.
pub(crate) fn rotate(
    c: &Config<'_>,
    sizes: &Sizes,
    attn: &mut AttnSpec,
    pairing: Pairing,
) -> Result<Option<usize>, ModelError> {
    let ask = RopeAsk { head_dim: attn.head_dim, context: sizes.context, pairing, layer_type: None };
    let (spec, limit) = rope(c, ask)?;
    attn.rope = Some(spec);
    Ok(limit)
}
