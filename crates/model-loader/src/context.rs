//! A context: the memory of sequences, and what computes on it.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use torchless_base::{TokenId, Wanted};

use crate::abi::params::{Params, Value};
use crate::batch::{Batch, Entry};
use crate::cache::Cache;
use crate::config::{ContextConfig, KvType, Pooling};
use crate::functions::{Functions, RawBatch, RawContext};
use crate::{Error, Model, logs, memory};

/// The longest context that nobody asked for.
const UNASKED_POSITIONS: usize = 4096;

/// Sequences in one context, as many as the library has ever taken.
const MOST_SEQUENCES: u32 = 256;

/// Tokens in one step; more are a slip of the hand.
const MOST_TOKENS: u32 = 1 << 20;

/// Threads that ggml has room for.
const MOST_THREADS: u32 = 512;

/// Held during a step of a release whose contexts disturb each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Who keeps the model alive.
pub(crate) enum Owner<'m> {
    Borrowed(&'m Model),
    Shared(Arc<Model>),
}

impl Deref for Owner<'_> {
    type Target = Model;

    fn deref(&self) -> &Model {
        match self {
            Self::Borrowed(model) => model,
            Self::Shared(model) => model,
        }
    }
}

/// Ends what a context is computing, from another thread. A copy ends the same.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Ends it: the current step as soon as the library asks, and everything after.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where sequences live and are computed. Made by [`Model::create_context`]; it cannot outlive its model.
///
/// A context is used by one thread at a time; it may move between threads, and a model can have several.
pub struct Context<'m> {
    raw: *mut RawContext,
    owner: Owner<'m>,
    cache: Cache,
    limits: Limits,
    /// Tokens of each sequence that are computed.
    sequences: Vec<Vec<TokenId>>,
    batch: Buffers,
    /// Logits of the last batch's tokens that wanted them, row after row.
    rows: Vec<f32>,
    embeds: bool,
    kv_type: KvType,
    canceller: Canceller,
    /// Whether that is a reply's.
    is_watching: bool,
    decoding: Duration,
}

// SAFETY: a context has no ties to the thread that made it, and `&mut` or the lack of `Sync` keep it to one thread at a time. The model behind it
// may be shared (see there).
unsafe impl Send for Context<'_> {}

/// Numbers of a context as the library settled on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Positions, which all sequences share.
    pub positions: usize,
    /// Tokens of one call.
    pub batch: usize,
    /// Tokens side by side.
    pub ubatch: usize,
}

/// Memory of a batch, reused.
#[derive(Default)]
struct Buffers {
    tokens: Vec<i32>,
    positions: Vec<i32>,
    counts: Vec<i32>,
    sequences: Vec<i32>,
    pointers: Vec<*mut i32>,
    wanted: Vec<i8>,
}

impl<'m> Context<'m> {
    pub(crate) fn new(owner: Owner<'m>, config: &ContextConfig) -> Result<Self, Error> {
        if owner.is_vocab_only() {
            let said = "the model was loaded for its vocabulary alone".to_owned();
            return Err(Error::Context { positions: 0, said });
        }
        let positions = positions(&owner, config)?;
        let params = params(&owner, config, positions)?;
        check_memory(&owner, config, positions)?;
        let cache = Cache::of(owner.library().functions())?;
        let f = owner.library().functions();
        // SAFETY: a live model; the parameters are the library's defaults with fields changed that are known to be there, in a blob
        // larger than the struct.
        let (raw, said) = logs::during(|| unsafe { (f.context_new)(owner.raw(), params.blob()) });
        if raw.is_null() {
            return Err(Error::Context { positions, said });
        }
        let sequences = config.sequences.unwrap_or(1) as usize;
        let mut context = Self {
            raw,
            limits: Limits { positions: 0, batch: 0, ubatch: 0 },
            cache,
            sequences: vec![Vec::new(); sequences],
            batch: Buffers::default(),
            rows: Vec::new(),
            embeds: false,
            kv_type: config.kv_type.unwrap_or(KvType::F16),
            canceller: Canceller::default(),
            is_watching: false,
            decoding: Duration::ZERO,
            owner,
        };
        context.limits = context.measure();
        context.set_threads(config);
        context.watch(Canceller::default());
        context.set_embeds(context.owner.is_encoder());
        Ok(context)
    }

