//! Command R and its second generation: both parts side by side off one layer norm without bias, neighbours rotated, scaled
//! logits. The second generation rotates in layers that slide alone.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read;
use crate::roles::{Names, Part, Role};
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec, NormSpec, NormedOver, QkNorm, Wiring};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["command-r"],
        json: &["cohere"],
        names: Names::USUAL,
        defaults: &[
            ("rope_theta", Float(500000.0)),
            ("vocab_size", Int(256000)),
            ("hidden_size", Int(8192)),
            ("intermediate_size", Int(22528)),
            ("logit_scale", Float(0.0625)),
            ("num_hidden_layers", Int(40)),
            ("num_attention_heads", Int(64)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(8192)),
            ("layer_norm_eps", Float(1e-05)),
            ("tie_word_embeddings", Bool(true)),
            ("attention_bias", Bool(false)),
            ("use_qk_norm", Bool(false)),
        ],
        spec,
    },
    Family {
        gguf: &["cohere2"],
        json: &["cohere2"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(256000)),
            ("hidden_size", Int(8192)),
            ("intermediate_size", Int(22528)),
            ("logit_scale", Float(0.0625)),
            ("num_hidden_layers", Int(40)),
            ("num_attention_heads", Int(64)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(8192)),
            ("layer_norm_eps", Float(1e-05)),
            ("tie_word_embeddings", Bool(true)),
            ("attention_bias", Bool(false)),
            ("sliding_window", Int(4096)),
        ],
        spec,
    },
];

const LOGIT_SCALE: Key = key("logit_scale", &["logit_scale"]);
const QK_NORM: Key = key("", &["use_qk_norm"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = NormSpec { bias: false, ..read::layer_norm(c)? };
    let mut attn = read::attention(c, &sizes)?;
    let normed = match c.dialect {
        Dialect::Gguf => c.has(Role::QueryNorm, Some(0), Part::Weight),
        Dialect::Json => c.flag(QK_NORM)?.unwrap_or(false),
    };
    if normed {
        attn.qk_norm = Some(QkNorm { norm, over: NormedOver::HeadWithOwnWeight });
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Adjacent)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = |attn| LayerSpec {
        wiring: Wiring::Parallel,
        ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn.clone())
    };
    let layers = if c.arch == "cohere2" {
        let window = read::window(c)?;
        let slides = read::sliding(c, &sizes, 4)?.into_iter().map(|slides| window.filter(|_| slides));
        let rope = |window: Option<usize>| attn.rope.clone().filter(|_| window.is_some());
        slides.map(|window| layer(AttnSpec { window, rope: rope(window), ..attn.clone() })).collect()
    } else {
        vec![layer(attn); sizes.layers]
    };
    let logit_scale = c.positive(LOGIT_SCALE)?.unwrap_or(1.0);
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, logit_scale, ..model })
}
