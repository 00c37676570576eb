//! Gemma 4, the text models, dense or with experts: as the third generation, with norms whose weights are stored whole, heads of two widths,
//! layers that share keys and values, and inputs that each layer gets from the token itself.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, MAX_LAYERS, MAX_WIDTH, RopeAsk, Sizes, moe};
use crate::roles::{Names, Part, Role};
use crate::spec::{
    AttnSpec, Ffn, KvSource, LayerSpec, Mixer, MlpForm, MlpSpec, ModelSpec, MoeSpec, NormSpec, NormWeight,
    NormedOver, QkNorm, RopeScaling, RopeSpec, SharedNamed, SharedSpec, TokenInputs, Wiring,
};
use torchless_device::{Activation, Gating, Pairing, Score};

const NAMES: Names = Names {
    json: &[
        (Role::FfnNorm, "model.layers.{}.pre_feedforward_layernorm"),
        (Role::Router, "model.layers.{}.router.proj"),
        (Role::ExpertsGateUp, "model.layers.{}.experts.gate_up_proj"),
        (Role::ExpertsDown, "model.layers.{}.experts.down_proj"),
    ],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["gemma4"],
    json: &["gemma4_text", "gemma4"],
    names: NAMES,
    defaults: &[
        ("vocab_size", Int(262144)),
        ("hidden_size", Int(2304)),
        ("intermediate_size", Int(9216)),
        ("num_hidden_layers", Int(30)),
        ("num_attention_heads", Int(8)),
        ("num_key_value_heads", Int(4)),
        ("head_dim", Int(256)),
        ("hidden_activation", Text("gelu_pytorch_tanh")),
        ("max_position_embeddings", Int(131072)),
        ("rms_norm_eps", Float(1e-06)),
        ("tie_word_embeddings", Bool(true)),
        ("attention_bias", Bool(false)),
        ("sliding_window", Int(512)),
        ("vocab_size_per_layer_input", Int(262144)),
        ("hidden_size_per_layer_input", Int(256)),
        ("attention_k_eq_v", Bool(false)),
        ("num_kv_shared_layers", Int(0)),
        ("enable_moe_block", Bool(false)),
        ("use_double_wide_mlp", Bool(false)),
        ("global_head_dim", Int(512)),
    ],
    spec,
}];

const BIDIRECTIONAL: Key = key("", &["use_bidirectional_attention"]);
const EXPERTS: Key = key("expert_count", &["enable_moe_block"]);
const EXPERT_KEYS: &[&str] = &["num_experts", "top_k_experts", "moe_intermediate_size"];
const KEYS_ARE_VALUES: Key = key("", &["attention_k_eq_v"]);
const GLOBAL_HEAD_DIM: Key = key("", &["global_head_dim"]);
const GLOBAL_KV_HEADS: Key = key("", &["num_global_key_value_heads"]);
const LAYER_BY_LAYER: &str = "per_layer_config";
const LOCAL_HEAD_DIM: Key = key("attention.key_length_swa", &[]);
const LOCAL_V_DIM: Key = key("attention.value_length_swa", &[]);
const LOCAL_ROPE_DIMS: Key = key("rope.dimension_count_swa", &[]);
const LOCAL_THETA: Key = key("rope.freq_base_swa", &[]);
const SHARED: Key = key("attention.shared_kv_layers", &["num_kv_shared_layers"]);
const DOUBLE_WIDE: Key = key("", &["use_double_wide_mlp"]);
const INPUT_WIDTH: Key = key("embedding_length_per_layer_input", &["hidden_size_per_layer_input"]);
const INPUT_ROWS: Key = key("", &["vocab_size_per_layer_input"]);
const FINAL_SOFTCAP: Key = key("final_logit_softcapping", &["final_logit_softcapping"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    refuse_what_is_not_built(c)?;
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut slides = read::sliding(c, &sizes, 6)?;
    if c.dialect == Dialect::Json {
        // transformers makes the last layer see everything, whatever the file says.
        slides.iter_mut().rev().take(1).for_each(|s| *s = false);
    }
    let shared = c.count(SHARED, sizes.layers)?.unwrap_or(0);
    let own = sizes.layers - shared;
    let attns = attentions(c, &sizes, norm, &slides, own)?;
    let mlps = read::glus(c, Activation::GeluTanh, sizes.layers)?;
    let double = c.flag(DOUBLE_WIDE)?.unwrap_or(false);
    let token_inputs = token_inputs(c, norm, &sizes)?;
    let unit = if has_experts(c)? { Some(experts(c, norm)?) } else { None };
    let ffn = |mlp: MlpSpec| match &unit {
        Some(unit) => {
            let (MlpForm::Glu(act) | MlpForm::Plain(act)) = mlp.form;
            let shared = SharedSpec { mlp, gated: false, named: SharedNamed::Dense };
            Ffn::Experts(MoeSpec { gating: Gating::Plain(act), shared: Some(shared), ..unit.clone() })
        }
        None => Ffn::Dense(mlp),
    };
    let layer = |(i, (attn, mlp)): (usize, (AttnSpec, MlpSpec))| {
        let hidden = if double && i >= own { 2 * mlp.hidden } else { mlp.hidden };
        let (MlpForm::Glu(act) | MlpForm::Plain(act)) = mlp.form;
        LayerSpec {
            wiring: Wiring::Sandwich,
            token_input: token_inputs.map(|_| act),
            output_scale: c.dialect == Dialect::Json || c.has(Role::OutputScale, Some(i), Part::Weight),
            ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn(MlpSpec { hidden, ..mlp }))
        }
    };
    let layers = (0..).zip(attns.into_iter().zip(mlps)).map(layer).collect();
    let logit_softcap = c.positive(FINAL_SOFTCAP)?;
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { logit_softcap, token_inputs, embed_scale: (sizes.dim as f32).sqrt(), ..model })
}

