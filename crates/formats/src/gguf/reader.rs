//! Reads one GGUF file: header, metadata, tensor descriptions, tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian.

use torchless_quant::TensorType;

use super::cursor::Cursor;
use super::value::{Array, GgufMetadata, Value, ValueType, fixed, integer_reader};
use crate::bytes::Bytes;
use crate::checkpoint::Tensors;
use crate::error::{FormatError, Problem};
use crate::foreign;
use crate::limits;
use crate::strings::StringTable;
use crate::tensor::{PlaneSizes, Tensor};

pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";
pub(crate) const DEFAULT_ALIGNMENT: u32 = 32;
const MAX_ALIGNMENT: u32 = 65_536;
pub(crate) const MAX_DIMS: u32 = 4;

/// What one GGUF file holds.
#[derive(Debug)]
pub(crate) struct Part {
    pub metadata: GgufMetadata,
    pub tensors: Tensors,
}

/// Parses a whole file.
pub(crate) fn read(bytes: &Bytes) -> Result<Part, FormatError> {
    let mut reader = Reader { bytes, cursor: Cursor::new(bytes), strings: 0, arrays: 0 };
    reader.magic_and_version()?;
    let n_tensors = reader.cursor.count("the number of tensors", limits::TENSORS)?;
    let n_keys = reader.cursor.count("the number of metadata keys", limits::KEYS)?;
    let metadata = reader.metadata(n_keys)?;
    let descriptions = reader.descriptions(n_tensors)?;
    let alignment = alignment(&metadata)?;
    let start = reader.cursor.position().next_multiple_of(alignment as usize);
    let tensors = place_tensors(bytes, start, alignment, descriptions)?;
    // A vocabulary of megabytes has been copied; numbers that are wanted later come back page by page.
    bytes.slice(0..start).iter().for_each(Bytes::release);
    Ok(Part { metadata, tensors })
}

/// A power of two from 8 on, declared as u32.
pub(crate) fn alignment(metadata: &GgufMetadata) -> Result<u32, FormatError> {
    match metadata.value(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Int(ValueType::U32, value)) => u32::try_from(*value)
            .ok()
            .filter(|value| value.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(value))
            .ok_or_else(|| bad_alignment(value.to_string())),
        Some(other) => Err(bad_alignment(other.describe())),
    }
}

fn bad_alignment(have: String) -> FormatError {
    FormatError::key(ALIGNMENT_KEY, Problem::WrongType { want: "a u32 power of two from 8 to 65536", have })
}

struct Reader<'a> {
    bytes: &'a Bytes,
    cursor: Cursor<'a>,
    /// Strings in arrays so far.
    strings: u64,
    /// Arrays in arrays so far.
    arrays: u64,
}

impl<'a> Reader<'a> {
    fn magic_and_version(&mut self) -> Result<(), FormatError> {
        let magic = self.cursor.take(4, "the GGUF magic")?;
        if magic != MAGIC {
            return Err(foreign::refuse(self.bytes));
        }
        match self.cursor.u32("the GGUF version")? {
            2 | 3 => Ok(()),
            version if matches!(version.swap_bytes(), 1..=3) => {
                Err(FormatError::at(4, Problem::Foreign(&foreign::BIG_ENDIAN_GGUF)))
            }
            version => Err(FormatError::at(4, Problem::Version(version))),
        }
    }

    fn metadata(&mut self, count: u64) -> Result<GgufMetadata, FormatError> {
        let mut metadata = GgufMetadata::default();
        for _ in 0..count {
            let at = self.cursor.position();
            let key = self.cursor.string("a metadata key", limits::KEY_BYTES)?;
            if key.is_empty() {
                return Err(FormatError::at(at, Problem::Header("a metadata key is empty".to_owned())));
            }
            let ty = self.value_type()?;
            let value = self.value(ty)?;
            metadata.insert(key, value)?;
        }
        Ok(metadata)
    }

    fn value_type(&mut self) -> Result<ValueType, FormatError> {
        let at = self.cursor.position();
        let id = self.cursor.u32("the type of a metadata value")?;
        let unknown = || FormatError::at(at, Problem::Header(format!("metadata value type {id} is unknown")));
        ValueType::from_id(id).ok_or_else(unknown)
    }

    fn value(&mut self, ty: ValueType) -> Result<Value, FormatError> {
        Ok(match ty {
            ValueType::String => {
                Value::String(self.cursor.string("a metadata string", limits::STRING_BYTES)?.to_owned())
            }
            ValueType::Array => Value::Array(self.array(1)?),
            ValueType::Bool => {
                let at = self.cursor.position();
                Value::Bool(checked_bools(self.cursor.take(1, "a bool")?, at)?[0] == 1)
            }
            ValueType::F32 => Value::F32(f32::from_le_bytes(fixed(self.cursor.take(4, "an f32")?))),
            ValueType::F64 => Value::F64(f64::from_le_bytes(fixed(self.cursor.take(8, "an f64")?))),
            integer => {
                let bytes = self.cursor.take(integer.size() as u64, "an integer")?;
                Value::Int(integer, integer_reader(integer).map_or(0, |read| read(bytes)))
            }
        })
    }

