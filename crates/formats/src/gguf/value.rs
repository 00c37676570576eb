//! Metadata values of GGUF files and the typed getters over them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::bytes::Bytes;
use crate::error::{FormatError, Problem};
use crate::strings::StringTable;

/// Builds the value types from one table: number in the file, size of an element (0 where it varies), name.
macro_rules! value_types {
    ($($variant:ident = $id:literal, $size:literal, $name:literal;)+) => {
        /// The type of a metadata value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ValueType { $(#[doc = $name] $variant,)+ }

        impl ValueType {
            pub(crate) fn from_id(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(ValueType::$variant),)+
                    _ => None,
                }
            }

            pub(crate) fn id(self) -> u32 {
                match self { $(ValueType::$variant => $id,)+ }
            }

            /// Bytes of an element, 0 for strings and arrays.
            pub(crate) fn size(self) -> usize {
                match self { $(ValueType::$variant => $size,)+ }
            }

            /// The name of the type.
            pub fn name(self) -> &'static str {
                match self { $(ValueType::$variant => $name,)+ }
            }
        }
    };
}

value_types! {
    U8 = 0, 1, "u8";
    I8 = 1, 1, "i8";
    U16 = 2, 2, "u16";
    I16 = 3, 2, "i16";
    U32 = 4, 4, "u32";
    I32 = 5, 4, "i32";
    F32 = 6, 4, "f32";
    Bool = 7, 1, "bool";
    String = 8, 0, "string";
    Array = 9, 0, "array";
    U64 = 10, 8, "u64";
    I64 = 11, 8, "i64";
    F64 = 12, 8, "f64";
}

impl ValueType {
    /// The values of an integer type, `None` for any other type.
    pub(crate) fn integer_range(self) -> Option<std::ops::RangeInclusive<i128>> {
        Some(match self {
            ValueType::U8 => 0..=u8::MAX.into(),
            ValueType::I8 => i8::MIN.into()..=i8::MAX.into(),
            ValueType::U16 => 0..=u16::MAX.into(),
            ValueType::I16 => i16::MIN.into()..=i16::MAX.into(),
            ValueType::U32 => 0..=u32::MAX.into(),
            ValueType::I32 => i32::MIN.into()..=i32::MAX.into(),
            ValueType::U64 => 0..=u64::MAX.into(),
            ValueType::I64 => i64::MIN.into()..=i64::MAX.into(),
            _ => return None,
        })
    }
}

/// A metadata value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Any of the integer types; the file's own type beside the value.
    Int(ValueType, i128),
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
    /// `bool`.
    Bool(bool),
    /// `string`.
    String(String),
    /// An array.
    Array(Array),
}

/// An array, in a compact form.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Array {
    /// Numbers or booleans, as they lie in the file: little-endian, any alignment.
    Numbers {
        /// The type of the elements.
        ty: ValueType,
        /// The elements.
        bytes: Bytes,
    },
    /// Strings.
    Strings(StringTable),
    /// Arrays.
    Arrays(Vec<Array>),
}

impl Value {
    /// The type in the file.
    pub fn ty(&self) -> ValueType {
        match self {
            Value::Int(ty, _) => *ty,
            Value::F32(_) => ValueType::F32,
            Value::F64(_) => ValueType::F64,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
        }
    }

    /// The type for people, such as `array of string`.
    pub fn describe(&self) -> String {
        match self {
            Value::Int(ty, value) => format!("{} {value}", ty.name()),
            Value::Array(array) => format!("array of {} {}", array.len(), array.ty().name()),
            other => other.ty().name().to_owned(),
        }
    }
}

