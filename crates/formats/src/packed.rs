//! Weights in safetensors that are packed codes: bytes of which each holds several values, with scales in a tensor of their own.
//!
//! gpt-oss packs its experts as MXFP4: `X_blocks`, `[..., rows, groups, 16]`, two values to a byte, and `X_scales`, `[..., rows, groups]`,
//! powers of two, are `X` of `[..., rows, groups * 32]`. BitNet packs ternary weights: byte `[r, c]` of `X.weight`, `[rows / 4, cols]`,
//! holds in its `q`th two bits the value `[q * rows / 4 + r, c]`, and `X.weight_scale` is one number for all.

use crate::bytes::Bytes;
use crate::checkpoint::{OpaqueTensor, Tensors};
use crate::error::{FormatError, Problem};
use crate::tensor::Tensor;
use serde_json::Value;
use torchless_quant::TensorType;

/// Values that share a power of two, and the bytes that they take.
const GROUP: (usize, usize) = (32, 16);
/// Values in a block of ternary codes, and a quarter of them.
const TERNARY: (usize, usize) = (128, 32);

/// Makes a weight of every pair of codes and scales; what is not one of a pair stays as it is.
///
/// # Errors
/// Shapes do not fit each other.
pub(crate) fn join(tensors: Tensors, config: &Value) -> Result<Tensors, FormatError> {
    let packed = |name: &&str| name.ends_with("_blocks") || name.ends_with(".weight");
    let names = tensors.opaque().map(|tensor| tensor.name.as_str()).filter(packed);
    let names: Vec<String> = names.map(str::to_owned).collect();
    let mut tensors = tensors;
    for name in names {
        let Some(codes) = tensors.opaque_of(&name).filter(|codes| codes.dtype == "U8") else { continue };
        if let Some(stem) = name.strip_suffix("_blocks") {
            let scales = format!("{stem}_scales");
            if let Some(powers) = tensors.opaque_of(&scales).filter(|powers| powers.dtype == "U8") {
                let weight = microscaled(stem, codes, powers)?;
                replace(&mut tensors, [&name, &scales], weight)?;
            }
        } else if name.ends_with(".weight") {
            let scales = format!("{name}_scale");
            if let Ok(scale) = tensors.get(&scales) {
                let weight = ternary(codes, factor(scale, config)?)?;
                replace(&mut tensors, [&name, &scales], weight)?;
            }
        }
    }
    Ok(tensors)
}

fn replace(tensors: &mut Tensors, gone: [&str; 2], weight: Tensor) -> Result<(), FormatError> {
    gone.into_iter().for_each(|name| tensors.remove(name));
    tensors.insert(weight)
}

fn refuse<T>(name: &str, why: String) -> Result<T, FormatError> {
    Err(FormatError::tensor(name, Problem::Shape(why)))
}

fn microscaled(name: &str, codes: &OpaqueTensor, powers: &OpaqueTensor) -> Result<Tensor, FormatError> {
    let (values, bytes) = GROUP;
    let (shape, outer) = match codes.shape.split_last() {
        Some((last, outer)) if *last == bytes && outer == powers.shape && outer.len() >= 2 => {
            (outer.to_vec(), outer)
        }
        _ => {
            let (codes, powers) = (&codes.shape, &powers.shape);
            return refuse(
                name,
                format!(
                    "has blocks of shape {codes:?} and scales of {powers:?}: blocks are to be [..., {bytes}]"
                ),
            );
        }
    };
    let mut shape = shape;
    let cols = outer.last().and_then(|groups| groups.checked_mul(values));
    match (shape.last_mut(), cols) {
        (Some(last), Some(cols)) => *last = cols,
        _ => return refuse(name, format!("has blocks of shape {:?}, which is too large", codes.shape)),
    }
    Tensor::new(name, TensorType::MXFP4Planes, shape, codes.data.clone(), Some(powers.data.clone()))
}

/// What the codes are to be multiplied by. Models whose layers scale what they yield store that factor; older ones its inverse.
fn factor(scale: &Tensor, config: &Value) -> Result<f32, FormatError> {
    if scale.len() != 1 {
        return refuse(&scale.name, format!("is {:?}, not one number for all ternary codes", scale.shape));
    }
    let mut value = [0.0];
    scale.decode_row(0, &mut value);
    let direct = config["quantization_config"]["linear_class"].as_str() == Some("autobitlinear");
    Ok(if direct { value[0] } else { 1.0 / value[0] })
}

