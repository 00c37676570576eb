//! How matrices may be divided among devices that compute every layer at once: heads stay whole, and so do blocks of quantised
//! types.

use super::Loader;
use super::seats::OfExpert;
use crate::ModelError;
use crate::roles::{Part, Role};
use torchless_device::{BufId, Divide, MatrixSource};

/// Fewest pieces that are so long that kernels like where they begin.
const FEWEST_LONG: usize = 16;
/// Their length.
const LONG: usize = 64;

/// Of a matrix in a part that comes in so many pieces; none of it where there are none.
pub(super) fn of_role(role: Role, pieces: usize) -> Divide {
    match role {
        _ if pieces == 0 => Divide::Whole,
        Role::Query | Role::QueryUp | Role::Key | Role::Value => Divide::Rows(pieces),
        Role::Gate | Role::Up | Role::SharedGate | Role::SharedUp => Divide::Rows(pieces),
        Role::MixerOut | Role::Down | Role::SharedDown => Divide::Cols(pieces),
        Role::Head | Role::TokenEmbedding => Divide::Rows(pieces),
        _ => Divide::Whole,
    }
}

/// The same for matrices of experts.
pub(super) fn of_expert(matrix: OfExpert, pieces: usize) -> Divide {
    match matrix {
        _ if pieces == 0 => Divide::Whole,
        OfExpert::Gate | OfExpert::Up => Divide::Rows(pieces),
        OfExpert::Down => Divide::Cols(pieces),
    }
}

/// The same for a stack that has a matrix for each head.
pub(super) fn of_heads(pieces: usize) -> Divide {
    if pieces == 0 { Divide::Whole } else { Divide::Members(pieces) }
}

/// The pieces of `hidden` values whose last matrix has blocks of `block`.
fn pieces(hidden: usize, block: usize) -> usize {
    let long = if block.is_multiple_of(LONG) { block } else { LONG.max(block) };
    let fits = |unit: &usize| unit.is_multiple_of(block) && hidden.is_multiple_of(*unit);
    let unit = Some(long).filter(fits).filter(|unit| hidden / unit >= FEWEST_LONG);
    hidden / unit.unwrap_or(block).max(1)
}

/// The pieces of `heads` heads of `width` values each, whose last matrix has blocks of `block`; 0 where every one would cut some.
fn pieces_of_heads(heads: usize, width: usize, block: usize) -> usize {
    let fits = |each: &usize| heads.is_multiple_of(*each) && (each * width).is_multiple_of(block);
    (1..=heads).find(fits).map_or(0, |each| heads / each)
}

impl Loader<'_> {
    /// Says in how many pieces the matrices and buffers of the part at hand may be divided; 0 for none.
    pub(super) fn divide(&mut self, pieces: usize) {
        self.buffers.divide(pieces, self.device);
    }

    /// A buffer that is whole on every device, whatever part is at hand.
    pub(super) fn whole_buffer(&mut self, purpose: &'static str, width: usize) -> Result<BufId, ModelError> {
        let pieces = self.buffers.pieces();
        self.divide(0);
        let made = self.buffers.get(purpose, width, self.device);
        self.divide(pieces);
        Ok(made?)
    }

    /// The pieces of a unit of `hidden` values, by the type of its last matrix, whichever of these roles that has.
    pub(super) fn hidden_pieces(&self, hidden: usize, i: usize, down: &[Role]) -> usize {
        pieces(hidden, self.block_of(i, down))
    }

    /// The pieces of `heads` heads of layer `i` that yield `width` values each.
    pub(super) fn head_pieces(&self, i: usize, heads: usize, width: usize) -> usize {
        pieces_of_heads(heads, width, self.block_of(i, &[Role::MixerOut]))
    }

    /// The longest blocks of the types that these have.
    fn block_of(&self, i: usize, roles: &[Role]) -> usize {
        let names = roles.iter().flat_map(|role| {
            [Part::Weight, Part::Bare]
                .map(|part| self.naming.find(*role, Some(i), part))
                .into_iter()
                .flatten()
        });
        let tensors = names.filter_map(|name| self.checkpoint.tensors.get(&name.replacen("{}", "0", 1)).ok());
        tensors.map(|tensor| tensor.ty.info().block_len).max().unwrap_or(1)
    }

    pub(super) fn divided(&self, source: MatrixSource, role: Role) -> MatrixSource {
        MatrixSource { divide: of_role(role, self.buffers.pieces()), ..source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_never_cut() {
        assert_eq!(pieces(11_008, 256), 43);
        assert_eq!(pieces(11_008, 32), 172);
        assert_eq!(pieces(11_008, 1), 172);
        assert_eq!(pieces(4864, 32), 76);
        assert_eq!(pieces(512, 256), 2);
        assert_eq!(pieces(96, 32), 3);
        assert_eq!(pieces(20, 1), 20);
    }

    #[test]
    fn heads_stay_whole_and_so_do_blocks() {
        assert_eq!(pieces_of_heads(8, 128, 32), 8);
        assert_eq!(pieces_of_heads(16, 128, 256), 8);
        assert_eq!(pieces_of_heads(12, 64, 256), 3);
        assert_eq!(pieces_of_heads(12, 96, 256), 0);
        assert_eq!(pieces_of_heads(9, 64, 256), 0);
    }
}
