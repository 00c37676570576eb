//! Numbers for NumPy: raw bytes that an array is laid over, so that no version of NumPy is compiled in.

use pyo3::prelude::*;
use pyo3::types::PyByteArray;

/// Rows of f32 in the machine's order of bytes; all rows have one length.
pub struct Rows {
    bytes: Vec<u8>,
    count: usize,
    width: usize,
}

/// What Python gets: the bytes, rows, values in each.
pub type RawRows<'py> = (Bound<'py, PyByteArray>, usize, usize);

impl Rows {
    /// No rows yet, of `width` values each.
    pub fn new(width: usize) -> Self {
        Self { bytes: Vec::new(), count: 0, width }
    }

    /// Adds whole rows.
    pub fn extend(&mut self, values: &[f32]) {
        self.count += values.len().checked_div(self.width).unwrap_or(0);
        self.bytes.reserve(size_of_val(values));
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_ne_bytes()));
    }

    /// For Python.
    pub fn into_python(self, py: Python<'_>) -> RawRows<'_> {
        (PyByteArray::new(py, &self.bytes), self.count, self.width)
    }
}
