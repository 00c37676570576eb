//! Writes GGUF files (version 3) as a stream: the header first, then the data of each tensor, chunk by chunk.

use std::collections::VecDeque;
use std::io::Write;

use torchless_quant::TensorType;

use super::reader::{MAGIC, MAX_DIMS, alignment};
use super::value::{Array, GgufMetadata, Value};
use crate::error::{FormatError, Place, Problem};
use crate::limits;
use crate::tensor::PlaneSizes;

const VERSION: u32 = 3;

/// Bytes of a tensor's name that every reader accepts.
const NAME_BYTES: usize = 63;

/// The header of a file to be written: metadata and the tensors in the order in which their data will follow.
///
/// ```
/// use torchless_formats::gguf::Header;
/// use torchless_quant::TensorType;
///
/// let mut header = Header::new();
/// header.put("general.architecture", "llama")?;
/// header.tensor("output_norm.weight", TensorType::F32, &[2])?;
/// let mut writer = header.start(Vec::new())?;
/// writer.write(&1.0f32.to_le_bytes())?;
/// writer.write(&2.0f32.to_le_bytes())?;
/// let file: Vec<u8> = writer.finish()?;
/// # Ok::<(), torchless_formats::FormatError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Header {
    metadata: GgufMetadata,
    tensors: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    name: String,
    ggml_id: u32,
    shape: Vec<usize>,
    bytes: usize,
}

impl Header {
    /// A header without metadata and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry; an error where the key is there already. `general.alignment` is honoured.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) -> Result<(), FormatError> {
        if key.is_empty() || key.len() as u64 > limits::KEY_BYTES {
            return Err(FormatError::key(key, Problem::Write("a key has 1 to 65535 bytes".to_owned())));
        }
        self.metadata.insert(key, value.into())
    }

    /// Announces a tensor; `shape` has the outermost dimension first, the contiguous one last.
    pub fn tensor(&mut self, name: &str, ty: TensorType, shape: &[usize]) -> Result<(), FormatError> {
        let refuse = |why: String| Err(FormatError::tensor(name, Problem::Write(why)));
        let (Some(ggml_id), 0) = (ty.info().ggml_id, ty.info().scale_bytes) else {
            return refuse(format!("no GGUF file with {ty} is written here"));
        };
        if name.is_empty() || name.len() > NAME_BYTES {
            return refuse(format!("a name has 1 to {NAME_BYTES} bytes"));
        }
        if shape.is_empty() || shape.len() > MAX_DIMS as usize || shape.contains(&0) {
            return refuse(format!("a shape has 1 to {MAX_DIMS} dimensions above 0, not {shape:?}"));
        }
        if self.tensors.iter().any(|tensor| tensor.name == name) {
            return Err(FormatError::tensor(name, Problem::Duplicate("the tensor")));
        }
        let bytes = PlaneSizes::of(ty, shape).map_err(|problem| FormatError::tensor(name, problem))?.data;
        self.tensors.push(Planned { name: name.to_owned(), ggml_id, shape: shape.to_vec(), bytes });
        Ok(())
    }

    /// The header with its padding, and how far behind it the data of each tensor begins, and ends at last.
    pub fn encoded(self) -> Result<(Vec<u8>, Vec<u64>), FormatError> {
        let alignment = alignment(&self.metadata)?;
        let ends = self.tensors.iter().scan(0, |end, tensor| {
            *end += (tensor.bytes as u64).next_multiple_of(alignment.into());
            Some(*end)
        });
        let offsets = std::iter::once(0).chain(ends).collect();
        let writer = self.start(Vec::new())?;
        Ok((writer.out, offsets))
    }

    /// Writes the header to `out`, to be followed by the data of all tensors.
    pub fn start<W: Write>(self, out: W) -> Result<Writer<W>, FormatError> {
        let alignment = alignment(&self.metadata)? as usize;
        let header = self.encode(alignment)?;
        let pending = self.tensors.into_iter().map(|tensor| (tensor.name, tensor.bytes)).collect();
        let mut writer = Writer { out, alignment, written: 0, pending };
        writer.put(&header)?;
        writer.pad()?;
        Ok(writer)
    }

    fn encode(&self, alignment: usize) -> Result<Vec<u8>, FormatError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            encode_string(key, &mut bytes);
            bytes.extend(value.ty().id().to_le_bytes());
            encode_value(value, &mut bytes).map_err(|problem| FormatError::key(key, problem))?;
        }
        let mut offset = 0usize;
        for tensor in &self.tensors {
            encode_string(&tensor.name, &mut bytes);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().rev().flat_map(|&dim| (dim as u64).to_le_bytes()));
            bytes.extend(tensor.ggml_id.to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            let end =
                offset.checked_add(tensor.bytes).and_then(|end| end.checked_next_multiple_of(alignment));
            offset = end.ok_or_else(|| {
                FormatError::tensor(&tensor.name, Problem::Write("does not fit into a file".to_owned()))
            })?;
        }
        Ok(bytes)
    }
}

