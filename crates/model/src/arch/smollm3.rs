//! SmolLM 3: LLaMA that leaves every fourth layer without positions.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Key, key};
use crate::read::{self, MAX_LAYERS};
use crate::roles::Names;
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::Activation;

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["smollm3"],
    json: &["smollm3"],
    names: Names::USUAL,
    defaults: &[
        ("rope_theta", Float(2000000.0)),
        ("vocab_size", Int(128256)),
        ("hidden_size", Int(2048)),
        ("intermediate_size", Int(11008)),
        ("num_hidden_layers", Int(36)),
        ("num_attention_heads", Int(16)),
        ("num_key_value_heads", Int(4)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(32768)),
        ("rms_norm_eps", Float(1e-06)),
        ("use_sliding_window", Bool(false)),
        ("no_rope_layer_interval", Int(4)),
        ("attention_bias", Bool(false)),
        ("mlp_bias", Bool(false)),
        ("tie_word_embeddings", Bool(true)),
    ],
    spec,
}];

const ROTATED: Key = key("", &["no_rope_layers"]);
const INTERVAL: Key = key("", &["no_rope_layer_interval"]);
/// Written into its files and read by nobody.
const UNUSED: Key = key("", &["max_window_layers"]);
const USE_WINDOW: Key = key("", &["use_sliding_window"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, read::reordered(c))?;
    // Despite its name the list has 1 for layers that rotate.
    let interval = c.size(INTERVAL, MAX_LAYERS)?.unwrap_or(4);
    let usual = || (1..=sizes.layers).map(|i| !i.is_multiple_of(interval)).collect();
    let rotated: Vec<bool> = c.flags(ROTATED, sizes.layers)?.unwrap_or_else(usual);
    c.pass(UNUSED);
    let used = c.flag(USE_WINDOW)?.unwrap_or(false);
    let window = read::window(c)?.filter(|_| used);
    let slides = read::sliding_layers(c, &sizes)?.unwrap_or_else(|| rotated.iter().map(|r| !r).collect());
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = |(rotated, slides): (bool, bool)| {
        let rope = attn.rope.clone().filter(|_| rotated);
        let attn = AttnSpec { rope, window: window.filter(|_| slides), ..attn.clone() };
        LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn.clone())
    };
    let layers = rotated.into_iter().zip(slides).map(layer).collect();
    let model = read::model(c, sizes, layers, norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
