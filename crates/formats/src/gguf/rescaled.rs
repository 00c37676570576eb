//! NVFP4 weights in GGUF, whose second scale is a tensor of its own: `X.scale` beside `X.weight`, one number for all, or one for each
//! expert of a stack. `X.input_scale` says how activations were scaled where they are rounded too, which they are not here.

use torchless_quant::TensorType;

use crate::bytes::Bytes;
use crate::checkpoint::Tensors;
use crate::error::{FormatError, Problem};
use crate::tensor::Tensor;

const WEIGHT: &str = ".weight";

/// Joins every NVFP4 weight with its scales, which are tensors no more then.
///
/// # Errors
/// Scales are neither one nor as many as there are experts, or not finite.
pub(crate) fn join(tensors: Tensors) -> Result<Tensors, FormatError> {
    let nvfp4 = tensors.iter().filter(|tensor| tensor.ty == TensorType::NVFP4);
    let stems: Vec<String> =
        nvfp4.filter_map(|tensor| tensor.name.strip_suffix(WEIGHT).map(str::to_owned)).collect();
    let mut tensors = tensors;
    for stem in stems {
        tensors.remove(&format!("{stem}.input_scale"));
        let (name, scale) = (format!("{stem}{WEIGHT}"), format!("{stem}.scale"));
        let (Ok(weight), Ok(found)) = (tensors.get(&name), tensors.get(&scale)) else { continue };
        let joined = scaled(weight, found)?;
        tensors.remove(&name);
        tensors.remove(&scale);
        tensors.insert(joined)?;
    }
    Ok(tensors)
}

fn scaled(weight: &Tensor, scale: &Tensor) -> Result<Tensor, FormatError> {
    let refuse = |why: String| FormatError::tensor(&scale.name, Problem::Shape(why));
    let experts = if weight.shape.len() == 3 { weight.shape[0] } else { 1 };
    let (shape, count) = (&scale.shape, scale.len());
    if scale.ty != TensorType::F32 || count != 1 && count != experts {
        let ty = scale.ty;
        return Err(refuse(format!(
            "is {ty} of {shape:?}: a weight of {:?} is scaled by one F32 number, or by one for each expert",
            weight.shape
        )));
    }
    let mut factors = vec![0.0; count];
    factors.chunks_mut(scale.cols().max(1)).enumerate().for_each(|(row, out)| scale.decode_row(row, out));
    if let Some(factor) = factors.iter().find(|factor| !factor.is_finite()) {
        return Err(refuse(format!("scales by {factor}")));
    }
    let blocks = weight.len() / TensorType::NVFP4_G64.info().block_len / count.max(1);
    let plane: Vec<u8> = factors.iter().flat_map(|factor| factor.to_le_bytes().repeat(blocks)).collect();
    let (name, shape, data) = (weight.name.clone(), weight.shape.clone(), weight.data.clone());
    Tensor::new(name, TensorType::NVFP4_G64, shape, data, Some(Bytes::from(plane)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, ty: TensorType, shape: &[usize], data: Vec<u8>) -> Tensor {
        Tensor::new(name, ty, shape.to_vec(), Bytes::from(data), None).unwrap()
    }

    fn joined(weight: &[usize], scales: &[f32]) -> Result<Vec<f32>, String> {
        let mut tensors = Tensors::default();
        let blocks = weight.iter().product::<usize>() / 64;
        // Scales of 1, values of 0.5.
        let block = [&[0x38; 4][..], &[0x11; 32]].concat();
        tensors.insert(tensor("a.weight", TensorType::NVFP4, weight, block.repeat(blocks))).unwrap();
        let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        tensors.insert(tensor("a.scale", TensorType::F32, &[scales.len()], bytes)).unwrap();
        tensors.insert(tensor("a.input_scale", TensorType::F32, &[1], vec![0; 4])).unwrap();
        tensors.insert(tensor("b.scale", TensorType::F32, &[1], vec![0; 4])).unwrap();
        let tensors = join(tensors).map_err(|error| error.to_string())?;
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a.weight", "b.scale"]);
        let weight = tensors.get("a.weight").unwrap();
        let mut row = vec![0.0; weight.cols()];
        let first = |i| {
            weight.decode_row(i, &mut row);
            row[0]
        };
        Ok((0..weight.rows()).map(first).collect())
    }

    #[test]
    fn weights_are_scaled_as_a_whole_or_by_expert() {
        assert_eq!(joined(&[2, 64], &[3.0]), Ok(vec![1.5, 1.5]));
        assert_eq!(joined(&[2, 2, 64], &[3.0, 4.0]), Ok(vec![1.5, 1.5, 2.0, 2.0]));
        assert_eq!(joined(&[2, 1, 64], &[3.0]), Ok(vec![1.5, 1.5]));
        let error = joined(&[2, 64], &[3.0, 4.0]).unwrap_err();
        assert!(error.contains("a.scale") && error.contains("one for each expert"), "{error}");
        assert!(joined(&[1, 64], &[f32::NAN]).unwrap_err().contains("NaN"));
    }
}
