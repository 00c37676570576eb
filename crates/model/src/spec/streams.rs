//! Several residual streams beside each other.

use super::NormSpec;

/// Residual streams beside each other, of which layers see the first: each layer guesses all of them, works on the first, and
/// corrects all by what came of it. Baykal et al. 2023, arXiv 2301.13310.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamsSpec {
    /// How many, at least 2.
    pub count: usize,
    /// Before the router, whose values weigh guesses and corrections.
    pub norm: NormSpec,
    /// Whether the first stream is weighed by a vector before the token's own input is gated by it.
    pub weighed: bool,
}