fn encode_string(string: &str, bytes: &mut Vec<u8>) {
    bytes.extend((string.len() as u64).to_le_bytes());
    bytes.extend(string.as_bytes());
}

fn encode_value(value: &Value, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    match value {
        Value::Int(ty, value) => {
            let whole = value.to_le_bytes();
            let range =
                ty.integer_range().ok_or(Problem::Write(format!("{} is no integer type", ty.name())))?;
            if !range.contains(value) {
                return Err(Problem::Write(format!("{value} does not fit into {}", ty.name())));
            }
            bytes.extend(&whole[..ty.size()]);
        }
        Value::F32(value) => bytes.extend(value.to_le_bytes()),
        Value::F64(value) => bytes.extend(value.to_le_bytes()),
        Value::Bool(value) => bytes.push(u8::from(*value)),
        Value::String(value) => encode_string(value, bytes),
        Value::Array(array) => encode_array(array, bytes)?,
    }
    Ok(())
}

fn encode_array(array: &Array, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    bytes.extend(array.ty().id().to_le_bytes());
    bytes.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::Numbers { bytes: numbers, .. } => bytes.extend(&**numbers),
        Array::Strings(strings) => strings.iter().for_each(|string| encode_string(string, bytes)),
        Array::Arrays(arrays) => arrays.iter().try_for_each(|array| encode_array(array, bytes))?,
    }
    Ok(())
}

/// Takes the data of the announced tensors, in their order, in chunks of any size.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    alignment: usize,
    written: usize,
    /// Names of the tensors to come, with the bytes that each still lacks.
    pending: VecDeque<(String, usize)>,
}

impl<W: Write> Writer<W> {
    /// The tensor that the next bytes belong to, and how many it still lacks; `None` when all are written.
    pub fn pending(&self) -> Option<(&str, usize)> {
        self.pending.front().map(|(name, left)| (name.as_str(), *left))
    }

    /// Writes the next bytes of the pending tensor; an error where they are more than it lacks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let Some((name, left)) = self.pending.front_mut() else {
            return Err(FormatError::new(Place::File, Problem::Write("all tensors are written".to_owned())));
        };
        let Some(rest) = left.checked_sub(bytes.len()) else {
            let why = format!("{} bytes are more than the {left} that it lacks", bytes.len());
            return Err(FormatError::tensor(name, Problem::Write(why)));
        };
        *left = rest;
        self.put(bytes)?;
        if rest == 0 {
            self.pending.pop_front();
            self.pad()?;
        }
        Ok(())
    }

    /// Ends the file; an error where a tensor lacks bytes.
    pub fn finish(mut self) -> Result<W, FormatError> {
        if let Some((name, left)) = self.pending.front() {
            return Err(FormatError::tensor(name, Problem::Write(format!("still lacks {left} bytes"))));
        }
        self.out.flush().map_err(io)?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.written += bytes.len();
        self.out.write_all(bytes).map_err(io)
    }

    fn pad(&mut self) -> Result<(), FormatError> {
        let missing = self.written.next_multiple_of(self.alignment) - self.written;
        self.put(&vec![0; missing])
    }
}

