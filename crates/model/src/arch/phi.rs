//! Phi 1.5 and 2: attention and feed-forward part side by side off one layer norm, partial rotation, biases everywhere.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::{Names, Part, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, NormedOver, QkNorm, Wiring};
use torchless_device::{Activation, Pairing};

const NAMES: Names = Names {
    json: &[
        (Role::FinalNorm, "model.final_layernorm"),
        (Role::QueryNorm, "model.layers.{}.self_attn.q_layernorm"),
        (Role::KeyNorm, "model.layers.{}.self_attn.k_layernorm"),
        (Role::MixerOut, "model.layers.{}.self_attn.dense"),
        (Role::Up, "model.layers.{}.mlp.fc1"),
        (Role::Down, "model.layers.{}.mlp.fc2"),
    ],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["phi2"],
    json: &["phi"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(51200)),
        ("hidden_size", Int(2048)),
        ("intermediate_size", Int(8192)),
        ("num_hidden_layers", Int(24)),
        ("num_attention_heads", Int(32)),
        ("hidden_act", Text("gelu_new")),
        ("max_position_embeddings", Int(2048)),
        ("layer_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("qk_layernorm", Bool(false)),
        ("partial_rotary_factor", Float(0.5)),
    ],
    spec,
}];

const QK_NORM: Key = key("", &["qk_layernorm"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::layer_norm(c)?;
    let mut attn = read::attention(c, &sizes)?;
    (attn.qkv_bias, attn.out_bias) = (true, true);
    if c.flag(QK_NORM)?.unwrap_or(false) {
        attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Head });
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let ffn = Ffn::Dense(read::plain_mlp(c, Activation::GeluTanh, None)?);
    let layer =
        LayerSpec { wiring: Wiring::Parallel, ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn) };
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    let head_bias = c.dialect == Dialect::Json || c.has(Role::Head, None, Part::Bias);
    Ok(ModelSpec { context_limit, head_bias, ..model })
}
