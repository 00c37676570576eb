//! A named tensor of a checkpoint: type, shape and bytes, checked once.

use torchless_quant::TensorType;

use crate::bytes::Bytes;
use crate::error::{FormatError, Problem};

/// A tensor whose sizes agree. [`Tensor::new`] is the only constructor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tensor {
    /// The name in the file.
    pub name: String,
    /// How the values are stored.
    pub ty: TensorType,
    /// Outermost dimension first; the last one is contiguous. Empty for a scalar.
    pub shape: Vec<usize>,
    /// `rows() * ty.row_bytes(cols())` bytes, at any alignment.
    pub data: Bytes,
    /// `rows() * ty.row_scale_bytes(cols())` bytes where the type has a second plane.
    pub scales: Option<Bytes>,
}

/// The most dimensions that a tensor may have.
pub(crate) const MAX_DIMS: usize = 8;

impl Tensor {
    /// Checks that `data` and `scales` are exactly what `ty` and `shape` need.
    pub fn new(
        name: impl Into<String>,
        ty: TensorType,
        shape: Vec<usize>,
        data: Bytes,
        scales: Option<Bytes>,
    ) -> Result<Self, FormatError> {
        let name = name.into();
        let size = match PlaneSizes::of(ty, &shape) {
            Ok(size) => size,
            Err(problem) => return Err(FormatError::tensor(&name, problem)),
        };
        let have = (data.len(), scales.as_ref().map_or(0, |scales| scales.len()));
        if have != (size.data, size.scales) {
            let why = format!(
                "{ty} of shape {shape:?} takes {} + {} bytes, but {} + {} are there",
                size.data, size.scales, have.0, have.1
            );
            return Err(FormatError::tensor(&name, Problem::Shape(why)));
        }
        let scales = scales.filter(|_| ty.info().scale_bytes > 0);
        Ok(Self { name, ty, shape, data, scales })
    }

    /// The length of the contiguous dimension; 1 for a scalar.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The product of the other dimensions; 1 for a vector or a scalar.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.rows() * self.cols()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of both planes.
    pub fn byte_len(&self) -> usize {
        self.data.len() + self.scales.as_ref().map_or(0, |scales| scales.len())
    }

    /// Whether shape and values are those of `other`, however each stores them.
    pub fn same_values(&self, other: &Self) -> bool {
        if self.shape != other.shape {
            return false;
        }
        if self.ty == other.ty
            && self.data[..] == other.data[..]
            && self.scales.as_deref() == other.scales.as_deref()
        {
            return true;
        }
        let (mut a, mut b) = (vec![0.0; self.cols()], vec![0.0; self.cols()]);
        let rows = if self.is_empty() { 0 } else { self.rows() };
        (0..rows).all(|row| {
            self.decode_row(row, &mut a);
            other.decode_row(row, &mut b);
            a == b
        })
    }

    /// Decodes row `row` into `out` with the reference codec.
    /// Panics unless `row < rows()` and `out.len() == cols()`.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows(), "row {row} of a tensor with {} rows", self.rows());
        let plane = |bytes: &Bytes| {
            let size = bytes.len() / self.rows();
            bytes.slice(row * size..(row + 1) * size)
        };
        let data = plane(&self.data);
        let scales = self.scales.as_ref().and_then(plane);
        self.ty.decode(data.as_deref().unwrap_or(&[]), scales.as_deref().unwrap_or(&[]), out);
    }
}

/// Bytes that the planes of a tensor take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaneSizes {
    pub data: usize,
    pub scales: usize,
}

