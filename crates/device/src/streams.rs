//! Several residual streams beside each other, and rows that are measured as a whole.

use crate::ops::{BufId, VectorId};

/// Weighted sums of buffers, row by row: `outs[k][i] = sum over j of weights[i][k * inputs + j] * inputs[j][i]`. All inputs are read
/// before an output is written, so that they may be the same buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blend<'a> {
    /// Rows to work on.
    pub rows: usize,
    /// `[rows, width]` each.
    pub inputs: &'a [BufId],
    /// `[rows, outs * inputs]`.
    pub weights: BufId,
    /// `[rows, width]` each, all different.
    pub outs: &'a [BufId],
}

/// What an op does with each row as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rowwise {
    /// Its values times those of a vector, `[width]`.
    Times(VectorId),
    /// It is scaled to the root mean square of that row of another buffer of the same width; its own mean square counts as `floor` at
    /// least.
    Magnitude {
        /// Whose magnitude.
        of: BufId,
        /// Least mean square.
        floor: f32,
    },
    /// What lies above its mean by more than so many standard deviations, less that bound; 0 of the rest.
    CutBelow {
        /// How many.
        deviations: f32,
    },
}
