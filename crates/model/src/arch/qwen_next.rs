//! Qwen 3 Next and Qwen 3.5: of four layers three are linear attention with a state, one is attention whose heads are gated; dense
//! or with experts.

use super::Family;
use super::qwen_moe::{self, SHARED};
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, MAX_LAYERS, MAX_WIDTH, Sizes, moe};
use crate::roles::{Names, Role};
use crate::spec::{DeltaSpec, Ffn, LayerSpec, Mixer, ModelSpec, NormSpec, NormWeight, NormedOver, QkNorm};
use torchless_device::{Activation, DeltaShape, HeadSharing, Pairing, Score, StateShape};

const NAMES: Names = Names {
    gguf: &[(Role::FfnNorm, "blk.{}.post_attention_norm")],
    json: &SHARED,
    foreign: &["mtp.", "model.mtp.", "model.visual.", "visual."],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["qwen3next"],
        json: &["qwen3_next"],
        names: NAMES,
        defaults: &[
            ("partial_rotary_factor", Float(0.25)),
            ("vocab_size", Int(151936)),
            ("hidden_size", Int(2048)),
            ("intermediate_size", Int(5632)),
            ("num_hidden_layers", Int(48)),
            ("num_attention_heads", Int(16)),
            ("num_key_value_heads", Int(2)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("head_dim", Int(256)),
            ("linear_conv_kernel_dim", Int(4)),
            ("linear_key_head_dim", Int(128)),
            ("linear_value_head_dim", Int(128)),
            ("linear_num_key_heads", Int(16)),
            ("linear_num_value_heads", Int(32)),
            ("decoder_sparse_step", Int(1)),
            ("moe_intermediate_size", Int(512)),
            ("shared_expert_intermediate_size", Int(512)),
            ("num_experts_per_tok", Int(10)),
            ("num_experts", Int(512)),
            ("norm_topk_prob", Bool(true)),
        ],
        spec,
    },
    Family {
        gguf: &["qwen35"],
        json: &["qwen3_5_text"],
        names: NAMES,
        defaults: &[
            ("partial_rotary_factor", Float(0.25)),
            ("vocab_size", Int(248320)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(12288)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(16)),
            ("num_key_value_heads", Int(4)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("head_dim", Int(256)),
            ("linear_conv_kernel_dim", Int(4)),
            ("linear_key_head_dim", Int(128)),
            ("linear_value_head_dim", Int(128)),
            ("linear_num_key_heads", Int(16)),
            ("linear_num_value_heads", Int(32)),
        ],
        spec,
    },
    Family {
        gguf: &["qwen35moe"],
        json: &["qwen3_5_moe_text"],
        names: NAMES,
        defaults: &[
            ("partial_rotary_factor", Float(0.25)),
            ("vocab_size", Int(248320)),
            ("hidden_size", Int(2048)),
            ("num_hidden_layers", Int(40)),
            ("num_attention_heads", Int(16)),
            ("num_key_value_heads", Int(2)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("head_dim", Int(256)),
            ("linear_conv_kernel_dim", Int(4)),
            ("linear_key_head_dim", Int(128)),
            ("linear_value_head_dim", Int(128)),
            ("linear_num_key_heads", Int(16)),
            ("linear_num_value_heads", Int(32)),
            ("moe_intermediate_size", Int(512)),
            ("shared_expert_intermediate_size", Int(512)),
            ("num_experts_per_tok", Int(8)),
            ("num_experts", Int(256)),
            ("intermediate_size", Int(4304)),
        ],
        spec,
    },
];

const LAYER_TYPES: Key = key("", &["layer_types"]);
const RECURRENT: Key = key("attention.recurrent_layers", &[]);
const INTERVAL: Key = key("full_attention_interval", &["full_attention_interval"]);
const GATED: Key = key("", &["attn_output_gate"]);
const TAPS: Key = key("ssm.conv_kernel", &["linear_conv_kernel_dim"]);
const KEY_HEADS: Key = key("ssm.group_count", &["linear_num_key_heads"]);
const VALUE_HEADS: Key = key("ssm.time_step_rank", &["linear_num_value_heads"]);
const KEY_DIM: Key = key("ssm.state_size", &["linear_key_head_dim"]);
const VALUE_DIM: Key = key("", &["linear_value_head_dim"]);
const VALUE_WIDTH: Key = key("ssm.inner_size", &[]);
/// Positions of texts are the same in all three directions; types of the state are the implementation's.
const PASSED: &[(&str, &str)] = &[
    ("rope.dimension_sections", "rope_parameters.mrope_section"),
    ("", "rope_parameters.mrope_interleaved"),
    ("", "rope_scaling.mrope_section"),
    ("", "rope_scaling.mrope_interleaved"),
    ("", "mamba_ssm_dtype"),
    ("", "mtp_num_hidden_layers"),
    ("", "mtp_use_dedicated_embeddings"),
];

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    PASSED.iter().for_each(|(gguf, json)| c.pass(key(gguf, &[json])));
    let sizes = read::sizes(c)?;
    let (sizes, skipped_layers) = read::without_guessing_layers(c, sizes)?;
    // GGUF has added the ones.
    let weight = if c.dialect == Dialect::Json { NormWeight::LessOne } else { NormWeight::Plain };
    let norm = NormSpec { weight, ..read::rms(c)? };
    let mut attn = read::attention(c, &sizes)?;
    attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Head });
    attn.gated = true;
    if c.flag(GATED)? == Some(false) {
        return Err(c.unsupported(GATED, "true"));
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let delta = delta(c, NormSpec { weight: NormWeight::Plain, ..norm })?;
    let ffns = ffns(c, &sizes)?;
    let layer = |(ffn, linear): (Ffn, bool)| {
        let mixer = if linear { Mixer::Delta(delta) } else { Mixer::Attention(attn.clone()) };
        LayerSpec::pre_norm(norm, mixer, ffn)
    };
    let layers = ffns.into_iter().zip(linear_layers(c, &sizes)?).map(layer).collect();
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, skipped_layers, ..model })
}