fn refuse_what_is_not_built(c: &Config<'_>) -> Result<(), ModelError> {
    if c.text(BIDIRECTIONAL)? == Some("all") {
        return Err(
            c.unsupported(BIDIRECTIONAL, "vision or null: each position of a text sees the ones before it")
        );
    }
    Ok(())
}

fn has_experts(c: &Config<'_>) -> Result<bool, ModelError> {
    let experts = match c.dialect {
        Dialect::Gguf => c.count(EXPERTS, MAX_WIDTH)?.unwrap_or(0) > 0,
        Dialect::Json => c.flag(EXPERTS)?.unwrap_or(false),
    };
    if !experts {
        EXPERT_KEYS.iter().for_each(|name| c.pass(key("", &[name])));
    }
    Ok(experts)
}

/// Experts beside the dense unit, with norms of their own.
fn experts(c: &Config<'_>, norm: NormSpec) -> Result<MoeSpec, ModelError> {
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = Some(0.0);
    Ok(MoeSpec { apart: Some(norm), ..moe::experts(c, routing)? })
}

/// Layers that see everything may have heads of another width, and fewer of them for keys; from layer `own` on each takes keys
/// and values from the last one before that slides, or does not, as it does itself.
fn attentions(
    c: &Config<'_>,
    sizes: &Sizes,
    norm: NormSpec,
    slides: &[bool],
    own: usize,
) -> Result<Vec<AttnSpec>, ModelError> {
    let heads = heads(c, sizes, slides)?;
    let window = read::window(c)?;
    let same_for_values = c.flag(KEYS_ARE_VALUES)?.unwrap_or(false);
    let expected = "an earlier layer of each kind that has keys";
    let sources = read::kv_sources(slides, own).ok_or_else(|| c.bad(SHARED, expected))?;
    let mut all = Vec::with_capacity(sizes.layers);
    for (i, ((&slides_here, base), source)) in slides.iter().zip(heads).zip(sources).enumerate() {
        let lacks = match c.dialect {
            Dialect::Gguf => {
                !c.has(Role::Value, Some(i), Part::Weight) && c.has(Role::Key, Some(i), Part::Weight)
            }
            Dialect::Json => same_for_values && !slides_here,
        };
        let kv = if source == KvSource::Own && lacks { KvSource::ValuesFromKeys } else { source };
        all.push(AttnSpec {
            scale: 1.0,
            rope: Some(rope(c, sizes, base.head_dim, slides_here)?),
            window: Some(window.unwrap_or(512)).filter(|_| slides_here),
            qk_norm: Some(QkNorm { norm, over: NormedOver::Head }),
            v_norm: Some(NormSpec { weight: NormWeight::Absent, ..norm }),
            kv,
            ..base
        });
    }
    Ok(all)
}

