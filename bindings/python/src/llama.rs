//! Models that a libllama runs. A context does one thing at a time, on a thread; whoever asks waits for it.

use crate::arrays::{RawRows, Rows};
use crate::failure::{Failure, in_pythons_words};
use crate::opened::{Home, Opened};
use crate::options::ReplyOptions;
use crate::waiting::{detached, lock, receive, spawn, wait_for};
use model_loader::{
    Batch, Canceller, Context, ContextConfig, Error, FinishReason, GenerateOptions, KvType, Model,
    ModelConfig, Pooling, Reply, State, TokenId, Wanted,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// How a model is loaded: the attributes of `tabagent_model._options.LoadOptions`.
#[derive(FromPyObject)]
struct LoadOptions {
    model_path: PathBuf,
    dll_path: Option<PathBuf>,
    builds: Option<PathBuf>,
    gpu_layers: Option<u32>,
    mlock: Option<bool>,
    mmap: Option<bool>,
    context_size: Option<u32>,
    batch_size: Option<u32>,
    threads: Option<u32>,
    kv_type: Option<String>,
    flash_attention: Option<bool>,
    tensor_split: Vec<f32>,
}

impl LoadOptions {
    fn config(&self) -> Result<ModelConfig, Failure> {
        type Set<T> = fn(ModelConfig, T) -> ModelConfig;
        fn with<T>(config: ModelConfig, value: Option<T>, set: Set<T>) -> ModelConfig {
            match value {
                Some(value) => set(config, value),
                None => config,
            }
        }
        let mut config = ModelConfig::new(&self.model_path)?;
        config = with(config, self.dll_path.clone(), ModelConfig::with_library);
        config = with(config, self.gpu_layers, ModelConfig::with_gpu_layers);
        config = with(config, self.mlock, ModelConfig::with_mlock);
        config = with(config, self.mmap, ModelConfig::with_mmap);
        config = with(config, self.context_size, ModelConfig::with_context_size);
        config = with(config, self.batch_size, ModelConfig::with_batch_size);
        config = with(config, self.threads, ModelConfig::with_threads);
        config = with(config, self.kv_type.as_deref().map(kv_type).transpose()?, ModelConfig::with_kv_type);
        config = with(config, self.flash_attention, ModelConfig::with_flash_attention);
        let shares = Some(self.tensor_split.clone()).filter(|shares| !shares.is_empty());
        Ok(with(config, shares, ModelConfig::with_tensor_split))
    }
}

const KV_TYPES: &[(&str, KvType)] = &[
    ("f32", KvType::F32),
    ("f16", KvType::F16),
    ("bf16", KvType::BF16),
    ("q8_0", KvType::Q8_0),
    ("q5_0", KvType::Q5_0),
    ("q4_0", KvType::Q4_0),
];

fn kv_type(word: &str) -> Result<KvType, Failure> {
    crate::options::named("kv_type", word, KV_TYPES)
}

/// A reply's options in the words of model-loader, which knows no grammars: `tabagent_model` refuses them.
fn generate_options(options: ReplyOptions, canceller: Canceller) -> GenerateOptions {
    let sampler = options.sampler();
    GenerateOptions {
        max_tokens: options.max_tokens,
        sampler,
        stop: options.stop,
        canceller,
        constraint: None,
    }
}

/// A model that a libllama runs, and the context that it is used through.
#[pyclass(frozen, module = "torchless._native")]
pub struct LlamaModel {
    model: Opened<Model>,
    context: Opened<Mutex<Context<'static>>>,
    context_size: usize,
}

/// Text, tokens of the reply, why it ended.
type PlainReply = (String, Vec<u32>, &'static str);

#[pymethods]
impl LlamaModel {
    /// Loads a model.
    #[staticmethod]
    fn load(py: Python<'_>, options: LoadOptions) -> PyResult<Self> {
        wait_for(py, move |_| {
            let config = options.config()?;
            let model = Opened::new(match &options.builds {
                Some(builds) => Model::load_with_auto_select(config, builds)?,
                None => Model::load(config)?,
            });
            let context = model.working()?.create_shared_context(model.context_config())?;
            let context_size = context.context_size();
            Ok(Self { model, context: Opened::new(Mutex::new(context)), context_size })
        })
    }

    /// The library: its file, and its version where it tells one.
    fn library(&self) -> (PathBuf, Option<String>) {
        let library = self.model.library();
        (library.path().to_owned(), library.version())
    }

    /// Numbers of the model: vocabulary, trained context, embedding, layers, heads, parameters, bytes.
    fn numbers(&self) -> (usize, usize, usize, usize, usize, u64, u64) {
        let m = &self.model;
        (
            m.vocab_size(),
            m.context_train_size(),
            m.embedding_dim(),
            m.layer_count(),
            m.head_count(),
            m.parameter_count(),
            m.size(),
        )
    }

    /// Positions of the context.
    fn context_size(&self) -> usize {
        self.context_size
    }

    /// Tokens with roles of their own: beginning, end, end of a line.
    fn special_tokens(&self) -> (Option<u32>, Option<u32>, Option<u32>) {
        let id = |token: model_loader::SpecialToken| token.id().map(|id| id.0);
        (id(self.model.token_bos()), id(self.model.token_eos()), id(self.model.token_nl()))
    }

    /// What the model is, in the library's words.
    fn description(&self) -> String {
        self.model.description()
    }

    /// The file's metadata.
    fn metadata(&self) -> Vec<(String, String)> {
        self.model.metadata()
    }

    /// The model's chat template.
    fn chat_template(&self) -> Option<String> {
        self.model.chat_template(None)
    }

    /// Token ids of a text.
    fn tokenize(&self, py: Python<'_>, text: String, add_special: bool) -> PyResult<Vec<u32>> {
        detached(py, || Ok(plain(&self.model.tokenize(&text, add_special)?)))
    }

    /// The text of token ids.
    fn detokenize(&self, py: Python<'_>, ids: Vec<u32>) -> PyResult<String> {
        detached(py, || Ok(self.model.detokenize(&tokens(ids))?))
    }

    /// Makes a reply.
    fn generate(&self, py: Python<'_>, prompt: Vec<u32>, options: ReplyOptions) -> PyResult<PlainReply> {
        let canceller = Canceller::default();
        let (context, asked) = (self.context.working()?, generate_options(options, canceller.clone()));
        let made = wait_for(py, move |_| Ok(lock(&context).generate(&tokens(prompt), asked)?));
        let Reply { text, tokens, reason } = made.inspect_err(|_| canceller.cancel())?;
        Ok((text, plain(&tokens), reason_name(reason)))
    }

    /// Begins a reply.
    fn stream(&self, py: Python<'_>, prompt: Vec<u32>, options: ReplyOptions) -> PyResult<LlamaStream> {
        LlamaStream::begin(py, self.context.working()?, tokens(prompt), options)
    }

    /// The vector of a text, by a context of its own.
    fn embed<'py>(&self, py: Python<'py>, ids: Vec<u32>) -> PyResult<RawRows<'py>> {
        let model = self.model.working()?;
        let vector = wait_for(py, move |_| {
            let usual = model.context_config().clone();
            let positions = u32::try_from(ids.len().max(1)).unwrap_or(u32::MAX);
            let config = ContextConfig {
                context_size: Some(positions),
                batch_size: Some(positions),
                ubatch_size: Some(positions),
                pooling: usual.pooling.or(Some(Pooling::Mean)),
                ..usual
            };
            Ok(model.create_shared_context(&config)?.embed(&tokens(ids))?)
        })?;
        let mut rows = Rows::new(vector.len());
        rows.extend(&vector);
        Ok(rows.into_python(py))
    }

    /// Logits after each token; the context forgets what it held.
    fn logits<'py>(&self, py: Python<'py>, ids: Vec<u32>) -> PyResult<RawRows<'py>> {
        let (context, vocab) = (self.context.working()?, self.model.vocab_size());
        let rows = wait_for(py, move |abandoned| {
            let mut context = lock(&context);
            context.clear();
            let (ids, mut rows) = (tokens(ids), Rows::new(vocab));
            for part in ids.chunks(context.batch_size().clamp(1, 128)) {
                if abandoned.get() {
                    break;
                }
                let mut batch = Batch::default();
                batch.extend(0, part, Wanted::All);
                context.decode_batch(&batch)?;
                for row in 0..part.len() {
                    rows.extend(context.logits_of(row)?);
                }
            }
            context.clear();
            Ok(rows)
        })?;
        Ok(rows.into_python(py))
    }

    /// Forgets what was computed.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let context = self.context.working()?;
        wait_for(py, move |abandoned| {
            let mut context = lock(&context);
            if !abandoned.get() {
                context.clear();
            }
            Ok(())
        })
    }

    /// What was computed so far.
    fn save_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let context = self.context.working()?;
        let bytes = wait_for(py, move |_| Ok(lock(&context).save_state()?.to_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Goes back to a saved state.
    fn restore_state(&self, py: Python<'_>, state: Vec<u8>) -> PyResult<()> {
        let context = self.context.working()?;
        wait_for(py, move |_| Ok(lock(&context).restore_state(&State::from_bytes(&state)?)?))
    }
}

fn tokens(ids: Vec<u32>) -> Vec<TokenId> {
    ids.into_iter().map(TokenId).collect()
}

fn plain(tokens: &[TokenId]) -> Vec<u32> {
    tokens.iter().map(|token| token.0).collect()
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::End | FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContextFull => "context_full",
        FinishReason::Cancelled => "cancelled",
    }
}

