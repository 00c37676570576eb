//! Grouped-query attention with its rotary embedding.

use super::{MAX_CONTEXT, MAX_WIDTH, Sizes, bias};
use crate::ModelError;
use crate::config::{Config, Key, key};
use crate::roles::Role;
use crate::spec::AttnSpec;

const HEADS: Key = key("attention.head_count", &["num_attention_heads", "n_head"]);
const KV_HEADS: Key = key("attention.head_count_kv", &["num_key_value_heads"]);
const HEAD_DIM: Key = key("attention.key_length", &["head_dim"]);
const V_DIM: Key = key("attention.value_length", &[]);
const ATTN_BIAS: Key = key("", &["attention_bias"]);
const WINDOW: Key = key("attention.sliding_window", &["sliding_window"]);
const LAYER_TYPES: Key = key("", &["layer_types"]);

/// The attention of all layers, where they have one: no positions, no window, no norms; biases as `attention_bias` says.
pub(crate) fn attention(c: &Config<'_>, sizes: &Sizes) -> Result<AttnSpec, ModelError> {
    let heads = c.need_size(HEADS, MAX_WIDTH)?;
    let kv_heads = c.size(KV_HEADS, MAX_WIDTH)?.unwrap_or(heads);
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
        qkv_bias: bias(c, Role::Query, ATTN_BIAS)?,
        qk_norm: None,
        inner_norm: None,
        out_bias: bias(c, Role::MixerOut, ATTN_BIAS)?,
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
