//! In which numbers an encoder's layers multiply, and weights on their way into them.

use crate::ModelError;
use half::{bf16, f16};
use std::ops::Range;
use torchless_formats::Tensor;
use torchless_quant::{TensorType, nearest_even};

/// In which numbers the matrices of an encoder's layers are kept and multiplied. Norms, softmax, sums and the head are `f32` in any
/// case; attention multiplies in bf16 where this is not `F32` and the processor can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncoderPrecision {
    /// Weights as they are stored, activations in `f32`.
    #[default]
    F32,
    /// Weights and activations in bf16, sums in `f32`; where the processor has no instruction for it, activations stay `f32`.
    Bf16,
    /// Weights as whole numbers from -127 to 127 with a scale per row, activations as such with a scale per row that is found as
    /// they come; where the processor has no fitting instruction, with one per 32 values.
    Int8,
}

impl EncoderPrecision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// What options and reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// Some rows of a tensor in the form that this asks for; `None` where they stay as they are.
    ///
    /// # Errors
    /// Rows cannot be brought into it.
    pub(super) fn convert(
        self,
        tensor: &Tensor,
        rows: Range<usize>,
        cols: usize,
    ) -> Result<Option<(TensorType, Vec<u8>)>, ModelError> {
        if self == Self::F32 {
            return Ok(None);
        }
        if self == Self::Int8 && !cols.is_multiple_of(BLOCK) {
            let what = format!("int8 for {}, whose rows have {cols} values", tensor.name);
            let supported = "int8 for multiples of 32, bf16 and f32 for any".to_owned();
            return Err(ModelError::Unsupported { what, supported });
        }
        let mut values = vec![0.0; cols];
        let mut bytes = Vec::with_capacity(rows.len() * cols * 2);
        for row in rows {
            tensor.decode_row(row, &mut values);
            match self {
                Self::Int8 => push_bytes(&values, &mut bytes),
                _ => bytes.extend(values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes())),
            }
        }
        let ty = if self == Self::Int8 { TensorType::Q8_0 } else { TensorType::BF16 };
        Ok(Some((ty, bytes)))
    }
}

/// Values of a block of `Q8_0`.
const BLOCK: usize = 32;

/// A row as blocks of `Q8_0` that have one scale.
fn push_bytes(row: &[f32], out: &mut Vec<u8>) {
    // Compared as integers, NaN is the greatest of all, so that it is not lost.
    let most = f32::from_bits(row.iter().fold(0, |most, x| x.abs().to_bits().max(most)));
    let mut scale = f16::from_f32(most / 127.0);
    // Tiny scales have few bits: rather too large a one than codes that are cut.
    if scale.to_f32() * 127.5 < most {
        scale = f16::from_bits(scale.to_bits() + 1);
    }
    let inverse = if scale.to_f32() > 0.0 { 1.0 / scale.to_f32() } else { 0.0 };
    for block in row.chunks_exact(BLOCK) {
        out.extend(scale.to_le_bytes());
        out.extend(block.iter().map(|x| (nearest_even(x * inverse, 127.0) as i8).cast_unsigned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(row: &[f32]) -> Vec<f32> {
        let mut bytes = Vec::new();
        push_bytes(row, &mut bytes);
        assert!(bytes.chunks_exact(34).all(|block| block[..2] == bytes[..2]), "several scales");
        let mut out = vec![0.0; row.len()];
        TensorType::Q8_0.decode(&bytes, &[], &mut out);
        out
    }

    #[test]
    fn rows_of_bytes_are_within_half_a_step() {
        for size in [1.0, 1e-3, 1e-5, 3e-7] {
            let row: Vec<f32> = (0..96).map(|i| (i as f32 * 0.7).sin() * size).collect();
            let most = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            // The scale is an f16, whose least step is 2^-24.
            let step = (most / 127.0).max(2f32.powi(-24)) * 1.3;
            for (x, y) in row.iter().zip(decoded(&row)) {
                assert!((x - y).abs() <= step / 2.0 * 1.05 + 2f32.powi(-24), "{x} became {y} at {size}");
            }
        }
        assert_eq!(decoded(&[0.0; 32]), [0.0; 32]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let mut row = [1.0; 32];
        row[3] = f32::NAN;
        assert!(decoded(&row).iter().any(|x| x.is_nan()));
    }

    #[test]
    fn names_lead_back() {
        for precision in EncoderPrecision::ALL {
            assert_eq!(EncoderPrecision::named(precision.name()), Some(precision));
        }
        assert_eq!(EncoderPrecision::named("f64"), None);
    }
}
