//! From a path to something that runs.

use crate::Error;
use crate::llama::EngineKind;
use crate::placement::{Layout, Placement, needs, place, plan, plan_encoder};
use crate::vocabulary::{fits, tokenizer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tabagent_hardware::usable_cores;
use torchless_device::{CacheType, CpuDevice, CpuOptions, Recorder, Residency, Witness};
use torchless_formats::{Checkpoint, Format, OpenOptions, Tensor, open, open_adapter, open_bytes};
use torchless_kernels::{Kernels, Precision};
use torchless_model::encoder::EncoderPrecision;
use torchless_model::{LoadOptions, ModelSpec, NativeRunner, RunnerOptions, ScaledAdapter, load};
use torchless_quant::TensorType;

/// The small story model that is part of the program.
static STORY: &[u8] = include_bytes!("../../../assets/story/story.gguf");

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or folder.
    Path(PathBuf),
    /// A file or folder that is taken for something else than it seems to be.
    As {
        /// Where it is.
        path: PathBuf,
        /// Another architecture than its metadata names, as GGUF or `config.json` spell it.
        architecture: Option<String>,
        /// The format to read it as, whatever its content looks like.
        format: Option<Format>,
    },
    /// The model inside the program.
    Inside,
}

impl Source {
    /// For messages.
    pub fn name(&self) -> &Path {
        match self {
            Source::Path(path) | Source::As { path, .. } => path,
            Source::Inside => Path::new("the model inside"),
        }
    }

    /// Reads the metadata; weights stay where they are.
    ///
    /// # Errors
    /// There is no such file, or it is no model file that is known here.
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        Ok(match self {
            Source::Path(path) => open(path, &OpenOptions::default())?,
            Source::As { path, format, .. } => {
                let mut options = OpenOptions::default();
                options.format = *format;
                open(path, &options)?
            }
            Source::Inside => open_bytes(Arc::new(STORY))?,
        })
    }
}

/// How a model is opened. The default is what a user without opinions wants.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Where weights live.
    pub residency: Residency,
    /// Keep activations in f32 instead of quantising them.
    pub precision: RunPrecision,
    /// In which numbers the layers of an encoder multiply; models that complete text take their file's types.
    pub encoder_precision: EncoderPrecision,
    /// Element type of the KV cache; by default F16 where weights are quantised or lie on a GPU, and F32 elsewhere and in exact runs.
    pub cache: Option<CacheType>,
    /// Name of the table of CPU kernels; by default the best, or what [`prefer_kernels`] says.
    pub kernels: Option<String>,
    /// Threads; by default one per physical core.
    pub threads: Option<usize>,
    /// Positions per sequence; by default what the model was trained for, up to 2^20.
    pub max_seq_len: Option<usize>,
    /// Sequences of full length that the cache has room for; 1 by default.
    pub sequences: usize,
    /// Tokens per step; by default 2048 on a GPU, 512 where weights are not resident or lie with experts and for small
    /// models, and else 256.
    pub max_batch_tokens: Option<usize>,
    /// Adapters (LoRA) that are added to the model's weights, each with a factor beside its own.
    pub adapters: Vec<(PathBuf, f32)>,
    /// CPU or GPU.
    pub placement: Placement,
    /// What computes.
    pub engine: EngineKind,
}

/// More positions and threads than these are a slip of the hand.
const MAX_SEQ_LEN: usize = 1 << 28;
const MAX_THREADS: usize = 1024;
/// More are a slip of the hand: a step works with some buffers for each token.
const MAX_BATCH_TOKENS: usize = 1 << 20;

/// Tokens per step on a GPU: fewer leave it idle.
const GPU_BATCH: usize = 2048;

/// Whether activations may be rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunPrecision {
    /// Quantised where weights are.
    #[default]
    Fast,
    /// Kept in f32.
    Exact,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            residency: Residency::default(),
            precision: RunPrecision::default(),
            encoder_precision: EncoderPrecision::default(),
            cache: None,
            kernels: None,
            threads: None,
            max_seq_len: None,
            sequences: 1,
            max_batch_tokens: None,
            adapters: Vec::new(),
            placement: Placement::default(),
            engine: EngineKind::default(),
        }
    }
}

