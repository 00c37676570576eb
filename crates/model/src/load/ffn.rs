//! Feed-forward parts on their way to the device.

use super::Loader;
use super::tensors::Rows;
use crate::ModelError;
use crate::decoder::{Mlp, Widen};
use crate::roles::Role;
use crate::spec::{MlpForm, MlpSpec};

impl Loader<'_> {
    pub(super) fn mlp(&mut self, i: usize, m: &MlpSpec, dim: usize) -> Result<Mlp, ModelError> {
        let widen = match m.form {
            MlpForm::Glu(act) => {
                let parts = [(Role::Gate, m.hidden), (Role::Up, m.hidden)];
                let rows = Rows { fused: Role::FusedGateUp, parts, cols: dim, bias: m.bias, head_dim: 0 };
                let [gate, up] = self.rows(i, &rows)?;
                Widen::Glu { gate, up, act }
            }
            MlpForm::Plain(act) => {
                Widen::Plain { up: self.linear(Role::Up, i, [m.hidden, dim], m.bias)?, act }
            }
        };
        let inner_norm = match m.inner_norm {
            Some(spec) => Some(self.norm(Role::FfnInnerNorm, Some(i), spec, m.hidden)?),
            None => None,
        };
        let down = self.linear(Role::Down, i, [dim, m.hidden], m.down_bias)?;
        Ok(Mlp { widen, inner_norm, down, hidden: self.buffers.get("hidden", m.hidden, self.device)? })
    }
}
