//! Options as Python's dataclasses have them, in the words of the library.

use crate::failure::Failure;
use crate::firewall::Firewall;
use pyo3::prelude::*;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use torchless::conversation::{BUILTINS, Grammar, builtin};
use torchless::formats::Format;
use torchless::gpu::Backend;
use torchless::{
    CacheType, EncoderPrecision, GenerateOptions, ModelOptions, Place, Placement, Residency, RunPrecision,
    SamplerConfig, Source, Split, TokenId,
};

/// Bytes of a template file at most.
const MAX_TEMPLATE: u64 = 16 << 20;

/// How a model is opened: the attributes of `torchless._options.OpenOptions`.
#[derive(FromPyObject)]
pub struct OpenOptions {
    path: Option<PathBuf>,
    threads: Option<usize>,
    context_size: Option<usize>,
    sequences: usize,
    batch_tokens: Option<usize>,
    lazy: bool,
    memory_limit: Option<u64>,
    exact: bool,
    kv_dtype: Option<String>,
    /// Of an encoder.
    pub precision: Option<String>,
    kernels: Option<String>,
    backend: String,
    devices: Vec<usize>,
    gpu_layers: Option<usize>,
    split: String,
    gpu_memory_fraction: Option<f64>,
    lora: Vec<(PathBuf, f32)>,
    architecture: Option<String>,
    format: Option<String>,
    /// A built-in template's name, a template, or a file of one.
    pub chat_template: Option<String>,
    /// What prompts and replies have to pass.
    pub firewall: Option<Py<Firewall>>,
}

/// The row of a table that a word names.
pub fn named<T: Copy>(what: &str, word: &str, table: &[(&str, T)]) -> Result<T, Failure> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        Failure::Usage(format!("{what} is '{word}', it has to be one of {}", known.join(", ")))
    })
}

const BACKENDS: &[(&str, Place)] = &[
    ("auto", Place::Auto),
    ("cpu", Place::Cpu),
    ("cuda", Place::Gpu(Backend::Cuda)),
    ("rocm", Place::Gpu(Backend::Rocm)),
    ("metal", Place::Gpu(Backend::Metal)),
    ("opencl", Place::Gpu(Backend::OpenCl)),
];
const SPLITS: &[(&str, Split)] = &[("layers", Split::Layers), ("tensor", Split::Tensor)];
const FORMATS: &[(&str, Format)] =
    &[("gguf", Format::Gguf), ("safetensors", Format::Safetensors), ("bin", Format::Native)];

impl OpenOptions {
    /// Where the model comes from.
    ///
    /// # Errors
    /// A word is unknown, or goes with a file alone.
    pub fn source(&self) -> Result<Source, Failure> {
        let format = self.format.as_deref().map(|word| named("format", word, FORMATS)).transpose()?;
        let architecture = self.architecture.clone();
        match &self.path {
            None if architecture.is_some() || format.is_some() => {
                Err(Failure::Usage("architecture and format go with a model file".to_owned()))
            }
            None => Ok(Source::Inside),
            Some(path) if architecture.is_none() && format.is_none() => Ok(Source::Path(path.clone())),
            Some(path) => Ok(Source::As { path: path.clone(), architecture, format }),
        }
    }