fn io(error: std::io::Error) -> FormatError {
    FormatError::new(Place::File, Problem::Io(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{ValueType, open_bytes};
    use crate::{Bytes, Metadata, StringTable};

    fn header() -> Header {
        let mut strings = StringTable::new();
        assert!(strings.push("a") && strings.push("") && strings.push("▁b"));
        let mut header = Header::new();
        header.put("general.architecture", "llama").unwrap();
        header.put("general.alignment", 64u32).unwrap();
        header.put("x.u8", 7u8).unwrap();
        header.put("x.i64", -5i64).unwrap();
        header.put("x.f64", 0.25f64).unwrap();
        header.put("x.bool", true).unwrap();
        header.put("x.floats", [1.5f32, -2.0].as_slice()).unwrap();
        header.put("x.ints", [-1i16, 300].as_slice()).unwrap();
        header.put("x.strings", strings.clone()).unwrap();
        header.put("x.nested", Value::Array(Array::Arrays(vec![Array::Strings(strings)]))).unwrap();
        header.tensor("a", TensorType::Q8_0, &[3, 32]).unwrap();
        header.tensor("b", TensorType::F32, &[5]).unwrap();
        header
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = header().start(Vec::new()).unwrap();
        let a: Vec<u8> = (0..102).collect();
        for chunk in a.chunks(7) {
            assert_eq!(writer.pending().unwrap().0, "a");
            writer.write(chunk).unwrap();
        }
        assert_eq!(writer.pending(), Some(("b", 20)));
        writer.write(&[9; 20]).unwrap();
        let file = Bytes::from(writer.finish().unwrap());
        assert!(file.len().is_multiple_of(64));
        let checkpoint = open_bytes(&file).unwrap();
        assert_eq!(&*checkpoint.tensors.get("a").unwrap().data, a);
        assert_eq!(checkpoint.tensors.get("a").unwrap().shape, [3, 32]);
        assert_eq!(&*checkpoint.tensors.get("b").unwrap().data, [9; 20]);
        let Metadata::Gguf(metadata) = checkpoint.metadata else { panic!("not GGUF") };
        let keys: Vec<_> = metadata.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 10);
        assert_eq!((keys[0], keys[9]), ("general.architecture", "x.nested"));
        assert_eq!(metadata.get::<u32>("x.u8").unwrap(), 7);
        assert_eq!(metadata.get::<i64>("x.i64").unwrap(), -5);
        assert!(metadata.get::<u64>("x.i64").is_err());
        assert_eq!(metadata.get::<f32>("x.f64").unwrap(), 0.25);
        assert!(metadata.get::<bool>("x.bool").unwrap());
        let array = |key| metadata.get::<&Array>(key).unwrap();
        assert_eq!(array("x.floats").floats().unwrap().collect::<Vec<_>>(), [1.5, -2.0]);
        assert_eq!(array("x.ints").integers().unwrap().collect::<Vec<_>>(), [-1, 300]);
        assert_eq!(array("x.strings").strings().unwrap().get(2), Some("▁b"));
        assert_eq!((array("x.nested").len(), array("x.nested").ty()), (1, ValueType::Array));
    }

    #[test]
    fn a_writer_takes_exactly_what_was_announced() {
        let mut writer = header().start(Vec::new()).unwrap();
        assert!(writer.write(&[0; 103]).is_err());
        writer.write(&[0; 100]).unwrap();
        assert!(writer.finish().unwrap_err().to_string().contains("still lacks 2 bytes"));
        let mut header = header();
        assert!(header.tensor("a", TensorType::F32, &[1]).is_err());
        assert!(header.tensor("c", TensorType::Int8G64, &[64]).is_err());
        assert!(header.tensor("c", TensorType::Q4_0, &[33]).is_err());
        assert!(header.tensor("c", TensorType::F32, &[0]).is_err());
        assert!(header.put("x.u8", 1u8).is_err());
    }
}
