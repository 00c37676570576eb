//! Matrices in another order than the file's: copies, for the few families that need them.

use crate::ModelError;
use torchless_formats::{Bytes, Tensor};

/// The rows of `order`, one by one.
pub(super) fn rows(tensor: &Tensor, order: &[usize]) -> Tensor {
    let plane = |bytes: &Bytes| -> Bytes {
        let row = bytes.len() / tensor.rows().max(1);
        let mut out = Vec::with_capacity(bytes.len());
        order.iter().for_each(|&i| out.extend_from_slice(&bytes[i * row..(i + 1) * row]));
        out.into()
    };
    let mut out = tensor.clone();
    out.data = plane(&tensor.data);
    out.scales = tensor.scales.as_ref().map(plane);
    out
}

/// Rows become columns.
///
/// # Errors
/// Values lie in blocks, which cannot be taken apart.
pub(super) fn transposed(tensor: &Tensor) -> Result<Tensor, ModelError> {
    let (rows, cols) = (tensor.rows(), tensor.cols());
    let size = tensor.ty.info().block_bytes;
    if tensor.ty.info().block_len != 1 {
        let what = format!("the tensor '{}' of {} stored column by column", tensor.name, tensor.ty);
        return Err(ModelError::Unsupported { what, supported: "F32, F16, BF16".to_owned() });
    }
    let mut out = vec![0; tensor.data.len()];
    for (at, value) in tensor.data.chunks_exact(size).enumerate() {
        let to = (at % cols * rows + at / cols) * size;
        out[to..to + size].copy_from_slice(value);
    }
    let mut turned = tensor.clone();
    turned.shape = vec![cols, rows];
    turned.data = out.into();
    Ok(turned)
}
