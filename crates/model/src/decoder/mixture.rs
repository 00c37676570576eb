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
    pub apart: Option<Apart>,
    pub buffers: MixtureBuffers,
}

/// A unit for all tokens, and what weighs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    pub mlp: Mlp,
    pub weight: Option<(Linear, BufId)>,
}

/// Norms of parts that have their own, factors of experts, and a buffer for what the experts yield.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apart {
    pub router: Norm,
    pub experts: Norm,
    pub experts_post: Norm,
    pub shared_post: Norm,
    pub factors: VectorId,
    pub routed: BufId,
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
        if let Some(apart) = &self.apart {
            return self.run_apart(apart, (rows, x), norm, dev);
        }
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
        let store = if self.shared.is_some() { Store::Add } else { Store::Set };
        dev.experts(&self.experts((rows, input), None, (b.yielded, store)))
    }

    fn experts(
        &self,
        (rows, input): (usize, BufId),
        norm: Option<Norm>,
        (out, store): (BufId, Store),
    ) -> Experts {
        Experts {
            rows,
            input,
            norm,
            scores: self.buffers.scores,
            routing: self.routing,
            bias: self.choice_bias,
            factors: self.apart.map(|apart| apart.factors),
            gate: self.gate,
            up: self.up,
            down: self.down,
            gating: self.gating,
            out,
            store,
        }
    }

    /// All parts off the same rows, each between norms of its own.
    fn run_apart(
        &self,
        apart: &Apart,
        (rows, x): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let b = &self.buffers;
        let projections = &[self.router.onto(b.scores, Store::Set)];
        dev.linear(&LinearOp { rows, input: x, norm: Some(apart.router), projections })?;
        dev.experts(&self.experts((rows, x), Some(apart.experts), (apart.routed, Store::Set)))?;
        dev.norm(rows, apart.routed, &apart.experts_post, apart.routed)?;
        let Some(Shared { mlp, .. }) = &self.shared else { return Ok(()) };
        mlp.widen((rows, x), norm, dev)?;
        let projections = &[mlp.down.onto(b.yielded, Store::Set)];
        dev.linear(&LinearOp { rows, input: mlp.hidden, norm: None, projections })?;
        dev.norm(rows, b.yielded, &apart.shared_post, b.yielded)?;
        dev.add(rows, apart.routed, 1.0, b.yielded)
    }
}
