//! From options to an opened model.

use crate::args::{Engine, FileFormat, KvType, ModelArgs};
use crate::exit::Usage;
use crate::output;
use std::path::{Path, PathBuf};
use torchless::formats::{Format, adapter_files};
use torchless::{CacheType, EngineKind, Error, ModelOptions, Residency, RunPrecision, Source};

/// Refuses to write over the model, or over another file that is read.
///
/// # Errors
/// `output` is one of these, or there is no model.
pub fn refuse_same(output: &Path, source: &Source, others: &[PathBuf]) -> Result<(), Error> {
    let checkpoint = source.checkpoint()?;
    torchless::refuse_same(output, checkpoint.read_from().chain(others.iter().map(PathBuf::as_path)))
}

/// The files of the adapters that options name.
pub fn adapters(args: &ModelArgs) -> impl Iterator<Item = PathBuf> {
    args.lora.iter().flat_map(|(path, _)| adapter_files(path))
}

/// A path, or the model inside.
pub fn source(path: Option<&Path>) -> Source {
    path.map_or(Source::Inside, |p| Source::Path(p.to_owned()))
}

/// The same, where options may name the architecture and the format.
///
/// # Errors
/// One is named for the model inside, which has its own.
pub fn source_as(path: Option<&Path>, args: &ModelArgs) -> Result<Source, Usage> {
    let (architecture, format) = (args.arch.clone(), args.format.map(format));
    if architecture.is_none() && format.is_none() {
        return Ok(source(path));
    }
    match path {
        Some(path) => Ok(Source::As { path: path.to_owned(), architecture, format }),
        None => Err(Usage("--arch and --format go with a model file".to_owned())),
    }
}

fn format(named: FileFormat) -> Format {
    match named {
        FileFormat::Gguf => Format::Gguf,
        FileFormat::Safetensors => Format::Safetensors,
        FileFormat::Bin => Format::Native,
    }
}

/// Says so where more positions are asked for than the model has learnt.
pub fn warn_beyond(asked: usize, trained: usize) {
    if asked > trained {
        output::note(&format!(
            "torchless: a context of {asked} is more than the {trained} this model was trained for"
        ));
    }
}

/// Refuses stretches of text that are longer than the context that is asked for.
///
/// # Errors
/// They are.
pub fn refuse_longer(stretch: usize, args: &ModelArgs) -> Result<(), Usage> {
    match args.max_seq_len.filter(|most| *most < stretch) {
        Some(most) => Err(Usage(format!(
            "stretches of {stretch} tokens do not fit into --max-seq-len {most}: leave it out, or give a shorter --context"
        ))),
        None => Ok(()),
    }
}

/// Makes what `TORCHLESS_KERNELS` names the table of this process, whatever opens a model: verbs, and scanners of a policy.
///
/// # Errors
/// This processor does not run it.
pub fn kernels_of_the_environment() -> Result<(), Error> {
    let named = std::env::var_os("TORCHLESS_KERNELS").filter(|name| !name.is_empty());
    named.map_or(Ok(()), |name| torchless::prefer_kernels(&name.to_string_lossy()))
}

/// The options in the words of the library.
///
/// # Errors
/// Two of them contradict each other.
pub fn options(args: &ModelArgs) -> Result<ModelOptions, Usage> {
    let mapped = args.lazy || args.memory_limit.is_some();
    Ok(ModelOptions {
        residency: if mapped { Residency::Mapped { limit: args.memory_limit } } else { Residency::Resident },
        precision: if args.exact { RunPrecision::Exact } else { RunPrecision::Fast },
        cache: args.kv_dtype.map(|t| match t {
            KvType::F16 => CacheType::F16,
            KvType::F32 => CacheType::F32,
            KvType::Bf16 => CacheType::Bf16,
            KvType::Q8_0 => CacheType::Q8_0,
            KvType::Q4_0 => CacheType::Q4_0,
        }),
        kernels: args.kernels.clone(),
        threads: args.threads,
        max_seq_len: args.max_seq_len,
        adapters: args.lora.clone(),
        placement: args.placement.placement(),
        engine: engine(args)?,
        ..ModelOptions::default()
    })
}

/// A library that is named is asked for.
fn engine(args: &ModelArgs) -> Result<EngineKind, Usage> {
    match (args.engine, &args.llama_lib) {
        (Some(Engine::Native), Some(_)) => {
            Err(Usage("--llama-lib is for --engine llama.cpp: leave one of both out".to_owned()))
        }
        (Some(Engine::Native) | None, None) => Ok(EngineKind::Native),
        (Some(Engine::LlamaCpp) | None, library) => Ok(EngineKind::LlamaCpp { library: library.clone() }),
    }
}