enum Told {
    Begun,
    Text(String),
    Ended(&'static str),
    Failed(Failure),
}

/// A reply while it is made; dropping it ends it.
#[pyclass(frozen, module = "torchless._native")]
pub struct LlamaStream {
    told: Mutex<Receiver<Told>>,
    canceller: Canceller,
    reason: Mutex<Option<&'static str>>,
    home: Home,
}

impl Drop for LlamaStream {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

impl LlamaStream {
    fn begin(
        py: Python<'_>,
        context: Arc<Mutex<Context<'static>>>,
        prompt: Vec<TokenId>,
        options: ReplyOptions,
    ) -> PyResult<Self> {
        let canceller = Canceller::default();
        let asked = generate_options(options, canceller.clone());
        let (sender, receiver) = channel();
        spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(|| tell(&mut lock(&context), &prompt, asked, &sender)));
            if let Err(failure) = done.unwrap_or(Err(Failure::Internal("the thread of a reply panicked"))) {
                // Whoever asked may be gone.
                let _ = sender.send(Told::Failed(failure));
            }
        })?;
        let stream =
            Self { told: Mutex::new(receiver), canceller, reason: Mutex::default(), home: Home::here() };
        match receive(py, &stream.told)? {
            Some(Told::Begun) => Ok(stream),
            Some(Told::Failed(failure)) => Err(failure.into()),
            _ => Err(Failure::Internal("a reply without a beginning").into()),
        }
    }
}

