//! OLMo 1 to 3. The first has layer norms without weights; the others norm what each part yields, and whole rows of queries
//! and keys. The third slides in three of four layers, which keep the unstretched rotary embedding.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, RopeAsk};
use crate::roles::Names;
use crate::spec::{
    AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec, NormForm, NormSpec, NormWeight, NormedOver, QkNorm, Wiring,
};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["olmo"],
        json: &["olmo"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(50304)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("layer_norm_eps", Float(1e-5)),
        ],
        spec: olmo,
    },
    Family {
        gguf: &["olmo2"],
        json: &["olmo2"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(50304)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("rms_norm_eps", Float(1e-05)),
        ],
        spec: olmo2,
    },
    Family {
        gguf: &[],
        json: &["olmo3"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(50304)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("rms_norm_eps", Float(1e-05)),
            ("rope_theta", Float(500000.0)),
            ("sliding_window", Int(4096)),
        ],
        spec: olmo2,
    },
];

const CLIP: Key = key("attention.clamp_kqv", &["clip_qkv"]);
const LOCAL_THETA: Key = key("rope.freq_base_swa", &["rope_theta"]);

fn olmo(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let eps = read::layer_norm(c)?.eps;
    let norm = NormSpec { kind: NormForm::Layer, eps, weight: NormWeight::Absent, bias: false };
    let mut attn = read::attention(c, &sizes)?;
    attn.clip = c.number(CLIP)?.filter(|clip| *clip > 0.0);
    let context_limit = read::rotate(c, &sizes, &mut attn, read::reordered(c))?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}

/// In GGUF the third generation is the second with a window.
fn olmo2(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Row });
    let (head_dim, context, pairing) = (attn.head_dim, sizes.context, Pairing::Halves);
    let ask = RopeAsk { head_dim, context, pairing, layer_type: Some("full_attention") };
    let (global, context_limit) = read::rope(c, ask)?;
    let local = read::local_rope(c, ask, (LOCAL_THETA, global.theta))?;
    let window = if c.arch == "olmo3" || c.dialect == Dialect::Gguf { read::window(c)? } else { None };
    let usual = if window.is_some() { 4 } else { 1 };
    let slides = read::sliding(c, &sizes, usual)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = |slides: bool| LayerSpec {
        wiring: Wiring::PostNorm,
        ..LayerSpec::pre_norm(
            norm,
            Mixer::Attention(AttnSpec {
                window: window.filter(|_| slides),
                rope: Some(if slides { local.clone() } else { global.clone() }),
                ..attn.clone()
            }),
            ffn.clone(),
        )
    };
    let model = read::model(c, sizes, slides.into_iter().map(layer).collect(), norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
