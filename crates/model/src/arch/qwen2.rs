//! Qwen 1.5 to 2.5 and QwQ: LLaMA with biases of q, k and v, and windows in the upper layers of some.

use super::Family;
use crate::ModelError;
use crate::config::{Config, Default, Dialect, Key, key};
use crate::read::{self, MAX_LAYERS, RopeAsk, Sizes};
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["qwen2"],
    json: &["qwen2"],
    names: Names::USUAL,
    defaults: &[
        ("rms_norm_eps", Default::Float(1e-6)),
        ("num_key_value_heads", Default::Int(32)),
        ("use_sliding_window", Default::Bool(false)),
        ("sliding_window", Default::Int(4096)),
        ("max_window_layers", Default::Int(28)),
        ("tie_word_embeddings", Default::Bool(false)),
    ],
    spec,
}];

const USE_WINDOW: Key = key("", &["use_sliding_window"]);
const FIRST_WINDOWED: Key = key("", &["max_window_layers"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.qkv_bias = true;
    let ask = RopeAsk {
        head_dim: attn.head_dim,
        context: sizes.context,
        pairing: Pairing::Halves,
        layer_type: None,
    };
    let (rope, context_limit) = read::rope(c, ask)?;
    attn.rope = Some(rope);
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let mut layers = Vec::with_capacity(sizes.layers);
    for window in windows(c, &sizes)? {
        let attn = Mixer::Attention(crate::AttnSpec { window, ..attn.clone() });
        layers.push(LayerSpec::pre_norm(norm, attn, ffn.clone()));
    }
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, ..model })
}

/// The window of each layer: where it is in use at all, those from `max_window_layers` on slide unless `layer_types` says
/// otherwise. llama.cpp's files have none.
pub(super) fn windows(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<Option<usize>>, ModelError> {
    let none = vec![None; sizes.layers];
    let first = c.count(FIRST_WINDOWED, MAX_LAYERS)?.unwrap_or(0);
    let types = read::sliding_layers(c, sizes)?;
    let window = read::window(c)?;
    if c.dialect == Dialect::Gguf || !c.flag(USE_WINDOW)?.unwrap_or(false) {
        return Ok(none);
    }
    let slides = types.unwrap_or_else(|| (0..sizes.layers).map(|i| i >= first).collect());
    Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
}
