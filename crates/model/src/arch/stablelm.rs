//! StableLM: layer norms, partial rotation, gated unit; some with norms per head and with both parts side by side.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::{Names, Part, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, NormSpec, NormedOver, QkNorm, Wiring};
use torchless_device::{Activation, Pairing};

/// The second gap is the head's number.
const NAMES: Names = Names {
    json: &[
        (Role::QueryNorm, "model.layers.{}.self_attn.q_layernorm.norms.{}"),
        (Role::KeyNorm, "model.layers.{}.self_attn.k_layernorm.norms.{}"),
    ],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["stablelm"],
    json: &["stablelm", "stablelm_epoch"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(50304)),
        ("intermediate_size", Int(6912)),
        ("hidden_size", Int(2560)),
        ("num_hidden_layers", Int(32)),
        ("num_attention_heads", Int(32)),
        ("num_key_value_heads", Int(32)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(4096)),
        ("layer_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("use_qkv_bias", Bool(false)),
        ("qk_layernorm", Bool(false)),
        ("use_parallel_residual", Bool(false)),
        ("partial_rotary_factor", Float(0.25)),
    ],
    spec,
}];

const QKV_BIAS: Key = key("", &["use_qkv_bias"]);
const QK_NORM: Key = key("", &["qk_layernorm"]);
const PARALLEL: Key = key("use_parallel_residual", &["use_parallel_residual"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::layer_norm(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.qkv_bias = read::qkv_bias(c, QKV_BIAS)?;
    let stated = c.flag(PARALLEL)?.unwrap_or(false);
    let (normed, parallel) = match c.dialect {
        // llama.cpp goes by the tensors.
        Dialect::Gguf => {
            let has = |role| c.has(role, Some(0), Part::Weight);
            (has(Role::QueryNorm), !has(Role::FfnNorm))
        }
        Dialect::Json => (c.flag(QK_NORM)?.unwrap_or(false), stated),
    };
    if normed {
        let norm = NormSpec { bias: false, ..norm };
        attn.qk_norm = Some(QkNorm { norm, over: NormedOver::HeadWithOwnWeight });
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let wiring = if parallel { Wiring::Parallel } else { Wiring::PreNorm };
    let layer = LayerSpec { wiring, ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn) };
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
