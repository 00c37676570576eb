//! Packing that is put off, so that the first step need not wait for it: it runs on weights in place, and the steps after it pack a
//! share each. Products are the same from either form.

use super::{CpuDevice, Matrix};
use crate::{DeviceError, MatrixSource, MatrixUse, Residency};

/// Steps, after the first, that packing is shared out to.
const STEPS: u64 = 4;

/// How far packing has come.
#[derive(Clone, Copy, Default)]
pub(super) enum Settling {
    /// Matrices are packed when they are taken, or all are by now.
    #[default]
    Settled,
    /// So many bytes wait for the steps after the first.
    Loaded(u64),
    /// So many steps have packed `share` bytes each.
    Stepping { steps: u64, share: u64 },
}

impl Settling {
    /// One step further: how many bytes it packs, where it packs any.
    fn next(&mut self) -> Option<u64> {
        match *self {
            Settling::Settled => None,
            Settling::Loaded(bytes) => {
                *self = Settling::Stepping { steps: 0, share: bytes.div_ceil(STEPS) };
                None
            }
            Settling::Stepping { steps, share } if steps + 1 < STEPS => {
                *self = Settling::Stepping { steps: steps + 1, share };
                Some(share)
            }
            Settling::Stepping { .. } => {
                *self = Settling::Settled;
                Some(u64::MAX)
            }
        }
    }
}

impl CpuDevice {
    /// Puts packing of resident weights off until the steps after the first. Before any matrix is taken; not for devices that share
    /// their weights.
    pub fn packing_later(mut self) -> Self {
        self.settling = Settling::Loaded(0);
        self
    }

    /// Takes a matrix, as [`Matrix::new`] or to be packed later.
    pub(super) fn take_matrix(
        &mut self,
        source: &MatrixSource,
        residency: Residency,
    ) -> Result<Matrix, DeviceError> {
        let for_products = !matches!(source.purpose, MatrixUse::Lookup | MatrixUse::Rounded);
        match &mut self.settling {
            Settling::Loaded(waiting) if residency == Residency::Resident && for_products => {
                let matrix = Matrix::waiting(&self.cpu, source)?;
                *waiting += matrix.waiting_bytes();
                Ok(matrix)
            }
            _ => Matrix::new(&self.cpu, source, residency, &mut self.held),
        }
    }

    /// Packs this step's share of what waits.
    pub(super) fn settle(&mut self) -> Result<(), DeviceError> {
        let Some(mut left) = self.settling.next() else { return Ok(()) };
        let stacked = self.stacks.iter_mut().flat_map(|stack| &mut stack.matrices);
        for matrix in self.matrices.alone()?.iter_mut().chain(stacked) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(matrix.settle(&self.cpu)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_packs_nothing_and_the_last_one_the_rest() {
        let mut settling = Settling::Loaded(10);
        let shares: Vec<_> = (0..7).map(|_| settling.next()).collect();
        assert_eq!(shares, [None, Some(3), Some(3), Some(3), Some(u64::MAX), None, None]);
    }

    #[test]
    fn what_was_packed_when_taken_is_left_alone() {
        assert_eq!(Settling::default().next(), None);
    }
}
