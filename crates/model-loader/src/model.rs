//! A loaded model: what it is, and text to tokens and back.

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use torchless_base::TokenId;
use torchless_formats::{Format, FormatError, OpenOptions, Problem};

use crate::abi::params::{Params, Value};
use crate::config::{ContextConfig, ModelConfig};
use crate::context::Context;
use crate::functions::{Functions, RawAdapter, RawModel, RawVocab};
use crate::lookup::Places;
use crate::soundness::Holes;
use crate::{Error, Library, logs, memory, soundness};

/// A model that llama.cpp has loaded. Contexts borrow it, so that none outlives it.
///
/// It can be shared between threads: the library only reads it once it is loaded.
pub struct Model {
    raw: *mut RawModel,
    vocab: *const RawVocab,
    library: Library,
    path: PathBuf,
    context: ContextConfig,
    vocab_size: usize,
    vocab_only: bool,
    gpu_layers: u32,
    causal: bool,
    encoder: bool,
    holes: Option<Holes>,
    /// Adapters of this model. They are freed before it is.
    adapters: Mutex<Vec<AdapterPointer>>,
}

pub(crate) struct AdapterPointer(pub(crate) *mut RawAdapter);

// SAFETY: an adapter belongs to its model and is only read by contexts; the list of them is behind a lock.
unsafe impl Send for AdapterPointer {}
// SAFETY: all functions that take a `llama_model` but the one that frees it and the one that adds an adapter read only, and the library may be
// used from any thread. Freeing needs `&mut`, adding takes the lock.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

/// A token with a role of its own, which a vocabulary may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialToken(Option<TokenId>);

impl SpecialToken {
    /// Its id, if there is one.
    pub fn id(self) -> Option<TokenId> {
        self.0
    }
}

impl fmt::Display for SpecialToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl Model {
    /// Loads the model with the library that the configuration names, or that [`Places::here`] finds.
    ///
    /// # Errors
    /// There is no library, the file is no sound GGUF, an option cannot be had here, or the library refuses the model.
    pub fn load(config: ModelConfig) -> Result<Self, Error> {
        Self::load_from(&Places::here(), config)
    }

