//! NomicBERT: BERT with a rotary embedding and gated units. Nussbaum et al. 2024, arXiv 2402.01613.
//! Its files spell their keys as transformers does or as GPT-2 did.

use super::super::keys::{Keys, MOST_LAYERS, MOST_POSITIONS, MOST_VOCAB, MOST_WIDTH, VOCAB};
use super::super::names;
use super::super::spec::{EmbedSpec, EncoderFfn, EncoderSpec, FfnKind, Pooling, WithinSpec};
use super::Family;
use super::bert::{attention, dense, pooler, post_norm};
use crate::ModelError;
use crate::config::{Key, key};
use torchless_device::Activation;

pub(super) const FAMILY: Family =
    Family { archs: &["nomic_bert"], spec, names: &[names::NOMIC, names::NOMIC_SPLIT] };

const HEAD_DIM: Key<'static> = key("", &["head_dim"]);
const THETA: Key<'static> = key("", &["rope_parameters.rope_theta", "rope_theta", "rotary_emb_base"]);
const FRACTION: Key<'static> =
    key("", &["rotary_emb_fraction", "rope_parameters.partial_rotary_factor", "partial_rotary_factor"]);
const GPT_ACT: Key<'static> = key("", &["activation_function"]);
const ROPE_KINDS: [Key<'static>; 3] = [
    key("", &["rope_parameters.rope_type"]),
    key("", &["rope_scaling.rope_type"]),
    key("", &["rope_scaling.type"]),
];
/// What other models of the same code switch on.
const OFF: &[&str] = &[
    "causal",
    "mlp_fc1_bias",
    "mlp_fc2_bias",
    "parallel_block",
    "parallel_block_tied_norm",
    "prenorm",
    "qkv_proj_bias",
    "rotary_emb_interleaved",
    "scale_attn_by_inverse_layer_idx",
    "use_rms_norm",
];
/// How that code computes, not what.
const HOW: &[&str] = &[
    "dense_seq_output",
    "expert_choice_router",
    "fused_bias_fc",
    "fused_dropout_add_ln",
    "last_layer_subset",
    "max_trained_positions",
    "pad_vocab_size_multiple",
    "reorder_and_upcast_attn",
    "use_flash_attn",
    "use_xentropy",
];

fn spec(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    keys.only(OFF, false)?;
    keys.only(&["scale_attn_weights"], true)?;
    keys.config.disregard(HOW);
    let dim = keys.size(key("", &["hidden_size", "n_embd"]), 768, MOST_WIDTH)?;
    let count = keys.size(key("", &["num_hidden_layers", "n_layer"]), 12, MOST_LAYERS)?;
    let norm = keys.norm(key("", &["layer_norm_eps", "layer_norm_epsilon"]), 1e-12, true)?;
    let ffn = EncoderFfn {
        hidden: keys.size(key("", &["intermediate_size", "n_inner"]), 3072, MOST_WIDTH)?,
        act: gate(keys)?,
        kind: FfnKind::Gated,
        bias: false,
    };
    let context = keys.size(key("", &["max_position_embeddings", "n_positions"]), 2048, MOST_POSITIONS)?;
    let types = Some(keys.size(key("", &["type_vocab_size"]), 2, MOST_WIDTH)?);
    let head = keys.head((Pooling::First, Some(dense(Activation::Tanh))), None)?;
    Ok(EncoderSpec {
        arch: keys.config.arch.clone(),
        vocab: keys.size(VOCAB, 30528, MOST_VOCAB)?,
        dim,
        embed: EmbedSpec { width: dim, positions: None, types, norm, projection: None },
        layers: vec![post_norm(norm, rotary(keys, dim)?, ffn); count],
        distance: None,
        conv: None,
        final_norm: None,
        pooler: pooler(keys, head.as_ref(), names::NOMIC.prefix),
        head,
        context,
    })
}

fn rotary(keys: &Keys<'_>, dim: usize) -> Result<WithinSpec, ModelError> {
    for kind in ROPE_KINDS {
        keys.only_text(kind, "default")?;
    }
    if keys.config.positive(FRACTION)?.is_some_and(|f| f != 1.0) {
        return Err(keys.config.unsupported(FRACTION, "1"));
    }
    for scaling in [key("", &["rotary_scaling_factor"]), key("", &["rotary_emb_scale_base"])] {
        if keys.config.get(scaling).is_some() {
            return Err(keys.config.unsupported(scaling, "null"));
        }
    }
    let heads = keys.size(key("", &["num_attention_heads", "n_head"]), 12, MOST_WIDTH)?;
    let head_dim = match keys.config.size(HEAD_DIM, MOST_WIDTH)? {
        Some(head_dim) => head_dim,
        None => attention(keys, dim, heads)?.head_dim,
    };
    if head_dim % 2 == 1 || head_dim.saturating_mul(heads) > MOST_WIDTH {
        return Err(keys.config.unsupported(HEAD_DIM, "even numbers"));
    }
    Ok(WithinSpec {
        heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        rope_theta: Some(keys.config.positive(THETA)?.unwrap_or(1000.0)),
        window: None,
        qkv_bias: false,
        out_bias: false,
    })
}

/// The function of the gate, under either key.
fn gate(keys: &Keys<'_>) -> Result<Activation, ModelError> {
    match keys.config.text(GPT_ACT)? {
        Some("swiglu") => Ok(Activation::Silu),
        Some("geglu") => Ok(Activation::Gelu),
        Some(_) => Err(keys.config.unsupported(GPT_ACT, "swiglu, geglu")),
        None => keys.activation(key("", &["hidden_act"]), Activation::Silu),
    }
}