    /// An array; `depth` counts it and those around it.
    fn array(&mut self, depth: usize) -> Result<Array, FormatError> {
        let at = self.cursor.position();
        if depth > limits::NESTING {
            let (value, limit) = (depth as u64, limits::NESTING as u64);
            return Err(FormatError::at(at, Problem::Limit { what: "the nesting of arrays", value, limit }));
        }
        let ty = self.value_type()?;
        let count = self.cursor.u64("the length of an array")?;
        match ty {
            ValueType::String => self.strings(count),
            ValueType::Array => self.arrays(count, depth),
            number => {
                let start = self.cursor.position();
                let bytes = self.cursor.take(count.saturating_mul(number.size() as u64), "an array")?;
                if number == ValueType::Bool {
                    checked_bools(bytes, start)?;
                }
                let range = start..self.cursor.position();
                let cut_off = || FormatError::at(start, Problem::Header("an array is cut off".to_owned()));
                Ok(Array::Numbers { ty: number, bytes: self.bytes.slice(range).ok_or_else(cut_off)? })
            }
        }
    }

    fn strings(&mut self, count: u64) -> Result<Array, FormatError> {
        self.strings = self.checked_count(
            "the number of strings in arrays",
            self.strings,
            count,
            limits::ARRAY_STRINGS,
        )?;
        let what = "a string in an array";
        // Once over the strings without keeping them: they are all there, and how much room they take is known.
        let mut ahead = self.cursor.clone();
        let bytes =
            (0..count).try_fold(0, |sum, _| Ok(sum + ahead.string(what, limits::STRING_BYTES)?.len()))?;
        let mut strings = StringTable::with_capacity(count as usize, bytes);
        for _ in 0..count {
            let at = self.cursor.position();
            let string = self.cursor.string(what, limits::STRING_BYTES)?;
            if !strings.push(string) {
                return Err(FormatError::at(
                    at,
                    Problem::Header("an array of strings is too long".to_owned()),
                ));
            }
        }
        Ok(Array::Strings(strings))
    }

    fn arrays(&mut self, count: u64, depth: usize) -> Result<Array, FormatError> {
        self.arrays =
            self.checked_count("the number of arrays in arrays", self.arrays, count, limits::INNER_ARRAYS)?;
        (0..count).map(|_| self.array(depth + 1)).collect::<Result<_, _>>().map(Array::Arrays)
    }

    fn checked_count(
        &self,
        what: &'static str,
        so_far: u64,
        more: u64,
        limit: u64,
    ) -> Result<u64, FormatError> {
        let value = so_far.saturating_add(more);
        if value > limit {
            return Err(FormatError::at(self.cursor.position(), Problem::Limit { what, value, limit }));
        }
        Ok(value)
    }

    fn descriptions(&mut self, count: u64) -> Result<Vec<Description<'a>>, FormatError> {
        (0..count).map(|_| self.description()).collect()
    }

    fn description(&mut self) -> Result<Description<'a>, FormatError> {
        let at = self.cursor.position();
        let name = self.cursor.string("the name of a tensor", limits::GGUF_NAME_BYTES)?;
        if name.is_empty() {
            return Err(FormatError::at(at, Problem::Header("the name of a tensor is empty".to_owned())));
        }
        let n_dims = self.cursor.u32("the dimensions of a tensor")?;
        if !(1..=MAX_DIMS).contains(&n_dims) {
            let why = format!("has {n_dims} dimensions; 1 to {MAX_DIMS} are possible");
            return Err(FormatError::tensor(name, Problem::Shape(why)));
        }
        let mut shape = Vec::with_capacity(n_dims as usize);
        for _ in 0..n_dims {
            let dim = self.cursor.u64("the dimensions of a tensor")?;
            let dim = usize::try_from(dim).ok().filter(|&dim| dim != 0 && i64::try_from(dim).is_ok());
            let bad =
                || FormatError::tensor(name, Problem::Shape("has a dimension of 0 or above 2^63".to_owned()));
            shape.push(dim.ok_or_else(bad)?);
        }
        shape.reverse();
        let id = self.cursor.u32("the type of a tensor")?;
        let ty = TensorType::from_ggml_id(id).ok_or_else(|| {
            let known = TensorType::ALL.iter().map(|ty| ty.info()).filter(|info| info.ggml_id.is_some());
            let known = known.map(|info| info.name).collect();
            FormatError::tensor(name, Problem::UnsupportedType { name: foreign::ggml_type_name(id), known })
        })?;
        let offset = self.cursor.u64("the offset of a tensor")?;
        Ok(Description { name, shape, ty, offset })
    }
}

fn checked_bools(bytes: &[u8], start: usize) -> Result<&[u8], FormatError> {
    match bytes.iter().position(|&byte| byte > 1) {
        None => Ok(bytes),
        Some(at) => {
            let why = format!("a bool is {}, neither 0 nor 1", bytes[at]);
            Err(FormatError::at(start + at, Problem::Header(why)))
        }
    }
}