/// Sends the text of a reply, as long as somebody is there.
fn tell(
    context: &mut Context<'static>,
    prompt: &[TokenId],
    options: GenerateOptions,
    to: &Sender<Told>,
) -> Result<(), Failure> {
    let mut generation = context.stream(prompt, options)?;
    let mut listens = to.send(Told::Begun).is_ok();
    while let Some(text) = generation.next().filter(|_| listens) {
        listens = to.send(Told::Text(text?)).is_ok();
    }
    if let Some(reason) = generation.finish_reason() {
        // Whoever asked may be gone.
        let _ = to.send(Told::Ended(reason_name(reason)));
    }
    Ok(())
}

#[pymethods]
impl LlamaStream {
    /// The next piece of text; `None` after the last.
    fn next_piece(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.home.check()?;
        match receive(py, &self.told) {
            Ok(Some(Told::Text(text))) => Ok(Some(text)),
            Ok(Some(Told::Failed(failure))) => Err(failure.into()),
            Ok(Some(Told::Ended(reason))) => {
                *lock(&self.reason) = Some(reason);
                Ok(None)
            }
            Ok(Some(Told::Begun) | None) => Ok(None),
            Err(signal) => {
                self.canceller.cancel();
                Err(signal)
            }
        }
    }

    /// Why it ended, once it has.
    #[getter]
    fn finish_reason(&self) -> Option<&'static str> {
        *lock(&self.reason)
    }

    /// Ends the reply.
    fn cancel(&self) {
        self.canceller.cancel();
    }
}

/// The exception that stands for an error of the loader.
pub fn class(error: &Error) -> &'static str {
    match error {
        Error::NoLibrary { .. }
        | Error::Select(_)
        | Error::ForeignBinary { .. }
        | Error::CannotLoad { .. }
        | Error::MissingSymbols { .. }
        | Error::AnotherLibrary { .. }
        | Error::NoBackend { .. }
        | Error::Architecture => "LibraryError",
        Error::Format(_) | Error::NoModel { .. } | Error::NotGguf { .. } | Error::Load { .. } => "ModelError",
        Error::Memory { .. } => "ResourceError",
        Error::Decode { .. } | Error::Cancelled | Error::NoLogits | Error::Sampler(_) => "EngineError",
        _ => "UsageError",
    }
}

/// Options of model-loader, and their names in Python.
const OPTIONS: &[(&str, &str)] = &[
    (
        "--llama-lib, TORCHLESS_LLAMA_LIB, or ModelConfig::with_library in a program",
        "dll_path, TORCHLESS_LLAMA_LIB",
    ),
    ("ModelConfig::with_context_size", "context_size"),
    ("ModelConfig::with_batch_size", "batch_size"),
    ("ModelConfig::with_flash_attention", "flash_attention"),
];

/// The loader's message, with options as Python calls them.
pub fn message(error: &Error) -> String {
    OPTIONS
        .iter()
        .fold(in_pythons_words(&error.to_string()), |message, (rust, python)| message.replace(rust, python))
}
