//! What a model needs in memory, before anything is loaded.

use crate::ModelError;
use crate::decoder::HEAD_ROWS;
use crate::spec::{LayerSpec, ModelSpec};
use torchless_base::RunnerInfo;
use torchless_device::CacheType;
use torchless_formats::Checkpoint;

/// Bytes that a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// All weights, as the file stores them: resident in memory, or pages of the file that may be given back.
    pub weights: u64,
    /// KV cache of one sequence of `context` positions, and its state where layers have one.
    pub cache: u64,
    /// Positions that `cache` is for.
    pub context: usize,
}

impl MemoryNeed {
    /// The need of `checkpoint` at `context` positions with a cache of type `ty`.
    pub fn new(checkpoint: &Checkpoint, spec: &ModelSpec, context: usize, ty: CacheType) -> Self {
        let weights = checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum();
        let cache = (ty.bytes(spec.kv_bytes_per_token(1)) as u64).saturating_mul(context as u64);
        Self { weights, cache: cache.saturating_add(spec.state_bytes() as u64), context }
    }
}

/// Program, tokenizer and the parts of weights that are on their way.
const FIXED: u64 = 96 << 20;
/// The part of a limit that is kept free for the KV cache, where that could take more.
const CACHE_SHARE: u64 = 4;

/// What a step of so many tokens works with, logits left out: each value once in a buffer; inputs of products also normed and quantised.
pub(crate) fn activation_bytes(spec: &ModelSpec, tokens: usize) -> u64 {
    let widest = |f: &dyn Fn(&LayerSpec) -> usize| spec.layers.iter().map(f).max().unwrap_or(0);
    let mixer = widest(&|l| l.mixer.inner_width());
    let hidden = widest(&|l| l.ffn.inner_width());
    let values = 5 * spec.dim + mixer + 4 * hidden;
    (4 * values as u64).saturating_mul(tokens as u64)
}

/// What a limit on all memory leaves for weights: activations and logits come first, and the cache of the whole context, of type
/// `ty`, up to a quarter of the limit.
///
/// # Errors
/// Nothing is left.
pub(crate) fn left_for_weights(
    limit: u64,
    spec: &ModelSpec,
    info: &RunnerInfo,
    ty: CacheType,
) -> Result<u64, ModelError> {
    let logits = 4 * (2 * HEAD_ROWS * spec.vocab) as u64;
    let activations = activation_bytes(spec, info.max_batch_tokens).saturating_add(logits);
    let positions = (info.blocks * info.block_len) as u64;
    let per_token = ty.bytes(spec.kv_bytes_per_token(1)) as u64;
    let cache = per_token.saturating_mul(positions).min(limit / CACHE_SHARE);
    let sequences = positions.div_ceil(info.max_seq_len.max(1) as u64);
    let states = (spec.state_bytes() as u64).saturating_mul(sequences);
    let least = activations.saturating_add(cache).saturating_add(states).saturating_add(FIXED);
    limit.checked_sub(least).ok_or(ModelError::MemoryLimit { limit, least })
}
