//! Reads one safetensors file: an 8-byte length, a JSON header, then the tensors without gaps.
//!
//! Format: <https://huggingface.co/docs/safetensors>. As strict as the reference implementation, and stricter:
//! no key twice, no unknown field, at most 262,144 tensors of at most 8 dimensions.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use torchless_quant::TensorType;

use crate::bytes::Bytes;
use crate::checkpoint::{OpaqueTensor, Tensors};
use crate::error::{FormatError, Place, Problem, shown};
use crate::json::{self, Shape};
use crate::limits;
use crate::tensor::{PlaneSizes, Tensor};

/// The most bytes of a header, as in the reference implementation.
const HEADER_BYTES: u64 = 100_000_000;

/// Bytes of a tensor's name.
pub(crate) const NAME_BYTES: usize = 512;

/// Element types that a file may hold and this project does not compute with, and the bytes of an element.
const OPAQUE: &[(&str, usize)] = &[
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("F8_E8M0", 1),
    ("U16", 2),
    ("I16", 2),
    ("U32", 4),
    ("I32", 4),
    ("U64", 8),
    ("I64", 8),
    ("C64", 8),
];

/// Parses a whole file.
pub(crate) fn read(bytes: &Bytes) -> Result<Tensors, FormatError> {
    let (header, payload) = split_header(bytes, HEADER_BYTES)?;
    let entries = json::parse(header, "the safetensors header", HeaderSeed)?;
    refuse_gaps(&entries, payload.len())?;
    let mut tensors = Tensors::default();
    for entry in entries {
        entry.place(&payload, &mut tensors)?;
    }
    Ok(tensors)
}

/// Refuses a header of more than `limit` bytes.
pub(crate) fn check_header_size(size: u64, limit: u64) -> Result<(), FormatError> {
    if size > limit {
        return Err(FormatError::at(0, Problem::Limit { what: "the header's size", value: size, limit }));
    }
    Ok(())
}

/// The JSON header after the 8-byte length, and what follows it.
pub(crate) fn split_header(bytes: &Bytes, limit: u64) -> Result<(&[u8], Bytes), FormatError> {
    let have = bytes.len() as u64;
    let truncated = |end| FormatError::at(0, Problem::Truncated { what: "the header", end, have });
    let size = bytes.first_chunk::<8>().map(|size| u64::from_le_bytes(*size)).ok_or_else(|| truncated(8))?;
    check_header_size(size, limit)?;
    let end = size.saturating_add(8);
    let at = usize::try_from(end).map_err(|_| truncated(end))?;
    let header = bytes.get(8..at).ok_or_else(|| truncated(end))?;
    let payload = bytes.slice(at..bytes.len()).ok_or_else(|| truncated(end))?;
    Ok((header, payload))
}

/// An element type of a file: many tensors are of few types, so that names are kept for unknown ones alone.
enum Dtype {
    Float(TensorType),
    Opaque(&'static str, usize),
    Unknown(Box<str>),
}

impl Dtype {
    fn new(name: &str) -> Self {
        let opaque = || OPAQUE.iter().find(|(known, _)| *known == name);
        match (float_type(name), opaque()) {
            (Some(ty), _) => Dtype::Float(ty),
            (None, Some((name, size))) => Dtype::Opaque(name, *size),
            (None, None) => Dtype::Unknown(name.chars().take(32).collect::<String>().into()),
        }
    }
}

/// A tensor as the header describes it.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    range: (u64, u64),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: (u64, u64),
}

struct HeaderSeed;

impl<'de> DeserializeSeed<'de> for HeaderSeed {
    type Value = Vec<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Entry>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    /// Names that stand twice are found when the tensors are collected.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Entry>, A::Error> {
        const MOST: usize = limits::TENSORS as usize;
        let mut entries = Vec::new();
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if std::mem::replace(&mut has_metadata, true) {
                    return Err(json::twice(&name));
                }
                map.next_value_seed(json::SkipStrings { limit: limits::KEYS as usize })?;
                continue;
            }
            if entries.len() == MOST {
                return Err(json::too_many("tensors", MOST));
            }
            if name.is_empty() || name.len() > NAME_BYTES {
                return Err(A::Error::custom(format_args!("a name of {} bytes", name.len())));
            }
            let info: Info<'_> = map.next_value()?;
            let dtype = Dtype::new(&info.dtype);
            entries.push(Entry { name, dtype, shape: info.shape.0, range: info.data_offsets });
        }
        Ok(entries)
    }
}

impl Entry {
    fn place(self, payload: &Bytes, tensors: &mut Tensors) -> Result<(), FormatError> {
        let Entry { name, dtype, shape, range: (start, end) } = self;
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let data = range.and_then(|(start, end)| payload.slice(start..end)).ok_or_else(|| {
            let have = payload.len() as u64;
            FormatError::tensor(&name, Problem::Truncated { what: "its data (after the header)", end, have })
        })?;
        let (dtype, size) = match dtype {
            Dtype::Float(ty) => return tensors.insert(Tensor::new(name, ty, shape, data, None)?),
            Dtype::Opaque(dtype, size) => (dtype, size),
            Dtype::Unknown(dtype) => {
                return Err(FormatError::tensor(&name, unsupported(&dtype)));
            }
        };
        check_opaque(&shape, size, data.len()).map_err(|problem| FormatError::tensor(&name, problem))?;
        tensors.insert_opaque(OpaqueTensor { name, dtype, shape, bytes: data.len(), data })
    }
}

/// Element types that this project computes with.
const FLOATS: &[(&str, TensorType)] = &[
    ("F32", TensorType::F32),
    ("F16", TensorType::F16),
    ("BF16", TensorType::BF16),
    ("F64", TensorType::F64),
    ("F8_E4M3", TensorType::F8_E4M3),
    ("F8_E5M2", TensorType::F8_E5M2),
];

fn float_type(dtype: &str) -> Option<TensorType> {
    FLOATS.iter().find(|(name, _)| *name == dtype).map(|(_, ty)| *ty)
}

/// What is wrong with another element type than [`FLOATS`].
pub(crate) fn unsupported(dtype: &str) -> Problem {
    let known = FLOATS.iter().map(|(name, _)| *name).collect();
    Problem::UnsupportedType { name: shown(dtype), known }
}

fn check_opaque(shape: &[usize], size: usize, have: usize) -> Result<(), Problem> {
    let values = PlaneSizes::of(TensorType::F32, shape)?.data / 4;
    match values.checked_mul(size) {
        Some(want) if want == have => Ok(()),
        _ => Err(Problem::Shape(format!("shape {shape:?} with {size} bytes per value is not {have} bytes"))),
    }
}

/// The tensors must cover the payload from its first to its last byte, each byte once.
fn refuse_gaps(entries: &[Entry], payload: usize) -> Result<(), FormatError> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|entry| entry.range);
    let mut covered = 0;
    for Entry { name, range: (start, end), .. } in order {
        if *start != covered || end < start {
            let why = format!(
                "its data {start}..{end} does not follow on byte {covered}, where the one before ends"
            );
            return Err(FormatError::tensor(name, Problem::Layout(why)));
        }
        covered = *end;
    }
    let have = payload as u64;
    if covered > have {
        return Err(FormatError::new(
            Place::File,
            Problem::Truncated { what: "the data after the header", end: covered, have },
        ));
    }
    if covered < have {
        let why = format!("{} bytes after the last tensor belong to none", have - covered);
        return Err(FormatError::new(Place::File, Problem::Layout(why)));
    }
    Ok(())
}
