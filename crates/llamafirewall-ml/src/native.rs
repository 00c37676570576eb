//! Prompt Guard, or any other classifier of texts, on the encoders of this project: safetensors and `tokenizer.json` in,
//! logits out. Loaded once and shared: threads that infer at the same time do not wait for each other.

use crate::cache::ScoreCache;
use crate::{EnginePlace, cover, place, squeeze};
use llamafirewall_core::{InferenceEngine, InferenceError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use torchless_base::TokenId;
use torchless_device::EncoderDevice;
use torchless_device_gpu::driver::Opened;
use torchless_formats::{Checkpoint, OpenOptions, TokenizerSource};
use torchless_model::encoder::{
    Encoder, EncoderOptions, EncoderPrecision, EncoderText, HeadLevel, Want, load_encoder,
};
use torchless_tokenizer::{Beside, EncodeOptions, Tokenizer};

/// Sequences whose logits are kept.
const CACHED: usize = 4096;
/// Tokens in a window where the model has room for more; Prompt Guard was trained on 512.
const WINDOW: usize = 512;

/// Why a classifier cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or damaged.
    #[error(transparent)]
    Format(#[from] torchless_formats::FormatError),
    /// The files are no model that runs here: a tensor is missing, unused or of the wrong shape.
    #[error("{}: {source}", path.display())]
    Model {
        /// Where the model is.
        path: PathBuf,
        /// What is wrong.
        source: torchless_model::ModelError,
    },
    /// The tokenizer is damaged or of an unknown kind.
    #[error(transparent)]
    Tokenizer(#[from] torchless_tokenizer::TokenizerError),
    /// The GPU cannot be used.
    #[error(transparent)]
    Gpu(#[from] torchless_device_gpu::GpuError),
    /// A GPU is named by number, and there is none.
    #[error(
        "no GPU was found, and {ordinal} is the number of one: name a backend to see why, or leave the device out"
    )]
    NoGpu {
        /// The number.
        ordinal: usize,
    },
    /// The GPU has no room for the model.
    #[error(
        "{}: the model needs {needed} bytes on {device}, {free} are free: another backend or device, such as cpu, may have the room",
        path.display()
    )]
    DoesNotFit {
        /// Where the model is.
        path: PathBuf,
        /// The device.
        device: String,
        /// Bytes of its weights.
        needed: u64,
        /// Bytes that may be used.
        free: u64,
    },
    /// It is a sound model that does not classify texts.
    #[error("{}: {reason}", path.display())]
    Unfit {
        /// Where the model is.
        path: PathBuf,
        /// Why it does not fit, and what would.
        reason: String,
    },
}

/// How a classifier is run.
#[derive(Clone, Copy, Debug)]
pub struct NativeOptions {
    /// Where it runs.
    pub place: EnginePlace,
    /// Threads of the CPU that share an inference; those that run beside one work on the thread that asks. On a GPU texts are
    /// computed one call after the other.
    pub threads: usize,
    /// In which numbers the layers multiply.
    pub precision: EncoderPrecision,
    /// Whether whitespace is brought into the form that Prompt Guard was trained on.
    pub squeeze: bool,
    /// Sequences of tokens whose logits are kept; 0 for none.
    pub cached: usize,
}

impl Default for NativeOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let place = EnginePlace::default();
        Self { place, threads, precision: EncoderPrecision::F32, squeeze: true, cached: CACHED }
    }
}

/// A classifier of texts.
pub struct NativeEngine {
    tokenizer: Tokenizer,
    options: NativeOptions,
    encoder: Encoder,
    cache: Mutex<ScoreCache>,
}

impl NativeEngine {
    /// Loads the model at `path`: a folder with `config.json`, safetensors and `tokenizer.json`.
    ///
    /// # Errors
    /// A file is missing or damaged; the model has no head for texts, lacks a tensor or has one that nothing uses; or it
    /// has no tokenizer.
    pub fn open(path: &Path, options: NativeOptions) -> Result<Self, LoadError> {
        let checkpoint = torchless_formats::open(path, &OpenOptions::default())?;
        let tokenizer = beside((path, &checkpoint))?;
        let device = place::open(&options, (path, &checkpoint))?;
        Self::load((path, &checkpoint), tokenizer, device, options)
    }

    /// As [`NativeEngine::open`], on a GPU that is open already; the place among the options does not count.
    ///
    /// # Errors
    /// As [`NativeEngine::open`], and where the model is larger than what is free on the GPU.
    pub fn open_on(path: &Path, gpu: Opened, options: NativeOptions) -> Result<Self, LoadError> {
        let checkpoint = torchless_formats::open(path, &OpenOptions::default())?;
        let tokenizer = beside((path, &checkpoint))?;
        let device = place::on_gpu(gpu, (path, &checkpoint))?;
        Self::load((path, &checkpoint), tokenizer, device, options)
    }

    /// Loads the model at `path`, a folder or a safetensors file with its `config.json` beside, with a `tokenizer.json` that may be
    /// elsewhere.
    ///
    /// # Errors
    /// As [`NativeEngine::open`].
    pub fn open_files(path: &Path, tokenizer: &Path, options: NativeOptions) -> Result<Self, LoadError> {
        let checkpoint = torchless_formats::open(path, &OpenOptions::default())?;
        let unreadable = |e: std::io::Error| LoadError::Unfit {
            path: tokenizer.to_owned(),
            reason: format!("no tokenizer can be read: {e}"),
        };
        let bytes = std::fs::read(tokenizer).map_err(unreadable)?;
        let tokenizer = Tokenizer::from_bytes(&bytes, Beside::default())?;
        let device = place::open(&options, (path, &checkpoint))?;
        Self::load((path, &checkpoint), tokenizer, device, options)
    }

