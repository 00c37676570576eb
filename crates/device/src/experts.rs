//! The ops of mixtures of experts: matrices in stacks, routed units, gates.

use crate::ops::{Activation, BufId, Norm, StackId, Store, VectorId};
use crate::routing::Routing;

/// How a unit's two halves meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gating {
    /// `act(gate) * up`.
    Plain(Activation),
    /// `g sigmoid(alpha g) (u + 1)` with `g` at most `limit` and `u` within `limit` of 0: gpt-oss.
    Clamped {
        /// Slope of the sigmoid.
        alpha: f32,
        /// Bound of both halves.
        limit: f32,
    },
}

/// The matrices of one place in all experts, and their biases one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertLinear {
    /// One matrix per expert.
    pub stack: StackId,
    /// `[experts * out]`.
    pub bias: Option<VectorId>,
}

/// Gated units of which each row meets a few: `out = sum of weight * down(gating(gate x, up x))` over the chosen experts.
/// The order of the sum is that of the choice, so that a row's result does not depend on the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// Rows to work on.
    pub rows: usize,
    /// `[rows, dim]`.
    pub input: BufId,
    /// Applied to the input first; the input itself stays as it is.
    pub norm: Option<Norm>,
    /// `[rows, experts]`: the router's logits. Overwritten.
    pub scores: BufId,
    /// How experts are chosen.
    pub routing: Routing,
    /// `[experts]`: added to the scores where experts are chosen, not where they are weighed.
    pub bias: Option<VectorId>,
    /// `[experts]`: factors of the weights.
    pub factors: Option<VectorId>,
    /// `[hidden, dim]` each.
    pub gate: ExpertLinear,
    /// `[hidden, dim]` each.
    pub up: ExpertLinear,
    /// `[dim, hidden]` each.
    pub down: ExpertLinear,
    /// Between them.
    pub gating: Gating,
    /// `[rows, dim]`.
    pub out: BufId,
    /// Overwrite or add.
    pub store: Store,
}

/// `buf[i] *= sigmoid(gate)`: a gate as wide as the buffer is for single values, a narrower one for runs of them, such as a
/// head or the whole row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SigmoidGate {
    /// Rows to work on.
    pub rows: usize,
    /// `[rows, width]`, where `width` divides that of the buffer.
    pub gate: BufId,
    /// Changed in place.
    pub buf: BufId,
}
