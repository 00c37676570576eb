//! One file per family: metadata in, specification out. Adding one is a file and a line in [`FAMILIES`].

mod llama;

use crate::ModelError;
use crate::config::Config;
use crate::spec::ModelSpec;
use torchless_formats::Checkpoint;

/// A family of architectures that share one translation.
pub(crate) struct Family {
    /// Values of GGUF's `general.architecture`.
    pub gguf: &'static [&'static str],
    /// Values of `model_type` in `config.json`.
    pub json: &'static [&'static str],
    /// The translation.
    pub spec: fn(&Config<'_>) -> Result<ModelSpec, ModelError>,
}

const FAMILIES: &[Family] = &[llama::FAMILY];

/// Names of all architectures, as GGUF and `config.json` spell them, sorted.
pub fn known_architectures() -> Vec<&'static str> {
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|f| f.gguf.iter().chain(f.json)).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

pub(crate) fn spec(checkpoint: &Checkpoint) -> Result<ModelSpec, ModelError> {
    let config = Config::new(checkpoint)?;
    let named = |f: &&Family| match config.dialect {
        crate::config::Dialect::Gguf => f.gguf.contains(&config.arch.as_str()),
        crate::config::Dialect::Json => f.json.contains(&config.arch.as_str()),
    };
    let Some(family) = FAMILIES.iter().find(named) else {
        let known = known_architectures().join(", ");
        return Err(ModelError::UnknownArchitecture { name: config.arch.clone(), known });
    };
    let spec = (family.spec)(&config)?;
    config.finish()?;
    Ok(spec)
}
