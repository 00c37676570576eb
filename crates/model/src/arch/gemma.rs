//! Gemma 1 to 3: embeddings scaled by the root of the width, weights of norms stored less 1, gated GELU. From the second on
//! every other layer or so slides and both sides of each part are normed; the third norms queries and keys and has a
//! rotary base of its own for layers that slide.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, RopeAsk, Sizes};
use crate::roles::{Names, Role};
use crate::spec::{
    AttnSpec, Ffn, LayerSpec, Mixer, MlpForm, ModelSpec, NormSpec, NormedOver, QkNorm, Wiring,
};
use torchless_device::{Activation, Pairing};

pub(super) const NAMES: Names = Names {
    gguf: &[],
    json: &[(Role::FfnNorm, "model.layers.{}.pre_feedforward_layernorm")],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["gemma"],
        json: &["gemma"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(256000)),
            ("hidden_size", Int(3072)),
            ("intermediate_size", Int(24576)),
            ("num_hidden_layers", Int(28)),
            ("num_attention_heads", Int(16)),
            ("num_key_value_heads", Int(16)),
            ("head_dim", Int(256)),
            ("hidden_act", Text("gelu_pytorch_tanh")),
            ("max_position_embeddings", Int(8192)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(true)),
            ("attention_bias", Bool(false)),
        ],
        spec: gemma,
    },
    Family {
        gguf: &["gemma2"],
        json: &["gemma2"],
        names: NAMES,
        defaults: &[
            ("vocab_size", Int(256000)),
            ("hidden_size", Int(2304)),
            ("intermediate_size", Int(9216)),
            ("num_hidden_layers", Int(26)),
            ("num_attention_heads", Int(8)),
            ("num_key_value_heads", Int(4)),
            ("head_dim", Int(256)),
            ("hidden_activation", Text("gelu_pytorch_tanh")),
            ("max_position_embeddings", Int(8192)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(true)),
            ("attention_bias", Bool(false)),
            ("query_pre_attn_scalar", Int(256)),
            ("sliding_window", Int(4096)),
            ("final_logit_softcapping", Float(30.0)),
            ("attn_logit_softcapping", Float(50.0)),
        ],
        spec: gemma2,
    },
    Family {
        gguf: &["gemma3"],
        json: &["gemma3_text", "gemma3"],
        names: NAMES,
        defaults: &[
            ("vocab_size", Int(262208)),
            ("hidden_size", Int(2304)),
            ("intermediate_size", Int(9216)),
            ("num_hidden_layers", Int(26)),
            ("num_attention_heads", Int(8)),
            ("num_key_value_heads", Int(4)),
            ("head_dim", Int(256)),
            ("hidden_activation", Text("gelu_pytorch_tanh")),
            ("max_position_embeddings", Int(131072)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(true)),
            ("attention_bias", Bool(false)),
            ("rope_theta", Float(1000000.0)),
            ("query_pre_attn_scalar", Int(256)),
            ("sliding_window", Int(4096)),
            ("use_bidirectional_attention", Bool(false)),
        ],
        spec: gemma3,
    },
];

const BIDIRECTIONAL: Key = key("", &["use_bidirectional_attention"]);
const QUERY_SCALAR: Key = key("", &["query_pre_attn_scalar"]);
const ATTN_SOFTCAP: Key = key("attn_logit_softcapping", &["attn_logit_softcapping"]);
const FINAL_SOFTCAP: Key = key("final_logit_softcapping", &["final_logit_softcapping"]);
const LOCAL_THETA: Key = key("rope.freq_base_swa", &["rope_local_base_freq"]);

/// What the three have alike; norms, attention without positions, and the gated unit.
fn parts(c: &Config<'_>, sizes: &Sizes) -> Result<(NormSpec, AttnSpec, Ffn), ModelError> {
    if c.flag(BIDIRECTIONAL)?.unwrap_or(false) {
        return Err(c.unsupported(BIDIRECTIONAL, "false: each position sees the ones before it"));
    }
    let norm = read::less_one(c, read::rms(c)?);
    let attn = read::attention(c, sizes)?;
    let mut mlp = read::glu(c, Activation::GeluTanh)?;
    if mlp.form == MlpForm::Glu(Activation::Gelu) {
        // Official files say gelu and mean its tanh form.
        mlp.form = MlpForm::Glu(Activation::GeluTanh);
    }
    Ok((norm, attn, Ffn::Dense(mlp)))
}

fn scaled(model: ModelSpec) -> ModelSpec {
    ModelSpec { embed_scale: (model.dim as f32).sqrt(), ..model }
}

fn gemma(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let (norm, mut attn, ffn) = parts(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..scaled(model) })
}

/// Scores are scaled by a key in `config.json`; in GGUF by the head's width, but in the largest model, known by its depth,
/// by the width per head.
fn score_scale(c: &Config<'_>, sizes: &Sizes, attn: &AttnSpec, largest: usize) -> Result<f32, ModelError> {
    let usual = if sizes.layers == largest { sizes.dim / attn.heads } else { attn.head_dim };
    Ok(1.0 / c.positive(QUERY_SCALAR)?.unwrap_or(usual as f32).sqrt())
}

fn layers(norm: NormSpec, slides: &[bool], ffn: &Ffn, attn: impl Fn(bool) -> AttnSpec) -> Vec<LayerSpec> {
    let layer = |slides: &bool| LayerSpec {
        wiring: Wiring::Sandwich,
        ..LayerSpec::pre_norm(norm, Mixer::Attention(attn(*slides)), ffn.clone())
    };
    slides.iter().map(layer).collect()
}

fn gemma2(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let (norm, mut attn, ffn) = parts(c, &sizes)?;
    attn.scale = score_scale(c, &sizes, &attn, 46)?;
    let gguf = |usual| if c.dialect == Dialect::Gguf { Some(usual) } else { None };
    attn.softcap = c.positive(ATTN_SOFTCAP)?.or(gguf(50.0));
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let window = read::window(c)?.or(gguf(4096.0).map(|w| w as usize));
    let layers = layers(norm, &read::sliding(c, &sizes, 2)?, &ffn, |slides| AttnSpec {
        window: window.filter(|_| slides),
        ..attn.clone()
    });
    let logit_softcap = c.positive(FINAL_SOFTCAP)?.or(gguf(30.0));
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, logit_softcap, ..scaled(model) })
}

fn gemma3(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let (norm, mut attn, ffn) = parts(c, &sizes)?;
    attn.scale = score_scale(c, &sizes, &attn, 62)?;
    // transformers reads the key and does nothing with it; llama.cpp does not read it.
    c.pass(ATTN_SOFTCAP);
    attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Head });
    let (head_dim, context, pairing) = (attn.head_dim, sizes.context, Pairing::Halves);
    let ask = RopeAsk { head_dim, context, pairing, layer_type: Some("full_attention") };
    let local = read::local_rope(c, ask, (LOCAL_THETA, 10000.0))?;
    let (global, context_limit) = read::rope(c, ask)?;
    let window = read::window(c)?;
    let slides =
        read::sliding(c, &sizes, if window.is_some() || c.dialect == Dialect::Json { 6 } else { 1 })?;
    let layers = layers(norm, &slides, &ffn, |slides| AttnSpec {
        window: window.filter(|_| slides),
        rope: Some(if slides { local.clone() } else { global.clone() }),
        ..attn.clone()
    });
    let logit_softcap = c.positive(FINAL_SOFTCAP)?;
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, logit_softcap, ..scaled(model) })
}
