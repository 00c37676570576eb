//! Seed-OSS: LLaMA with biases of q, k and v and heads of a width of their own.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::{Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Activation, Pairing};

const NAMES: Names = Names { gguf: &[(Role::FfnNorm, "blk.{}.post_attention_norm")], ..Names::USUAL };

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["seed_oss"],
    json: &["seed_oss"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(155136)),
        ("hidden_size", Int(4096)),
        ("intermediate_size", Int(27648)),
        ("num_hidden_layers", Int(64)),
        ("num_attention_heads", Int(80)),
        ("num_key_value_heads", Int(8)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(524288)),
        ("rms_norm_eps", Float(1e-06)),
        ("tie_word_embeddings", Bool(false)),
        ("attention_bias", Bool(true)),
        ("attention_out_bias", Bool(false)),
        ("mlp_bias", Bool(false)),
        ("head_dim", Int(128)),
    ],
    spec,
}];

const OUT_BIAS: Key = key("", &["attention_out_bias"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    if c.dialect == Dialect::Json {
        attn.out_bias = c.flag(OUT_BIAS)?.unwrap_or(false);
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
