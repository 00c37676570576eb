//! Qwen 1.5 to 2.5 and QwQ: LLaMA with biases of q, k and v, and windows in the upper layers of some. Qwen 3: norms of
//! queries and keys in place of the biases.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, key};
use crate::read::{self, MAX_LAYERS, Sizes};
use crate::roles::Names;
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec, NormedOver, QkNorm};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["qwen2"],
        json: &["qwen2"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(151936)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(22016)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("use_sliding_window", Bool(false)),
            ("sliding_window", Int(4096)),
            ("max_window_layers", Int(28)),
        ],
        spec,
    },
    Family {
        gguf: &["qwen3"],
        json: &["qwen3"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(151936)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(22016)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(32)),
            ("head_dim", Int(128)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(32768)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("use_sliding_window", Bool(false)),
            ("sliding_window", Int(4096)),
            ("max_window_layers", Int(28)),
        ],
        spec,
    },
];

const USE_WINDOW: Key = key("", &["use_sliding_window"]);
const FIRST_WINDOWED: Key = key("", &["max_window_layers"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    if c.arch == "qwen2" {
        (attn.qkv_bias, attn.out_bias) = (true, false);
    } else {
        attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Head });
    }
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let mut layers = Vec::with_capacity(sizes.layers);
    for window in windows(c, &sizes)? {
        let attn = Mixer::Attention(AttnSpec { window, ..attn.clone() });
        layers.push(LayerSpec::pre_norm(norm, attn, ffn.clone()));
    }
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, ..model })
}

/// The window of each layer: where it is in use at all, those from `max_window_layers` on slide unless `layer_types` says
/// otherwise. llama.cpp's files have none.
pub(super) fn windows(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<Option<usize>>, ModelError> {
    let first = c.count(FIRST_WINDOWED, MAX_LAYERS)?.unwrap_or(0);
    let types = read::sliding_layers(c, sizes)?;
    let window = read::window(c)?;
    if c.dialect == Dialect::Gguf || !c.flag(USE_WINDOW)?.unwrap_or(false) {
        return Ok(vec![None; sizes.layers]);
    }
    let slides = types.unwrap_or_else(|| (0..sizes.layers).map(|i| i >= first).collect());
    Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
}
