//! Phi 3 to 4: LLaMA whose matrices of queries, keys and values, and of gate and up, are one in the file; longrope.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect};
use crate::read;
use crate::roles::{Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Activation, Pairing};

const NAMES: Names = Names { gguf: &[(Role::FusedGateUp, "blk.{}.ffn_up")], ..Names::USUAL };

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["phi3"],
    json: &["phi3"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(32064)),
        ("hidden_size", Int(3072)),
        ("intermediate_size", Int(8192)),
        ("num_hidden_layers", Int(32)),
        ("num_attention_heads", Int(32)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(4096)),
        ("original_max_position_embeddings", Int(4096)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
    ],
    spec,
}];

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    // Converters have not agreed on what the key means for these, and llama.cpp passes it over.
    attn.window = read::window(c)?.filter(|_| c.dialect == Dialect::Json);
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