impl ModelOptions {
    /// The table of kernels that these options name.
    ///
    /// # Errors
    /// There is none of that name on this CPU.
    pub fn table(&self) -> Result<&'static Kernels, Error> {
        self.kernels.as_deref().map_or_else(|| Ok(torchless_kernels::usual()), table_named)
    }

    /// Threads that will be used.
    pub fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(usable_cores)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let counts = [
            ("positions", self.max_seq_len, MAX_SEQ_LEN),
            ("threads", self.threads, MAX_THREADS),
            ("sequences", Some(self.sequences), usize::MAX),
            ("tokens per step", self.max_batch_tokens, MAX_BATCH_TOKENS),
        ];
        for (what, asked, limit) in counts {
            match asked {
                Some(0) => return Err(Error::Option(format!("0 {what} are too few: 1 is the least"))),
                Some(n) if n > limit => {
                    let why = format!("{n} {what} are more than the {limit} that are possible");
                    return Err(Error::Option(why));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// For what the engine of this program alone can do.
    pub(crate) fn native(&self) -> Result<(), Error> {
        match self.engine {
            EngineKind::Native => Ok(()),
            EngineKind::LlamaCpp { .. } => Err(Error::Option(
                "llama.cpp makes text here and nothing else: leave --engine and --llama-lib out".to_owned(),
            )),
        }
    }

    /// The CPU as these options want it used.
    pub(crate) fn cpu(&self) -> Result<CpuDevice, Error> {
        self.native()?;
        self.check()?;
        self.device()
    }

    fn device(&self) -> Result<CpuDevice, Error> {
        let precision = match self.precision {
            RunPrecision::Fast => Precision::Fast,
            RunPrecision::Exact => Precision::Exact,
        };
        Ok(CpuDevice::new(CpuOptions { kernels: self.table()?, threads: self.thread_count(), precision }))
    }

    /// Element type of the KV cache for a model. Rounding keys and values to half precision is the largest error of a run
    /// with unquantised weights, and lost among others where weights are quantised.
    pub fn cache_type(&self, checkpoint: &Checkpoint) -> CacheType {
        let exact = self.precision == RunPrecision::Exact;
        let rounds = is_quantised(checkpoint) || self.placement.is_on_gpu();
        let usual = if exact || !rounds { CacheType::F32 } else { CacheType::F16 };
        self.cache.unwrap_or(usual)
    }

    fn open_adapters(&self) -> Result<Vec<ScaledAdapter>, Error> {
        let open = |(path, scale): &(PathBuf, f32)| {
            if !scale.is_finite() {
                return Err(Error::Option(format!("{}: a factor of {scale}", path.display())));
            }
            Ok(ScaledAdapter { adapter: open_adapter(path)?, scale: *scale })
        };
        self.adapters.iter().map(open).collect()
    }

    fn load_options<'a>(&self, checkpoint: &Checkpoint, adapters: &'a [ScaledAdapter]) -> LoadOptions<'a> {
        let usual_batch = self.placement.is_on_gpu().then_some(GPU_BATCH);
        LoadOptions {
            residency: self.residency,
            cache: self.cache_type(checkpoint),
            runner: RunnerOptions {
                max_seq_len: self.max_seq_len,
                sequences: self.sequences,
                max_batch_tokens: self.max_batch_tokens.or(usual_batch),
            },
            adapters,
        }
    }
}

fn table_named(name: &str) -> Result<&'static Kernels, Error> {
    torchless_kernels::by_name(name).ok_or_else(|| {
        let known = kernel_tables().join(", ");
        Error::Option(format!("no kernels '{name}' on this CPU (there are: {known})"))
    })
}

/// From now on whatever opens a model in this process, scanners of a firewall included, computes with this table of CPU kernels where
/// it names no other.
///
/// # Errors
/// There is none of that name on this CPU.
pub fn prefer_kernels(name: &str) -> Result<(), Error> {
    table_named(name).map(torchless_kernels::prefer)
}

/// Names of the tables of kernels that this CPU runs, the slowest first.
pub fn kernel_tables() -> Vec<&'static str> {
    torchless_kernels::available().iter().map(|table| table.name).collect()
}

/// Whether no weight has less than single precision.
pub(crate) fn is_all_f32(checkpoint: &Checkpoint) -> bool {
    checkpoint.tensors.iter().all(|tensor| tensor.ty == TensorType::F32)
}

/// Whether most weights are of a quantised type; F64 and integers are read with single precision.
pub(crate) fn is_quantised(checkpoint: &Checkpoint) -> bool {
    use TensorType::{BF16, F16, F32, F64, I8, I16, I32, I64};
    let exact = |t: &&Tensor| matches!(t.ty, F32 | F16 | BF16 | F64 | I8 | I16 | I32 | I64);
    let exact: usize = checkpoint.tensors.iter().filter(exact).map(Tensor::len).sum();
    2 * exact < checkpoint.tensors.iter().map(Tensor::len).sum()
}

/// What the checkpoint says the model is.
///
/// # Errors
/// It is no model that runs here.
pub fn spec(source: &Source, checkpoint: &Checkpoint) -> Result<ModelSpec, Error> {
    let spec = match source {
        Source::As { architecture: Some(name), .. } => torchless_model::spec_as(checkpoint, name),
        _ if crate::Encoder::is_one(checkpoint) => {
            return Err(Error::Encoder { path: source.name().to_owned() });
        }
        _ => torchless_model::spec(checkpoint),
    };
    spec.map_err(|e| Error::Model { path: source.name().to_owned(), source: e })
}

