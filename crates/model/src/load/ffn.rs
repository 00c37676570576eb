//! Feed-forward parts on their way to the device.

use super::Loader;
use super::tensors::Rows;
use crate::ModelError;
use crate::decoder::{Mlp, Widen};
use crate::roles::Role;
use crate::spec::{MlpForm, MlpSpec};

/// Where the matrices of a unit are.
pub(super) struct UnitRoles {
    gate: Role,
    up: Role,
    fused: Role,
    inner_norm: Role,
    down: Role,
}

impl UnitRoles {
    /// The one unit of a layer.
    pub(super) const DENSE: Self = Self {
        gate: Role::Gate,
        up: Role::Up,
        fused: Role::FusedGateUp,
        inner_norm: Role::FfnInnerNorm,
        down: Role::Down,
    };
    /// The unit for all tokens beside experts.
    pub(super) const SHARED: Self =
        Self { gate: Role::SharedGate, up: Role::SharedUp, down: Role::SharedDown, ..Self::DENSE };
}

impl Loader<'_> {
    pub(super) fn mlp(
        &mut self,
        i: usize,
        m: &MlpSpec,
        dim: usize,
        roles: &UnitRoles,
    ) -> Result<Mlp, ModelError> {
        let works_on_values = m.inner_norm.is_none() && m.cut.is_none();
        self.divide(if works_on_values { self.hidden_pieces(m.hidden, i, &[roles.down]) } else { 0 });
        let widen = match m.form {
            MlpForm::Glu(act) => {
                let parts = [(roles.gate, m.hidden), (roles.up, m.hidden)];
                let rows = Rows { fused: roles.fused, parts, cols: dim, bias: m.bias, head_dim: 0 };
                let [gate, up] = self.rows(i, &rows)?;
                match m.cut {
                    Some(deviations) => {
                        let other = self.buffers.get("other_hidden", m.hidden, self.device)?;
                        Widen::CutGlu { gate, up, act, deviations, other }
                    }
                    None => Widen::Glu { gate, up, act },
                }
            }
            MlpForm::Plain(act) => {
                Widen::Plain { up: self.linear(roles.up, i, [m.hidden, dim], m.bias)?, act }
            }
        };
        let inner_norm = match m.inner_norm {
            Some(spec) => Some(self.norm(roles.inner_norm, Some(i), spec, m.hidden)?),
            None => None,
        };
        let down = self.linear(roles.down, i, [dim, m.hidden], m.down_bias)?;
        let hidden = self.buffers.get("hidden", m.hidden, self.device)?;
        self.divide(0);
        Ok(Mlp { widen, inner_norm, down, hidden })
    }
}
