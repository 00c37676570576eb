//! Gemma 3n, the text model: as the third generation, with norms whose weights are stored whole, several residual streams, ways around
//! attention, layers that share keys and values, inputs that layers get from the token itself, and gates of which few values count.

use super::{Family, gemma, gemma4};
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Dialect, Key, Value, key};
use crate::read::{self, MAX_WIDTH, RopeAsk, Sizes};
use crate::spec::{
    AttnSpec, Ffn, LayerSpec, Mixer, MlpForm, MlpSpec, ModelSpec, NormSpec, NormWeight, NormedOver, QkNorm,
    StreamsSpec, Wiring,
};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["gemma3n"],
    json: &["gemma3n_text", "gemma3n"],
    names: gemma::NAMES,
    defaults: &[
        ("vocab_size", Int(262400)),
        ("hidden_size", Int(2048)),
        ("intermediate_size", Int(16384)),
        ("num_hidden_layers", Int(35)),
        ("num_attention_heads", Int(8)),
        ("num_key_value_heads", Int(2)),
        ("head_dim", Int(256)),
        ("hidden_activation", Text("gelu_pytorch_tanh")),
        ("max_position_embeddings", Int(32768)),
        ("rms_norm_eps", Float(1e-06)),
        ("rope_theta", Float(1000000.0)),
        ("tie_word_embeddings", Bool(true)),
        ("attention_bias", Bool(false)),
        ("sliding_window", Int(512)),
        ("final_logit_softcapping", Float(30.0)),
        ("vocab_size_per_layer_input", Int(262144)),
        ("hidden_size_per_layer_input", Int(256)),
        ("altup_active_idx", Int(0)),
        ("altup_correct_scale", Bool(true)),
        ("altup_num_inputs", Int(4)),
        ("num_kv_shared_layers", Int(15)),
        ("laurel_rank", Int(64)),
    ],
    spec,
}];

const ACTIVE: Key = key("altup.active_idx", &["altup_active_idx"]);
const STREAMS: Key = key("altup.num_inputs", &["altup_num_inputs"]);
const CLIP: Key = key("", &["altup_coef_clip"]);
const WEIGHED: Key = key("", &["altup_correct_scale"]);
const RANK: Key = key("", &["laurel_rank"]);
const SPARSITY: Key = key("activation_sparsity_scale", &["activation_sparsity_pattern"]);
const SHARED: Key = key("attention.shared_kv_layers", &["num_kv_shared_layers"]);
const LOCAL_THETA: Key = key("rope.freq_base_swa", &["rope_local_base_freq"]);
const FINAL_SOFTCAP: Key = key("final_logit_softcapping", &["final_logit_softcapping"]);

/// More streams than any model has.
const MOST_STREAMS: usize = 64;
/// Layers whose gates are cut where a file does not say which, and the part of their values that does not count.
const USUALLY_CUT: (usize, f64) = (10, 0.95);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let attns = attentions(c, &sizes, norm)?;
    let mlps = read::glus(c, Activation::GeluTanh, sizes.layers)?;
    let cuts = cuts(c, sizes.layers)?;
    let token_inputs = gemma4::token_inputs(c, norm, &sizes)?;
    let rank = match c.dialect {
        Dialect::Gguf => c.checkpoint().tensors.get("blk.0.laurel_l.weight")?.rows(),
        Dialect::Json => c.need_size(RANK, MAX_WIDTH)?,
    };
    let layer = |((attn, mlp), cut): ((AttnSpec, MlpSpec), Option<f32>)| {
        let (MlpForm::Glu(act) | MlpForm::Plain(act)) = mlp.form;
        LayerSpec {
            wiring: Wiring::Sandwich,
            detour: Some(rank),
            token_input: token_inputs.map(|_| act),
            ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), Ffn::Dense(MlpSpec { cut, ..mlp }))
        }
    };
    let layers = attns.into_iter().zip(mlps).zip(cuts).map(layer).collect();
    let logit_softcap = c.positive(FINAL_SOFTCAP)?.or((c.dialect == Dialect::Gguf).then_some(30.0));
    let streams = Some(streams(c, norm)?);
    let model = read::model(c, sizes, layers, norm)?;
    let embed_scale = (sizes.dim as f32).sqrt();
    Ok(ModelSpec { logit_softcap, token_inputs, streams, embed_scale, ..model })
}

