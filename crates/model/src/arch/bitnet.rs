//! BitNet b1.58: LLaMA with a norm before each output matrix. Files with weights quantised while they are loaded are refused
//! with their key; those with whole weights, and GGUF files of ternary types, run.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect};
use crate::read;
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, MlpSpec, ModelSpec};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["bitnet", "bitnet-b1.58", "bitnet-25"],
    json: &["bitnet"],
    names: Names::USUAL,
    defaults: &[
        ("rope_theta", Float(500000.0)),
        ("vocab_size", Int(128256)),
        ("hidden_size", Int(2560)),
        ("intermediate_size", Int(6912)),
        ("num_hidden_layers", Int(30)),
        ("num_attention_heads", Int(20)),
        ("num_key_value_heads", Int(5)),
        ("hidden_act", Text("relu2")),
        ("max_position_embeddings", Int(2048)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("attention_bias", Bool(false)),
    ],
    spec,
}];

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    attn.inner_norm = Some(norm);
    // The first models, which in GGUF have the shortest name, came before the squared activation.
    let first = c.dialect == Dialect::Gguf && c.arch == "bitnet";
    let mlp = read::glu(c, if first { Activation::Silu } else { Activation::ReluSquared })?;
    let ffn = Ffn::Dense(MlpSpec { inner_norm: Some(norm), ..mlp });
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
