//! JSON from outside, as values that templates work on.
//!
//! Objects keep the order of their keys, and every text in it is marked as foreign.

use crate::integers::{is_long, quoted};
use crate::jinja::{Dict, SeqKind, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
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
        // A negative zero would become a float.
        let (quoted, integers) = quoted(json, |digits| is_long(digits) || digits == "-0");
        let reader = Foreign { integers: &integers, strings: &Cell::new(0) };
        let mut deserializer = serde_json::Deserializer::from_str(&quoted);
        let value = reader.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(Self { value, size: json.len() })
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self { value: Value::foreign(text), size: text.len() }
    }
}

/// Reads JSON some of whose strings were integers.
#[derive(Clone, Copy)]
struct Foreign<'i> {
    integers: &'i [usize],
    /// How many strings were read.
    strings: &'i Cell<usize>,
}

impl Foreign<'_> {
    /// Whether the string that is read now was an integer.
    fn was_integer(self) -> bool {
        let at = self.strings.replace(self.strings.get() + 1);
        self.integers.binary_search(&at).is_ok()
    }
}

impl<'de> DeserializeSeed<'de> for Foreign<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Foreign<'_> {
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

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        if !self.was_integer() {
            return Ok(Value::foreign(text));
        }
        let long = |_| E::custom("an integer of more than 127 bits, which only a text can hold");
        text.parse().map(Value::Int).map_err(long)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Value::seq_unpaid(SeqKind::List, items).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut dict = Dict::default();
        while let Some(key) = map.next_key::<String>()? {
            if self.was_integer() {
                return Err(A::Error::custom("a key has to be a text"));
            }
            let value = map.next_value_seed(self)?;
            dict.set_foreign(&key, value).map_err(A::Error::custom)?;
        }
        Ok(Value::Dict(Arc::new(dict)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let long = "12345678901234567890123";
        for (json, want) in [
            (long.to_owned(), Some(vec![Value::Int(12_345_678_901_234_567_890_123)])),
            (
                format!("[\"{long}\", -{long}]"),
                Some(vec![Value::foreign(long), Value::Int(-12_345_678_901_234_567_890_123)]),
            ),
            (
                format!("{{\"{long}\": {long}}}"),
                Some(vec![Value::foreign(long), Value::Int(12_345_678_901_234_567_890_123)]),
            ),
            ("-0".to_owned(), Some(vec![Value::Int(0)])),
            ("[0.48883122623567477]".to_owned(), Some(vec![Value::Float(0.488_831_226_235_674_77)])),
            (format!("{{{long}: 1}}"), None),
            (format!("{long}{long}"), None),
            (format!("{long} 1"), None),
        ] {
            let got = Data::parse(&json).ok().map(|data| match data.value {
                Value::Seq(seq) => seq.items.clone(),
                Value::Dict(dict) => {
                    dict.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect()
                }
                one => vec![one],
            });
            assert_eq!(format!("{got:?}"), format!("{want:?}"), "{json}");
        }
    }
}
