//! EXAONE 4: what each part yields is normed, and so are queries and keys; where some layers slide, only those rotate.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, Value, key};
use crate::read::{self, Sizes};
use crate::roles::Names;
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, ModelSpec, NormedOver, QkNorm, Wiring};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["exaone4"],
    json: &["exaone4"],
    names: Names::USUAL,
    defaults: &[
        ("vocab_size", Int(102400)),
        ("hidden_size", Int(4096)),
        ("intermediate_size", Int(16384)),
        ("num_hidden_layers", Int(32)),
        ("num_attention_heads", Int(32)),
        ("num_key_value_heads", Int(32)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(2048)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("sliding_window", Int(4096)),
        ("sliding_window_pattern", Int(4)),
    ],
    spec,
}];

/// Layers of the model of 32 billion parameters.
const LARGEST: usize = 64;
const PATTERN: Key = key("", &["sliding_window_pattern"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Head });
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let window = window(c, &sizes)?;
    let slides: Vec<_> = slides(c, &sizes)?.into_iter().map(|slides| slides && window.is_some()).collect();
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = |slides: bool| {
        let rope = attn.rope.clone().filter(|_| slides || window.is_none());
        let attn = AttnSpec { window: window.filter(|_| slides), rope, ..attn.clone() };
        LayerSpec {
            wiring: Wiring::PostNorm,
            ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn.clone())
        }
    };
    let model = read::model(c, sizes, slides.into_iter().map(layer).collect(), norm)?;
    c.pass(PATTERN);
    Ok(ModelSpec { context_limit, ..model })
}

/// How far back layers see. llama.cpp heeds that key in the largest model only, known by its depth, and there has a number of its own
/// where a file has none.
fn window(c: &Config<'_>, sizes: &Sizes) -> Result<Option<usize>, ModelError> {
    let stated = read::window(c)?;
    Ok(match c.dialect {
        Dialect::Json => stated,
        Dialect::Gguf if sizes.layers == LARGEST => stated.or(Some(4096)),
        Dialect::Gguf => None,
    })
}

/// The pattern may be a text such as `LLLG`, L for layers that slide; the last layer never does then.
fn slides(c: &Config<'_>, sizes: &Sizes) -> Result<Vec<bool>, ModelError> {
    let Some((Value::Text(pattern), _)) = c.get(PATTERN) else { return read::sliding(c, sizes, 4) };
    if let Some(types) = read::sliding_layers(c, sizes)? {
        return Ok(types);
    }
    if pattern.is_empty() || pattern.chars().any(|p| !matches!(p, 'L' | 'G')) {
        return Err(c.bad(PATTERN, "a number, or a text of L and G"));
    }
    Ok((1..)
        .zip(pattern.chars().cycle())
        .take(sizes.layers)
        .map(|(i, p)| p == 'L' && i < sizes.layers)
        .collect())
}
