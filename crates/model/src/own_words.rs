//! What a model is beyond the keys that GGUF has, in keys of our own.
//!
//! Other readers of GGUF pass over keys that they do not know, and would compute something else without a word. A file with such keys
//! therefore names an architecture that nobody else has, [`ARCHITECTURE`]; the one that its other keys belong to is under [`OF`].

use crate::ModelError;
use crate::config::{Config, Key, OWN, OWN_PREFIX, key};
use crate::read::{MAX_CONTEXT, activation_name};
use crate::spec::{AttnSpec, Ffn, LatentSpec, LayerSpec, Mixer, MlpForm, ModelSpec, RopeScaling, RopeSpec};
use torchless_device::{Activation, Gating, GroupScore, Routing, Score};
use torchless_formats::gguf::Value;

/// Value of `general.architecture` in files with keys of our own.
pub const ARCHITECTURE: &str = "torchless";
/// The architecture that the other keys belong to.
pub const OF: &str = "torchless.architecture";

/// The function of feed-forward units by transformers' name, computed exactly.
pub(crate) const ACTIVATION: &str = "own.activation";
const FUNCTION: Key = key(ACTIVATION, &[]);
const WINDOWS: Key = key("own.attention.windows", &[]);
const ROTATES: Key = key("own.attention.rotates", &[]);
const SCALES: Key = key("own.attention.scales", &[]);
const CLIP: Key = key("own.attention.clip", &[]);
const LATENT_EPS: Key = key("own.attention.latent_norm_epsilon", &[]);
const GROUPS_BY: Key = key("own.expert.group_score", &[]);
const JITTER: Key = key("own.expert.sparse_mixer_jitter", &[]);
const LONG_MAGNITUDE: Key = key("own.rope.long_magnitude", &[]);
const TRUNCATE: Key = key("own.rope.yarn_truncate", &[]);

/// Changes a specification to what the file says in keys of our own.
///
/// # Errors
/// A value is not of its kind.
pub(crate) fn amend(c: &Config<'_>, spec: &mut ModelSpec) -> Result<(), ModelError> {
    let layers = spec.layers.len();
    if let Some(windows) = c.counts(WINDOWS, layers, MAX_CONTEXT)? {
        each_attention(spec, |i, attn| attn.window = (windows[i] > 0).then_some(windows[i]));
    }
    if let Some(rotates) = c.flags(ROTATES, layers)? {
        rotate(spec, &rotates)
            .ok_or_else(|| c.bad(ROTATES, "no layer that rotates in a model without rotation"))?;
    }
    if let Some(scales) = c.numbers(SCALES, layers)? {
        each_attention(spec, |i, attn| attn.scale = scales[i]);
    }
    if let Some(limit) = c.positive(CLIP)? {
        each_attention(spec, |_, attn| attn.clip = Some(limit));
    }
    if let Some(eps) = c.positive(LATENT_EPS)? {
        each_latent(spec, |latent| latent.norm.eps = eps);
    }
    if let Some(name) = c.text(GROUPS_BY)? {
        let known = GROUP_SCORES.iter().find(|(known, _)| *known == name);
        let (_, by) = known.ok_or_else(|| c.bad(GROUPS_BY, "largest or two_largest"))?;
        each_routing(spec, |routing| routing.groups.iter_mut().for_each(|groups| groups.by = *by));
    }
    if let Some(jitter) = c.positive(JITTER)? {
        each_routing(spec, |routing| {
            (routing.score, routing.normalise) = (Score::SparseMixer { jitter }, None);
        });
    }
    if let Some(fault) = routings(spec).find_map(Routing::fault) {
        let key = if c.states(JITTER) { JITTER } else { GROUPS_BY };
        return Err(c.bad(key, &format!("a choice that can be made, not {fault}")));
    }
    if let Some(magnitude) = c.positive(LONG_MAGNITUDE)? {
        each_rope(spec, |rope| {
            if let RopeScaling::LongRope { magnitudes, .. } = &mut rope.scaling {
                magnitudes.1 = magnitude;
            }
        });
    }
    if let Some(whole) = c.flag(TRUNCATE)? {
        each_rope(spec, |rope| {
            if let RopeScaling::Yarn { truncate, .. } = &mut rope.scaling {
                *truncate = whole;
            }
        });
    }
    Ok(())
}

