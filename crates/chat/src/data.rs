//! JSON from outside, as values that templates work on.
//!
//! Objects keep the order of their keys, and every text in it is marked as foreign.

use crate::jinja::{Dict, SeqKind, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::Arc;

/// A JSON value: messages, tools, arguments.
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) value: Value,
    /// Bytes of the JSON text, for limits.
    pub(crate) size: usize,
}

/// Bytes of JSON that are taken in at most.
pub const MAX_JSON: usize = 64 << 20;

/// Why JSON was refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is no JSON, nests too deep, or a key stands for more than it can hold.
    #[error("not usable JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// There is too much of it.
    #[error("{bytes} bytes of JSON: {MAX_JSON} are the most")]
    Size {
        /// What came.
        bytes: usize,
    },
}

impl Data {
    /// Reads JSON text.
    ///
    /// # Errors
    /// It is no JSON, or there is too much of it.
    pub fn parse(json: &str) -> Result<Self, DataError> {
        if json.len() > MAX_JSON {
            return Err(DataError::Size { bytes: json.len() });
        }
        let Foreign(value) = serde_json::from_str(json)?;
        Ok(Self { value, size: json.len() })
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self { value: Value::foreign(text), size: text.len() }
    }
}

struct Foreign(Value);

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ForeignVisitor).map(Foreign)
    }
}

struct ForeignVisitor;

impl<'de> Visitor<'de> for ForeignVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
        Ok(Value::Int(i.into()))
    }

    fn visit_u64<E>(self, i: u64) -> Result<Value, E> {
        Ok(Value::Int(i.into()))
    }

    fn visit_f64<E>(self, f: f64) -> Result<Value, E> {
        Ok(Value::Float(f))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::foreign(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Foreign(item)) = seq.next_element()? {
            items.push(item);
        }
        Value::seq_unpaid(SeqKind::List, items).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut dict = Dict::default();
        while let Some((key, Foreign(value))) = map.next_entry::<String, Foreign>()? {
            dict.set_foreign(&key, value).map_err(A::Error::custom)?;
        }
        Ok(Value::Dict(Arc::new(dict)))
    }
}
