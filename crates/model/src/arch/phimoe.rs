//! Phi 3.5 with experts: LLaMA with layer norms and biases, two experts mixed sparsely, longrope with magnitudes of its own.

use super::{Family, mixtral};
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, moe};
use crate::roles::{Names, Part, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, NormSpec, RopeScaling};
use torchless_device::{Pairing, Score};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["phimoe"],
    json: &["phimoe"],
    names: Names { json: &mixtral::EXPERTS, ..Names::USUAL },
    defaults: &[
        ("rope_theta", Float(1000000.0)),
        ("vocab_size", Int(32064)),
        ("hidden_size", Int(4096)),
        ("intermediate_size", Int(6400)),
        ("num_hidden_layers", Int(32)),
        ("num_attention_heads", Int(32)),
        ("num_key_value_heads", Int(8)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(131072)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("num_experts_per_tok", Int(2)),
        ("num_local_experts", Int(16)),
        ("router_jitter_noise", Float(0.01)),
        ("attention_bias", Bool(false)),
        ("lm_head_bias", Bool(false)),
    ],
    spec,
}];

const JITTER: Key = key("", &["router_jitter_noise"]);
const HEAD_BIAS: Key = key("", &["lm_head_bias"]);
const NEAR: Key = key("", &["rope_parameters.short_mscale", "rope_scaling.short_mscale"]);
const FAR: Key = key("", &["rope_parameters.long_mscale", "rope_scaling.long_mscale"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = NormSpec::layer(read::rms(c)?.eps);
    let mut attn = read::attention(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    attn.window = read::window(c)?;
    let (near, far) = (c.positive(NEAR)?, c.positive(FAR)?);
    let scaling = attn.rope.as_mut().map(|rope| &mut rope.scaling);
    if let (Some(RopeScaling::LongRope { short, long, magnitudes, .. }), Dialect::Json) = (scaling, c.dialect)
    {
        // transformers takes the divisors of short texts for long ones too.
        long.clone_from(short);
        *magnitudes = (near.unwrap_or(magnitudes.0), far.unwrap_or(magnitudes.1));
    }
    let jitter = c.positive(JITTER)?.unwrap_or(0.01);
    let score = if c.dialect == Dialect::Json { Score::SparseMixer { jitter } } else { Score::Softmax };
    let mut routing = moe::routing(c, score)?;
    // llama.cpp mixes by the usual weights.
    routing.normalise = (c.dialect == Dialect::Gguf).then_some(0.0);
    routing.scale = moe::weight_scale(c)?;
    let ffn = Ffn::Experts(moe::experts(c, routing)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let head_bias = match c.dialect {
        Dialect::Gguf => c.has(Role::Head, None, Part::Bias),
        Dialect::Json => c.flag(HEAD_BIAS)?.unwrap_or(false),
    };
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, head_bias, ..model })
}
