//! From options to an opened model.

use crate::args::{KvType, ModelArgs};
use crate::exit::Usage;
use std::path::Path;
use torchless::{CacheType, ModelOptions, Residency, RunPrecision, Source};

/// A path, or the model inside.
pub fn source(path: Option<&Path>) -> Source {
    path.map_or(Source::Inside, |p| Source::Path(p.to_owned()))
}

/// The same, where an option may name the architecture.
///
/// # Errors
/// An architecture is named for the model inside, which has its own.
pub fn source_as(path: Option<&Path>, architecture: Option<&str>) -> Result<Source, Usage> {
    match (path, architecture) {
        (Some(path), Some(name)) => Ok(Source::As { path: path.to_owned(), architecture: name.to_owned() }),
        (None, Some(_)) => Err(Usage("--arch goes with a model file".to_owned())),
        (path, None) => Ok(source(path)),
    }
}

/// The options in the words of the library.
pub fn options(args: &ModelArgs) -> ModelOptions {
    let mapped = args.lazy || args.memory_limit.is_some();
    ModelOptions {
        residency: if mapped { Residency::Mapped { limit: args.memory_limit } } else { Residency::Resident },
        precision: if args.exact { RunPrecision::Exact } else { RunPrecision::Fast },
        cache: args.kv_dtype.map(|t| match t {
            KvType::F16 => CacheType::F16,
            KvType::F32 => CacheType::F32,
        }),
        kernels: args.kernels.clone().or_else(|| std::env::var("TORCHLESS_KERNELS").ok()),
        threads: args.threads,
        max_seq_len: args.max_seq_len,
        ..ModelOptions::default()
    }
}
