//! Checkpoints that tests change: the tensors of a folder in single precision, and folders written anew.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use torchless_formats::{OpenOptions, open};

/// A tensor that is written: its element type in the words of safetensors, its shape and its bytes.
pub struct Written {
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Written {
    pub fn floats(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: "F32", shape: shape.to_vec(), bytes }
    }

    pub fn bytes(shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { dtype: "U8", shape: shape.to_vec(), bytes }
    }

    pub fn values(&self) -> Vec<f32> {
        super::support::floats_of(&self.bytes)
    }
}

pub type Tensors = BTreeMap<String, Written>;

/// All tensors of a folder, in single precision.
pub fn tensors_of(folder: &Path) -> Tensors {
    let checkpoint = open(folder, &OpenOptions::default()).unwrap();
    let one = |tensor: &torchless_formats::Tensor| {
        let mut values = vec![0.0; tensor.len()];
        for (row, out) in values.chunks_mut(tensor.cols().max(1)).enumerate() {
            tensor.decode_row(row, out);
        }
        (tensor.name.clone(), Written::floats(&tensor.shape, &values))
    };
    checkpoint.tensors.iter().map(one).collect()
}

/// A safetensors file.
pub fn write(path: &Path, tensors: &Tensors) {
    let (mut header, mut data) = (Map::new(), Vec::<u8>::new());
    for (name, tensor) in tensors {
        let start = data.len();
        data.extend(&tensor.bytes);
        let offsets = [start, data.len()];
        header.insert(
            name.clone(),
            json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

/// A folder of these tensors with the configuration of another, changed.
pub fn folder(like: &Path, tensors: &Tensors, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(like.join("config.json")).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    write(&folder.path().join("model.safetensors"), tensors);
    folder
}

/// Numbers without a pattern, from -1 to 1.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
