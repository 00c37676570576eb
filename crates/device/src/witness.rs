//! Seeing what matrices are multiplied with.

/// Is shown the rows that matrices meet.
pub trait Witness: Send {
    /// The matrix of that name, the source's, meets these rows of `cols` values.
    fn met(&mut self, matrix: &str, x: &[f32], cols: usize);
}
