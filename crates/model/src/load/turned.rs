//! Matrices whose columns become rows, in memory of their own.

use crate::ModelError;
use std::sync::Arc;
use torchless_device::{Divide, MatrixSource, MatrixUse};
use torchless_formats::Tensor;
use torchless_quant::TensorType;

/// Columns of a matrix that become the rows of another.
pub(super) struct Turned {
    /// The first one.
    pub first: usize,
    /// From one to the next.
    pub step: usize,
    /// How many.
    pub rows: usize,
}

impl Turned {
    /// The columns as rows: values that stand for themselves keep their type, blocks of several become single precision.
    pub(super) fn of(&self, tensor: &Tensor) -> Result<MatrixSource, ModelError> {
        let (cols, width) = (tensor.rows(), tensor.cols());
        let plain = tensor.ty.row_bytes(1).filter(|_| tensor.scales.is_none());
        let (ty, bytes) = match plain {
            Some(size) => (tensor.ty, self.elements(&tensor.data, (cols, width), size)),
            None => {
                let mut values = Vec::with_capacity(cols * width * size_of::<f32>());
                let mut row = vec![0.0; width];
                for i in 0..cols {
                    tensor.decode_row(i, &mut row);
                    values.extend(row.iter().flat_map(|v| v.to_le_bytes()));
                }
                (TensorType::F32, self.elements(&values, (cols, width), size_of::<f32>()))
            }
        };
        let (name, purpose) = (format!("{} turned", tensor.name), MatrixUse::Product);
        let rows = self.rows;
        Ok(MatrixSource {
            name,
            purpose,
            ty,
            rows,
            cols,
            data: Arc::new(bytes),
            scales: None,
            divide: Divide::Whole,
        })
    }

    fn elements(&self, from: &[u8], (cols, width): (usize, usize), size: usize) -> Vec<u8> {
        let mut data = vec![0; self.rows * cols * size];
        for (i, to) in data.chunks_exact_mut(size).enumerate() {
            let (row, col) = (i / cols, i % cols);
            let at = (col * width + self.first + row * self.step) * size;
            to.copy_from_slice(&from[at..at + size]);
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_formats::Bytes;

    fn tensor(ty: TensorType, values: &[f32], cols: usize) -> Tensor {
        let mut data = vec![0; values.len() / cols * ty.row_bytes(cols).unwrap()];
        assert!(ty.encode(values, &mut data, &mut []));
        Tensor::new("t", ty, vec![values.len() / cols, cols], Bytes::from(data), None).unwrap()
    }

    fn values(source: &MatrixSource) -> Vec<f32> {
        let mut out = vec![0.0; source.rows * source.cols];
        source.ty.decode(source.data.bytes(), &[], &mut out);
        out
    }

    #[test]
    fn columns_become_rows() {
        let t = tensor(TensorType::F16, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
        let all = Turned { first: 0, step: 1, rows: 3 }.of(&t).unwrap();
        assert_eq!((all.ty, values(&all)), (TensorType::F16, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let some = Turned { first: 1, step: 2, rows: 1 }.of(&t).unwrap();
        assert_eq!((some.rows, some.cols, values(&some)), (1, 2, vec![2.0, 5.0]));
    }

    #[test]
    fn columns_of_blocks_become_single_precision() {
        let row: Vec<f32> = (0..32).map(|i| (i as f32 - 16.0) / 8.0).collect();
        let t = tensor(TensorType::Q8_0, &row, 32);
        let turned = Turned { first: 0, step: 1, rows: 32 }.of(&t).unwrap();
        let mut want = vec![0.0; 32];
        t.decode_row(0, &mut want);
        assert_eq!((turned.ty, values(&turned)), (TensorType::F32, want));
    }
}
