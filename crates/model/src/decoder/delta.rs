//! Linear attention: handles, and the order of ops.

use super::Linear;
use torchless_device::{
    BufId, DeltaNet, Device, DeviceError, Linear as LinearOp, Norm, Projection, Split, SplitPart,
};

/// Linear attention with a state.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    /// Everything off the residual stream.
    pub projections: Vec<Projection>,
    /// What of it has to be taken apart: rows in which the parts of each key head lie together.
    pub splits: Vec<(BufId, Vec<SplitPart>)>,
    pub key_heads: usize,
    pub net: DeltaNet,
    pub out: Linear,
    pub mixed: (BufId, BufId),
}

impl Delta {
    /// Everything up to the output projection, for `rows` rows of `x`.
    pub(super) fn mix(
        &self,
        (rows, x): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        dev.linear(&LinearOp { rows, input: x, norm, projections: &self.projections })?;
        for (input, parts) in &self.splits {
            dev.split(&Split { rows, input: *input, heads: self.key_heads, parts })?;
        }
        dev.delta_net(&self.net)
    }
}
