//! Model files for tests: the story model inside, with another header or in several parts.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use torchless::formats::gguf::{Header, Value};
use torchless::formats::{Checkpoint, Metadata, StringTable, Tensor};
use torchless::{Source, TensorType};

/// The story model, and what is to be different about it.
pub struct Remake {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

impl Remake {
    /// The story model as it is.
    pub fn story() -> Self {
        let Checkpoint { metadata, tensors, .. } = Source::Inside.checkpoint().expect("the model inside");
        let Metadata::Gguf(metadata) = metadata else { panic!("the model inside is GGUF") };
        let metadata = metadata.iter().map(|(k, v)| (k.to_owned(), v.clone())).collect();
        Self { metadata, tensors: tensors.iter().cloned().collect() }
    }

    /// Sets or adds a key.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some(entry) => entry.1 = value.into(),
            None => self.metadata.push((key.to_owned(), value.into())),
        }
        self
    }

    /// Sets or adds a list of texts.
    pub fn with_texts<'a>(self, key: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = StringTable::new();
        texts.into_iter().for_each(|text| assert!(table.push(text), "a short list"));
        self.with(key, table)
    }

    /// Removes a key.
    pub fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// Gives a tensor in single precision another first value.
    pub fn with_weight(mut self, name: &str, value: f32) -> Self {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor's name");
        assert_eq!(tensor.ty, TensorType::F32);
        let mut data = tensor.data.to_vec();
        data[..4].copy_from_slice(&value.to_le_bytes());
        tensor.data = data.into();
        self
    }

    /// Writes one file.
    pub fn write(&self, path: &Path) -> PathBuf {
        write(path, &self.metadata, &self.tensors);
        path.to_owned()
    }

    /// Writes `count` parts into a folder and gives the path of the first.
    pub fn write_parts(&self, folder: &Path, count: u16) -> PathBuf {
        let each = self.tensors.len().div_ceil(usize::from(count));
        let path = |number| folder.join(format!("story-{number:05}-of-{count:05}.gguf"));
        for (number, tensors) in (0u16..).zip(self.tensors.chunks(each)) {
            let mut metadata = if number == 0 { self.metadata.clone() } else { Vec::new() };
            let total = i32::try_from(self.tensors.len()).expect("not many tensors");
            for (key, value) in [("no", number.into()), ("count", count.into())] {
                metadata.push((format!("split.{key}"), value));
            }
            metadata.push(("split.tensors.count".to_owned(), total.into()));
            write(&path(number + 1), &metadata, tensors);
        }
        path(1)
    }
}

fn write(path: &Path, metadata: &[(String, Value)], tensors: &[Tensor]) {
    let mut header = Header::new();
    for (key, value) in metadata {
        header.put(key, value.clone()).expect("a key that can be written");
    }
    for tensor in tensors {
        header.tensor(&tensor.name, tensor.ty, &tensor.shape).expect("a tensor that can be written");
    }
    let file = BufWriter::new(File::create(path).expect("a new file"));
    let mut data = header.start(file).expect("a header that can be written");
    for tensor in tensors {
        data.write(&tensor.data).expect("room for the data");
    }
    data.finish().expect("all data and room for it");
}
