//! Latent attention: one short vector per position in the cache, from which all heads read keys and values.

use crate::ops::{BufId, CacheId, Norm, RopeId, StackId};

/// Causal attention over a cache of latents. DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.
///
/// The matrices that make keys and values of a latent are applied to queries and results instead (the same sums in another
/// order), so that nothing is ever expanded. Expanding would take fewer operations where many tokens come at once, but the bits
/// of a token would then depend on how many came with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentAttend {
    /// `[tokens, heads * (plain + turned)]`: of each head the part without position first.
    pub q: BufId,
    /// `[tokens, latent + turned]`: the latent, then the part of the key that all heads share.
    pub kv: BufId,
    /// Of the latent.
    pub norm: Norm,
    /// Per head `[latent, plain]`: from queries to what meets the latents.
    pub key: StackId,
    /// Per head `[value, latent]`: from sums of latents to values.
    pub value: StackId,
    /// `[tokens, heads * value]`.
    pub out: BufId,
    /// One head, keys of `turned + latent`, values in the keys.
    pub cache: CacheId,
    /// Query heads.
    pub heads: usize,
    /// Turns the first `turned` dimensions of keys as they are cached.
    pub rope: RopeId,
    /// Factor of the scores.
    pub scale: f32,
}