    fn measure(&self) -> Limits {
        let f = self.f();
        // SAFETY: a live context.
        let numbers = unsafe { [(f.n_ctx)(self.raw), (f.n_batch)(self.raw), (f.n_ubatch)(self.raw)] };
        let [positions, batch, ubatch] = numbers.map(|number| number as usize);
        let batch = if self.owner.is_causal() { batch } else { batch.min(ubatch) };
        Limits { positions, batch, ubatch }
    }

    fn set_threads(&self, config: &ContextConfig) {
        let cores = || u32::try_from(tabagent_hardware::usable_cores()).unwrap_or(1);
        let threads = config.threads.unwrap_or_else(|| cores().clamp(1, MOST_THREADS));
        let batch = config.batch_threads.unwrap_or(threads);
        // SAFETY: a live context, and numbers that ggml has room for.
        unsafe { (self.f().set_n_threads)(self.raw, threads.cast_signed(), batch.cast_signed()) };
    }

    /// Lets `canceller` end what this context computes from now on.
    pub(crate) fn watch(&mut self, canceller: Canceller) {
        let flag: *const AtomicBool = Arc::as_ptr(&canceller.0);
        // SAFETY: a live context. The flag lives as long as `self.canceller` holds it, which is replaced after the library has the new
        // address, and dropped after the context is freed.
        unsafe { (self.f().set_abort_callback)(self.raw, Some(asked_to_stop), flag.cast_mut().cast()) };
        self.canceller = canceller;
        self.is_watching = true;
    }

    /// A reply is over: whoever ends it late must not end what comes next.
    fn watch_nobody(&mut self) {
        if self.is_watching {
            self.watch(Canceller::default());
            self.is_watching = false;
        }
    }

    /// Its model.
    pub fn model(&self) -> &Model {
        &self.owner
    }

    /// Positions that all sequences together can have.
    pub fn context_size(&self) -> usize {
        self.limits.positions
    }

    /// Tokens that one call of the library decodes at most; [`Context::decode`] makes several of more.
    pub fn batch_size(&self) -> usize {
        self.limits.batch
    }

    /// Sequences that can lie side by side.
    pub fn sequence_count(&self) -> usize {
        self.sequences.len()
    }

    /// Tokens of a sequence that are computed. Empty for a sequence that does not exist.
    pub fn tokens(&self, sequence: u32) -> &[TokenId] {
        self.sequences.get(sequence as usize).map_or(&[], Vec::as_slice)
    }

    /// Time that was spent inside the library's function that decodes, since the context was made.
    pub fn time_decoding(&self) -> Duration {
        self.decoding
    }

    /// As [`Model::tokenize`].
    ///
    /// # Errors
    /// As there.
    pub fn tokenize(&self, text: &str, add_special: bool) -> Result<Vec<TokenId>, Error> {
        self.owner.tokenize(text, add_special)
    }

    /// As [`Model::token_to_text`].
    ///
    /// # Errors
    /// As there.
    pub fn token_to_text(&self, token: TokenId) -> Result<String, Error> {
        self.owner.token_to_text(token)
    }

    /// Computes tokens that follow on what sequence 0 has; afterwards [`Context::logits`] are those of the last. Prompts of any length go
    /// in as many calls as they need.
    ///
    /// # Errors
    /// No tokens, an id beyond the vocabulary, more tokens than fit, or the library failed.
    pub fn decode(&mut self, tokens: &[TokenId]) -> Result<(), Error> {
        self.watch_nobody();
        self.decode_watched(tokens)
    }

