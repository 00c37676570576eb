//! ERNIE 4.5: LLaMA that rotates neighbours.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, MlpSpec, ModelSpec};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["ernie4_5"],
    json: &["ernie4_5"],
    names: Names::USUAL,
    defaults: &[
        ("rope_theta", Float(500000.0)),
        ("vocab_size", Int(103424)),
        ("hidden_size", Int(1024)),
        ("intermediate_size", Int(3072)),
        ("num_hidden_layers", Int(18)),
        ("num_attention_heads", Int(16)),
        ("num_key_value_heads", Int(2)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(131072)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(true)),
        ("use_bias", Bool(false)),
        ("head_dim", Int(128)),
    ],
    spec,
}];

const USE_BIAS: Key = key("", &["use_bias"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let mut mlp = read::glu(c, Activation::Silu)?;
    if c.dialect == Dialect::Json {
        let bias = c.flag(USE_BIAS)?.unwrap_or(false);
        (attn.qkv_bias, attn.out_bias) = (bias, bias);
        mlp = MlpSpec { bias, down_bias: bias, ..mlp };
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Adjacent)?;
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), Ffn::Dense(mlp));
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
