//! One file per family of encoders: `config.json` in, specification out. Adding one is a file, its names and a line in
//! [`FAMILIES`].

mod bert;
mod deberta;
mod distilbert;
mod modernbert;
mod mpnet;
mod nomic;

use super::keys::Keys;
use super::names::Names;
use super::spec::EncoderSpec;
use crate::ModelError;
use crate::config::{Config, Dialect};
use torchless_formats::Checkpoint;

/// Architectures that share one translation.
pub(super) struct Family {
    /// Values of `model_type` in `config.json`.
    pub json: &'static [&'static str],
    /// The translation.
    pub spec: fn(&Keys<'_>) -> Result<EncoderSpec, ModelError>,
    /// Names of the tensors; the first of which the file has the first layer's query is taken.
    pub names: &'static [Names],
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
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|f| f.json).copied().collect();
    names.sort_unstable();
    names
}

fn family(config: &Config<'_>) -> Option<&'static Family> {
    FAMILIES.iter().find(|f| config.dialect == Dialect::Json && f.json.contains(&config.arch.as_str()))
}

/// Whether the checkpoint's metadata names an encoder.
pub fn is_encoder(checkpoint: &Checkpoint) -> bool {
    Config::new(checkpoint).is_ok_and(|config| family(&config).is_some())
}

/// The specification, and what the tensors are called.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<(EncoderSpec, &'static Names), ModelError> {
    let config = Config::new(checkpoint)?;
    let Some(family) = family(&config) else {
        let known = known_encoders().join(", ");
        return Err(ModelError::UnknownArchitecture { name: config.arch.clone(), known });
    };
    let spec = (family.spec)(&Keys::new(&config))?;
    config.finish()?;
    let has = |names: &&Names| {
        let stem = format!("{}.0.{}.weight", names.layer, names.query.name);
        config.has_tensor(&stem) || config.has_tensor(&format!("{}{stem}", names.prefix))
    };
    let names = family.names.iter().find(has).unwrap_or(&family.names[0]);
    Ok((spec, names))
}
