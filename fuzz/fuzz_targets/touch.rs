//! What every target does with a file: open it, and read all that opening found.

use std::sync::Arc;

use torchless_formats::gguf::Array;
use torchless_formats::{Checkpoint, Metadata, TokenizerSource, open_bytes};

/// Opens `data`; where that works, every value and every tensor must be readable.
pub fn open_and_touch(data: &[u8]) {
    match open_bytes(Arc::new(data.to_vec())) {
        Ok(checkpoint) => touch(&checkpoint),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn touch(checkpoint: &Checkpoint) {
    for name in checkpoint.tensors.names() {
        assert!(checkpoint.tensors.contains(name));
    }
    for tensor in checkpoint.tensors.iter() {
        assert_eq!(tensor.len(), tensor.rows() * tensor.cols());
        // Zero columns let a file announce any number of rows without a byte of data.
        if tensor.is_empty() {
            continue;
        }
        let mut row = vec![0.0; tensor.cols()];
        for at in [0, tensor.rows() - 1] {
            tensor.decode_row(at, &mut row);
        }
    }
    match &checkpoint.metadata {
        Metadata::Gguf(metadata) => {
            for (key, value) in metadata.iter() {
                let _ = (metadata.get::<u32>(key).is_ok(), metadata.get::<f32>(key).is_ok(), value.describe());
                if let Ok(array) = metadata.get::<&Array>(key) {
                    touch_array(array);
                }
            }
        }
        Metadata::HuggingFace { config, .. } => assert!(config.is_null()),
        Metadata::Native(metadata) => assert!(metadata.is_object()),
        _ => {}
    }
    if let TokenizerSource::Native(tokenizer) = &checkpoint.tokenizer {
        assert_eq!(tokenizer.merge_pairs().count(), tokenizer.merges.len());
        assert!(tokenizer.iter().map(|(_, id)| id).is_sorted());
    }
}

fn touch_array(array: &Array) {
    let mut seen = 0;
    seen += array.integers().map_or(0, |values| values.count());
    seen += array.floats().map_or(0, |values| values.count());
    seen += array.bools().map_or(0, |values| values.count());
    seen += array.strings().map_or(0, |strings| strings.iter().count());
    if let Array::Arrays(arrays) = array {
        arrays.iter().for_each(touch_array);
        seen += arrays.len();
    }
    assert_eq!(seen, array.len());
}