    fn load(
        (path, checkpoint): (&Path, &Checkpoint),
        tokenizer: Tokenizer,
        device: Box<dyn EncoderDevice>,
        options: NativeOptions,
    ) -> Result<Self, LoadError> {
        let unfit = |reason: &str| LoadError::Unfit { path: path.to_owned(), reason: reason.to_owned() };
        let fault = |source| LoadError::Model { path: path.to_owned(), source };
        let load = EncoderOptions { precision: options.precision, ..EncoderOptions::default() };
        let encoder = load_encoder(checkpoint, device, &load, &mut |_, _| {}).map_err(fault)?;
        let spec = encoder.spec();
        match spec.head.as_ref().map(|head| head.level) {
            Some(HeadLevel::Text(_)) if spec.labels().len() > 1 => {}
            Some(HeadLevel::Text(_)) => {
                return Err(unfit("it has one label only: it ranks, and classifies not"));
            }
            Some(HeadLevel::Token) => return Err(unfit("it classifies tokens, not texts")),
            None => return Err(unfit("it has no classification head: it only embeds")),
        }
        if tokenizer.vocab_size() > spec.vocab {
            let (ids, rows) = (tokenizer.vocab_size(), spec.vocab);
            return Err(unfit(&format!("its tokenizer has {ids} tokens, the model {rows}")));
        }
        tracing::info!(arch = spec.arch, labels = spec.labels().len(), "loaded a classifier");
        let cache = Mutex::new(ScoreCache::new(options.cached));
        Ok(Self { tokenizer, options, encoder, cache })
    }

    /// Names of the classes, in the order of the logits.
    pub fn labels(&self) -> &[String] {
        self.encoder.spec().labels()
    }

    /// The tokens that the model sees of a text.
    fn tokens(&self, text: &str) -> Vec<TokenId> {
        let text =
            if self.options.squeeze { squeeze::squeezed(&self.tokenizer, text) } else { text.to_owned() };
        self.tokenizer.encode(&text, EncodeOptions::TEXT)
    }

    fn room(&self) -> usize {
        self.encoder.spec().context.min(WINDOW)
    }

    fn compute(&self, texts: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>, InferenceError> {
        let plain: Vec<_> = texts.iter().map(|ids| EncoderText { ids, types: &[] }).collect();
        self.encoder.encode(&plain, Want::Logits).map_err(|e| InferenceError(e.to_string()))
    }

    /// Cuts a range in halves until the model has room for what the pieces added up to wrongly.
    fn halved(&self, text: &str, range: Range<usize>, out: &mut Vec<Range<usize>>) {
        let length = range.end - range.start;
        if self.tokens(&text[range.clone()]).len() <= self.room() || length < 2 {
            out.push(range);
            return;
        }
        let middle = text.floor_char_boundary(range.start + length / 2);
        if middle == range.start {
            out.push(range);
            return;
        }
        self.halved(text, range.start..middle, out);
        self.halved(text, middle..range.end, out);
    }
}

impl InferenceEngine for NativeEngine {
    fn infer(&self, text: &str) -> Result<Vec<f32>, InferenceError> {
        let mut logits = self.infer_batch(&[text])?;
        logits.pop().ok_or_else(|| InferenceError("the model gave no logits".to_owned()))
    }

    fn infer_batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, InferenceError> {
        let ids: Vec<Vec<TokenId>> = texts.iter().map(|text| self.tokens(text)).collect();
        let mut known: Vec<Option<Vec<f32>>> = {
            let cache = locked(&self.cache);
            ids.iter().map(|ids| cache.get(ids)).collect()
        };
        let missing: Vec<usize> = (0..ids.len()).filter(|&i| known[i].is_none()).collect();
        let texts: Vec<Vec<TokenId>> = missing.iter().map(|&i| ids[i].clone()).collect();
        let computed = self.compute(&texts)?;
        let mut cache = locked(&self.cache);
        for ((i, ids), logits) in missing.into_iter().zip(&texts).zip(computed) {
            cache.put(ids, &logits);
            known[i] = Some(logits);
        }
        known
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| InferenceError("a text has no logits".to_owned()))
    }

    fn windows(&self, text: &str) -> Result<Vec<Range<usize>>, InferenceError> {
        if self.tokens(text).len() <= self.room() {
            return Ok(std::iter::once(0..text.len()).collect());
        }
        let around = self.tokens("").len();
        let room = self.room().saturating_sub(around).max(1);
        let mut out = Vec::new();
        for range in cover::windows(text, room, |piece| self.tokens(piece).len() - around) {
            self.halved(text, range, &mut out);
        }
        Ok(out)
    }
}

/// The tokenizer that came with a model.
fn beside((path, checkpoint): (&Path, &Checkpoint)) -> Result<Tokenizer, LoadError> {
    tokenizer(checkpoint)?.ok_or_else(|| LoadError::Unfit {
        path: path.to_owned(),
        reason: "there is no tokenizer.json beside the model, so it cannot read text".to_owned(),
    })
}

fn tokenizer(checkpoint: &Checkpoint) -> Result<Option<Tokenizer>, LoadError> {
    let TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, .. } = &checkpoint.tokenizer else {
        return Ok(None);
    };
    let config = tokenizer_config.as_ref().map(serde_json::Value::to_string);
    let beside = Beside { tokenizer_config: config.as_deref().map(str::as_bytes), ..Beside::default() };
    Ok(Some(Tokenizer::from_bytes(tokenizer_json, beside)?))
}

/// What a thread that panicked left behind is whole: entries are added last.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
