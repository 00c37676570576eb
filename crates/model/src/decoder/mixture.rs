//! Mixtures of experts: handles, and the order of ops.

use super::{Linear, Mlp};
use torchless_device::{
    BufId, Device, DeviceError, ExpertLinear, Experts, Gating, Linear as LinearOp, Norm, Routing,
    SigmoidGate, Store, VectorId,
};

/// Routed units with what chooses among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixture {
    pub routing: Routing,
    pub gating: Gating,
    pub router: Linear,
    pub choice_bias: Option<VectorId>,
    pub gate: ExpertLinear,
    pub up: ExpertLinear,
    pub down: ExpertLinear,
    pub shared: Option<Shared>,
    pub buffers: MixtureBuffers,
}

/// A unit for all tokens, and what weighs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    pub mlp: Mlp,
    pub weight: Option<(Linear, BufId)>,
}

/// Rows on their way through a mixture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MixtureBuffers {
    /// The input after its norm.
    pub normed: BufId,
    /// The router's logits.
    pub scores: BufId,
    /// What all units yield together.
    pub yielded: BufId,
}

impl Mixture {
    /// What the units yield for `rows` rows of `x`, into the buffer for it.
    pub(super) fn run(
        &self,
        (rows, x): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let b = &self.buffers;
        let input = match norm {
            Some(norm) => {
                dev.norm(rows, x, &norm, b.normed)?;
                b.normed
            }
            None => x,
        };
        let linear = |input, projections: &[_], dev: &mut dyn Device| {
            dev.linear(&LinearOp { rows, input, norm: None, projections })
        };
        linear(input, &[self.router.onto(b.scores, Store::Set)], dev)?;
        if let Some(shared) = &self.shared {
            shared.mlp.widen((rows, input), None, dev)?;
            linear(shared.mlp.hidden, &[shared.mlp.down.onto(b.yielded, Store::Set)], dev)?;
            if let Some((weight, gate)) = shared.weight {
                linear(input, &[weight.onto(gate, Store::Set)], dev)?;
                dev.sigmoid_gate(&SigmoidGate { rows, gate, buf: b.yielded })?;
            }
        }
        dev.experts(&Experts {
            rows,
            input,
            norm: None,
            scores: b.scores,
            routing: self.routing,
            bias: self.choice_bias,
            factors: None,
            gate: self.gate,
            up: self.up,
            down: self.down,
            gating: self.gating,
            out: b.yielded,
            store: if self.shared.is_some() { Store::Add } else { Store::Set },
        })
    }
}
