//! Latent attention.

use super::{NormSpec, RopeSpec};

/// Attention whose keys and values all come from one short vector per position. DeepSeek-AI 2024, arXiv 2405.04434,
/// section 2.1.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentSpec {
    /// Query heads; each has keys and values of its own.
    pub heads: usize,
    /// Values of a query or key that have no position.
    pub plain: usize,
    /// Values that turn with the position; all heads share those of a key.
    pub turned: usize,
    /// Values per value head.
    pub value: usize,
    /// Values of the vector that is cached, beside the shared part of the key.
    pub latent: usize,
    /// Width through which queries are made; they are made at once where there is none.
    pub query_rank: Option<usize>,
    /// Of the latent and of what queries are made of.
    pub norm: NormSpec,
    /// Factor of the scores.
    pub scale: f32,
    /// Over `turned` dimensions.
    pub rope: RopeSpec,
    /// Biases of the projections from and to the residual stream.
    pub bias: bool,
}

impl LatentSpec {
    /// Values that one position adds to the cache.
    pub fn cached_values(&self) -> usize {
        self.turned + self.latent
    }

    /// Values that one position takes in buffers: queries as projected and as they meet the latents, sums of latents, and what the
    /// heads yield, some of them twice.
    pub fn inner_width(&self) -> usize {
        let head = 2 * self.plain + 3 * self.turned + 5 * self.latent + 3 * self.value;
        self.heads * head + 4 * self.cached_values() + self.query_rank.unwrap_or(0)
    }
}