    /// How it is opened.
    ///
    /// # Errors
    /// A word is unknown.
    pub fn model_options(&self) -> Result<ModelOptions, Failure> {
        let mapped = self.lazy || self.memory_limit.is_some();
        let caches = CacheType::ALL.map(|cache| (cache.name(), cache));
        let precisions = EncoderPrecision::ALL.map(|precision| (precision.name(), precision));
        let precision = self.precision.as_deref().map(|word| named("precision", word, &precisions));
        Ok(ModelOptions {
            residency: if mapped {
                Residency::Mapped { limit: self.memory_limit }
            } else {
                Residency::Resident
            },
            precision: if self.exact { RunPrecision::Exact } else { RunPrecision::Fast },
            encoder_precision: precision.transpose()?.unwrap_or_default(),
            cache: self.kv_dtype.as_deref().map(|word| named("kv_dtype", word, &caches)).transpose()?,
            kernels: self.kernels.clone(),
            threads: self.threads,
            max_seq_len: self.context_size,
            sequences: self.sequences,
            max_batch_tokens: self.batch_tokens,
            adapters: self.lora.clone(),
            placement: Placement {
                place: named("backend", &self.backend, BACKENDS)?,
                devices: self.devices.clone(),
                gpu_layers: self.gpu_layers,
                split: named("split", &self.split, SPLITS)?,
                memory_fraction: self.gpu_memory_fraction,
            },
            ..ModelOptions::default()
        })
    }

    /// The source of the chat template: a built-in one by its name, a template as it stands, or a file of one.
    ///
    /// # Errors
    /// It is none of these.
    pub fn template(&self) -> Result<Option<String>, Failure> {
        let Some(word) = &self.chat_template else { return Ok(None) };
        if let Some(builtin) = builtin(word) {
            return Ok(Some(builtin.source()));
        }
        if ["{{", "{%", "{#", "\n"].iter().any(|mark| word.contains(mark)) {
            return Ok(Some(word.clone()));
        }
        if Path::new(word).is_file() {
            return read_template(word).map(Some);
        }
        let known: Vec<_> = BUILTINS.iter().map(|builtin| builtin.name).collect();
        let known = known.join(", ");
        let wrong = format!("chat_template is '{word}': no file, no template in Jinja, and none of {known}");
        Err(Failure::Usage(wrong))
    }

    /// # Errors
    /// Something is set that means nothing to an encoder.
    pub fn check_encoder(&self) -> Result<(), Failure> {
        let set = [
            ("context_size", self.context_size.is_some()),
            ("kv_dtype", self.kv_dtype.is_some()),
            ("chat_template", self.chat_template.is_some()),
        ];
        match set.iter().find(|(_, is_set)| *is_set) {
            None => Ok(()),
            Some((name, _)) => Err(Failure::Usage(format!(
                "{name} is for models that complete text, and this one embeds, classifies or reranks"
            ))),
        }
    }
}

/// The text of a template file.
fn read_template(path: &str) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("chat_template: {path}: {why}"));
    let mut text = String::new();
    let file = File::open(path).map_err(|e| wrong(&e.to_string()))?;
    file.take(MAX_TEMPLATE + 1).read_to_string(&mut text).map_err(|e| wrong(&e.to_string()))?;
    if text.len() as u64 > MAX_TEMPLATE {
        return Err(wrong(&format!("more than {MAX_TEMPLATE} bytes")));
    }
    Ok(text)
}

/// What is asked of a reply: the attributes of `torchless._options.ReplyOptions`.
#[derive(FromPyObject)]
pub struct ReplyOptions {
    pub max_tokens: Option<usize>,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    repeat_last_n: usize,
    presence_penalty: f32,
    frequency_penalty: f32,
    logit_bias: Vec<(u32, f32)>,
    seed: u64,
    pub stop: Vec<String>,
    json_schema: Option<String>,
    grammar: Option<String>,
}

impl ReplyOptions {
    /// How its tokens are chosen.
    pub fn sampler(&self) -> SamplerConfig {
        SamplerConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            logit_bias: self.logit_bias.iter().map(|&(id, bias)| (TokenId(id), bias)).collect(),
            seed: self.seed,
            ..SamplerConfig::default()
        }
    }

    /// In the words of the library.
    pub fn generate_options(self) -> GenerateOptions {
        let sampler = self.sampler();
        let schema = self.json_schema.map(Grammar::JsonSchema);
        GenerateOptions {
            sampler,
            max_tokens: self.max_tokens,
            stop: self.stop,
            grammar: schema.or_else(|| self.grammar.as_deref().map(Grammar::of_unknown_kind)),
        }
    }
}
