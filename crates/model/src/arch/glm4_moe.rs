//! GLM 4.5 and its successors: dense layers first, then experts chosen as in DeepSeek V3, with usual attention.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, moe};
use crate::roles::{Names, Part, Role};
use crate::spec::{LayerSpec, Mixer, ModelSpec, NormedOver, QkNorm};
use torchless_device::{GroupScore, Pairing, Score};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["glm4moe"],
    json: &["glm4_moe"],
    names: Names { gguf: &[(Role::FfnNorm, "blk.{}.post_attention_norm")], ..Names::USUAL },
    defaults: &[
        ("partial_rotary_factor", Float(0.5)),
        ("vocab_size", Int(151552)),
        ("hidden_size", Int(4096)),
        ("intermediate_size", Int(10944)),
        ("num_hidden_layers", Int(46)),
        ("num_attention_heads", Int(96)),
        ("num_key_value_heads", Int(8)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(131072)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("attention_bias", Bool(false)),
        ("moe_intermediate_size", Int(1408)),
        ("num_experts_per_tok", Int(8)),
        ("n_shared_experts", Int(1)),
        ("n_routed_experts", Int(128)),
        ("routed_scaling_factor", Float(1.0)),
        ("n_group", Int(1)),
        ("topk_group", Int(1)),
        ("first_k_dense_replace", Int(1)),
        ("norm_topk_prob", Bool(true)),
        ("use_qk_norm", Bool(false)),
        ("num_nextn_predict_layers", Int(1)),
    ],
    spec,
}];

const QK_NORM: Key = key("", &["use_qk_norm"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let (sizes, skipped_layers) = read::without_guessing_layers(c, sizes)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.out_bias = false;
    let normed = match c.dialect {
        Dialect::Gguf => c.has(Role::QueryNorm, Some(0), Part::Weight),
        Dialect::Json => c.flag(QK_NORM)?.unwrap_or(false),
    };
    attn.qk_norm = normed.then_some(QkNorm { norm, over: NormedOver::Head });
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let mut routing = moe::routing(c, moe::score(c, Score::Sigmoid)?)?;
    routing.groups = moe::groups(c, GroupScore::TwoLargest)?;
    routing.normalise = moe::normalise(c, true, 1e-20)?;
    routing.scale = moe::weight_scale(c)?;
    let mut unit = moe::experts_or_parts(c, routing)?;
    let first = moe::dense_first(c)?;
    unit.shared = moe::shared_by_count(c, &unit)?;
    unit.choice_bias = moe::choice_bias(c, first, true);
    let ffns = moe::mixed_layers(c, &sizes, unit, |i| i >= first)?;
    let attn = Mixer::Attention(attn);
    let layers = ffns.into_iter().map(|ffn| LayerSpec::pre_norm(norm, attn.clone(), ffn)).collect();
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, skipped_layers, ..model })
}