impl PlaneSizes {
    /// Sizes for `shape`, or why there can be no such tensor.
    pub(crate) fn of(ty: TensorType, shape: &[usize]) -> Result<Self, Problem> {
        if shape.len() > MAX_DIMS {
            let value = shape.len() as u64;
            return Err(Problem::Limit { what: "the number of dimensions", value, limit: MAX_DIMS as u64 });
        }
        let cols = shape.last().copied().unwrap_or(1);
        let block = ty.info().block_len;
        if !cols.is_multiple_of(block) {
            return Err(Problem::Shape(format!(
                "rows of {cols} values are not whole {ty} blocks of {block}"
            )));
        }
        // Without the zeros, so that a zero dimension cannot hide an overflow in the others.
        let elements = shape.iter().filter(|&&dim| dim != 0).try_fold(1usize, |n, &dim| n.checked_mul(dim));
        let rows = shape.iter().rev().skip(1).try_fold(1usize, |n, &dim| n.checked_mul(dim));
        let sizes = elements.and(rows).and_then(|rows| {
            let data = rows.checked_mul(ty.row_bytes(cols)?)?;
            let scales = rows.checked_mul(ty.row_scale_bytes(cols)?)?;
            let all = data.checked_add(scales)?;
            isize::try_from(all).is_ok().then_some(Self { data, scales })
        });
        sizes.ok_or_else(|| Problem::Shape(format!("the size of {ty} {shape:?} does not fit into memory")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: TensorType, shape: &[usize], data: usize, scales: Option<usize>) -> Result<Tensor, String> {
        let bytes = |len: usize| Bytes::from(vec![0; len]);
        Tensor::new("t", ty, shape.to_vec(), bytes(data), scales.map(bytes)).map_err(|e| e.to_string())
    }

    #[test]
    fn sizes_are_exact() {
        let tensor = check(TensorType::Q4_0, &[3, 2, 64], 3 * 2 * 36, None).unwrap();
        assert_eq!((tensor.rows(), tensor.cols(), tensor.len()), (6, 64, 384));
        assert!(check(TensorType::Q4_0, &[3, 2, 64], 3 * 2 * 36 + 1, None).is_err());
        assert!(check(TensorType::Q4_0, &[2, 33], 36, None).unwrap_err().contains("blocks of 32"));
        assert!(check(TensorType::Int8G64, &[2, 64], 128, Some(8)).is_ok());
        assert!(check(TensorType::Int8G64, &[2, 64], 128, None).is_err());
        assert!(check(TensorType::F32, &[2], 8, Some(4)).is_err());
        assert!(check(TensorType::F32, &[], 4, None).is_ok());
        assert!(check(TensorType::F32, &[0, 7], 0, None).unwrap().is_empty());
    }

    #[test]
    fn values_are_compared_across_types() {
        let of = |ty, shape: &[usize], bytes: Vec<u8>| {
            Tensor::new("t", ty, shape.to_vec(), bytes.into(), None).unwrap()
        };
        let floats = |values: [f32; 4]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let whole = of(TensorType::F32, &[2, 2], floats([1.0, 2.0, 0.5, -4.0]));
        let half = of(TensorType::F16, &[2, 2], vec![0x00, 0x3c, 0x00, 0x40, 0x00, 0x38, 0x00, 0xc4]);
        let other = of(TensorType::F32, &[2, 2], floats([1.0, 2.0, 0.5, -4.25]));
        assert!(whole.same_values(&whole.clone()) && whole.same_values(&half) && half.same_values(&whole));
        assert!(!whole.same_values(&other) && !half.same_values(&other));
        assert!(!whole.same_values(&of(TensorType::F32, &[4], floats([1.0, 2.0, 0.5, -4.0]))));
        let none = of(TensorType::F32, &[1 << 40, 0], Vec::new());
        assert!(none.same_values(&none.clone()));
    }

    #[test]
    fn products_that_wrap_are_refused() {
        for shape in [[usize::MAX, 2], [1 << 32, 1 << 32], [1 << 62, 4]] {
            assert!(check(TensorType::F32, &shape, 0, None).is_err(), "{shape:?}");
        }
        assert!(check(TensorType::F32, &[0, 1 << 33, 1 << 33], 0, None).is_err());
        assert!(check(TensorType::F32, &[1; 9], 4, None).is_err());
    }

    #[test]
    fn rows_decode_on_their_own() {
        let values: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        let tensor = Tensor::new("t", TensorType::F32, vec![2, 3], values.into(), None).unwrap();
        let mut row = [0.0; 3];
        tensor.decode_row(1, &mut row);
        assert_eq!(row, [3.0, 4.0, 5.0]);
    }
}