impl Array {
    /// The type of the elements.
    pub fn ty(&self) -> ValueType {
        match self {
            Array::Numbers { ty, .. } => *ty,
            Array::Strings(_) => ValueType::String,
            Array::Arrays(_) => ValueType::Array,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Array::Numbers { ty, bytes } => bytes.len() / ty.size().max(1),
            Array::Strings(strings) => strings.len(),
            Array::Arrays(arrays) => arrays.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as integers, `None` for an array of anything else.
    pub fn integers(&self) -> Option<impl ExactSizeIterator<Item = i128>> {
        let Array::Numbers { ty, bytes } = self else { return None };
        let read = integer_reader(*ty)?;
        Some(bytes.chunks_exact(ty.size()).map(read))
    }

    /// The elements as `f32` (`f64` is rounded), `None` for an array of anything else.
    pub fn floats(&self) -> Option<impl ExactSizeIterator<Item = f32>> {
        let Array::Numbers { ty, bytes } = self else { return None };
        let read: fn(&[u8]) -> f32 = match ty {
            ValueType::F32 => |b| f32::from_le_bytes(fixed(b)),
            ValueType::F64 => |b| f64::from_le_bytes(fixed(b)) as f32,
            _ => return None,
        };
        Some(bytes.chunks_exact(ty.size()).map(read))
    }

    /// The elements as booleans, `None` for an array of anything else.
    pub fn bools(&self) -> Option<impl ExactSizeIterator<Item = bool>> {
        match self {
            Array::Numbers { ty: ValueType::Bool, bytes } => Some(bytes.iter().map(|&byte| byte != 0)),
            _ => None,
        }
    }

    /// The strings, `None` for an array of anything else.
    pub fn strings(&self) -> Option<&StringTable> {
        match self {
            Array::Strings(strings) => Some(strings),
            _ => None,
        }
    }

    fn numbers<T: Copy, const N: usize>(ty: ValueType, values: &[T], bytes: fn(T) -> [u8; N]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|&value| bytes(value)).collect();
        Array::Numbers { ty, bytes: bytes.into() }
    }
}

/// Reads an integer of type `ty` from exactly its bytes; `None` for a type that is no integer.
pub(crate) fn integer_reader(ty: ValueType) -> Option<fn(&[u8]) -> i128> {
    Some(match ty {
        ValueType::U8 => |b| u8::from_le_bytes(fixed(b)).into(),
        ValueType::I8 => |b| i8::from_le_bytes(fixed(b)).into(),
        ValueType::U16 => |b| u16::from_le_bytes(fixed(b)).into(),
        ValueType::I16 => |b| i16::from_le_bytes(fixed(b)).into(),
        ValueType::U32 => |b| u32::from_le_bytes(fixed(b)).into(),
        ValueType::I32 => |b| i32::from_le_bytes(fixed(b)).into(),
        ValueType::U64 => |b| u64::from_le_bytes(fixed(b)).into(),
        ValueType::I64 => |b| i64::from_le_bytes(fixed(b)).into(),
        _ => return None,
    })
}

/// The first `N` bytes; the callers hand over exactly `N`.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

macro_rules! value_from_int {
    ($($rust:ty => $variant:ident),+) => {$(
        impl From<$rust> for Value {
            fn from(value: $rust) -> Self {
                Value::Int(ValueType::$variant, value.into())
            }
        }

        impl From<&[$rust]> for Value {
            fn from(values: &[$rust]) -> Self {
                Value::Array(Array::numbers(ValueType::$variant, values, <$rust>::to_le_bytes))
            }
        }
    )+};
}

value_from_int!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64);

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Value::F32(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::F64(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<&[bool]> for Value {
    fn from(values: &[bool]) -> Self {
        Value::Array(Array::numbers(ValueType::Bool, values, |one| [u8::from(one)]))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::String(value.to_owned())
    }
}

impl From<&[f32]> for Value {
    fn from(values: &[f32]) -> Self {
        Value::Array(Array::numbers(ValueType::F32, values, f32::to_le_bytes))
    }
}

impl From<StringTable> for Value {
    fn from(strings: StringTable) -> Self {
        Value::Array(Array::Strings(strings))
    }
}

/// The key-value pairs of a GGUF file, in the file's order.
#[derive(Clone, Debug, Default)]
pub struct GgufMetadata {
    pub(crate) file: Option<PathBuf>,
    entries: Vec<(Arc<str>, Value)>,
    index: HashMap<Arc<str>, usize>,
}

impl GgufMetadata {
    /// Appends a pair; an error where the key is there already.
    pub(crate) fn insert(&mut self, key: &str, value: Value) -> Result<(), FormatError> {
        let shared = Arc::<str>::from(key);
        if self.index.insert(Arc::clone(&shared), self.entries.len()).is_some() {
            return Err(FormatError::key(key, Problem::Duplicate("the key")));
        }
        self.entries.push((shared, value));
        Ok(())
    }

    /// The pairs in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`, of whatever type.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    /// The value of `key` as a `T` (`u32`, `u64`, `usize`, `i64`, `f32`, `f64`, `bool`, `&str`, `&Array`,
    /// `&StringTable`); an error naming key and types where it is missing or of another type. Integers of any
    /// width are taken where the value fits.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, FormatError> {
        self.opt(key)?.ok_or_else(|| self.error(key, Problem::Missing))
    }

    /// As [`GgufMetadata::get`], with `None` for a missing key.
    pub fn opt<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, FormatError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match T::from_value(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.error(key, Problem::WrongType { want: T::WANT, have: value.describe() })),
        }
    }

    fn error(&self, key: &str, problem: Problem) -> FormatError {
        let error = FormatError::key(key, problem);
        match &self.file {
            Some(file) => error.in_file(file),
            None => error,
        }
    }
}

/// A Rust type that a metadata value can be read as.
pub trait FromValue<'a>: Sized {
    /// What is needed, for the error.
    const WANT: &'static str;

    /// The value, `None` where it is of another type or does not fit.
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($rust:ty, $want:literal, $pattern:pat => $result:expr;)+) => {$(
        impl<'a> FromValue<'a> for $rust {
            const WANT: &'static str = $want;

            fn from_value(value: &'a Value) -> Option<Self> {
                match value {
                    $pattern => $result,
                    _ => None,
                }
            }
        }
    )+};
}

from_value! {
    u32, "an integer from 0 to 2^32-1", Value::Int(_, value) => (*value).try_into().ok();
    u64, "an integer from 0 to 2^64-1", Value::Int(_, value) => (*value).try_into().ok();
    usize, "an integer from 0 that fits into memory", Value::Int(_, value) => (*value).try_into().ok();
    i64, "an integer", Value::Int(_, value) => (*value).try_into().ok();
    bool, "a bool", Value::Bool(value) => Some(*value);
    &'a str, "a string", Value::String(value) => Some(value);
    &'a Array, "an array", Value::Array(value) => Some(value);
    &'a StringTable, "an array of strings", Value::Array(Array::Strings(value)) => Some(value);
}

impl FromValue<'_> for f32 {
    const WANT: &'static str = "a float";

    fn from_value(value: &Value) -> Option<Self> {
        f64::from_value(value).map(|value| value as f32)
    }
}

impl FromValue<'_> for f64 {
    const WANT: &'static str = "a float";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::F32(value) => Some(f64::from(*value)),
            Value::F64(value) => Some(*value),
            _ => None,
        }
    }
}
