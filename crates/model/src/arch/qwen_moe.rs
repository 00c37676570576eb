//! Qwen 1.5, 2 and 3 with experts: in the second generation beside a unit for all tokens that a gate weighs.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, MAX_LAYERS, Sizes, moe};
use crate::roles::{Names, Part, Role};
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec, NormedOver, QkNorm};
use torchless_device::{Pairing, Score};

/// transformers calls the unit for all tokens by the singular in these families.
pub(super) const SHARED: [(Role, &str); 3] = [
    (Role::SharedGate, "model.layers.{}.mlp.shared_expert.gate_proj"),
    (Role::SharedUp, "model.layers.{}.mlp.shared_expert.up_proj"),
    (Role::SharedDown, "model.layers.{}.mlp.shared_expert.down_proj"),
];

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["qwen2moe"],
        json: &["qwen2_moe"],
        names: Names { json: &SHARED, ..Names::USUAL },
        defaults: &[
            ("vocab_size", Int(151936)),
            ("hidden_size", Int(2048)),
            ("intermediate_size", Int(5632)),
            ("num_hidden_layers", Int(24)),
            ("num_attention_heads", Int(16)),
            ("num_key_value_heads", Int(16)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("use_sliding_window", Bool(false)),
            ("sliding_window", Int(4096)),
            ("max_window_layers", Int(28)),
            ("decoder_sparse_step", Int(1)),
            ("moe_intermediate_size", Int(1408)),
            ("shared_expert_intermediate_size", Int(5632)),
            ("num_experts_per_tok", Int(4)),
            ("num_experts", Int(60)),
            ("norm_topk_prob", Bool(false)),
            ("qkv_bias", Bool(true)),
        ],
        spec: qwen2_moe,
    },
    Family {
        gguf: &["qwen3moe"],
        json: &["qwen3_moe"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(151936)),
            ("hidden_size", Int(2048)),
            ("intermediate_size", Int(6144)),
            ("num_hidden_layers", Int(24)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(4)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("use_sliding_window", Bool(false)),
            ("sliding_window", Int(4096)),
            ("decoder_sparse_step", Int(1)),
            ("moe_intermediate_size", Int(768)),
            ("num_experts_per_tok", Int(8)),
            ("num_experts", Int(128)),
            ("norm_topk_prob", Bool(false)),
        ],
        spec: qwen3_moe,
    },
];

const QKV_BIAS: Key = key("", &["qkv_bias"]);
const USE_WINDOW: Key = key("", &["use_sliding_window"]);
const FIRST_FULL: Key = key("", &["max_window_layers"]);
const EVERY: Key = key("", &["decoder_sparse_step"]);
const DENSE: Key = key("", &["mlp_only_layers"]);

fn qwen2_moe(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.qkv_bias = read::qkv_bias(c, QKV_BIAS)?;
    attn.out_bias = false;
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = moe::normalise(c, false, 0.0)?;
    routing.scale = moe::weight_scale(c)?;
    let mut unit = moe::experts_or_parts(c, routing)?;
    unit.shared = Some(moe::shared_by_width(c, &unit)?);
    let ffns = layers(c, &sizes, unit)?;
    let windows = windows(c, &sizes)?;
    build(c, sizes, attn, ffns.into_iter().zip(windows).collect())
}

/// Every second layer slides below the first that never does, unless `layer_types` says otherwise.
fn windows(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<Option<usize>>, ModelError> {
    let first = c.count(FIRST_FULL, MAX_LAYERS)?.unwrap_or(0);
    let types = read::sliding_layers(c, sizes)?;
    let window = read::window(c)?;
    if c.dialect == Dialect::Gguf || !c.flag(USE_WINDOW)?.unwrap_or(false) {
        return Ok(vec![None; sizes.layers]);
    }
    let slides = types.unwrap_or_else(|| (0..sizes.layers).map(|i| i % 2 == 0 && i < first).collect());
    Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
}

fn qwen3_moe(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.qk_norm = Some(QkNorm { norm: read::rms(c)?, over: NormedOver::Head });
    c.pass(FIRST_FULL);
    let window = read::window(c)?;
    let window = if c.flag(USE_WINDOW)?.unwrap_or(false) { window } else { None };
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = moe::normalise(c, c.dialect == Dialect::Gguf, 0.0)?;
    routing.scale = moe::weight_scale(c)?;
    let unit = moe::experts_or_parts(c, routing)?;
    let ffns = layers(c, &sizes, unit)?;
    build(c, sizes, attn, ffns.into_iter().map(|ffn| (ffn, window)).collect())
}

/// Experts in every layer whose number, counted from 1, is a multiple of a step, and in none that is listed as dense; in GGUF
/// where there is a router.
pub(super) fn layers(c: &Config<'_>, sizes: &Sizes, unit: crate::MoeSpec) -> Result<Vec<Ffn>, ModelError> {
    let step = c.size(EVERY, MAX_LAYERS)?.unwrap_or(1);
    let dense = c.indices(DENSE, sizes.layers)?.unwrap_or_default();
    moe::mixed_layers(c, sizes, unit, |i| match c.dialect {
        Dialect::Gguf => c.has(Role::Router, Some(i), Part::Weight),
        Dialect::Json => (i + 1).is_multiple_of(step) && !dense.contains(&i),
    })
}

fn build(
    c: &Config<'_>,
    sizes: Sizes,
    mut attn: AttnSpec,
    layers: Vec<(Ffn, Option<usize>)>,
) -> Result<ModelSpec, ModelError> {
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let norm = read::rms(c)?;
    let layer =
        |(ffn, window)| LayerSpec::pre_norm(norm, Mixer::Attention(AttnSpec { window, ..attn.clone() }), ffn);
    let model = read::model(c, sizes, layers.into_iter().map(layer).collect(), norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