/// Ternary codes as `I2_S` has them: in a block of 128 values byte `i` holds values `i`, `i + 32`, `i + 64` and `i + 96`, the first in
/// its highest bits.
fn ternary(codes: &OpaqueTensor, factor: f32) -> Result<Tensor, FormatError> {
    let (block, quarter) = TERNARY;
    let [packed, cols] = codes.shape[..] else {
        return refuse(
            &codes.name,
            format!("has packed codes of shape {:?}, which is no matrix", codes.shape),
        );
    };
    let Some(rows) = packed.checked_mul(4).filter(|_| cols > 0 && cols.is_multiple_of(block)) else {
        return refuse(
            &codes.name,
            format!("has rows of {cols} packed codes, which are no whole blocks of {block}"),
        );
    };
    let mut data = Vec::with_capacity(codes.data.len());
    for row in 0..rows {
        let (shift, from) = (2 * (row / packed), row % packed * cols);
        for block in codes.data[from..from + cols].chunks_exact(block) {
            let code = |i: usize| block[i] >> shift & 3;
            data.extend((0..quarter).map(|i| {
                code(i) << 6 | code(i + quarter) << 4 | code(i + 2 * quarter) << 2 | code(i + 3 * quarter)
            }));
        }
    }
    let scales: Vec<u8> = std::iter::repeat_n(factor.to_le_bytes(), rows * cols / block).flatten().collect();
    let shape = vec![rows, cols];
    Tensor::new(codes.name.clone(), TensorType::I2_S, shape, Bytes::from(data), Some(Bytes::from(scales)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn opaque(name: &str, shape: &[usize], data: Vec<u8>) -> OpaqueTensor {
        let (name, dtype) = (name.to_owned(), "U8");
        OpaqueTensor { name, dtype, shape: shape.to_vec(), bytes: data.len(), data: Bytes::from(data) }
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
        let row = |i| {
            let mut out = vec![0.0; tensor.cols()];
            tensor.decode_row(i, &mut out);
            out
        };
        (0..tensor.rows()).map(row).collect()
    }

    #[test]
    fn blocks_and_powers_become_one_tensor() {
        let mut tensors = Tensors::default();
        let mut codes = vec![0u8; 2 * 3 * 2 * 16];
        codes[16] = 0x42;
        tensors.insert_opaque(opaque("e.w_blocks", &[2, 3, 2, 16], codes)).unwrap();
        let powers: Vec<u8> = (0..12).map(|i| 127 + i).collect();
        tensors.insert_opaque(opaque("e.w_scales", &[2, 3, 2], powers)).unwrap();
        let tensors = join(tensors, &Value::Null).unwrap();
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["e.w"]);
        let weight = tensors.get("e.w").unwrap();
        assert_eq!((&weight.shape[..], weight.ty), (&[2, 3, 64][..], TensorType::MXFP4Planes));
        // The codes 2 and 4 are 1 and 2; the second group's power is 2.
        assert_eq!((rows(weight)[0][32], rows(weight)[0][33], rows(weight)[0][34]), (2.0, 4.0, 0.0));
    }

    #[test]
    fn blocks_of_other_shapes_are_refused() {
        for (codes, powers) in [(&[2, 2, 8][..], &[2, 2][..]), (&[2, 2, 16], &[2, 3]), (&[2, 16], &[2])] {
            let mut tensors = Tensors::default();
            let bytes = |shape: &[usize]| vec![0; shape.iter().product()];
            tensors.insert_opaque(opaque("w_blocks", codes, bytes(codes))).unwrap();
            tensors.insert_opaque(opaque("w_scales", powers, bytes(powers))).unwrap();
            assert!(join(tensors, &Value::Null).unwrap_err().to_string().contains("blocks of shape"));
        }
    }

    fn packed_ternary(cols: usize, config: &Value) -> Result<Vec<Vec<f32>>, String> {
        let mut tensors = Tensors::default();
        // Rows 0 to 3 are -1, 0, 1, 0, but for the last column, which is 1, 1, -1, -1.
        let codes: Vec<u8> =
            (0..cols).map(|c| if c + 1 < cols { 0b01_10_01_00 } else { 0b00_00_10_10 }).collect();
        tensors.insert_opaque(opaque("a.weight", &[1, cols], codes)).unwrap();
        let scale =
            Tensor::new("a.weight_scale", TensorType::F32, vec![1], 4f32.to_le_bytes().to_vec().into(), None);
        tensors.insert(scale.unwrap()).unwrap();
        let tensors = join(tensors, config).map_err(|e| e.to_string())?;
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a.weight"]);
        Ok(rows(tensors.get("a.weight").unwrap()))
    }

    #[test]
    fn ternary_codes_are_taken_apart() {
        let got = packed_ternary(256, &Value::Null).unwrap();
        let firsts: Vec<f32> = got.iter().map(|row| row[0]).collect();
        assert_eq!(firsts, [-0.25, 0.0, 0.25, 0.0]);
        let lasts: Vec<f32> = got.iter().map(|row| row[255]).collect();
        assert_eq!(lasts, [0.25, 0.25, -0.25, -0.25]);
        let direct = json!({"quantization_config": {"linear_class": "autobitlinear"}});
        assert_eq!(packed_ternary(128, &direct).unwrap()[2][5], 4.0);
        assert!(packed_ternary(100, &Value::Null).unwrap_err().contains("no whole blocks of 128"));
    }
}
