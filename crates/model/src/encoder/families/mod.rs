//! One file per family of encoders: `config.json` in, specification out; GGUF's have one of their own. Adding one is a file, its names and a line in
//! [`FAMILIES`].

mod bert;
mod deberta;
mod distilbert;
mod ggml;
mod modernbert;
mod mpnet;
mod nomic;

use super::keys::Keys;
use super::names;
use super::spec::EncoderSpec;
use crate::config::{Config, Dialect};
use crate::roles::Names;
use crate::{ModelError, arch};
use torchless_formats::Checkpoint;

/// Architectures that share one translation.
pub(super) struct Family {
    /// Values of `model_type` in `config.json`, or of `general.architecture` in GGUF.
    pub archs: &'static [&'static str],
    /// The translation.
    pub spec: fn(&Keys<'_>) -> Result<EncoderSpec, ModelError>,
    /// Names of the tensors; the first of which the file has the first layer's query is taken.
    pub names: &'static [names::Names],
}

const FAMILIES: &[Family] = &[
    bert::BERT,
    bert::ROBERTA,
    bert::ELECTRA,
    distilbert::FAMILY,
    mpnet::FAMILY,
    modernbert::FAMILY,
    nomic::FAMILY,
    deberta::FAMILY,
];

/// Names of all architectures, sorted.
pub fn known_encoders() -> Vec<&'static str> {
    let all = FAMILIES.iter().chain(ggml::FAMILIES);
    let mut names: Vec<_> = all.flat_map(|family| family.archs).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn family(dialect: Dialect, arch: &str) -> Option<&'static Family> {
    let families = match dialect {
        Dialect::Json => FAMILIES,
        Dialect::Gguf => ggml::FAMILIES,
    };
    families.iter().find(|family| family.archs.contains(&arch))
}

fn unknown(arch: &str) -> ModelError {
    ModelError::UnknownArchitecture { name: arch.to_owned(), known: known_encoders().join(", ") }
}

/// What the metadata's reader wants to know of a family, and what an encoder has of it: nothing.
static READER: arch::Family = arch::Family {
    gguf: &[],
    json: &[],
    names: Names::USUAL,
    defaults: &[],
    spec: |config| Err(unknown(&config.arch)),
};

fn config(checkpoint: &Checkpoint) -> Result<Config<'_>, ModelError> {
    Config::of_family(checkpoint, |dialect, arch| {
        family(dialect, arch).map(|_| &READER).ok_or_else(|| unknown(arch))
    })
}

/// Whether the checkpoint's metadata names an encoder.
pub fn is_encoder(checkpoint: &Checkpoint) -> bool {
    config(checkpoint).is_ok()
}

/// The specification, and what the tensors are called.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<(EncoderSpec, &'static names::Names), ModelError> {
    let config = config(checkpoint)?;
    let family = family(config.dialect, &config.arch).ok_or_else(|| unknown(&config.arch))?;
    let spec = (family.spec)(&Keys::new(&config))?;
    config.finish()?;
    let has = |names: &&names::Names| {
        let stem = format!("{}.0.{}.weight", names.layer, names.query.name);
        config.has_tensor(&stem) || config.has_tensor(&format!("{}{stem}", names.prefix))
    };
    let names = family.names.iter().find(has).unwrap_or(&family.names[0]);
    Ok((spec, names))
}
