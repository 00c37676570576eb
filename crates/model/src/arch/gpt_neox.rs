//! GPT-NeoX and Pythia: layer norms, partial rotation, a unit without a gate, both parts side by side with a norm each. In
//! safetensors rows of queries, keys and values take turns head by head.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::{Layout, Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, Wiring};
use torchless_device::{Activation, Pairing};

const NAMES: Names = Names {
    json: &[
        (Role::TokenEmbedding, "gpt_neox.embed_in"),
        (Role::FinalNorm, "gpt_neox.final_layer_norm"),
        (Role::Head, "embed_out"),
        (Role::MixerNorm, "gpt_neox.layers.{}.input_layernorm"),
        (Role::FusedQkv, "gpt_neox.layers.{}.attention.query_key_value"),
        (Role::MixerOut, "gpt_neox.layers.{}.attention.dense"),
        (Role::FfnNorm, "gpt_neox.layers.{}.post_attention_layernorm"),
        (Role::Up, "gpt_neox.layers.{}.mlp.dense_h_to_4h"),
        (Role::Down, "gpt_neox.layers.{}.mlp.dense_4h_to_h"),
    ],
    layout: Layout::HeadsTakeTurns,
    redundant: &[".attention.bias", ".attention.masked_bias"],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["gptneox"],
    json: &["gpt_neox"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(50432)),
        ("hidden_size", Int(6144)),
        ("num_hidden_layers", Int(44)),
        ("num_attention_heads", Int(64)),
        ("intermediate_size", Int(24576)),
        ("hidden_act", Text("gelu")),
        ("max_position_embeddings", Int(2048)),
        ("layer_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("use_parallel_residual", Bool(true)),
        ("attention_bias", Bool(true)),
        ("partial_rotary_factor", Float(0.25)),
    ],
    spec,
}];

const PARALLEL: Key = key("use_parallel_residual", &["use_parallel_residual"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::layer_norm(c)?;
    let mut attn = read::attention(c, &sizes)?;
    if c.dialect == Dialect::Gguf {
        (attn.qkv_bias, attn.out_bias) = (true, true);
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let ffn = Ffn::Dense(read::plain_mlp(c, Activation::Gelu, None)?);
    let parallel = c.flag(PARALLEL)?.unwrap_or(true);
    let wiring = if parallel { Wiring::ParallelTwoNorms } else { Wiring::PreNorm };
    let layer = LayerSpec { wiring, ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn) };
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