fn ffns(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<Ffn>, ModelError> {
    if !moe::has_experts(c)? {
        return Ok(vec![Ffn::Dense(read::glu(c, Activation::Silu)?); sizes.layers]);
    }
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = moe::normalise(c, true, 0.0)?;
    routing.scale = moe::weight_scale(c)?;
    let mut unit = moe::experts_or_parts(c, routing)?;
    unit.shared = Some(moe::shared_by_width(c, &unit)?);
    qwen_moe::layers(c, sizes, unit)
}

/// Which layers are linear: all but every fourth, unless the file says otherwise.
fn linear_layers(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<bool>, ModelError> {
    let interval = c.size(INTERVAL, MAX_LAYERS)?.unwrap_or(4);
    if let Some(listed) = c.flags(RECURRENT, sizes.layers)? {
        return Ok(listed);
    }
    let Some(types) = c.texts(LAYER_TYPES, sizes.layers)? else {
        return Ok((1..=sizes.layers).map(|i| !i.is_multiple_of(interval)).collect());
    };
    let linear = |ty: &String| match ty.as_str() {
        "linear_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    };
    let all: Option<Vec<_>> = types.iter().map(linear).collect();
    all.ok_or_else(|| c.bad(LAYER_TYPES, "linear_attention or full_attention for each layer"))
}

fn delta(c: &Config<'_>, norm: NormSpec) -> Result<DeltaSpec, ModelError> {
    let key_heads = c.need_size(KEY_HEADS, MAX_WIDTH)?;
    let value_heads = c.need_size(VALUE_HEADS, MAX_WIDTH)?;
    if !value_heads.is_multiple_of(key_heads) {
        return Err(c.bad(VALUE_HEADS, &format!("a multiple of the {key_heads} key heads")));
    }
    let key_dim = c.need_size(KEY_DIM, MAX_WIDTH)?;
    let value_dim = match c.dialect {
        Dialect::Json => c.need_size(VALUE_DIM, MAX_WIDTH)?,
        Dialect::Gguf => {
            let width = c.need_size(VALUE_WIDTH, MAX_WIDTH)?;
            if !width.is_multiple_of(value_heads) {
                return Err(c.bad(VALUE_WIDTH, &format!("a multiple of the {value_heads} value heads")));
            }
            width / value_heads
        }
    };
    let sharing = sharing(c.dialect, &c.arch);
    let delta = DeltaShape { key_heads, value_heads, key_dim, value_dim, sharing };
    let taps = c.need_size(TAPS, 64)?;
    Ok(DeltaSpec { state: StateShape { delta, taps }, norm })
}

/// In which order value heads lie: llama.cpp's files of the later generation have them otherwise.
pub(crate) fn sharing(dialect: Dialect, arch: &str) -> HeadSharing {
    if dialect == Dialect::Gguf && arch != "qwen3next" { HeadSharing::Rounds } else { HeadSharing::Runs }
}
