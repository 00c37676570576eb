//! What a model needs in memory, before anything is loaded.

use crate::spec::ModelSpec;
use torchless_formats::Checkpoint;

/// Bytes that a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// All weights, as the file stores them: resident in memory, or pages of the file that may be given back.
    pub weights: u64,
    /// KV cache of one sequence of `context` positions in F16.
    pub cache: u64,
    /// Positions that `cache` is for.
    pub context: usize,
}

impl MemoryNeed {
    /// The need of `checkpoint` at `context` positions.
    pub fn new(checkpoint: &Checkpoint, spec: &ModelSpec, context: usize) -> Self {
        let weights = checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum();
        Self { weights, cache: (spec.kv_bytes_per_token(2) as u64).saturating_mul(context as u64), context }
    }
}