/// A tensor as the header describes it.
struct Description<'a> {
    name: &'a str,
    shape: Vec<usize>,
    ty: TensorType,
    offset: u64,
}

/// Bytes that end an `I2_S` tensor: its scale, and padding.
const I2_S_TAIL: usize = 32;

impl Description<'_> {
    /// Bytes of the tensor in the file.
    fn file_bytes(&self) -> Result<usize, Problem> {
        let size = PlaneSizes::of(self.ty, &self.shape)?.data;
        Ok(if self.ty == TensorType::I2_S { size + I2_S_TAIL } else { size })
    }

    /// The tensor whose bytes are `data`.
    fn tensor(self, data: Bytes) -> Result<Tensor, FormatError> {
        let Description { name, shape, ty, .. } = self;
        if ty != TensorType::I2_S {
            return Tensor::new(name, ty, shape, data, None);
        }
        let cut_off = || FormatError::tensor(name, Problem::Layout("lies outside the file".to_owned()));
        let size = data.len().checked_sub(I2_S_TAIL).ok_or_else(cut_off)?;
        let scale = data.get(size..size + 4).ok_or_else(cut_off)?.repeat(size / ty.info().block_bytes);
        let codes = data.slice(0..size).ok_or_else(cut_off)?;
        Tensor::new(name, ty, shape, codes, Some(Bytes::from(scale)))
    }

    /// Where the tensor lies in the file, whose data begins at `start`.
    fn range(&self, start: usize, alignment: u32, file: usize) -> Result<std::ops::Range<usize>, Problem> {
        let size = self.file_bytes()?;
        if !self.offset.is_multiple_of(u64::from(alignment)) {
            let why = format!("its offset {} is not a multiple of the alignment {alignment}", self.offset);
            return Err(Problem::Layout(why));
        }
        let first = usize::try_from(self.offset).ok().and_then(|offset| offset.checked_add(start));
        let range = first.and_then(|first| Some(first..first.checked_add(size)?));
        match range {
            Some(range) if range.end <= file => Ok(range),
            _ => {
                let end = self.offset.saturating_add(start as u64).saturating_add(size as u64);
                Err(Problem::Truncated { what: "its data", end, have: file as u64 })
            }
        }
    }
}

fn place_tensors(
    bytes: &Bytes,
    start: usize,
    alignment: u32,
    descriptions: Vec<Description<'_>>,
) -> Result<Tensors, FormatError> {
    let mut tensors = Tensors::default();
    let mut ranges = Vec::with_capacity(descriptions.len());
    for description in descriptions {
        let name = description.name;
        let range = description
            .range(start, alignment, bytes.len())
            .map_err(|problem| FormatError::tensor(name, problem))?;
        ranges.push((range.clone(), name));
        let outside = || FormatError::tensor(name, Problem::Layout("lies outside the file".to_owned()));
        let data = bytes.slice(range).ok_or_else(outside)?;
        tensors.insert(description.tensor(data)?)?;
    }
    refuse_overlaps(ranges)?;
    Ok(tensors)
}

/// Data that two tensors share is a mistake or an attempt to make readers disagree.
fn refuse_overlaps(mut ranges: Vec<(std::ops::Range<usize>, &str)>) -> Result<(), FormatError> {
    ranges.sort_by_key(|(range, _)| range.start);
    for pair in ranges.windows(2) {
        let [(before, first), (after, second)] = pair else { continue };
        if after.start < before.end {
            let why = format!("shares bytes with tensor '{}'", crate::error::shown(first));
            return Err(FormatError::tensor(second, Problem::Layout(why)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Header;

    /// bitnet.cpp ends a tensor with its one scale; here that stands beside each block.
    #[test]
    fn an_i2_s_tensor_brings_its_scale_behind_its_codes() {
        let mut header = Header::new();
        header.put("general.architecture", "bitnet").unwrap();
        header.tensor("blk", TensorType::F32, &[2, 128]).unwrap();
        let mut writer = header.start(Vec::new()).unwrap();
        let mut payload = vec![0b10_10_10_10; 1024];
        payload[64..68].copy_from_slice(&0.25f32.to_le_bytes());
        writer.write(&payload).unwrap();
        let mut file = writer.finish().unwrap();
        // Behind the name: two dimensions of eight bytes, then the type.
        let name = file.windows(3).position(|window| window == b"blk").unwrap();
        file[name + 3 + 4 + 16] = 36;
        let part = read(&Bytes::from(file.clone())).unwrap();
        let tensor = part.tensors.get("blk").unwrap();
        assert_eq!((tensor.data.len(), tensor.scales.as_ref().unwrap().len()), (64, 8));
        let mut row = [0.0; 128];
        tensor.decode_row(1, &mut row);
        assert_eq!(row, [0.25; 128]);
        file.truncate(file.len() - 1024 + 64 + 31);
        assert!(read(&Bytes::from(file)).unwrap_err().to_string().contains("the end of its data"));
    }
}
