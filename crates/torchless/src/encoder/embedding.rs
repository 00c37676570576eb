//! How texts become vectors: what the files of sentence-transformers say beside a model.

use crate::Error;
use serde_json::Value as Json;
use std::path::PathBuf;
use torchless_device::PoolKind;
use torchless_formats::gguf::GgufMetadata;
use torchless_formats::{Checkpoint, Metadata, document_beside};
use torchless_model::encoder::Pooling;

/// How a text becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// From one hidden state per token to one.
    pub pooling: Pooling,
    /// Whether the vector is scaled to length 1.
    pub normalize: bool,
}

impl Default for Embedding {
    fn default() -> Self {
        Self { pooling: Pooling::Rows(PoolKind::Mean), normalize: false }
    }
}

/// Names of the ways to pool, in the words of sentence-transformers: the flag, and the short name.
const POOLINGS: &[(&str, &str, Pooling)] = &[
    ("pooling_mode_cls_token", "cls", Pooling::First),
    ("pooling_mode_mean_tokens", "mean", Pooling::Rows(PoolKind::Mean)),
    ("pooling_mode_max_tokens", "max", Pooling::Rows(PoolKind::Max)),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", Pooling::Rows(PoolKind::MeanSqrt)),
    ("pooling_mode_weightedmean_tokens", "weightedmean", Pooling::Rows(PoolKind::Weighted)),
    ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
];

/// What `modules.json` is called, and the configuration of pooling that goes without it.
const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";

impl Embedding {
    /// The files beside a model that say how, whether they are there or not.
    pub fn files(checkpoint: &Checkpoint) -> Vec<PathBuf> {
        let folder = checkpoint.files.first().and_then(|file| file.path.parent());
        folder.map_or(Vec::new(), |folder| [MODULES, POOLING].map(|name| folder.join(name)).into())
    }

    /// What `modules.json` and `1_Pooling/config.json` in the model's folder say, or the metadata of GGUF; the default where there are none.
    ///
    /// # Errors
    /// A file is broken, or names a step that is not built.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, Error> {
        if let Metadata::Gguf(metadata) = &checkpoint.metadata {
            return Self::of_gguf(metadata);
        }
        let Some(modules) = document_beside(checkpoint, MODULES)? else {
            let pooling = document_beside(checkpoint, POOLING)?;
            let pooling = pooling.as_ref().map(pooling_of).transpose()?;
            return Ok(pooling.map_or(Self::default(), |pooling| Self { pooling, normalize: false }));
        };
        let list = modules.as_array().ok_or_else(|| mismatch("modules.json is no list of modules"))?;
        let mut embedding = Self::default();
        for module in list {
            let text = |key: &str| module.get(key).and_then(Json::as_str).unwrap_or_default();
            match text("type").rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => {
                    let name = format!("{}/config.json", text("path"));
                    let config = document_beside(checkpoint, &name)?;
                    let config = config
                        .ok_or_else(|| mismatch(&format!("modules.json names {name}, which is missing")))?;
                    embedding.pooling = pooling_of(&config)?;
                }
                "Normalize" => embedding.normalize = true,
                other => {
                    let known = "Transformer, Pooling, Normalize";
                    let shown: String = other.chars().take(60).collect();
                    return Err(mismatch(&format!("modules.json has a step '{shown}' (known: {known})")));
                }
            }
        }
        Ok(embedding)
    }

    /// What `pooling_type` says.
    fn of_gguf(metadata: &GgufMetadata) -> Result<Self, Error> {
        let arch = metadata.get::<&str>("general.architecture")?;
        let pooling = match metadata.opt::<u32>(&format!("{arch}.pooling_type"))? {
            None | Some(0 | 1) => Pooling::Rows(PoolKind::Mean),
            // The first token is also what a reranker's classifier reads.
            Some(2 | 4) => Pooling::First,
            Some(3) => Pooling::Last,
            Some(other) => {
                let known = "0 (none), 1 (mean), 2 (first), 3 (last), 4 (classifier)";
                return Err(mismatch(&format!("{arch}.pooling_type is {other} (known: {known})")));
            }
        };
        Ok(Self { pooling, normalize: false })
    }

    /// The way to pool of this short name, `pooler` among them.
    ///
    /// # Errors
    /// There is none; the error names all.
    pub fn pooling_named(name: &str) -> Result<Pooling, Error> {
        if name == "pooler" {
            return Ok(Pooling::Pooler);
        }
        POOLINGS.iter().find(|row| row.1 == name).map(|row| row.2).ok_or_else(|| {
            let known: Vec<_> = POOLINGS.iter().map(|row| row.1).chain(["pooler"]).collect();
            Error::Option(format!("unknown pooling '{name}' (known: {})", known.join(", ")))
        })
    }
}

/// The one way to pool that a configuration switches on.
fn pooling_of(config: &Json) -> Result<Pooling, Error> {
    if let Some(name) = config.get("pooling_mode").and_then(Json::as_str) {
        return Embedding::pooling_named(name);
    }
    let on = |key: &str| config.get(key).and_then(Json::as_bool) == Some(true);
    let mut found = POOLINGS.iter().filter(|row| on(row.0));
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row.2),
        (None, _) => Err(mismatch("the pooling configuration switches no known way to pool on")),
        (Some(a), Some(b)) => {
            Err(mismatch(&format!("several ways to pool at once are not supported: {} and {}", a.1, b.1)))
        }
    }
}

/// Scales a vector to length 1; one of zeros stays.
pub(super) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

fn mismatch(why: &str) -> Error {
    Error::Mismatch(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_way_to_pool_is_read_from_either_spelling() {
        let cls = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false});
        assert_eq!(pooling_of(&cls).unwrap(), Pooling::First);
        assert_eq!(pooling_of(&json!({"pooling_mode": "max"})).unwrap(), Pooling::Rows(PoolKind::Max));
        for wrong in [
            json!({}),
            json!({"pooling_mode": "other"}),
            json!({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}),
        ] {
            assert!(pooling_of(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn vectors_get_length_1() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0; 2];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 2]);
    }
}