    /// As [`Context::decode`], for a reply: whoever may end that may end this.
    pub(crate) fn decode_watched(&mut self, tokens: &[TokenId]) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.extend(0, tokens, Wanted::Last);
        self.compute(&batch)
    }

    /// Computes tokens of several sequences; [`Context::logits_of`] then has the logits of all that wanted them, in the batch's order.
    ///
    /// # Errors
    /// As [`Context::decode`], or a sequence that does not exist. What was computed before the fault stays.
    pub fn decode_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        self.watch_nobody();
        self.compute(batch)
    }

    fn compute(&mut self, batch: &Batch) -> Result<(), Error> {
        self.rows.clear();
        self.check(batch.entries())?;
        let size = self.limits.batch.max(1);
        batch.entries().chunks(size).try_for_each(|part| self.submit(part))
    }

    /// Logits of the last token that wanted them, one per token of the vocabulary.
    ///
    /// # Errors
    /// There are none.
    pub fn logits(&self) -> Result<&[f32], Error> {
        self.logits_of(self.logit_rows().checked_sub(1).ok_or(Error::NoLogits)?)
    }

    /// Logits of the `row`-th token that wanted them in the last batch.
    ///
    /// # Errors
    /// There are no such.
    pub fn logits_of(&self, row: usize) -> Result<&[f32], Error> {
        self.rows.chunks_exact(self.owner.vocab_size().max(1)).nth(row).ok_or(Error::NoLogits)
    }

    /// Rows that [`Context::logits_of`] has.
    pub fn logit_rows(&self) -> usize {
        self.rows.len() / self.owner.vocab_size().max(1)
    }

    fn check(&self, entries: &[Entry]) -> Result<(), Error> {
        if entries.is_empty() {
            return Err(Error::NoTokens);
        }
        if let Some(entry) = entries.iter().find(|entry| entry.token.index() >= self.owner.vocab_size()) {
            return Err(self.owner.checked(entry.token).map_or_else(|e| e, |_| Error::NoTokens));
        }
        for (at, sequence) in self.sequences.iter().enumerate() {
            let more = entries.iter().filter(|entry| entry.sequence as usize == at).count();
            let len = sequence.len() + more;
            if more > 0 && len > self.limits.positions {
                return Err(Error::TooLong { len, limit: self.limits.positions });
            }
        }
        entries.iter().try_for_each(|entry| self.check_sequence(entry.sequence))
    }

    pub(crate) fn check_sequence(&self, sequence: u32) -> Result<(), Error> {
        let sequences = u32::try_from(self.sequences.len()).unwrap_or(u32::MAX);
        if sequence < sequences { Ok(()) } else { Err(Error::Sequence { sequence, sequences }) }
    }

    /// One call of the library, or several where its cache has room in pieces only.
    fn submit(&mut self, entries: &[Entry]) -> Result<(), Error> {
        if self.canceller.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let before = self.lengths(entries);
        let (status, said) = logs::during(|| self.call(entries));
        if status == 0 {
            return if self.embeds { Ok(()) } else { self.keep_rows(entries) };
        }
        self.take_back(&before);
        match status {
            // There is no room for it in one piece.
            1 if entries.len() > 1 => {
                let (first, second) = entries.split_at(entries.len() / 2);
                self.submit(first)?;
                self.submit(second)
            }
            1 => Err(Error::TooLong { len: self.used() + 1, limit: self.limits.positions }),
            2 => Err(Error::Cancelled),
            _ => Err(Error::Decode { status, said }),
        }
    }

    /// Copies the logits that were asked for, which the next call overwrites.
    fn keep_rows(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let vocab = self.owner.vocab_size();
        for (at, _) in entries.iter().enumerate().filter(|(_, entry)| entry.wanted) {
            // SAFETY: a live context, and a place of its last batch that wanted logits.
            let row = unsafe { (self.f().logits_at)(self.raw, at as i32) };
            if row.is_null() {
                return Err(Error::NoLogits);
            }
            // SAFETY: a row has as many values as the vocabulary, and stays as it is until the next call that changes the context.
            self.rows.extend_from_slice(unsafe { std::slice::from_raw_parts(row, vocab) });
        }
        Ok(())
    }

    fn lengths(&self, entries: &[Entry]) -> Vec<(u32, usize)> {
        let mut lengths: Vec<(u32, usize)> = Vec::new();
        for entry in entries {
            if lengths.iter().all(|&(sequence, _)| sequence != entry.sequence) {
                lengths.push((entry.sequence, self.tokens(entry.sequence).len()));
            }
        }
        lengths
    }

    /// Appends the entries to their sequences and lets the library compute them.
    fn call(&mut self, entries: &[Entry]) -> i32 {
        let decode = if self.owner.is_encoder() { self.f().encode } else { self.f().decode };
        let batch = self.batch.fill(entries, &mut self.sequences, self.embeds);
        let _alone =
            self.cache.computes_alone().then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
        let start = Instant::now();
        // SAFETY: a live context; the batch's arrays have as many entries as it says, with tokens of the vocabulary, positions that follow
        // on those before, and sequences below the context's number; there are no more than one call may have. The struct is
        // followed by zeros, for builds that have more members.
        let status = unsafe { decode(self.raw, batch) };
        self.decoding += start.elapsed();
        status
    }

    /// Brings the sequences back to what they were before a call that failed, on both sides.
    fn take_back(&mut self, before: &[(u32, usize)]) {
        for &(sequence, len) in before {
            let kept = if self.cache.remove(self.raw, sequence, len) { len } else { 0 };
            if kept == 0 {
                self.cache.remove(self.raw, sequence, 0);
            }
            if let Some(tokens) = self.sequences.get_mut(sequence as usize) {
                tokens.truncate(kept);
            }
        }
    }

    fn used(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }

    /// Forgets everything that was computed.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.sequences.iter_mut().for_each(Vec::clear);
        self.cache.clear(self.raw);
    }

    /// Forgets the tokens of a sequence from position `len` on, and says how many are left: fewer where its state cannot go back.
    ///
    /// # Errors
    /// The sequence does not exist.
    pub fn truncate(&mut self, sequence: u32, len: usize) -> Result<usize, Error> {
        self.check_sequence(sequence)?;
        let have = self.tokens(sequence).len();
        if len >= have {
            return Ok(have);
        }
        self.rows.clear();
        let left = if self.cache.remove(self.raw, sequence, len) { len } else { 0 };
        if left < len {
            self.cache.remove(self.raw, sequence, 0);
        }
        self.sequences[sequence as usize].truncate(left);
        Ok(left)
    }

    /// Makes sequence `to` a copy of `from`, whose tokens both then share.
    ///
    /// # Errors
    /// One of them does not exist.
    pub fn copy_sequence(&mut self, from: u32, to: u32) -> Result<(), Error> {
        self.check_sequence(from)?;
        self.check_sequence(to)?;
        if from == to {
            return Ok(());
        }
        self.truncate(to, 0)?;
        self.cache.copy(self.raw, from, to);
        self.sequences[to as usize] = self.sequences[from as usize].clone();
        Ok(())
    }

    /// Has the library compute embeddings beside logits, or not.
    pub(crate) fn set_embeds(&mut self, embeds: bool) {
        self.embeds = embeds;
        // SAFETY: a live context.
        unsafe { (self.f().set_embeddings)(self.raw, embeds) };
    }

    /// How embeddings of texts are made here.
    pub fn pooling(&self) -> Option<Pooling> {
        // SAFETY: a live context.
        Pooling::from_id(unsafe { (self.f().pooling_type)(self.raw) })
    }

    /// All rows, one after the other.
    pub(crate) fn all_logits(&self) -> &[f32] {
        &self.rows
    }

    /// The type of cached keys and values.
    pub(crate) fn kv_type(&self) -> KvType {
        self.kv_type
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn raw(&self) -> *mut RawContext {
        self.raw
    }

    /// Sequences and rows after a state was restored.
    pub(crate) fn set_sequences(&mut self, sequences: Vec<Vec<TokenId>>) {
        self.rows.clear();
        self.sequences = sequences;
    }

    pub(crate) fn f(&self) -> &'static Functions {
        self.owner.library().functions()
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: it is live, and nobody else frees it. Its model is dropped later, if this context keeps it.
        unsafe { (self.f().context_free)(self.raw) };
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("model", &self.owner.path())
            .field("limits", &self.limits)
            .field("sequences", &self.sequences.iter().map(Vec::len).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Buffers {
    fn fill(&mut self, entries: &[Entry], sequences: &mut [Vec<TokenId>], all: bool) -> RawBatch {
        self.tokens.clear();
        self.positions.clear();
        self.counts.clear();
        self.sequences.clear();
        self.pointers.clear();
        self.wanted.clear();
        for entry in entries {
            let sequence = &mut sequences[entry.sequence as usize];
            self.tokens.push(entry.token.0.cast_signed());
            self.positions.push(sequence.len() as i32);
            self.counts.push(1);
            self.sequences.push(entry.sequence.cast_signed());
            self.wanted.push(i8::from(entry.wanted || all));
            sequence.push(entry.token);
        }
        // Their addresses hold from here on: nothing is pushed any more.
        self.pointers.extend(self.sequences.iter_mut().map(std::ptr::from_mut));
        RawBatch {
            n_tokens: entries.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.pointers.as_mut_ptr(),
            logits: self.wanted.as_mut_ptr(),
            beyond: [0; 8],
        }
    }
}

/// Asked by the library between the operations of a step.
///
/// # Safety
/// `flag` has to point to a live `AtomicBool`.
unsafe extern "C" fn asked_to_stop(flag: *mut std::ffi::c_void) -> bool {
    // SAFETY: the caller promises it; `Context::watch` sees to it.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

/// Positions that the context is to have.
fn positions(model: &Model, config: &ContextConfig) -> Result<u32, Error> {
    let option = |option, value: u32, allowed: String| {
        Err(Error::Option { option, value: value.to_string(), allowed })
    };
    let most = i32::MAX.cast_unsigned();
    match config.context_size {
        Some(positions) if positions == 0 || positions > most => {
            return option("context size", positions, format!("1 to {most}"));
        }
        _ => {}
    }
    if let Some(sequences) = config.sequences {
        // SAFETY: it takes nothing.
        let allowed = model.library().functions().max_sequences.map(|most| unsafe { most() } as u32);
        let most = allowed.unwrap_or(MOST_SEQUENCES).min(MOST_SEQUENCES);
        if sequences == 0 || sequences > most {
            return option("sequences", sequences, format!("1 to {most}"));
        }
    }
    let counts = [
        ("batch size", config.batch_size, MOST_TOKENS),
        ("ubatch size", config.ubatch_size, MOST_TOKENS),
        ("threads", config.threads, MOST_THREADS),
        ("threads for prompts", config.batch_threads, MOST_THREADS),
    ];
    for (name, count, most) in counts {
        match count {
            Some(count) if count == 0 || count > most => return option(name, count, format!("1 to {most}")),
            _ => {}
        }
    }
    let trained = model.context_train_size().clamp(1, UNASKED_POSITIONS);
    let positions = config.context_size.unwrap_or(trained as u32);
    // The library ends the process where the tokens of a step are fewer than sequences.
    let most = positions.min(config.batch_size.unwrap_or(MOST_TOKENS));
    match config.sequences {
        Some(sequences) if sequences > most => {
            option("sequences", sequences, format!("1 to {most}, as many as a step has tokens"))
        }
        _ => Ok(positions),
    }
}

fn params<'a>(model: &'a Model, config: &ContextConfig, positions: u32) -> Result<Params<'a>, Error> {
    let mut params = model.library().context_params().defaults();
    if config.context_size.is_some() || params.has("n_ctx") {
        params.set("context size", "n_ctx", Value::Count(positions))?;
    }
    let counts = [
        ("batch size", "n_batch", config.batch_size),
        ("ubatch size", "n_ubatch", config.ubatch_size),
        ("sequences", "n_seq_max", config.sequences.filter(|&sequences| sequences > 1)),
    ];
    for (option, field, count) in counts {
        if let Some(count) = count {
            params.set(option, field, Value::Count(count))?;
        }
    }
    if params.has("kv_unified") {
        params.set("sequences", "kv_unified", Value::Bool(config.sequences.is_some_and(|n| n > 1)))?;
    }
    if let Some(pooling) = config.pooling {
        params.set("pooling", "pooling_type", Value::Int(pooling.id()))?;
    }
    if let Some(kv_type) = config.kv_type {
        check_kv_type(model, config, kv_type)?;
        params.set("KV type", "type_k", Value::Int(kv_type.id()))?;
        params.set("KV type", "type_v", Value::Int(kv_type.id()))?;
    }
    if let Some(on) = config.flash_attention {
        match params.has("flash_attn_type") {
            true => params.set("flash attention", "flash_attn_type", Value::Int(i32::from(on)))?,
            false => params.set("flash attention", "flash_attn", Value::Bool(on))?,
        }
    }
    Ok(params)
}

/// Values of fewer bits need flash attention, and heads that blocks divide; the library ends the process over the second.
fn check_kv_type(model: &Model, config: &ContextConfig, kv_type: KvType) -> Result<(), Error> {
    let refuse = |allowed: &str| {
        Err(Error::Option { option: "KV type", value: format!("{kv_type:?}"), allowed: allowed.to_owned() })
    };
    if kv_type.block() == 1 {
        return Ok(());
    }
    if config.flash_attention != Some(true) {
        return refuse("F32, F16 or BF16 without flash attention (ModelConfig::with_flash_attention)");
    }
    let head_dim = (model.embedding_dim() / model.head_count().max(1)) as u64;
    if head_dim.is_multiple_of(kv_type.block()) {
        return Ok(());
    }
    refuse("F32, F16 or BF16, as this model's heads are no multiple of 32 wide")
}

/// A context that the system cannot hold would be granted and end the process when it is first used.
fn check_memory(model: &Model, config: &ContextConfig, positions: u32) -> Result<(), Error> {
    if model.gpu_layers() > 0 {
        return Ok(());
    }
    let need = memory::of_cache(model, u64::from(positions), config.kv_type.unwrap_or(KvType::F16));
    match (need, memory::free()) {
        (Some(need), Some(free)) if need > free => Err(Error::Memory {
            what: format!("a context of {positions} positions"),
            need,
            free,
            instead: "ask for fewer (ModelConfig::with_context_size), or for a smaller KV type",
        }),
        _ => Ok(()),
    }
}
