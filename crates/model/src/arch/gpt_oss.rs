//! gpt-oss: sinks in attention, windows in every second layer, experts with biases and a clamped gate.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, moe};
use crate::roles::{Names, Role};
use crate::spec::{AttnSpec, ExpertStorage, Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Gating, Pairing, Score};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["gpt-oss"],
    json: &["gpt_oss"],
    names: Names {
        gguf: &[(Role::FfnNorm, "blk.{}.post_attention_norm")],
        json: &[(Role::Router, "model.layers.{}.mlp.router")],
        ..Names::USUAL
    },
    defaults: &[
        ("rope_theta", Float(150000.0)),
        ("rope_parameters.rope_type", Text("yarn")),
        ("rope_parameters.factor", Float(32.0)),
        ("rope_parameters.truncate", Bool(false)),
        ("rope_parameters.original_max_position_embeddings", Int(4096)),
        ("num_hidden_layers", Int(36)),
        ("num_local_experts", Int(128)),
        ("vocab_size", Int(201088)),
        ("hidden_size", Int(2880)),
        ("intermediate_size", Int(2880)),
        ("head_dim", Int(64)),
        ("num_attention_heads", Int(64)),
        ("num_key_value_heads", Int(8)),
        ("sliding_window", Int(128)),
        ("tie_word_embeddings", Bool(false)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(131072)),
        ("rms_norm_eps", Float(1e-05)),
        ("num_experts_per_tok", Int(4)),
        ("swiglu_alpha", Float(1.702)),
        ("swiglu_limit", Float(7.0)),
        ("attention_bias", Bool(true)),
    ],
    spec,
}];

const ALPHA: Key = key("", &["swiglu_alpha"]);
const LIMIT: Key = key("", &["swiglu_limit"]);
const EXPERTS_PER_TOKEN: Key = key("", &["experts_per_token"]);
const FIRST_CONTEXT: Key = key("", &["initial_context_length"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    // Files of the first release say these twice.
    c.pass(EXPERTS_PER_TOKEN);
    c.pass(FIRST_CONTEXT);
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.sinks = true;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let window = read::window(c)?;
    let slides = read::sliding(c, &sizes, 2)?;
    let mut routing = moe::routing(c, Score::SoftmaxOfChosen)?;
    routing.scale = moe::weight_scale(c)?;
    let mut unit = moe::experts(c, routing)?;
    (unit.router_bias, unit.bias) = (true, true);
    unit.gating = Gating::Clamped {
        alpha: c.positive(ALPHA)?.unwrap_or(1.702),
        limit: c.positive(LIMIT)?.unwrap_or(7.0),
    };
    if c.dialect == Dialect::Json {
        unit.storage = ExpertStorage::Columns;
    }
    let layer = |slides: bool| {
        let attn = AttnSpec { window: window.filter(|_| slides), ..attn.clone() };
        LayerSpec::pre_norm(norm, Mixer::Attention(attn), Ffn::Experts(unit.clone()))
    };
    let layers = slides.into_iter().map(layer).collect();
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