fn streams(c: &Config<'_>, norm: NormSpec) -> Result<StreamsSpec, ModelError> {
    // Coefficients are clipped in training alone.
    c.pass(CLIP);
    let count = c.size(STREAMS, MOST_STREAMS)?.unwrap_or(4);
    if count < 2 {
        return Err(c.bad(STREAMS, "2 streams or more"));
    }
    if c.count(ACTIVE, MOST_STREAMS)?.unwrap_or(0) != 0 {
        return Err(c.unsupported(ACTIVE, "0: layers see the first stream"));
    }
    Ok(StreamsSpec { count, norm, weighed: c.flag(WEIGHED)?.unwrap_or(true) })
}

/// As in the third generation, with unscaled scores and normed values; the last layers take keys and values from earlier ones.
fn attentions(c: &Config<'_>, sizes: &Sizes, norm: NormSpec) -> Result<Vec<AttnSpec>, ModelError> {
    let slides = read::sliding(c, sizes, 5)?;
    // llama.cpp knows no other number than 20 of its own.
    let usual = sizes.layers.saturating_sub(20);
    let own = sizes.layers - c.count(SHARED, sizes.layers)?.unwrap_or(usual);
    let expected = "an earlier layer of each kind that has keys";
    let sources = read::kv_sources(&slides, own).ok_or_else(|| c.bad(SHARED, expected))?;
    let base = read::attention(c, sizes)?;
    let ask = RopeAsk {
        head_dim: base.head_dim,
        context: sizes.context,
        pairing: Pairing::Halves,
        layer_type: Some("full_attention"),
    };
    let local = read::local_rope(c, ask, (LOCAL_THETA, 10000.0))?;
    let (global, _) = read::rope(c, ask)?;
    let window = read::window(c)?;
    let attn = |(slides, kv): (bool, _)| AttnSpec {
        scale: 1.0,
        rope: Some(if slides { local.clone() } else { global.clone() }),
        window: window.filter(|_| slides),
        qk_norm: Some(QkNorm { norm, over: NormedOver::Head }),
        v_norm: Some(NormSpec { weight: NormWeight::Absent, ..norm }),
        kv,
        ..base.clone()
    };
    Ok(slides.into_iter().zip(sources).map(attn).collect())
}

/// At how many deviations each layer's gate is cut: GGUF says so, `config.json` gives the part of normally distributed values that
/// would lie below.
fn cuts(c: &Config<'_>, layers: usize) -> Result<Vec<Option<f32>>, ModelError> {
    let of_part = |part: f64| (part > 0.0).then(|| quantile(part) as f32);
    let (value, json) = (c.get(SPARSITY), c.dialect == Dialect::Json);
    let Some((value, _)) = value else {
        let (cut, part) = USUALLY_CUT;
        let cut = if json && layers <= cut { 0 } else { cut };
        return Ok((0..layers).map(|i| of_part(part).filter(|_| i < cut)).collect());
    };
    let expected = match json {
        true => format!("{layers} numbers from 0 to below 1"),
        false => format!("{layers} numbers of deviations"),
    };
    let one = |v: &Value| match v {
        // Nothing lies below: what a part of 0 comes to.
        Value::Float(x) if !json && *x == f64::NEG_INFINITY => Some(None),
        v if json => v.number().map(f64::from).filter(|x| (0.0..1.0).contains(x)).map(of_part),
        v => v.number().map(Some),
    };
    let all = match value {
        Value::List(list) if list.len() == layers => list.iter().map(one).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    all.ok_or_else(|| c.bad(SPARSITY, &expected))
}

/// The value below which this part of a standard normal distribution lies, for parts between 0 and 1: Newton's method on the
/// distribution's series, which from 0 comes nearer from one side.
fn quantile(part: f64) -> f64 {
    if part < 0.5 {
        return -quantile(1.0 - part);
    }
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let below = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for k in 1..400 {
            term *= x * x / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 + density(x) * sum
    };
    let mut x = 0.0;
    for _ in 0..100 {
        x += (part - below(x)) / density(x);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_those_of_tables() {
        let known = [
            (0.5, 0.0),
            (0.9, 1.281_551_565_544_6),
            (0.95, 1.644_853_626_951_47),
            (0.999, 3.090_232_306_167_81),
        ];
        for (part, want) in known {
            assert!((quantile(part) - want).abs() < 1e-9, "{part}: {}", quantile(part));
            assert!((quantile(1.0 - part) + want).abs() < 1e-9, "{part}");
        }
        assert!(quantile(1.0 - 1e-7).is_finite());
    }
}
