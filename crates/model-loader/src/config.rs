//! What to load, and how to run it.

use std::path::{Path, PathBuf};

use crate::Error;

/// A model file and the options to run it with. What is not set, the library decides.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub(crate) path: PathBuf,
    pub(crate) library: Option<PathBuf>,
    pub(crate) gpu_layers: Option<u32>,
    pub(crate) main_gpu: Option<u32>,
    pub(crate) tensor_split: Vec<f32>,
    pub(crate) mmap: Option<bool>,
    pub(crate) mlock: Option<bool>,
    pub(crate) check_tensors: bool,
    pub(crate) vocab_only: bool,
    pub(crate) context: ContextConfig,
}

/// The options of one context; [`ModelConfig`] has those that [`crate::Model::create_context`] uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContextConfig {
    /// Positions, over all sequences. Default: what the model was trained for, 4096 at most.
    pub context_size: Option<u32>,
    /// Tokens that one call decodes at most; longer prompts go in several. Default 2048, the library's.
    pub batch_size: Option<u32>,
    /// Tokens that are computed side by side. Default 512, the library's.
    pub ubatch_size: Option<u32>,
    /// Sequences that can lie side by side; they share the positions. Default 1.
    pub sequences: Option<u32>,
    /// Threads for single tokens and for prompts, 512 at most. Default: the cores that this process may use.
    pub threads: Option<u32>,
    /// Threads for prompts, if not the same.
    pub batch_threads: Option<u32>,
    /// Types of cached keys and values. Default F16.
    pub kv_type: Option<KvType>,
    /// Whether attention is computed in the fused way. Default: the library decides, if it can, and else does not.
    pub flash_attention: Option<bool>,
    /// What an embedding of a text is made of. Default: what the model says.
    pub pooling: Option<Pooling>,
}

/// Types in which keys and values can be cached. Those with fewer bits than F16 need flash attention for the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvType {
    /// 32 bits.
    F32,
    /// 16 bits, the default.
    F16,
    /// 16 bits with the range of F32.
    BF16,
    /// 8.5 bits.
    Q8_0,
    /// 5.5 bits.
    Q5_0,
    /// 4.5 bits.
    Q4_0,
}

impl KvType {
    /// Its number in ggml.
    pub(crate) fn id(self) -> i32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q5_0 => 6,
            Self::Q8_0 => 8,
            Self::BF16 => 30,
        }
    }

    /// Bytes of 32 values.
    pub(crate) fn bytes_of_32(self) -> u64 {
        match self {
            Self::F32 => 128,
            Self::F16 | Self::BF16 => 64,
            Self::Q8_0 => 34,
            Self::Q5_0 => 22,
            Self::Q4_0 => 18,
        }
    }

    /// Values that share a scale.
    pub(crate) fn block(self) -> u64 {
        if matches!(self, Self::F32 | Self::F16 | Self::BF16) { 1 } else { 32 }
    }
}

/// What an embedding of a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// No embedding of the whole, one per token.
    None,
    /// The mean over the tokens.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last token.
    Last,
    /// The scores of a classifier or reranker.
    Rank,
}

impl Pooling {
    pub(crate) fn id(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Mean => 1,
            Self::Cls => 2,
            Self::Last => 3,
            Self::Rank => 4,
        }
    }

    pub(crate) fn from_id(id: i32) -> Option<Self> {
        [Self::None, Self::Mean, Self::Cls, Self::Last, Self::Rank]
            .into_iter()
            .find(|pooling| pooling.id() == id)
    }
}

impl ModelConfig {
    /// A configuration for the GGUF file at `path`.
    ///
    /// # Errors
    /// There is no such file.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.is_file() {
            return Ok(Self {
                path: path.to_owned(),
                library: None,
                gpu_layers: None,
                main_gpu: None,
                tensor_split: Vec::new(),
                mmap: None,
                mlock: None,
                check_tensors: false,
                vocab_only: false,
                context: ContextConfig::default(),
            });
        }
        let what = if path.exists() { "is no file" } else { "does not exist" };
        Err(Error::NoModel { path: path.to_owned(), what })
    }

    /// The model's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Options of contexts that do not have their own.
    pub fn context(&self) -> &ContextConfig {
        &self.context
    }

    /// The library to use: its file, or the folder it is in.
    pub fn with_library(mut self, path: impl Into<PathBuf>) -> Self {
        self.library = Some(path.into());
        self
    }

    /// Layers to put on a GPU.
    pub fn with_gpu_layers(mut self, layers: u32) -> Self {
        self.gpu_layers = Some(layers);
        self
    }

    /// The GPU to use, by the library's number, where there are several and the model is not split.
    pub fn with_main_gpu(mut self, gpu: u32) -> Self {
        self.main_gpu = Some(gpu);
        self
    }

    /// Shares of the model for each GPU.
    pub fn with_tensor_split(mut self, shares: impl Into<Vec<f32>>) -> Self {
        self.tensor_split = shares.into();
        self
    }

    /// Whether weights are used in the mapped file, not copied.
    pub fn with_mmap(mut self, mmap: bool) -> Self {
        self.mmap = Some(mmap);
        self
    }

    /// Whether weights are kept from being swapped out.
    pub fn with_mlock(mut self, mlock: bool) -> Self {
        self.mlock = Some(mlock);
        self
    }

    /// Lets the library look for values that are no numbers while it loads. Costs a pass over the file.
    pub fn with_checked_tensors(mut self) -> Self {
        self.check_tensors = true;
        self
    }

    /// Loads the vocabulary and no weights: for tokens alone.
    pub fn with_vocab_only(mut self) -> Self {
        self.vocab_only = true;
        self
    }

    /// Positions of a context, over all of its sequences.
    pub fn with_context_size(mut self, positions: u32) -> Self {
        self.context.context_size = Some(positions);
        self
    }

    /// Tokens that one call decodes at most.
    pub fn with_batch_size(mut self, tokens: u32) -> Self {
        self.context.batch_size = Some(tokens);
        self
    }

    /// Tokens that are computed side by side.
    pub fn with_ubatch_size(mut self, tokens: u32) -> Self {
        self.context.ubatch_size = Some(tokens);
        self
    }

    /// Sequences that can lie side by side in a context.
    pub fn with_sequences(mut self, sequences: u32) -> Self {
        self.context.sequences = Some(sequences);
        self
    }

    /// Threads to compute with.
    pub fn with_threads(mut self, threads: u32) -> Self {
        self.context.threads = Some(threads);
        self
    }

    /// Threads to compute prompts with, if not the same.
    pub fn with_batch_threads(mut self, threads: u32) -> Self {
        self.context.batch_threads = Some(threads);
        self
    }

    /// The type of cached keys and values.
    pub fn with_kv_type(mut self, kv_type: KvType) -> Self {
        self.context.kv_type = Some(kv_type);
        self
    }

    /// Whether attention is computed in the fused way.
    pub fn with_flash_attention(mut self, on: bool) -> Self {
        self.context.flash_attention = Some(on);
        self
    }

    /// What an embedding of a text is made of.
    pub fn with_pooling(mut self, pooling: Pooling) -> Self {
        self.context.pooling = Some(pooling);
        self
    }
}
