//! Weights in safetensors whose scales are tensors of their own: 8-bit floats with a scale per tensor, per row or per tile.
//!
//! `X.weight_scale_inv` (DeepSeek) has a scale for each tile of `weight_block_size`, 128 x 128 unless that says otherwise;
//! `X.weight_scale` (compressed-tensors) has one for all, or one for each row. A weight is value times scale. What becomes of both is one
//! tensor with a scale per 32 values in its second plane.

use crate::bytes::Bytes;
use crate::checkpoint::Tensors;
use crate::error::{FormatError, Problem};
use crate::tensor::Tensor;
use serde_json::Value;
use torchless_quant::TensorType;

/// Values that share a scale in the second plane.
const GROUP: usize = 32;
/// Rows and columns of a tile, where `config.json` says nothing.
const TILE: u64 = 128;

/// What `config.json` calls the ways to store weights of which each has scales.
const SCALED: &[&str] = &["fp8", "compressed-tensors"];

/// Joins every weight of 8-bit floats with its scales, which are tensors no more then.
///
/// # Errors
/// The shape of scales does not fit their weight, or its rows are no whole groups of 32; a weight has none where `config.json` says
/// that all have.
pub(crate) fn join(tensors: Tensors, config: &Value) -> Result<Tensors, FormatError> {
    let joined = |tensor: &&Tensor| matches!(tensor.ty, TensorType::F8_E4M3 | TensorType::F8_E5M2);
    let names: Vec<String> = tensors.iter().filter(joined).map(|tensor| tensor.name.clone()).collect();
    let mut tensors = tensors;
    for name in names {
        let Ok(weight) = tensors.get(&name) else { continue };
        let joined = match weight.ty {
            TensorType::F8_E4M3 => TensorType::F8_E4M3_G32,
            TensorType::F8_E5M2 => TensorType::F8_E5M2_G32,
            _ => continue,
        };
        let (tiles, whole) = (format!("{name}_scale_inv"), format!("{name}_scale"));
        let (scale, tile) = match (tensors.get(&tiles), tensors.get(&whole)) {
            (Ok(scale), _) => (scale, Some(tile(config))),
            (_, Ok(scale)) => (scale, None),
            _ if has_scales(config) => return Err(FormatError::tensor(&tiles, Problem::Missing)),
            _ => continue,
        };
        let plane = plane(weight, scale, tile)?;
        let (shape, data) = (weight.shape.clone(), weight.data.clone());
        let tensor = Tensor::new(name.clone(), joined, shape, data, Some(Bytes::from(plane)))?;
        // How activations were scaled says nothing here, where they are not rounded to these types.
        let input = name.strip_suffix("weight").map(|stem| format!("{stem}input_scale"));
        for gone in [Some(&name), Some(&tiles), Some(&whole), input.as_ref()].into_iter().flatten() {
            tensors.remove(gone);
        }
        tensors.insert(tensor)?;
    }
    Ok(tensors)
}

/// Whether `config.json`, or its part on text, says that weights of 8-bit floats have scales.
fn has_scales(config: &Value) -> bool {
    let says = |config: &Value| {
        let method = config["quantization_config"]["quant_method"].as_str();
        method.is_some_and(|method| SCALED.contains(&method))
    };
    says(config) || says(&config["text_config"])
}

/// Rows and columns of a tile.
fn tile(config: &Value) -> (usize, usize) {
    let sizes = &config["quantization_config"]["weight_block_size"];
    let size = |i: usize| sizes[i].as_u64().filter(|n| (1..=1 << 20).contains(n)).unwrap_or(TILE) as usize;
    (size(0), size(1))
}

