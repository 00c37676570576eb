//! From a checkpoint with `config.json` to the names and conventions of GGUF: which tensor goes where, and what has to happen
//! to its rows on the way. The metadata is for whoever writes the file; [`same_model`] says whether it was right.

use crate::ModelError;
use crate::arch;
use crate::config::{Config, Dialect};
use crate::roles::{Layout, Naming, Part, Role};
use crate::rope;
use crate::spec::{AttnSpec, LayerSpec, Mixer, ModelSpec, NormWeight, RopeScaling, RopeSpec};
use std::collections::BTreeMap;
use torchless_device::Pairing;
use torchless_formats::Checkpoint;

/// Where a tensor goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name in GGUF.
    pub name: String,
    /// What happens to it.
    pub change: Change,
}

/// What happens to a tensor on its way to GGUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// 1 is added: the weight of a norm that is stored less one.
    AddOne,
    /// Rows of queries or keys, whose heads have so many: reordered where GGUF wants rotated pairs side by side.
    Rotated {
        /// Rows of a head.
        head_dim: usize,
    },
}

/// A checkpoint in the words of GGUF.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What the model is.
    pub spec: ModelSpec,
    /// Value of `general.architecture`.
    pub arch: &'static str,
    /// The tensors by their names in the checkpoint.
    pub places: BTreeMap<String, Place>,
}

/// Translates a checkpoint whose metadata is `config.json`, or that of the native format.
///
/// # Errors
/// It is no model that runs here, or one whose tensors GGUF holds in another arrangement.
pub fn translate(checkpoint: &Checkpoint) -> Result<Translation, ModelError> {
    let config = Config::new(checkpoint, None)?;
    if config.dialect == Dialect::Gguf {
        return Err(refused("GGUF", "config.json and native metadata"));
    }
    let spec = arch::spec(checkpoint, None)?;
    let (arch, family) = arch::in_gguf(config.family, &config.arch)
        .ok_or_else(|| refused(&format!("{} in GGUF", config.arch), "architectures that GGUF has"))?;
    let from = Naming::new(checkpoint, Dialect::Json, config.family);
    if from.layout() != Layout::Rows {
        return Err(refused(&format!("{}, whose matrices are transposed", config.arch), "matrices by rows"));
    }
    let to = Naming::new(checkpoint, Dialect::Gguf, family);
    let mut places = BTreeMap::new();
    for &role in Role::ALL {
        let layers =
            if role.is_of_layers() { (0..spec.layers.len()).map(Some).collect() } else { vec![None] };
        for layer in layers {
            for part in [Part::Weight, Part::Bias, Part::Bare] {
                let Some(name) = from.find(role, layer, part).filter(|n| checkpoint.tensors.contains(n))
                else {
                    continue;
                };
                let Some(change) = change(&spec, role, layer, part) else { continue };
                let target = to.find(role, layer, part);
                let target = target
                    .ok_or_else(|| refused(&format!("tensor '{name}' in GGUF"), "tensors that it has"))?;
                places.entry(name).or_insert(Place { name: target, change });
            }
        }
    }
    let left = |name: &&str| !places.contains_key(*name) && !from.is_redundant(name);
    if let Some(name) = checkpoint.tensors.names().find(left) {
        let tied = spec.tied_head && Some(name) == from.find(Role::Head, None, Part::Weight).as_deref();
        if !tied {
            return Err(refused(&format!("tensor '{name}' in GGUF"), "tensors that it has"));
        }
    }
    Ok(Translation { spec, arch, places })
}

fn refused(what: &str, supported: &str) -> ModelError {
    ModelError::Unsupported { what: what.to_owned(), supported: supported.to_owned() }
}

