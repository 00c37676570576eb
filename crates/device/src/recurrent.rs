//! Linear attention with a state per sequence, and taking heads apart.

use crate::ops::{BufId, StateId, VectorId};
pub use torchless_kernels::{DeltaShape, HeadSharing};

/// What one layer keeps of each sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateShape {
    /// Heads of the delta rule.
    pub delta: DeltaShape,
    /// Positions that the convolution looks at.
    pub taps: usize,
}

impl StateShape {
    /// Values of one sequence: earlier rows for the convolution, then the heads' matrices.
    pub fn len(&self) -> usize {
        self.history_len() + self.delta.state_len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of the earlier rows.
    pub fn history_len(&self) -> usize {
        (self.taps - 1) * self.delta.qkv_width()
    }
}

/// A causal convolution with SiLU over queries, keys and values, the gated delta rule over these, and a gated norm:
/// `out = rms(delta(silu(conv(qkv)))) * weight * silu(z)`, head by head. Yang et al. 2024, arXiv 2412.06464.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeltaNet {
    /// `[tokens, queries | keys | values]`. Overwritten.
    pub qkv: BufId,
    /// `[tokens, value_heads * value_dim]`. Overwritten.
    pub z: BufId,
    /// `[tokens, value_heads]`: how far the state is corrected, before the sigmoid.
    pub beta: BufId,
    /// `[tokens, value_heads]`: how fast it decays, before softplus.
    pub alpha: BufId,
    /// `[taps * width]`: the convolution, tap by tap, the oldest position first.
    pub conv: VectorId,
    /// `[value_heads]`: the rate of decay, below 0.
    pub rate: VectorId,
    /// `[value_heads]`: added to alpha.
    pub shift: VectorId,
    /// `[value_dim]` and epsilon: of the norm.
    pub norm: (VectorId, f32),
    /// The layer's state.
    pub state: StateId,
    /// `[tokens, value_heads * value_dim]`.
    pub out: BufId,
}

/// Takes the heads of a buffer apart: `input` is `[rows, heads, sum of widths]`, part `i` becomes `[rows, heads * widths[i]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split<'a> {
    /// Rows to work on.
    pub rows: usize,
    /// What is taken apart.
    pub input: BufId,
    /// Heads.
    pub heads: usize,
    /// Where each part goes, which values of that buffer's rows it becomes, and its width in a head.
    pub parts: &'a [SplitPart],
}

/// One part of each head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitPart {
    /// Its values in a head.
    pub width: usize,
    /// Where it goes.
    pub out: BufId,
    /// The first value of the output's rows that it becomes; it takes `heads * width` of them.
    pub at: usize,
}
