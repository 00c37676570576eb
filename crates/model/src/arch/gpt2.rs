//! GPT-2: learned positions, layer norms, a unit without a gate. In safetensors matrices lie column by column.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Key, key};
use crate::read;
use crate::roles::{Layout, Names, Role};
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::Activation;

const NAMES: Names = Names {
    json: &[
        (Role::TokenEmbedding, "transformer.wte"),
        (Role::PositionEmbedding, "transformer.wpe"),
        (Role::FinalNorm, "transformer.ln_f"),
        (Role::MixerNorm, "transformer.h.{}.ln_1"),
        (Role::FusedQkv, "transformer.h.{}.attn.c_attn"),
        (Role::MixerOut, "transformer.h.{}.attn.c_proj"),
        (Role::FfnNorm, "transformer.h.{}.ln_2"),
        (Role::Up, "transformer.h.{}.mlp.c_fc"),
        (Role::Down, "transformer.h.{}.mlp.c_proj"),
    ],
    layout: Layout::Columns,
    redundant: &[".attn.bias", ".attn.masked_bias"],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["gpt2"],
    json: &["gpt2"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(50257)),
        ("n_positions", Int(1024)),
        ("n_embd", Int(768)),
        ("n_layer", Int(12)),
        ("n_head", Int(12)),
        ("activation_function", Text("gelu_new")),
        ("layer_norm_epsilon", Float(1e-05)),
        ("scale_attn_weights", Bool(true)),
        ("scale_attn_by_inverse_layer_idx", Bool(false)),
        ("reorder_and_upcast_attn", Bool(false)),
        ("add_cross_attention", Bool(false)),
        ("tie_word_embeddings", Bool(true)),
    ],
    spec,
}];

const SCALED: Key = key("", &["scale_attn_weights"]);
const SCALED_BY_LAYER: Key = key("", &["scale_attn_by_inverse_layer_idx"]);
const CROSS: Key = key("", &["add_cross_attention"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    if c.flag(CROSS)?.unwrap_or(false) {
        return Err(c.unsupported(CROSS, "false: a decoder on its own"));
    }
    let sizes = read::sizes(c)?;
    let norm = read::layer_norm(c)?;
    let mut attn = read::attention(c, &sizes)?;
    (attn.qkv_bias, attn.out_bias) = (true, true);
    if !c.flag(SCALED)?.unwrap_or(true) {
        attn.scale = 1.0;
    }
    let by_layer = c.flag(SCALED_BY_LAYER)?.unwrap_or(false);
    let ffn = Ffn::Dense(read::plain_mlp(c, Activation::GeluTanh, Some(4 * sizes.dim))?);
    let layer = |i: usize| {
        let scale = if by_layer { attn.scale / (i + 1) as f32 } else { attn.scale };
        LayerSpec::pre_norm(norm, Mixer::Attention(AttnSpec { scale, ..attn.clone() }), ffn.clone())
    };
    let model = read::model(c, sizes, (0..sizes.layers).map(layer).collect(), norm)?;
    Ok(ModelSpec { context_limit: Some(sizes.context), learned_positions: Some(sizes.context), ..model })
}
