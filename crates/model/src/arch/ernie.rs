//! ERNIE 4.5: LLaMA that rotates neighbours, dense or with experts.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, Value, key};
use crate::read::{self, MAX_LAYERS, Sizes, moe};
use crate::roles::{Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Activation, Pairing, Score};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
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
    },
    Family {
        gguf: &["ernie4_5-moe"],
        json: &[WITH_EXPERTS],
        names: Names {
            json: &[(Role::ChoiceBias, "model.layers.{}.mlp.moe_statics.e_score_correction_bias")],
            // The layer that guesses at tokens further on, with what leads into it.
            foreign: &["model.mtp_", "mtp_"],
            ..Names::USUAL
        },
        defaults: &[
            ("rope_theta", Float(500000.0)),
            ("vocab_size", Int(103424)),
            ("hidden_size", Int(2560)),
            ("intermediate_size", Int(12288)),
            ("num_hidden_layers", Int(28)),
            ("num_attention_heads", Int(20)),
            ("num_key_value_heads", Int(4)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(131072)),
            ("rms_norm_eps", Float(1e-05)),
            ("tie_word_embeddings", Bool(true)),
            ("use_bias", Bool(false)),
            ("moe_intermediate_size", Int(1536)),
            ("moe_k", Int(6)),
            ("moe_num_experts", Int(64)),
            ("moe_num_shared_experts", Int(2)),
            ("moe_layer_start_index", Int(1)),
            ("moe_layer_interval", Int(1)),
            ("moe_norm_min", Float(1e-12)),
        ],
        spec,
    },
];

/// The one of which the head has a bias too.
const WITH_EXPERTS: &str = "ernie4_5_moe";
const USE_BIAS: Key = key("", &["use_bias"]);

/// Every so many layers have experts, between a first and a last one.
const EVERY: Key = key("interleave_moe_layer_step", &["moe_layer_interval"]);
const START: Key = key("leading_dense_block_count", &["moe_layer_start_index"]);
const END: Key = key("", &["moe_layer_end_index"]);
const LEAST: Key = key("", &["moe_norm_min"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let bias = c.flag(USE_BIAS)?.unwrap_or(false);
    if c.dialect == Dialect::Json {
        (attn.qkv_bias, attn.out_bias) = (bias, bias);
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Adjacent)?;
    let mut ffns = ffns(c, &sizes)?;
    if c.dialect == Dialect::Json {
        for ffn in &mut ffns {
            let mlp = match ffn {
                Ffn::Dense(mlp) => Some(mlp),
                Ffn::Experts(moe) => moe.shared.as_mut().map(|shared| &mut shared.mlp),
            };
            if let Some(mlp) = mlp {
                (mlp.bias, mlp.down_bias) = (bias, bias);
            }
        }
    }
    let attn = Mixer::Attention(attn);
    let layers = ffns.into_iter().map(|ffn| LayerSpec::pre_norm(norm, attn.clone(), ffn)).collect();
    let model = read::model(c, sizes, layers, norm)?;
    let head_bias = bias && c.arch == WITH_EXPERTS;
    Ok(ModelSpec { context_limit, head_bias, ..model })
}

fn ffns(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<Ffn>, ModelError> {
    if !moe::has_experts(c)? {
        return Ok(vec![Ffn::Dense(read::glu(c, Activation::Silu)?); sizes.layers]);
    }
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = Some(c.positive(LEAST)?.unwrap_or(1e-12));
    routing.scale = moe::weight_scale(c)?;
    let mut unit = moe::experts(c, routing)?;
    let every = c.size(EVERY, MAX_LAYERS)?.unwrap_or(1);
    let start = c.count(START, MAX_LAYERS)?.unwrap_or(0);
    // -1 is the last layer.
    let end = match c.get(END) {
        Some((Value::Int(-1), _)) | None => sizes.layers,
        Some(_) => c.count(END, MAX_LAYERS)?.unwrap_or(sizes.layers),
    };
    let sparse = |i: usize| (i + 1).is_multiple_of(every) && (start..=end).contains(&i);
    unit.shared = match c.dialect {
        Dialect::Json => moe::shared_by_count(c, &unit)?,
        Dialect::Gguf => moe::shared_by_width_if_any(c, &unit)?,
    };
    let first = (0..sizes.layers).find(|&i| sparse(i)).unwrap_or(0);
    unit.choice_bias = moe::choice_bias(c, first, true);
    moe::mixed_layers(c, sizes, unit, sparse)
}
