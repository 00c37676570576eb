//! Inputs that layers get from the token itself, on their way to the device.

use super::Loader;
use crate::ModelError;
use crate::decoder::{TokenInput, TokenInputTable};
use crate::roles::{Part, Role};
use crate::spec::{ModelSpec, NormSpec};
use torchless_device::{Activation, MatrixUse};

impl Loader<'_> {
    pub(super) fn token_inputs(&mut self, spec: &ModelSpec) -> Result<Option<TokenInputTable>, ModelError> {
        let Some(inputs) = spec.token_inputs else { return Ok(None) };
        let all = inputs.width * spec.layers.len();
        let table = self.matrix(Role::TokenInputs, None, [inputs.rows, all], MatrixUse::Lookup)?;
        let projection = self.end_matrix(Role::TokenInputsProjection, [all, spec.dim])?;
        let mut norm = self.norm(Role::TokenInputsNorm, None, inputs.norm, inputs.width)?;
        norm.groups = spec.layers.len();
        let mut buffer = |name| self.buffers.get(name, all, self.device);
        Ok(Some(TokenInputTable {
            table,
            projection,
            norm,
            inputs: buffer("token_inputs")?,
            projected: buffer("projected")?,
            wanted: buffer("wanted_inputs")?,
        }))
    }

    pub(super) fn token_input(
        &mut self,
        i: usize,
        (act, norm): (Activation, NormSpec),
        (dim, width): (usize, usize),
    ) -> Result<TokenInput, ModelError> {
        let gate = self.linear(Role::TokenGate, i, [width, dim], false)?;
        let projection = self.linear(Role::TokenProjection, i, [dim, width], false)?;
        let norm = self.norm(Role::TokenPostNorm, Some(i), norm, dim)?;
        let buf = self.buffers.get("token_input", width, self.device)?;
        Ok(TokenInput { gate, act, first: i * width, projection, norm, buf })
    }

    /// The factor at a layer's end; GGUF ends its name as a weight's.
    pub(super) fn output_scale(&mut self, i: usize) -> Result<f32, ModelError> {
        let has = |part| {
            let name = self.naming.find(Role::OutputScale, Some(i), part);
            name.is_some_and(|name| self.checkpoint.tensors.contains(&name))
        };
        let part = if has(Part::Weight) { Part::Weight } else { Part::Bare };
        let tensor = self.take(Role::OutputScale, Some(i), part, &[1])?;
        let mut value = [0.0];
        tensor.decode_row(0, &mut value);
        self.advance(&tensor);
        Ok(value[0])
    }
}