/// The scales of a weight, one per group.
fn plane(weight: &Tensor, scale: &Tensor, tile: Option<(usize, usize)>) -> Result<Vec<u8>, FormatError> {
    let refuse = |why: String| Err(FormatError::tensor(&scale.name, Problem::Shape(why)));
    let (rows, cols) = (weight.rows(), weight.cols());
    if !cols.is_multiple_of(GROUP) {
        return refuse(format!("scales rows of {cols} values, which are no whole groups of {GROUP}"));
    }
    let mut scales = vec![0.0; scale.len()];
    for (row, out) in scales.chunks_mut(scale.cols().max(1)).enumerate() {
        scale.decode_row(row, out);
    }
    let (high, wide) = match tile {
        Some(tile) => tile,
        None if scales.len() == 1 => (rows.max(1), cols.max(1)),
        None => (1, cols.max(1)),
    };
    let across = cols.div_ceil(wide);
    if scales.len() != rows.div_ceil(high) * across || !wide.is_multiple_of(GROUP) && across > 1 {
        let shape = &scale.shape;
        return refuse(format!(
            "is {shape:?}, which does not fit a weight of {rows} x {cols} in tiles of {high} x {wide}"
        ));
    }
    let groups = (0..rows).flat_map(|row| (0..cols).step_by(GROUP).map(move |col| (row, col)));
    Ok(groups.flat_map(|(row, col)| scales[row / high * across + col / wide].to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tensor(name: &str, ty: TensorType, shape: &[usize], data: Vec<u8>) -> Tensor {
        Tensor::new(name, ty, shape.to_vec(), Bytes::from(data), None).unwrap()
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// A weight of ones, `[3, 64]`, with scales.
    fn joined(scale: &str, shape: &[usize], values: &[f32], config: &Value) -> Result<Vec<f32>, String> {
        let mut tensors = Tensors::default();
        tensors.insert(tensor("a.weight", TensorType::F8_E4M3, &[3, 64], vec![0x38; 192])).unwrap();
        tensors.insert(tensor(scale, TensorType::F32, shape, floats(values))).unwrap();
        let tensors = join(tensors, config).map_err(|e| e.to_string())?;
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a.weight"]);
        let weight = tensors.get("a.weight").unwrap();
        let mut out = vec![0.0; 192];
        out.chunks_mut(64).enumerate().for_each(|(row, out)| weight.decode_row(row, out));
        Ok(out)
    }

    #[test]
    fn scales_are_per_tensor_row_or_tile() {
        let none = Value::Null;
        assert_eq!(joined("a.weight_scale", &[], &[0.5], &none).unwrap(), [0.5; 192]);
        let rows = joined("a.weight_scale", &[3, 1], &[1.0, 2.0, 3.0], &none).unwrap();
        assert_eq!((rows[0], rows[63], rows[64], rows[191]), (1.0, 1.0, 2.0, 3.0));
        let config = json!({"quantization_config": {"weight_block_size": [2, 32]}});
        let tiles = joined("a.weight_scale_inv", &[2, 2], &[1.0, 2.0, 3.0, 4.0], &config).unwrap();
        assert_eq!((tiles[0], tiles[32], tiles[64 + 31], tiles[128], tiles[191]), (1.0, 2.0, 1.0, 3.0, 4.0));
        assert_eq!(joined("a.weight_scale_inv", &[1, 1], &[0.25], &none).unwrap(), [0.25; 192]);
    }

    #[test]
    fn scales_that_are_promised_are_needed() {
        let join = |config: &Value| {
            let mut tensors = Tensors::default();
            tensors.insert(tensor("a.weight", TensorType::F8_E4M3, &[3, 64], vec![0x38; 192])).unwrap();
            join(tensors, config).map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(join(&Value::Null), Ok(()), "plain 8-bit floats");
        let promised = json!({"quantization_config": {"quant_method": "fp8"}});
        assert_eq!(join(&promised).unwrap_err(), "tensor 'a.weight_scale_inv': is missing");
        assert!(join(&json!({"text_config": promised})).is_err());
    }

    #[test]
    fn scales_of_another_shape_are_refused() {
        let none = Value::Null;
        assert!(joined("a.weight_scale", &[2], &[1.0, 2.0], &none).unwrap_err().contains("does not fit"));
        let odd = json!({"quantization_config": {"weight_block_size": [3, 48]}});
        let error = joined("a.weight_scale_inv", &[1, 2], &[1.0, 2.0], &odd).unwrap_err();
        assert!(error.contains("tiles of 3 x 48"), "{error}");
    }
}
