//! Mixtures of experts.

use super::{MlpSpec, NormSpec};
use torchless_device::{Gating, Routing};

/// Gated units of which each token meets a few. Shazeer et al. 2017, arXiv 1701.06538.
#[derive(Clone, Debug, PartialEq)]
pub struct MoeSpec {
    /// Inner width of an expert.
    pub hidden: usize,
    /// How experts are chosen.
    pub routing: Routing,
    /// Bias of the router.
    pub router_bias: bool,
    /// Something is added to the scores where experts are chosen, and not where they are weighed.
    pub choice_bias: bool,
    /// Between an expert's matrices.
    pub gating: Gating,
    /// Biases of an expert's matrices.
    pub bias: bool,
    /// How the checkpoint holds the experts.
    pub storage: ExpertStorage,
    /// A unit for all tokens, beside the chosen ones.
    pub shared: Option<SharedSpec>,
    /// The router, the experts and the unit for all tokens have norms of their own, all of this kind; and the weight of each expert
    /// has a factor.
    pub apart: Option<NormSpec>,
}

/// How a checkpoint holds experts in one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpertStorage {
    /// `[experts, out, in]`, rows of the gate before those of the other half.
    Rows,
    /// `[experts, in, out]`, columns of the gate and of the other half by turns: gpt-oss in safetensors.
    Columns,
}

/// A unit for all tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedSpec {
    /// The unit.
    pub mlp: MlpSpec,
    /// What it yields is weighed by the sigmoid of a projection to one value.
    pub gated: bool,
    /// What the checkpoint calls it.
    pub named: SharedNamed,
}

/// What a checkpoint calls the unit for all tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedNamed {
    /// An expert that is shared.
    Expert,
    /// The layer's dense unit.
    Dense,
}

impl MoeSpec {
    /// The widest row of values inside, over all that one token meets.
    pub fn inner_width(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |s| s.mlp.hidden);
        2 * self.routing.chosen * self.hidden + shared + self.routing.experts
    }
}