/// Loads the weights onto a device and gives what runs them; for work on token ids alone. `progress` is told bytes
/// done and bytes in all.
///
/// # Errors
/// It is no model that runs here, memory is short, or the options do not fit.
pub fn open_runner(
    source: &Source,
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<NativeRunner, Error> {
    open_placed(source, checkpoint, options, progress).map(|(runner, _)| runner)
}

/// As [`open_runner`], and says what lies where.
pub(crate) fn open_placed(
    source: &Source,
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(NativeRunner, Layout), Error> {
    options.native()?;
    options.check()?;
    let spec = spec(source, checkpoint)?;
    let adapters = options.open_adapters()?;
    let load_options = options.load_options(checkpoint, &adapters);
    let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
    let (device, layout) =
        place(options, &|devices| needs(checkpoint, &spec, &load_options, devices).map_err(fault))?;
    let runner = load(checkpoint, spec.clone(), device, &load_options, progress).map_err(fault)?;
    Ok((runner, layout))
}

/// The same on the CPU, where `witness` is shown what matrices meet.
pub(crate) fn open_shown(
    source: &Source,
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    witness: Box<dyn Witness>,
) -> Result<NativeRunner, Error> {
    options.placement.refuse_gpu("what matrices meet is seen on the CPU only")?;
    let spec = spec(source, checkpoint)?;
    let mut device = options.cpu()?;
    device.show(witness);
    let adapters = options.open_adapters()?;
    let options = options.load_options(checkpoint, &adapters);
    load(checkpoint, spec, Box::new(device), &options, &mut |_, _| {})
        .map_err(|e| Error::Model { path: source.name().to_owned(), source: e })
}

/// What would lie where, without loading anything; empty where all of it would lie on the CPU.
///
/// # Errors
/// As [`open_runner`] or [`Encoder::open`](crate::Encoder::open), but for the weights.
pub fn layout(source: &Source, checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Layout, Error> {
    options.check()?;
    if crate::Encoder::is_one(checkpoint) {
        return plan_encoder(checkpoint, options);
    }
    let spec = spec(source, checkpoint)?;
    let adapters = options.open_adapters()?;
    let load_options = options.load_options(checkpoint, &adapters);
    let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
    plan(options, &|devices| needs(checkpoint, &spec, &load_options, devices).map_err(fault))
}

/// Tries everything that loading does but for the weights: names, shapes and types of all tensors.
///
/// # Errors
/// A tensor is missing, unused, or of another shape or type than the model needs.
pub fn check(source: &Source, checkpoint: &Checkpoint, spec: &ModelSpec) -> Result<(), Error> {
    let options = LoadOptions::default();
    load(checkpoint, spec.clone(), Box::new(Recorder::new()), &options, &mut |_, _| {})
        .map(drop)
        .map_err(|e| Error::Model { path: source.name().to_owned(), source: e })
}

/// The same from the metadata on, and that the tokenizer fits: for a model that is to be written in another form.
///
/// # Errors
/// As [`spec`] and [`check`], or the tokenizer has more tokens than the model. One that cannot be read says nothing about weights.
pub(crate) fn check_model(source: &Source, checkpoint: &Checkpoint) -> Result<(), Error> {
    if crate::Encoder::is_one(checkpoint) {
        return crate::Encoder::check(source, checkpoint).map(drop);
    }
    let spec = spec(source, checkpoint)?;
    check(source, checkpoint, &spec)?;
    match tokenizer(checkpoint) {
        Ok(Some(tokenizer)) => fits(&tokenizer, &spec),
        Ok(None) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_formats::gguf::Header;

    #[test]
    fn the_cache_is_as_exact_as_the_weights() {
        use TensorType::{F16, F64, I32, Q8_0};
        for (ty, cache) in
            [(F64, CacheType::F32), (I32, CacheType::F32), (F16, CacheType::F32), (Q8_0, CacheType::F16)]
        {
            let mut header = Header::new();
            header.tensor("x", ty, &[64]).unwrap();
            let mut writer = header.start(Vec::new()).unwrap();
            writer.write(&vec![0; ty.row_bytes(64).unwrap()]).unwrap();
            let checkpoint = open_bytes(Arc::new(writer.finish().unwrap())).unwrap();
            assert_eq!(ModelOptions::default().cache_type(&checkpoint), cache, "{ty}");
        }
    }

    #[test]
    fn nothing_is_computed_by_none() {
        let usual = ModelOptions::default;
        assert!(usual().check().is_ok());
        for (options, words) in [
            (ModelOptions { threads: Some(0), ..usual() }, "0 threads are too few"),
            (ModelOptions { max_seq_len: Some(0), ..usual() }, "0 positions are too few"),
            (ModelOptions { sequences: 0, ..usual() }, "0 sequences are too few"),
            (ModelOptions { max_batch_tokens: Some(0), ..usual() }, "0 tokens per step are too few"),
            (ModelOptions { threads: Some(1025), ..usual() }, "1025 threads are more than the 1024"),
            (
                ModelOptions { max_batch_tokens: Some(usize::MAX), ..usual() },
                "tokens per step are more than the 1048576",
            ),
        ] {
            let said = options.check().unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