/// Lets the layers rotate queries and keys that are to, as others do; `None` where no layer does.
fn rotate(spec: &mut ModelSpec, rotates: &[bool]) -> Option<()> {
    let ropes = spec.layers.iter().filter_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => attn.rope.clone(),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    });
    let rope = ropes.clone().next();
    if rope.is_none() && rotates.contains(&true) {
        return None;
    }
    each_attention(spec, |i, attn| match rotates[i] {
        true if attn.rope.is_none() => attn.rope.clone_from(&rope),
        true => {}
        false => attn.rope = None,
    });
    Some(())
}

/// The keys that make `read`, a specification that a file without them gave, more like `wanted`.
pub fn words(wanted: &ModelSpec, read: &ModelSpec) -> Vec<(String, Value)> {
    let mut words = Vec::new();
    let mut say = |key: Key<'_>, there: Said, here: Said| {
        let name = key.gguf.replacen(OWN, OWN_PREFIX, 1);
        if there != here {
            words.extend(here.value().map(|value| (name, value)));
        }
    };
    let windows = |spec: &ModelSpec| Said::Counts(of_layers(spec, |attn| attn.window.unwrap_or(0) as u32));
    say(WINDOWS, windows(read), windows(wanted));
    let rotates = |spec: &ModelSpec| Said::Flags(of_layers(spec, |attn| attn.rope.is_some()));
    say(ROTATES, rotates(read), rotates(wanted));
    let scales = |spec: &ModelSpec| Said::Numbers(of_layers(spec, |attn| attn.scale));
    say(SCALES, scales(read), scales(wanted));
    let clip = |spec: &ModelSpec| Said::Number(attentions(spec).find_map(|attn| attn.clip));
    say(CLIP, clip(read), clip(wanted));
    let eps = |spec: &ModelSpec| Said::Number(latents(spec).map(|latent| latent.norm.eps).next());
    say(LATENT_EPS, eps(read), eps(wanted));
    say(GROUPS_BY, Said::Name(groups_by(read)), Said::Name(groups_by(wanted)));
    say(JITTER, Said::Number(jitter(read)), Said::Number(jitter(wanted)));
    say(LONG_MAGNITUDE, Said::Number(long_magnitude(read)), Said::Number(long_magnitude(wanted)));
    say(TRUNCATE, Said::Flag(truncates(read)), Said::Flag(truncates(wanted)));
    if !is_gelu(function(wanted)) || !is_gelu(function(read)) {
        say(FUNCTION, Said::Name(function_name(read)), Said::Name(function_name(wanted)));
    }
    words
}

/// The key that makes the GELU of `read` that of `wanted`. Others pass over it and compute theirs, which is near: it alone is no reason to
/// keep a file from them.
pub fn exact_gelu(wanted: &ModelSpec, read: &ModelSpec) -> Option<(String, Value)> {
    let (there, here) = (function(read), function(wanted));
    let differ = is_gelu(there) && is_gelu(here) && there != here;
    let name = function_name(wanted).filter(|_| differ)?;
    Some((FUNCTION.gguf.replacen(OWN, OWN_PREFIX, 1), name.into()))
}

/// The same model with functions that are computed exactly.
pub fn with_exact_functions(mut spec: ModelSpec) -> ModelSpec {
    for layer in &mut spec.layers {
        for function in functions_mut(layer) {
            if *function == Activation::GeluTanhHalf {
                *function = Activation::GeluTanh;
            }
        }
    }
    spec
}

/// Whether a key of a GGUF file changes a model and is none of GGUF's.
pub fn is_own(key: &str) -> bool {
    key.starts_with(OWN_PREFIX) && key != OF
}

/// What a key says, or that there is nothing to say.
#[derive(PartialEq)]
enum Said {
    Counts(Vec<u32>),
    Numbers(Vec<f32>),
    Flags(Vec<bool>),
    Number(Option<f32>),
    Flag(Option<bool>),
    Name(Option<&'static str>),
}

impl Said {
    fn value(self) -> Option<Value> {
        match self {
            Said::Counts(all) => Some(Value::from(&all[..])),
            Said::Numbers(all) => Some(Value::from(&all[..])),
            Said::Flags(all) => Some(Value::from(&all[..])),
            Said::Number(one) => one.map(Value::from),
            Said::Flag(flag) => flag.map(Value::from),
            Said::Name(name) => name.map(Value::from),
        }
    }
}

fn is_gelu(function: Option<Activation>) -> bool {
    matches!(function, Some(Activation::Gelu | Activation::GeluTanh | Activation::GeluTanhHalf))
}

/// The function of all feed-forward units, which are alike in every family.
fn function(spec: &ModelSpec) -> Option<Activation> {
    spec.layers.first().and_then(|layer| functions_mut(&mut layer.clone()).first().map(|one| **one))
}

fn function_name(spec: &ModelSpec) -> Option<&'static str> {
    function(spec).and_then(activation_name)
}

