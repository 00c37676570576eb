//! DeepSeek: the first mixture of experts with usual attention, V2, V3 and R1 with latent attention.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, MAX_WIDTH, RopeAsk, Sizes, moe};
use crate::roles::{Names, Part, Role};
use crate::spec::{Ffn, LatentSpec, LayerSpec, Mixer, ModelSpec, MoeSpec, NormSpec, RopeScaling};
use torchless_device::{GroupScore, Pairing, Score};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["deepseek"],
        json: &["deepseek"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(102400)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("moe_intermediate_size", Int(1407)),
            ("num_hidden_layers", Int(30)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("rms_norm_eps", Float(1e-6)),
            ("attention_bias", Bool(false)),
            ("norm_topk_prob", Bool(false)),
            ("first_k_dense_replace", Int(0)),
            ("tie_word_embeddings", Bool(false)),
        ],
        spec: first,
    },
    Family {
        gguf: &["deepseek2"],
        json: &["deepseek_v2"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(102400)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("mlp_bias", Bool(false)),
            ("first_k_dense_replace", Int(0)),
            ("kv_lora_rank", Int(512)),
            ("q_lora_rank", Int(1536)),
            ("n_routed_experts", Int(64)),
            ("n_shared_experts", Int(2)),
            ("qk_nope_head_dim", Int(128)),
            ("qk_rope_head_dim", Int(64)),
            ("routed_scaling_factor", Float(1.0)),
            ("norm_topk_prob", Bool(false)),
            ("v_head_dim", Int(128)),
            ("moe_intermediate_size", Int(1407)),
        ],
        spec: second,
    },
    Family {
        gguf: &[],
        json: &["deepseek_v3"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(129280)),
            ("hidden_size", Int(7168)),
            ("intermediate_size", Int(18432)),
            ("moe_intermediate_size", Int(2048)),
            ("num_hidden_layers", Int(61)),
            ("num_attention_heads", Int(128)),
            ("num_key_value_heads", Int(128)),
            ("n_shared_experts", Int(1)),
            ("n_routed_experts", Int(256)),
            ("routed_scaling_factor", Float(2.5)),
            ("kv_lora_rank", Int(512)),
            ("q_lora_rank", Int(1536)),
            ("qk_rope_head_dim", Int(64)),
            ("v_head_dim", Int(128)),
            ("qk_nope_head_dim", Int(128)),
            ("n_group", Int(8)),
            ("topk_group", Int(4)),
            ("num_experts_per_tok", Int(8)),
            ("first_k_dense_replace", Int(3)),
            ("norm_topk_prob", Bool(true)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(4096)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("rope_interleave", Bool(true)),
            ("attention_bias", Bool(false)),
            ("num_nextn_predict_layers", Int(1)),
        ],
        spec: third,
    },
];

const EVERY: Key = key("", &["moe_layer_freq"]);
const METHOD: Key = key("", &["topk_method"]);
const HEADS: Key = key("attention.head_count", &["num_attention_heads"]);
const QUERY_RANK: Key = key("attention.q_lora_rank", &["q_lora_rank"]);
const LATENT: Key = key("attention.kv_lora_rank", &["kv_lora_rank"]);
const PLAIN: Key = key("", &["qk_nope_head_dim"]);
const TURNED: Key = key("rope.dimension_count", &["qk_rope_head_dim"]);
const VALUE: Key = key("attention.value_length_mla", &["v_head_dim"]);
const WHOLE: Key = key("attention.key_length_mla", &["qk_head_dim"]);
const OLD_VALUE: Key = key("attention.value_length", &[]);
const OLD_WHOLE: Key = key("attention.key_length", &[]);
const BIAS: Key = key("", &["attention_bias"]);
const INTERLEAVE: Key = key("", &["rope_interleave"]);
const STRETCH: Key = key(
    "rope.scaling.yarn_log_multiplier",
    &["rope_parameters.mscale_all_dim", "rope_scaling.mscale_all_dim"],
);

/// Experts with usual attention.
fn first(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, read::reordered(c))?;
    let mut routing = moe::routing(c, moe::score(c, Score::Softmax)?)?;
    routing.normalise = moe::normalise(c, false, 1e-20)?;
    routing.scale = moe::weight_scale(c)?;
    let model = build(c, sizes, Mixer::Attention(attn), moe::experts(c, routing)?)?;
    Ok(ModelSpec { context_limit, ..model })
}

/// V2 from transformers; and V2, V3 and their relatives from GGUF, which tells them apart by its keys.
fn second(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let mut routing = moe::routing(c, moe::score(c, Score::Softmax)?)?;
    routing.scale = moe::weight_scale(c)?;
    routing.groups = match c.dialect {
        Dialect::Gguf => moe::groups(c, GroupScore::TwoLargest)?,
        Dialect::Json => {
            let groups = moe::groups(c, GroupScore::Largest)?;
            match c.text(METHOD)? {
                Some("greedy") | None => None,
                Some("group_limited_greedy") => groups,
                Some(_) => return Err(c.unsupported(METHOD, "greedy, group_limited_greedy")),
            }
        }
    };
    // transformers reads the key of V2 and does nothing with it.
    let normalise = moe::normalise(c, false, 1e-20)?;
    routing.normalise = normalise.filter(|_| c.dialect == Dialect::Gguf);
    latent_model(c, moe::experts(c, routing)?, Pairing::Adjacent)
}