/// What a role's tensor needs; `None` where the model has no such role, and another has its name.
fn change(spec: &ModelSpec, role: Role, layer: Option<usize>, part: Part) -> Option<Change> {
    let of = |norm: NormWeight| {
        if part == Part::Weight && norm == NormWeight::LessOne { Change::AddOne } else { Change::None }
    };
    let Some(layer) = layer.map(|i| &spec.layers[i]) else {
        return Some(match role {
            Role::FinalNorm => of(spec.final_norm.weight),
            Role::Head if spec.tied_head => return None,
            _ => Change::None,
        });
    };
    let attn = attention(layer)?;
    let wiring = layer.wiring;
    Some(match role {
        Role::MixerNorm | Role::FfnNorm if !wiring.norms_inputs() => return None,
        Role::MixerPostNorm | Role::FfnPostNorm if !wiring.norms_outputs() => return None,
        Role::MixerNorm | Role::FfnNorm | Role::MixerPostNorm | Role::FfnPostNorm => of(layer.norm.weight),
        Role::QueryNorm | Role::KeyNorm => of(attn.qk_norm.map_or(NormWeight::Plain, |n| n.norm.weight)),
        Role::Query | Role::Key => Change::Rotated { head_dim: attn.head_dim },
        _ => Change::None,
    })
}

/// Whether queries and keys of a layer lie otherwise in the second specification, so that rows have to be reordered: rotated
/// pairs side by side instead of halves apart. `None` where that cannot be had by reordering.
pub fn is_reordered(from: &ModelSpec, to: &ModelSpec, layer: usize) -> Option<bool> {
    let (a, b) = (attention(&from.layers[layer])?, attention(&to.layers[layer])?);
    let pairing = |rope: &Option<RopeSpec>| rope.as_ref().map(|rope| rope.pairing);
    match (pairing(&a.rope), pairing(&b.rope)) {
        (a, b) if a == b => Some(false),
        (Some(Pairing::Halves), Some(Pairing::Adjacent)) => {
            let whole = a.rope.as_ref().is_some_and(|rope| rope.dims == a.head_dim);
            (whole && a.qk_norm.is_none()).then_some(true)
        }
        _ => None,
    }
}

/// Whether both compute the same, but for the conventions of the two dialects: names, the arrangement of rotated pairs, norms that are
/// stored less one, and rotary frequencies that one writes as a rule and the other as numbers.
pub fn same_model(a: &ModelSpec, b: &ModelSpec) -> bool {
    let rope = |layer| attention(layer).and_then(|attn| attn.rope.as_ref());
    plain(a) == plain(b)
        && a.layers.iter().zip(&b.layers).all(|(a, b)| match (rope(a), rope(b)) {
            (Some(a), Some(b)) => same_rotation(a, b),
            (None, None) => true,
            _ => false,
        })
}

fn same_rotation(a: &RopeSpec, b: &RopeSpec) -> bool {
    let (a, b) = (rope::build(a), rope::build(b));
    let near = |a: &[f32], b: &[f32]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs())
    };
    let beyond = match (&a.beyond, &b.beyond) {
        (Some(a), Some(b)) => a.tokens == b.tokens && near(&a.inv_freq, &b.inv_freq),
        (None, None) => true,
        _ => false,
    };
    near(&a.inv_freq, &b.inv_freq) && (a.magnitude - b.magnitude).abs() <= 1e-6 * a.magnitude && beyond
}

/// The specification without what the dialects write differently.
fn plain(spec: &ModelSpec) -> ModelSpec {
    let mut spec = spec.clone();
    spec.arch.clear();
    spec.context_limit = None;
    let whole = |weight: &mut NormWeight| {
        if *weight == NormWeight::LessOne {
            *weight = NormWeight::Plain;
        }
    };
    whole(&mut spec.final_norm.weight);
    for layer in &mut spec.layers {
        whole(&mut layer.norm.weight);
        match &mut layer.mixer {
            Mixer::Attention(attn) => {
                attn.rope = None;
                if let Some(norm) = &mut attn.qk_norm {
                    whole(&mut norm.norm.weight);
                }
            }
            Mixer::Latent(_) | Mixer::Delta(_) => {}
        }
    }
    spec
}

/// The attention of a layer.
fn attention(layer: &LayerSpec) -> Option<&AttnSpec> {
    match &layer.mixer {
        Mixer::Attention(attn) => Some(attn),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    }
}

/// Divisors of the rotary frequencies that give those of `spec` from the plain ones, where it is stretched by parts as LLaMA 3 is.
pub fn rope_divisors(spec: &RopeSpec) -> Vec<f32> {
    let plain = RopeSpec { scaling: RopeScaling::None, factors: None, ..spec.clone() };
    let (plain, own) = (rope::build(&plain), rope::build(spec));
    plain.inv_freq.iter().zip(&own.inv_freq).map(|(plain, own)| plain / own).collect()
}