fn functions_mut(layer: &mut LayerSpec) -> Vec<&mut Activation> {
    fn of(form: &mut MlpForm) -> &mut Activation {
        let (MlpForm::Glu(function) | MlpForm::Plain(function)) = form;
        function
    }
    let mut all: Vec<_> = layer.token_input.iter_mut().collect();
    match &mut layer.ffn {
        Ffn::Dense(mlp) => all.push(of(&mut mlp.form)),
        Ffn::Experts(moe) => {
            if let Gating::Plain(function) = &mut moe.gating {
                all.push(function);
            }
            all.extend(moe.shared.as_mut().map(|shared| of(&mut shared.mlp.form)));
        }
    }
    all
}

/// A number of each layer; that of layers without softmax attention is nothing.
fn of_layers<T: Default>(spec: &ModelSpec, of: impl Fn(&AttnSpec) -> T) -> Vec<T> {
    let one = |mixer: &Mixer| if let Mixer::Attention(attn) = mixer { of(attn) } else { T::default() };
    spec.layers.iter().map(|layer| one(&layer.mixer)).collect()
}

fn attentions(spec: &ModelSpec) -> impl Iterator<Item = &AttnSpec> {
    spec.layers.iter().filter_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => Some(attn),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    })
}

fn latents(spec: &ModelSpec) -> impl Iterator<Item = &LatentSpec> {
    spec.layers.iter().filter_map(|layer| match &layer.mixer {
        Mixer::Latent(latent) => Some(latent),
        Mixer::Attention(_) | Mixer::Delta(_) => None,
    })
}

fn routings(spec: &ModelSpec) -> impl Iterator<Item = &Routing> {
    spec.layers.iter().filter_map(|layer| match &layer.ffn {
        Ffn::Experts(moe) => Some(&moe.routing),
        Ffn::Dense(_) => None,
    })
}

const GROUP_SCORES: &[(&str, GroupScore)] =
    &[("largest", GroupScore::Largest), ("two_largest", GroupScore::TwoLargest)];

fn groups_by(spec: &ModelSpec) -> Option<&'static str> {
    let by = routings(spec).find_map(|routing| Some(routing.groups?.by))?;
    GROUP_SCORES.iter().find(|(_, known)| *known == by).map(|(name, _)| *name)
}

fn jitter(spec: &ModelSpec) -> Option<f32> {
    routings(spec).find_map(|routing| match routing.score {
        Score::SparseMixer { jitter } => Some(jitter),
        _ => None,
    })
}

fn truncates(spec: &ModelSpec) -> Option<bool> {
    scalings(spec).find_map(|scaling| match scaling {
        RopeScaling::Yarn { truncate, .. } => Some(*truncate),
        _ => None,
    })
}

fn long_magnitude(spec: &ModelSpec) -> Option<f32> {
    scalings(spec).find_map(|scaling| match scaling {
        RopeScaling::LongRope { magnitudes, .. } => Some(magnitudes.1),
        _ => None,
    })
}

fn scalings(spec: &ModelSpec) -> impl Iterator<Item = &RopeScaling> {
    spec.layers.iter().filter_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => attn.rope.as_ref().map(|rope| &rope.scaling),
        Mixer::Latent(latent) => Some(&latent.rope.scaling),
        Mixer::Delta(_) => None,
    })
}

fn each_attention(spec: &mut ModelSpec, change: impl Fn(usize, &mut AttnSpec)) {
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        if let Mixer::Attention(attn) = &mut layer.mixer {
            change(i, attn);
        }
    }
}

fn each_latent(spec: &mut ModelSpec, change: impl Fn(&mut LatentSpec)) {
    for layer in &mut spec.layers {
        if let Mixer::Latent(latent) = &mut layer.mixer {
            change(latent);
        }
    }
}

fn each_routing(spec: &mut ModelSpec, change: impl Fn(&mut Routing)) {
    for layer in &mut spec.layers {
        if let Ffn::Experts(moe) = &mut layer.ffn {
            change(&mut moe.routing);
        }
    }
}

fn each_rope(spec: &mut ModelSpec, change: impl Fn(&mut RopeSpec)) {
    for layer in &mut spec.layers {
        match &mut layer.mixer {
            Mixer::Attention(attn) => attn.rope.iter_mut().for_each(&change),
            Mixer::Latent(latent) => change(&mut latent.rope),
            Mixer::Delta(_) => {}
        }
    }
}
