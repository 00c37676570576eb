//! LLaMA 1 to 3.3 and Mistral: pre-norm, grouped-query attention, SwiGLU. In GGUF both are `llama`.
//!
//! GGUF stores q and k with the rows of each head reordered so that rotated pairs are adjacent; safetensors and
//! the native format keep halves.

use super::Family;
use crate::ModelError;
use crate::config::{Config, Dialect, Key, key};
use crate::spec::{
    AttnSpec, Ffn, LayerSpec, Mixer, MlpSpec, ModelSpec, NormSpec, RopeScaling, RopeSpec, Wiring,
};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILY: Family = Family { gguf: &["llama"], json: &["llama", "mistral"], spec };

/// Bounds that no real model comes near; they keep products of sizes within 64 bits.
const MAX_WIDTH: usize = 1 << 20;
const MAX_LAYERS: usize = 4096;
const MAX_CONTEXT: usize = 1 << 28;

const DIM: Key = key("embedding_length", &["hidden_size"]);
const LAYERS: Key = key("block_count", &["num_hidden_layers"]);
const HEADS: Key = key("attention.head_count", &["num_attention_heads"]);
const KV_HEADS: Key = key("attention.head_count_kv", &["num_key_value_heads"]);
const HEAD_DIM: Key = key("attention.key_length", &["head_dim"]);
const V_DIM: Key = key("attention.value_length", &[]);
const HIDDEN: Key = key("feed_forward_length", &["intermediate_size"]);
const EPS: Key = key("attention.layer_norm_rms_epsilon", &["rms_norm_eps"]);
const CONTEXT: Key = key("context_length", &["max_position_embeddings"]);
const VOCAB: Key = key("vocab_size", &["vocab_size"]);
const WINDOW: Key = key("attention.sliding_window", &["sliding_window"]);
const EXPERTS: Key = key("expert_count", &["num_local_experts"]);
const EXPERTS_USED: Key = key("expert_used_count", &["num_experts_per_tok"]);
const ACT: Key = key("", &["hidden_act"]);
const TIED: Key = key("", &["tie_word_embeddings"]);
const ATTN_BIAS: Key = key("", &["attention_bias"]);
const MLP_BIAS: Key = key("", &["mlp_bias"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    if c.count(EXPERTS, MAX_WIDTH)?.unwrap_or(0) > 0 {
        return Err(c.unsupported(EXPERTS, "dense models, 0 experts"));
    }
    c.count(EXPERTS_USED, MAX_WIDTH)?;
    let dim = c.need_size(DIM, MAX_WIDTH)?;
    let eps = match c.dialect {
        Dialect::Gguf => c.need_positive(EPS)?,
        Dialect::Json => c.positive(EPS)?.unwrap_or(1e-6),
    };
    let context = c.need_size(CONTEXT, MAX_CONTEXT)?;
    let norm = NormSpec::Rms { eps };
    let (attention, context_limit) = attention(c, dim, context)?;
    let layer = LayerSpec {
        wiring: Wiring::PreNorm,
        norm,
        mixer: Mixer::Attention(attention),
        ffn: Ffn::Dense(mlp(c)?),
    };
    let layers = c.need_size(LAYERS, MAX_LAYERS)?;
    Ok(ModelSpec {
        arch: c.arch.clone(),
        vocab: vocab(c)?,
        dim,
        embed_scale: 1.0,
        layers: vec![layer; layers],
        final_norm: norm,
        tied_head: tied(c)?,
        logit_scale: 1.0,
        logit_softcap: None,
        context,
        context_limit,
    })
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

fn tied(c: &Config<'_>) -> Result<bool, ModelError> {
    match c.dialect {
        Dialect::Gguf => Ok(!c.has_tensor("output.weight")),
        Dialect::Json => Ok(c.flag(TIED)?.unwrap_or(false)),
    }
}

fn mlp(c: &Config<'_>) -> Result<MlpSpec, ModelError> {
    let act = match c.text(ACT)? {
        None | Some("silu" | "swish") => Activation::Silu,
        Some(_) => return Err(c.unsupported(ACT, "silu")),
    };
    let bias = match c.dialect {
        Dialect::Gguf => c.has_tensor("blk.0.ffn_gate.bias"),
        Dialect::Json => c.flag(MLP_BIAS)?.unwrap_or(false),
    };
    Ok(MlpSpec { hidden: c.need_size(HIDDEN, MAX_WIDTH * 16)?, act, bias })
}

fn attention(c: &Config<'_>, dim: usize, context: usize) -> Result<(AttnSpec, Option<usize>), ModelError> {
    let heads = c.need_size(HEADS, MAX_WIDTH)?;
    let kv_heads = match c.size(KV_HEADS, MAX_WIDTH)? {
        Some(n) => n,
        None if c.arch == "mistral" => 8,
        None => heads,
    };
    if !heads.is_multiple_of(kv_heads) {
        return Err(bad(c, KV_HEADS, kv_heads, format!("a divisor of the {heads} query heads")));
    }
    let head_dim = match c.size(HEAD_DIM, MAX_WIDTH)? {
        Some(n) => n,
        None if dim.is_multiple_of(heads) => dim / heads,
        None => return Err(bad(c, HEADS, heads, format!("a divisor of the width {dim}"))),
    };
    let v_dim = c.size(V_DIM, MAX_WIDTH)?.unwrap_or(head_dim);
    let (rope, context_limit) = rope(c, head_dim, context)?;
    let (qkv_bias, out_bias) = match c.dialect {
        Dialect::Gguf => (c.has_tensor("blk.0.attn_q.bias"), c.has_tensor("blk.0.attn_output.bias")),
        Dialect::Json => {
            let bias = c.flag(ATTN_BIAS)?.unwrap_or(false);
            (bias, bias)
        }
    };
    let scale = 1.0 / (head_dim as f32).sqrt();
    let window = window(c)?;
    let attn =
        AttnSpec { heads, kv_heads, head_dim, v_dim, scale, rope: Some(rope), window, qkv_bias, out_bias };
    Ok((attn, context_limit))
}

/// transformers gives Mistral a window of 4096 where the key is absent, and none where it is null; the two look
/// alike here, and files that mean the default spell it out.
fn window(c: &Config<'_>) -> Result<Option<usize>, ModelError> {
    Ok(c.count(WINDOW, MAX_CONTEXT)?.filter(|&w| w > 0))
}

fn bad(c: &Config<'_>, k: Key, found: usize, expected: String) -> ModelError {
    let key = match c.dialect {
        Dialect::Gguf => format!("{}.{}", c.arch, k.gguf),
        Dialect::Json => k.json.first().copied().unwrap_or_default().to_owned(),
    };
    ModelError::BadValue { key, found: found.to_string(), expected }
}

const THETA: Key = key("rope.freq_base", &["rope_parameters.rope_theta", "rope_theta"]);
const ROPE_DIMS: Key = key("rope.dimension_count", &[]);
const SCALING: Key = key(
    "rope.scaling.type",
    &["rope_parameters.rope_type", "rope_parameters.type", "rope_scaling.rope_type", "rope_scaling.type"],
);
const FACTOR: Key = key("rope.scaling.factor", &["rope_parameters.factor", "rope_scaling.factor"]);
const ORIGINAL: Key = key(
    "rope.scaling.original_context_length",
    &["rope_parameters.original_max_position_embeddings", "rope_scaling.original_max_position_embeddings"],
);
const LOW: Key = key("", &["rope_parameters.low_freq_factor", "rope_scaling.low_freq_factor"]);
const HIGH: Key = key("", &["rope_parameters.high_freq_factor", "rope_scaling.high_freq_factor"]);
const BETA_FAST: Key =
    key("rope.scaling.yarn_beta_fast", &["rope_parameters.beta_fast", "rope_scaling.beta_fast"]);
const BETA_SLOW: Key =
    key("rope.scaling.yarn_beta_slow", &["rope_parameters.beta_slow", "rope_scaling.beta_slow"]);
const ATTN_FACTOR: Key =
    key("rope.scaling.attn_factor", &["rope_parameters.attention_factor", "rope_scaling.attention_factor"]);
const TRUNCATE: Key = key("", &["rope_parameters.truncate", "rope_scaling.truncate"]);
const SCALINGS: &str = "default, linear, dynamic, yarn, llama3";

fn rope(c: &Config<'_>, head_dim: usize, context: usize) -> Result<(RopeSpec, Option<usize>), ModelError> {
    let dims = c.size(ROPE_DIMS, head_dim)?.unwrap_or(head_dim);
    if !dims.is_multiple_of(2) {
        return Err(bad(
            c,
            if c.dialect == Dialect::Gguf { ROPE_DIMS } else { HEAD_DIM },
            dims,
            "even".to_owned(),
        ));
    }
    let theta = c.positive(THETA)?.unwrap_or(10000.0);
    let (scaling, limit) = scaling(c, context)?;
    let (pairing, factors) = match c.dialect {
        Dialect::Gguf => (Pairing::Adjacent, factors(c, dims / 2)?),
        Dialect::Json => (Pairing::Halves, None),
    };
    Ok((RopeSpec { theta, dims, pairing, scaling, factors }, limit))
}

/// GGUF carries LLaMA 3's scaling as one divisor per pair.
fn factors(c: &Config<'_>, pairs: usize) -> Result<Option<Vec<f32>>, ModelError> {
    if !c.has_tensor("rope_freqs.weight") {
        return Ok(None);
    }
    let values = crate::load::vector(c.checkpoint().tensors.get("rope_freqs.weight")?, pairs)?;
    if values.iter().any(|f| !f.is_finite() || *f <= 0.0) {
        let (key, found) = ("rope_freqs.weight".to_owned(), "a divisor that is not above 0".to_owned());
        return Err(ModelError::BadValue { key, found, expected: "finite divisors above 0".to_owned() });
    }
    Ok(Some(values))
}

fn scaling(c: &Config<'_>, context: usize) -> Result<(RopeScaling, Option<usize>), ModelError> {
    let kind = c.text(SCALING)?;
    if matches!(kind, None | Some("default" | "none")) {
        return Ok((RopeScaling::None, None));
    }
    // Asked for once the kind is known to have one.
    let factor = || c.need_positive(FACTOR);
    let original = c.size(ORIGINAL, MAX_CONTEXT)?;
    match kind {
        Some("linear") => Ok((RopeScaling::Linear { factor: factor()? }, None)),
        // Frequencies depend on the length of the text beyond the original context, and what is in the cache
        // would have to turn again: within it nothing changes, beyond it is an error.
        Some("dynamic") => factor().map(|_| (RopeScaling::None, Some(original.unwrap_or(context)))),
        Some("yarn") => Ok((yarn(c, factor()?, original.unwrap_or(context))?, None)),
        Some("llama3") => {
            let factor = factor()?;
            let (low, high) = (c.need_positive(LOW)?, c.need_positive(HIGH)?);
            if high <= low {
                return Err(bad_pair(high, low));
            }
            let original = c.need_size(ORIGINAL, MAX_CONTEXT)?;
            Ok((RopeScaling::Llama3 { factor, low, high, original }, None))
        }
        _ => Err(c.unsupported(SCALING, SCALINGS)),
    }
}

fn bad_pair(high: f32, low: f32) -> ModelError {
    let (key, found) = ("high_freq_factor".to_owned(), high.to_string());
    ModelError::BadValue { key, found, expected: format!("more than low_freq_factor, which is {low}") }
}

fn yarn(c: &Config<'_>, factor: f32, original: usize) -> Result<RopeScaling, ModelError> {
    let stretch = 0.1 * factor.ln() + 1.0;
    let given = c.positive(ATTN_FACTOR)?;
    let magnitude = match c.dialect {
        Dialect::Gguf => given.unwrap_or(1.0) * stretch,
        Dialect::Json => given.unwrap_or(stretch),
    };
    Ok(RopeScaling::Yarn {
        factor,
        original,
        beta_fast: c.positive(BETA_FAST)?.unwrap_or(32.0),
        beta_slow: c.positive(BETA_SLOW)?.unwrap_or(1.0),
        magnitude,
        truncate: c.flag(TRUNCATE)?.unwrap_or(true),
    })
}