/// Widths and numbers of heads: in newer files layer by layer, in older ones for layers that see everything.
fn heads(c: &Config<'_>, sizes: &Sizes, slides: &[bool]) -> Result<Vec<AttnSpec>, ModelError> {
    let base = read::attentions(c, sizes)?;
    let local = c.size(LOCAL_HEAD_DIM, MAX_WIDTH)?;
    c.pass(LOCAL_V_DIM);
    let global = c.size(GLOBAL_HEAD_DIM, MAX_WIDTH)?;
    let global_kv =
        c.size(GLOBAL_KV_HEADS, MAX_WIDTH)?.filter(|_| matches!(c.flag(KEYS_ARE_VALUES), Ok(Some(true))));
    let mut own = Vec::with_capacity(sizes.layers);
    for i in 0..sizes.layers {
        let at = |field: &str, limit| c.size(key("", &[&format!("{LAYER_BY_LAYER}.{i}.{field}")]), limit);
        own.push((at("head_dim", MAX_WIDTH)?, at("num_key_value_heads", MAX_WIDTH)?));
    }
    // Its being there is what counts: an empty one says that all layers are alike.
    let layer_by_layer = c.names(LAYER_BY_LAYER);
    let mut all = base;
    for ((attn, own), slides) in all.iter_mut().zip(own).zip(slides) {
        let (head_dim, kv_heads) = match (c.dialect, slides) {
            (Dialect::Json, _) if layer_by_layer => own,
            (Dialect::Json, false) => (global, global_kv),
            (Dialect::Gguf, true) => (local, None),
            _ => (None, None),
        };
        attn.head_dim = head_dim.unwrap_or(attn.head_dim);
        attn.v_dim = attn.head_dim;
        attn.kv_heads = kv_heads.unwrap_or(attn.kv_heads);
        if !attn.heads.is_multiple_of(attn.kv_heads) {
            return Err(c.bad(GLOBAL_KV_HEADS, &format!("a divisor of the {} query heads", attn.heads)));
        }
    }
    Ok(all)
}

fn rope(c: &Config<'_>, sizes: &Sizes, head_dim: usize, slides: bool) -> Result<RopeSpec, ModelError> {
    let (context, pairing) = (sizes.context, Pairing::Halves);
    let ask = RopeAsk { head_dim, context, pairing, layer_type: Some("full_attention") };
    c.pass(LOCAL_ROPE_DIMS);
    if slides {
        // GGUF's number of rotated values is that of layers that see everything, whose heads are wider.
        let head_dim_of_all = if c.dialect == Dialect::Gguf { MAX_WIDTH } else { head_dim };
        let ask = RopeAsk { head_dim: head_dim_of_all, ..ask };
        let local = read::local_rope(c, ask, (LOCAL_THETA, 10000.0))?;
        return Ok(RopeSpec { dims: head_dim, wave_dims: head_dim, ..local });
    }
    let stated = ["rope_parameters.full_attention.rope_theta", "rope_parameters.full_attention.rope_type"];
    if c.dialect == Dialect::Gguf || c.states(key("", &stated)) {
        return read::rope(c, ask).map(|(rope, _)| rope);
    }
    let scaling = RopeScaling::Proportional { pairs: head_dim / 8, factor: 1.0 };
    Ok(RopeSpec { theta: 1e6, dims: head_dim, wave_dims: head_dim, pairing, scaling, factors: None })
}

/// The second table of embeddings, where there is one.
pub(super) fn token_inputs(
    c: &Config<'_>,
    norm: NormSpec,
    sizes: &Sizes,
) -> Result<Option<TokenInputs>, ModelError> {
    let rows = c.size(INPUT_ROWS, u32::MAX as usize)?.unwrap_or(sizes.vocab);
    let width = c.count(INPUT_WIDTH, MAX_WIDTH / MAX_LAYERS * 16)?.filter(|w| *w > 0);
    Ok(width.map(|width| TokenInputs { width, rows, norm }))
}
