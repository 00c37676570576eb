//! Models that llama.cpp runs: options in its words, or an error for those that it has no words for.

use crate::Error;
use crate::open::{ModelOptions, RunPrecision, Source, is_all_f32};
use crate::placement::{Place, Split};
use model_loader::{KvType, Library, LlamaRunner, LlamaRunnerOptions, Model, ModelConfig, Places};
use std::path::PathBuf;
use torchless_device::{CacheType, Residency};
use torchless_formats::Checkpoint;

/// What computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// The engine of this program.
    #[default]
    Native,
    /// llama.cpp's shared library, behind the same scheduler, sampler and firewall.
    LlamaCpp {
        /// The library's file, or its folder; by default [`llama_library`] finds one.
        library: Option<PathBuf>,
    },
}

/// More layers than any model has: all of them.
const ALL_LAYERS: u32 = 9999;

/// The library that [`EngineKind::LlamaCpp`] uses: `named` where that is some path, else what `TORCHLESS_LLAMA_LIB` names, else the newest
/// that was installed for the user, else what the system has.
///
/// # Errors
/// There is none; the error says where it was looked for.
pub fn llama_library(named: Option<PathBuf>) -> Result<PathBuf, Error> {
    Ok(Places::here().with_explicit(named).find()?)
}

/// A model in llama.cpp.
///
/// # Errors
/// There is no library, it cannot do what the options say, or it does not take the model.
pub(crate) fn open_llama(
    source: &Source,
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    library: Option<PathBuf>,
) -> Result<LlamaRunner, Error> {
    let path = match source {
        Source::Path(path) => path,
        Source::Inside => return Err(refused("the model inside the program is no file that it could open")),
        Source::As { .. } => return Err(refused("it takes a file for what the file says it is")),
    };
    check(options, checkpoint)?;
    let library = Library::open(&llama_library(library)?)?;
    if !options.placement.devices.is_empty() && !library.supports_gpu() {
        let devices = library.devices().join(", ");
        return Err(refused(&format!("its library at hand was built for no GPU, and has {devices} alone")));
    }
    let config = config(ModelConfig::new(path)?, options, library);
    let usual = LlamaRunnerOptions::default();
    let runner = LlamaRunnerOptions {
        max_seq_len: options.max_seq_len.map(number),
        sequences: number(options.sequences),
        max_batch_tokens: options.max_batch_tokens.map_or(usual.max_batch_tokens, number),
        ..usual
    };
    Ok(LlamaRunner::new(Model::load_with(library, config)?, runner)?)
}

fn config(mut config: ModelConfig, options: &ModelOptions, library: Library) -> ModelConfig {
    if let Some(threads) = options.threads {
        config = config.with_threads(number(threads));
    }
    if options.precision == RunPrecision::Exact {
        config = config.with_kv_type(KvType::F32).with_flash_attention(false);
    }
    // Values of fewer bits need it there.
    if matches!(options.cache, Some(CacheType::Q8_0 | CacheType::Q4_0)) {
        config = config.with_flash_attention(true);
    }
    if let Some(cache) = options.cache {
        config = config.with_kv_type(match cache {
            CacheType::F16 => KvType::F16,
            CacheType::F32 => KvType::F32,
            CacheType::Bf16 => KvType::BF16,
            CacheType::Q8_0 => KvType::Q8_0,
            CacheType::Q4_0 => KvType::Q4_0,
        });
    }
    if options.residency != Residency::Resident {
        config = config.with_mmap(true);
    }
    if let [device] = options.placement.devices[..] {
        config = config.with_main_gpu(number(device));
    }
    match gpu_layers(options, library) {
        Some(layers) => config.with_gpu_layers(layers),
        None => config,
    }
}

/// `None` leaves it to the library, in whose layout of options the field may be unknown.
fn gpu_layers(options: &ModelOptions, library: Library) -> Option<u32> {
    match (options.placement.gpu_layers, options.placement.place) {
        (Some(layers), _) => Some(number(layers)),
        (None, Place::Cpu) => library.supports_gpu().then_some(0),
        (None, _) => library.supports_gpu().then_some(ALL_LAYERS),
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Library, version and devices, for messages.
pub(crate) fn device_name(runner: &LlamaRunner) -> String {
    let library = runner.model().library();
    let version = library.version().map_or(String::new(), |version| format!(" {version}"));
    format!("llama.cpp{version} ({})", library.devices().join(", "))
}

fn refused(why: &str) -> Error {
    Error::Option(format!("llama.cpp cannot do this: {why}; --engine native can"))
}

/// Nothing that was asked for is left out in silence.
fn check(options: &ModelOptions, checkpoint: &Checkpoint) -> Result<(), Error> {
    let placement = &options.placement;
    let limited = matches!(options.residency, Residency::Mapped { limit: Some(_) });
    let rounds = options.precision == RunPrecision::Exact && !is_all_f32(checkpoint);
    let by_vendor = matches!(placement.place, Place::Gpu(_));
    for (asked, why) in [
        (limited, "there is no limit for its memory"),
        (rounds, "it is exact with weights in F32 only"),
        (options.kernels.is_some(), "it chooses its kernels itself"),
        (!options.adapters.is_empty(), "adapters reach it through the crate model-loader only"),
        (by_vendor, "which GPUs it uses is a matter of its build, and how much of them of --gpu-layers"),
        (placement.memory_fraction.is_some(), "there is no limit for a GPU's memory"),
        (placement.split == Split::Tensor, "it gives each device whole layers: --split layers"),
        (placement.devices.len() > 1, "several GPUs reach it through the crate model-loader only"),
    ] {
        if asked {
            return Err(refused(why));
        }
    }
    options.check()
}
