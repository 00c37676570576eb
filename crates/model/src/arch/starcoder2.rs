//! StarCoder 2: layer norms with biases, rotary embedding, a unit without a gate.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::{Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, MlpSpec, ModelSpec};
use torchless_device::{Activation, Pairing};

const NAMES: Names = Names {
    json: &[(Role::Up, "model.layers.{}.mlp.c_fc"), (Role::Down, "model.layers.{}.mlp.c_proj")],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["starcoder2"],
    json: &["starcoder2"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(49152)),
        ("hidden_size", Int(3072)),
        ("intermediate_size", Int(12288)),
        ("num_hidden_layers", Int(30)),
        ("num_attention_heads", Int(24)),
        ("num_key_value_heads", Int(2)),
        ("hidden_act", Text("gelu_pytorch_tanh")),
        ("max_position_embeddings", Int(4096)),
        ("norm_epsilon", Float(1e-05)),
        ("use_bias", Bool(true)),
        ("tie_word_embeddings", Bool(true)),
    ],
    spec,
}];

const USE_BIAS: Key = key("", &["use_bias"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::layer_norm(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let bias = c.dialect == Dialect::Gguf || c.flag(USE_BIAS)?.unwrap_or(true);
    (attn.qkv_bias, attn.out_bias) = (bias, bias);
    attn.window = read::window(c)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let mlp = read::plain_mlp(c, Activation::GeluTanh, None)?;
    let ffn = Ffn::Dense(MlpSpec { bias, down_bias: bias, ..mlp });
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