    /// As [`Model::load`], where libraries are looked for in `places`.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_from(places: &Places, config: ModelConfig) -> Result<Self, Error> {
        let library = match &config.library {
            Some(path) => Library::open(path)?,
            None => Library::open(&places.find()?)?,
        };
        Self::load_with(library, config)
    }

    /// Loads the model with the build that suits this machine best, out of a folder of builds: `cpu/{Windows,Linux,macOS}/NAME/` and the same
    /// below `gpu`, as `tabagent_hardware::get_optimal_binary` chooses.
    ///
    /// # Errors
    /// The folder has no build that runs here, or as [`Model::load`].
    pub fn load_with_auto_select(config: ModelConfig, builds: impl AsRef<Path>) -> Result<Self, Error> {
        let choice = tabagent_hardware::get_optimal_binary(builds)?;
        tracing::info!(variant = choice.variant, reason = choice.reason, "chose a build of llama.cpp");
        Self::load_with(Library::open(&choice.path)?, config)
    }

    /// Loads the model with this library.
    ///
    /// # Errors
    /// As [`Model::load`], but for finding a library.
    pub fn load_with(library: Library, config: ModelConfig) -> Result<Self, Error> {
        let (bytes, holes) = check_file(library, &config.path)?;
        check_options(library, &config, bytes)?;
        // The library reads as many shares as it can have devices.
        let shares = tensor_split(library, &config)?;
        let params = params(library, &config, &shares)?;
        let path = path_text(&config.path)?;
        let load = library.functions().model_load;
        // SAFETY: the path is a C string; the parameters are the library's defaults with fields changed that are known to be there, in
        // a blob larger than the struct: on the stack or behind a pointer, the library reads the beginning of it and nothing
        // else. `shares`, to which a field points, lives until after the call.
        let (raw, said) = logs::during(|| unsafe { load(path.as_ptr(), params.blob()) });
        drop(shares);
        if raw.is_null() {
            return Err(Error::Load { path: config.path, said });
        }
        // SAFETY: a model that was just made.
        let mut model = unsafe { Self::of(raw, library, config) };
        model.holes = holes;
        Ok(model)
    }

    /// # Safety
    /// `raw` has to be a model of `library` that nobody else frees.
    unsafe fn of(raw: *mut RawModel, library: Library, config: ModelConfig) -> Self {
        let f = library.functions();
        let vocab = match f.model_vocab {
            // SAFETY: a live model.
            Some(vocab) => unsafe { vocab(raw) },
            // Functions of the vocabulary take the model where there is no vocabulary of its own.
            None => raw.cast_const().cast(),
        };
        // SAFETY: the vocabulary of a live model.
        let vocab_size = usize::try_from(unsafe { (f.n_vocab)(vocab) }).unwrap_or(0);
        let mut model = Self {
            raw,
            vocab,
            library,
            path: config.path,
            context: config.context,
            vocab_size,
            vocab_only: config.vocab_only,
            gpu_layers: config.gpu_layers.unwrap_or(0),
            causal: true,
            encoder: false,
            holes: None,
            adapters: Mutex::default(),
        };
        model.encoder = model.asks_for_encoder();
        model.causal = !model.encoder
            && !model
                .metadata()
                .iter()
                .any(|(key, value)| key.ends_with(".attention.causal") && value == "false");
        model
    }

    /// A context with the options of the model's configuration.
    ///
    /// # Errors
    /// As [`Model::create_context_with`].
    pub fn create_context(&self) -> Result<Context<'_>, Error> {
        self.create_context_with(&self.context)
    }

    /// A context with options of its own.
    ///
    /// # Errors
    /// An option that this library cannot be given, or more memory than there is.
    pub fn create_context_with(&self, config: &ContextConfig) -> Result<Context<'_>, Error> {
        Context::new(crate::context::Owner::Borrowed(self), config)
    }

    /// A context that keeps the model alive, for where a borrow will not do.
    ///
    /// # Errors
    /// As [`Model::create_context_with`].
    pub fn create_shared_context(
        self: &Arc<Self>,
        config: &ContextConfig,
    ) -> Result<Context<'static>, Error> {
        Context::new(crate::context::Owner::Shared(Arc::clone(self)), config)
    }

    /// The library that runs it.
    pub fn library(&self) -> Library {
        self.library
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The options that contexts have by default.
    pub fn context_config(&self) -> &ContextConfig {
        &self.context
    }

    /// Tokens in its vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Positions that it was trained for.
    pub fn context_train_size(&self) -> usize {
        // SAFETY: a live model.
        count(unsafe { (self.f().n_ctx_train)(self.raw) })
    }

    /// Values in the vector of a token inside it.
    pub fn embedding_dim(&self) -> usize {
        // SAFETY: a live model.
        count(unsafe { (self.f().n_embd)(self.raw) })
    }

    /// Its layers.
    pub fn layer_count(&self) -> usize {
        // SAFETY: a live model.
        count(unsafe { (self.f().n_layer)(self.raw) })
    }

    /// Its attention heads, in the first layer.
    pub fn head_count(&self) -> usize {
        // SAFETY: a live model.
        count(unsafe { (self.f().n_head)(self.raw) })
    }

    /// Its weights, in numbers.
    pub fn parameter_count(&self) -> u64 {
        // SAFETY: a live model.
        unsafe { (self.f().model_n_params)(self.raw) }
    }

    /// Its weights, in bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: a live model.
        unsafe { (self.f().model_size)(self.raw) }
    }

    /// The token that begins texts.
    pub fn token_bos(&self) -> SpecialToken {
        self.special(self.f().token_bos)
    }

    /// The token that ends texts.
    pub fn token_eos(&self) -> SpecialToken {
        self.special(self.f().token_eos)
    }

    /// The token of a line's end.
    pub fn token_nl(&self) -> SpecialToken {
        self.special(self.f().token_nl)
    }

    fn special(&self, function: unsafe extern "C" fn(*const RawVocab) -> i32) -> SpecialToken {
        // SAFETY: the vocabulary of a live model.
        let id = unsafe { function(self.vocab) };
        SpecialToken(u32::try_from(id).ok().map(TokenId).filter(|id| id.index() < self.vocab_size))
    }

    /// Whether the token ends a reply: the end of a text, of a turn and the like. Ids beyond the vocabulary end nothing.
    pub fn is_end(&self, token: TokenId) -> bool {
        // SAFETY: the vocabulary of a live model, and an id within.
        self.checked(token).is_ok_and(|id| unsafe { (self.f().token_is_eog)(self.vocab, id) })
    }

    /// Architecture, size and type in a line, as the library puts it.
    pub fn description(&self) -> String {
        // SAFETY: a live model; room and its length belong together.
        text_of(|room, len| unsafe { (self.f().model_desc)(self.raw, room, len) }).unwrap_or_default()
    }

    /// The file's metadata as text, in its order; arrays are left out by the library.
    pub fn metadata(&self) -> Vec<(String, String)> {
        let f = self.f();
        // SAFETY: a live model.
        let entries = unsafe { (f.meta_count)(self.raw) };
        let entry = |at| {
            // SAFETY: a live model, an entry that it has, room and its length.
            let key = text_of(|room, len| unsafe { (f.meta_key)(self.raw, at, room, len) })?;
            // SAFETY: as above.
            let value = text_of(|room, len| unsafe { (f.meta_value)(self.raw, at, room, len) })?;
            Some((key, value))
        };
        (0..entries).filter_map(entry).collect()
    }

    /// One value of the metadata, as text.
    pub fn metadata_value(&self, key: &str) -> Option<String> {
        self.metadata().into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Tokens of a text. Names of control tokens in it stay text. `add_special` puts the tokens around it that the model was trained
    /// with (such as the one that begins texts).
    ///
    /// # Errors
    /// The text is longer than 2 GiB, or has a character that the vocabulary has no tokens for.
    pub fn tokenize(&self, text: &str, add_special: bool) -> Result<Vec<TokenId>, Error> {
        self.tokens_of(text, add_special, false)
    }

    /// As [`Model::tokenize`], where names of control tokens become control tokens. Only for text that this program wrote: in a user's text they
    /// would let the user speak as somebody else.
    ///
    /// # Errors
    /// As [`Model::tokenize`].
    pub fn tokenize_with_control(&self, text: &str, add_special: bool) -> Result<Vec<TokenId>, Error> {
        self.tokens_of(text, add_special, true)
    }

    fn tokens_of(&self, text: &str, add_special: bool, control: bool) -> Result<Vec<TokenId>, Error> {
        let too_long =
            || Error::Text { what: "the text", why: format!("has {} bytes, 2 GiB are possible", text.len()) };
        let len = i32::try_from(text.len()).map_err(|_| too_long())?;
        if let Some(character) = self.holes.as_ref().and_then(|holes| holes.first_in(text)) {
            let why = format!("has {character:?}, for which this vocabulary has no token");
            return Err(Error::Text { what: "the text", why });
        }
        let mut tokens: Vec<i32> = vec![0; text.len().min(1 << 20) + 16];
        for _ in 0..2 {
            let room = i32::try_from(tokens.len()).map_err(|_| too_long())?;
            // SAFETY: the vocabulary of a live model; text and tokens with their lengths. The library writes no more than `room` tokens.
            let found = unsafe {
                let text = text.as_ptr().cast::<c_char>();
                (self.f().tokenize)(self.vocab, text, len, tokens.as_mut_ptr(), room, add_special, control)
            };
            match usize::try_from(found) {
                Ok(found) => {
                    return Ok(tokens.iter().take(found).map(|&id| TokenId(id.cast_unsigned())).collect());
                }
                // The negative number is that of the tokens there would be.
                Err(_) => tokens.resize(found.unsigned_abs() as usize, 0),
            }
        }
        Err(too_long())
    }

    /// The text of a token as it stands in a text; control tokens have none. Parts of characters become U+FFFD: streams go by
    /// [`Model::token_bytes`].
    ///
    /// # Errors
    /// The id is beyond the vocabulary.
    pub fn token_to_text(&self, token: TokenId) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.token_bytes(token)?).into_owned())
    }

    /// The bytes of a token as they stand in a text.
    ///
    /// # Errors
    /// As [`Model::token_to_text`].
    pub fn token_bytes(&self, token: TokenId) -> Result<Vec<u8>, Error> {
        let id = self.checked(token)?;
        let mut bytes = vec![0_u8; 64];
        for _ in 0..2 {
            let room = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            // SAFETY: the vocabulary of a live model, an id within, room and its length.
            let found = unsafe {
                (self.f().token_to_piece)(self.vocab, id, bytes.as_mut_ptr().cast(), room, 0, false)
            };
            match usize::try_from(found) {
                Ok(found) => {
                    bytes.truncate(found);
                    return Ok(bytes);
                }
                Err(_) => bytes.resize(found.unsigned_abs() as usize, 0),
            }
        }
        Ok(Vec::new())
    }

    /// The text of tokens, control tokens left out.
    ///
    /// # Errors
    /// As [`Model::token_to_text`].
    pub fn detokenize(&self, tokens: &[TokenId]) -> Result<String, Error> {
        let mut bytes = Vec::new();
        for &token in tokens {
            bytes.extend(self.token_bytes(token)?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The id as the library takes it, if the vocabulary has it: beyond, the library would read past its tables.
    pub(crate) fn checked(&self, token: TokenId) -> Result<i32, Error> {
        let outside = Error::Token { token, vocab: self.vocab_size };
        if token.index() < self.vocab_size {
            i32::try_from(token.0).map_err(|_| outside)
        } else {
            Err(outside)
        }
    }

    /// Values in an embedding of a text.
    pub(crate) fn output_dim(&self) -> usize {
        match self.f().n_embd_out {
            // SAFETY: a live model.
            Some(dim) => count(unsafe { dim(self.raw) }),
            None => self.embedding_dim(),
        }
    }

    /// Scores that a classifier gives.
    pub(crate) fn class_count(&self) -> usize {
        // SAFETY: a live model.
        self.f().n_cls_out.map_or(1, |classes| unsafe { classes(self.raw) } as usize).max(1)
    }

    /// Whether texts go through an encoder, which keeps no memory of them.
    pub(crate) fn is_encoder(&self) -> bool {
        self.encoder
    }

    fn asks_for_encoder(&self) -> bool {
        let f = self.f();
        // SAFETY: a live model.
        let (encoder, decoder) =
            unsafe { ((f.has_encoder)(self.raw), f.has_decoder.is_none_or(|decoder| decoder(self.raw))) };
        encoder && !decoder
    }

    /// Whether tokens see only those before them.
    pub(crate) fn is_causal(&self) -> bool {
        self.causal
    }

    /// Whether sequences have a state that cannot go back.
    pub(crate) fn is_recurrent(&self) -> bool {
        // SAFETY: a live model.
        [self.f().is_recurrent, self.f().is_hybrid].into_iter().flatten().any(|is| unsafe { is(self.raw) })
    }

    /// Whether it has a vocabulary and nothing to compute with.
    pub(crate) fn is_vocab_only(&self) -> bool {
        self.vocab_only
    }

    /// Layers on a GPU, as asked for.
    pub(crate) fn gpu_layers(&self) -> u32 {
        self.gpu_layers
    }

    pub(crate) fn raw(&self) -> *mut RawModel {
        self.raw
    }

    pub(crate) fn adapters(&self) -> &Mutex<Vec<AdapterPointer>> {
        &self.adapters
    }

    fn f(&self) -> &'static Functions {
        self.library.functions()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let adapters = std::mem::take(self.adapters.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(free) = self.f().adapter_free {
            // SAFETY: adapters of this model, each freed once; contexts that used them borrowed the model and are gone.
            adapters.into_iter().for_each(|adapter| unsafe { free(adapter.0) });
        }
        // SAFETY: the model is live, and contexts borrowed it (or shared it) and are gone.
        unsafe { (self.f().model_free)(self.raw) };
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("path", &self.path)
            .field("description", &self.description())
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

/// Checks header, counts, sizes and offsets before the library sees the file, which ends the process over some of them. The bytes of all of its parts.
fn check_file(library: Library, path: &Path) -> Result<(u64, Option<Holes>), Error> {
    let options = OpenOptions::default();
    let sizes = |files: &[torchless_formats::FileInfo]| files.iter().map(|file| file.bytes).sum();
    match torchless_formats::open(path, &options) {
        Ok(checkpoint) if checkpoint.format == Format::Gguf => {
            soundness::check(library, path, &checkpoint)?;
            Ok((sizes(&checkpoint.files), Holes::of(&checkpoint)))
        }
        Ok(checkpoint) => Err(Error::NotGguf { path: path.to_owned(), format: checkpoint.format.name() }),
        // The library knows more types of tensors than we do.
        Err(error) if is_unknown_type(&error) => {
            tracing::debug!(%error, "the file's tensors are checked by llama.cpp alone");
            Ok((std::fs::metadata(path).map_or(0, |file| file.len()), None))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_unknown_type(error: &FormatError) -> bool {
    matches!(error.problem(), Problem::UnsupportedType { .. })
}

fn check_options(library: Library, config: &ModelConfig, bytes: u64) -> Result<(), Error> {
    let f = library.functions();
    if let Some(layers) = config.gpu_layers.filter(|&layers| layers > 0 && !library.supports_gpu()) {
        return Err(Error::NoGpu { layers, devices: library.devices().join(", ") });
    }
    // SAFETY: both take nothing.
    let (can_mlock, can_mmap) = unsafe { ((f.supports_mlock)(), (f.supports_mmap)()) };
    if config.mlock == Some(true) && !can_mlock {
        return Err(Error::Unsupported { what: "lock memory", symbol: "mlock" });
    }
    if config.mmap == Some(true) && !can_mmap {
        return Err(Error::Unsupported { what: "map files", symbol: "mmap" });
    }
    let copied = config.mmap == Some(false) || config.mlock == Some(true);
    match memory::free().filter(|&free| copied && config.gpu_layers.unwrap_or(0) == 0 && bytes > free) {
        Some(free) => Err(Error::Memory {
            what: format!("'{}'", config.path.display()),
            need: bytes,
            free,
            instead: "leave mmap on and mlock off, or take a smaller quantisation",
        }),
        None => Ok(()),
    }
}

fn tensor_split(library: Library, config: &ModelConfig) -> Result<Vec<f32>, Error> {
    if config.tensor_split.is_empty() {
        return Ok(Vec::new());
    }
    // SAFETY: it takes nothing.
    let devices = unsafe { (library.functions().max_devices)() };
    let shares = &config.tensor_split;
    let sum: f32 = shares.iter().sum();
    let sound = shares.iter().all(|share| share.is_finite() && *share >= 0.0) && sum > 0.0;
    if !sound || shares.len() > devices {
        let allowed = format!("up to {devices} shares, none negative and not all zero");
        return Err(Error::Option { option: "tensor split", value: format!("{shares:?}"), allowed });
    }
    let mut shares = shares.clone();
    shares.resize(devices, 0.0);
    Ok(shares)
}

fn params<'a>(library: Library, config: &ModelConfig, shares: &[f32]) -> Result<Params<'a>, Error> {
    let mut params = library.model_params().defaults();
    if let Some(layers) = config.gpu_layers {
        let layers = i32::try_from(layers).unwrap_or(i32::MAX);
        params.set("gpu layers", "n_gpu_layers", Value::Int(layers))?;
    }
    if let Some(gpu) = config.main_gpu {
        let gpu = i32::try_from(gpu).unwrap_or(i32::MAX);
        params.set("main gpu", "main_gpu", Value::Int(gpu))?;
    }
    if !shares.is_empty() {
        params.set("tensor split", "tensor_split", Value::Address(shares.as_ptr().expose_provenance()))?;
    }
    if config.check_tensors {
        params.set("checked tensors", "check_tensors", Value::Bool(true))?;
    }
    if config.vocab_only {
        params.set("vocabulary only", "vocab_only", Value::Bool(true))?;
    }
    set_residency(&mut params, config)?;
    Ok(params)
}

/// How weights get into memory: two switches once, one mode with names later.
fn set_residency(params: &mut Params<'_>, config: &ModelConfig) -> Result<(), Error> {
    if config.mmap.is_none() && config.mlock.is_none() {
        return Ok(());
    }
    if params.has("load_mode") {
        // Maps unless told otherwise, as the switches did.
        let mode = match (config.mmap.unwrap_or(true), config.mlock.unwrap_or(false)) {
            (false, false) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (true, true) => 3,
        };
        return params.set("mmap and mlock", "load_mode", Value::Int(mode));
    }
    for (option, field, value) in [("mmap", "use_mmap", config.mmap), ("mlock", "use_mlock", config.mlock)] {
        if let Some(value) = value {
            params.set(option, field, Value::Bool(value))?;
        }
    }
    Ok(())
}

/// A path as the library takes it.
pub(crate) fn path_text(path: &Path) -> Result<CString, Error> {
    let wrong = |why: &str| Error::Text { what: "the path", why: why.to_owned() };
    #[cfg(windows)]
    let bytes = path.to_str().ok_or_else(|| wrong("is not Unicode"))?.as_bytes();
    #[cfg(not(windows))]
    let bytes = path.as_os_str().as_encoded_bytes();
    CString::new(bytes).map_err(|_| wrong("has a zero byte"))
}

/// Text that a function writes into room, where the result is its full length, or negative if there is none.
pub(crate) fn text_of(write: impl Fn(*mut c_char, usize) -> i32) -> Option<String> {
    let mut room = vec![0_u8; 256];
    loop {
        let len = usize::try_from(write(room.as_mut_ptr().cast(), room.len())).ok()?;
        if len < room.len() {
            let text = CStr::from_bytes_until_nul(&room).ok()?;
            return Some(text.to_string_lossy().into_owned());
        }
        room.resize(len + 1, 0);
    }
}

fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}