fn third(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    match c.text(METHOD)? {
        None | Some("noaux_tc") => {}
        Some(_) => return Err(c.unsupported(METHOD, "noaux_tc")),
    }
    let mut routing = moe::routing(c, moe::score(c, Score::Sigmoid)?)?;
    routing.groups = moe::groups(c, GroupScore::TwoLargest)?;
    routing.normalise = moe::normalise(c, true, 1e-20)?;
    routing.scale = moe::weight_scale(c)?;
    let pairing = if c.flag(INTERLEAVE)?.unwrap_or(true) { Pairing::Adjacent } else { Pairing::Halves };
    latent_model(c, MoeSpec { choice_bias: true, ..moe::experts(c, routing)? }, pairing)
}

fn latent_model(c: &Config<'_>, unit: MoeSpec, pairing: Pairing) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let (sizes, skipped_layers) = read::without_guessing_layers(c, sizes)?;
    let (latent, context_limit) = latent(c, &sizes, pairing)?;
    let model = build(c, sizes, Mixer::Latent(latent), unit)?;
    Ok(ModelSpec { context_limit, skipped_layers, ..model })
}

/// Dense layers first, then experts beside a unit for all tokens.
fn build(c: &Config<'_>, sizes: Sizes, mixer: Mixer, mut unit: MoeSpec) -> Result<ModelSpec, ModelError> {
    let norm = read::rms(c)?;
    let first = moe::dense_first(c)?;
    let every = c.size(EVERY, read::MAX_LAYERS)?.unwrap_or(1);
    unit.shared = moe::shared_by_count(c, &unit)?;
    unit.choice_bias = moe::choice_bias(c, first, unit.choice_bias);
    let sparse = |i: usize| i >= first && i.is_multiple_of(every);
    let ffns: Vec<Ffn> = moe::mixed_layers(c, &sizes, unit, sparse)?;
    let layers = ffns.into_iter().map(|ffn| LayerSpec::pre_norm(norm, mixer.clone(), ffn)).collect();
    read::model(c, sizes, layers, norm)
}

fn latent(
    c: &Config<'_>,
    sizes: &Sizes,
    pairing: Pairing,
) -> Result<(LatentSpec, Option<usize>), ModelError> {
    // There are as many keys and values as queries, and no head is as long as these say.
    for name in ["num_key_value_heads", "head_dim"] {
        c.pass(key("attention.head_count_kv", &[name]));
    }
    let heads = c.need_size(HEADS, MAX_WIDTH)?;
    let turned = c.need_size(TURNED, MAX_WIDTH)?;
    let (whole, value) = match c.dialect {
        Dialect::Json => (c.need_size(PLAIN, MAX_WIDTH)? + turned, c.need_size(VALUE, MAX_WIDTH)?),
        Dialect::Gguf => {
            // Files with a cache of latents in mind say the lengths of its rows, and those of heads elsewhere.
            let old = (c.need_size(OLD_WHOLE, MAX_WIDTH)?, c.need_size(OLD_VALUE, MAX_WIDTH)?);
            (c.size(WHOLE, MAX_WIDTH)?.unwrap_or(old.0), c.size(VALUE, MAX_WIDTH)?.unwrap_or(old.1))
        }
    };
    c.pass(WHOLE);
    if whole <= turned {
        return Err(c.bad(TURNED, &format!("fewer than the {whole} values of a head")));
    }
    let ask = RopeAsk { head_dim: turned, context: sizes.context, pairing, layer_type: None };
    let (mut rope, context_limit) = read::rope(c, ask)?;
    let scale = score_scale(c, whole, &mut rope.scaling)?;
    let bias = match c.dialect {
        Dialect::Gguf => c.has(Role::LatentDown, Some(0), Part::Bias),
        Dialect::Json => c.flag(BIAS)?.unwrap_or(false),
    };
    // transformers leaves the norms inside of attention at their own default.
    let norm = if c.dialect == Dialect::Json { NormSpec::rms(1e-6) } else { read::rms(c)? };
    let query_rank = c.size(QUERY_RANK, MAX_WIDTH)?;
    let latent = c.need_size(LATENT, MAX_WIDTH)?;
    let plain = whole - turned;
    let spec = LatentSpec { heads, plain, turned, value, latent, query_rank, norm, scale, rope, bias };
    Ok((spec, context_limit))
}

/// YaRN stretches scores too, by a factor of its own: that of the configuration, or in GGUF a tenth of it, in which case the
/// rotation has no magnitude.
fn score_scale(c: &Config<'_>, whole: usize, scaling: &mut RopeScaling) -> Result<f32, ModelError> {
    let plain = 1.0 / (whole as f32).sqrt();
    let given = match c.count(STRETCH, 0) {
        Ok(_) => None,
        Err(_) => c.positive(STRETCH)?,
    };
    let (Some(all), RopeScaling::Yarn { factor, magnitude, .. }) = (given, scaling) else { return Ok(plain) };
    let all = if c.dialect == Dialect::Gguf { all / 0.1 } else { all };
    let stretch = |by: f32| if *factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    if c.dialect == Dialect::Gguf {
        *magnitude /= stretch(1.0);
    }
    Ok(plain * stretch(all) * stretch(all))
}
