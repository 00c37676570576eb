//! JSON with limits: how deep, how many values, no key twice. Model headers are JSON that strangers wrote.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{FormatError, Place, Problem, cut, shown};
use crate::safetensors::NAME_BYTES;
use crate::tensor::MAX_DIMS;

/// What a document may be made of.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Objects and arrays within each other.
    pub depth: usize,
    /// Values of any kind, all together.
    pub values: usize,
}

/// For the JSON files of a Hugging Face folder.
pub(crate) const DOCUMENT: Limits = Limits { depth: 16, values: 524_288 };

/// For the metadata in the header of a native file.
pub(crate) const METADATA: Limits = Limits { depth: 4, values: 65_536 };

/// The bytes that a JSON file of a Hugging Face folder may have.
pub(crate) const DOCUMENT_BYTES: u64 = 32 << 20;

/// Parses a whole document; `what` names it in errors.
pub(crate) fn document(bytes: &[u8], what: &'static str) -> Result<Value, FormatError> {
    let value = bytes.len() as u64;
    if value > DOCUMENT_BYTES {
        let limit = DOCUMENT_BYTES;
        return Err(FormatError::new(
            Place::File,
            Problem::Limit { what: "the document's length", value, limit },
        ));
    }
    parse(bytes, what, ValueSeed::new(&DOCUMENT, &Cell::new(0)))
}

/// Parses all of `bytes` with `seed`.
pub(crate) fn parse<'de, S: DeserializeSeed<'de>>(
    bytes: &'de [u8],
    what: &'static str,
    seed: S,
) -> Result<S::Value, FormatError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = seed.deserialize(&mut deserializer);
    parsed.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
        let why = cut(&error.to_string(), 200);
        FormatError::new(Place::File, Problem::Json { what, why })
    })
}

/// Builds a [`Value`] within limits; `count` is shared by all parts of a document.
pub(crate) struct ValueSeed<'a> {
    limits: &'a Limits,
    depth: usize,
    count: &'a Cell<usize>,
}

impl<'a> ValueSeed<'a> {
    pub(crate) fn new(limits: &'a Limits, count: &'a Cell<usize>) -> Self {
        Self { limits, depth: 0, count }
    }

    fn inner<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > self.limits.depth {
            return Err(E::custom(format_args!("nested deeper than {} levels", self.limits.depth)));
        }
        Ok(Self { depth, ..*self })
    }

    fn again(&self) -> Self {
        Self { ..*self }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count.set(self.count.get() + 1);
        if self.count.get() > self.limits.values {
            return Err(D::Error::custom(format_args!("more than {} values", self.limits.values)));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner.again())? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(twice(&key));
            }
            let value = map.next_value_seed(inner.again())?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

/// The error for a key that stands twice in one object.
pub(crate) fn twice<E: Error>(key: &str) -> E {
    E::custom(format_args!("the key '{}' stands twice", shown(key)))
}

/// The error for more entries than allowed.
pub(crate) fn too_many<E: Error>(what: &str, limit: usize) -> E {
    E::custom(format_args!("more than {limit} {what}"))
}

/// Accepts an object of strings and forgets it.
pub(crate) struct SkipStrings {
    /// The most entries.
    pub limit: usize,
}

impl<'de> DeserializeSeed<'de> for SkipStrings {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SkipStrings {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, AnyString)) = map.next_entry::<String, AnyString>()? {
            if seen.len() == self.limit {
                return Err(too_many("entries", self.limit));
            }
            if key.len() > NAME_BYTES {
                return Err(A::Error::custom(format_args!("a key of {} bytes", key.len())));
            }
            if let Some(key) = seen.replace(key) {
                return Err(twice(&key));
            }
        }
        Ok(())
    }
}

/// A string that is not kept.
struct AnyString;

impl<'de> serde::Deserialize<'de> for AnyString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = AnyString;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, _: &str) -> Result<AnyString, E> {
                Ok(AnyString)
            }
        }
        deserializer.deserialize_str(Any)
    }
}

/// A shape of at most [`MAX_DIMS`] dimensions.
#[derive(Debug, Default)]
pub(crate) struct Shape(pub Vec<usize>);

impl<'de> serde::Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dims;
        impl<'de> Visitor<'de> for Dims {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut dims = Vec::new();
                while let Some(dim) = seq.next_element::<u64>()? {
                    if dims.len() == MAX_DIMS {
                        return Err(too_many("dimensions", MAX_DIMS));
                    }
                    dims.push(usize::try_from(dim).map_err(A::Error::custom)?);
                }
                Ok(Shape(dims))
            }
        }
        deserializer.deserialize_seq(Dims)
    }
}

/// Appends `value` in the one form that writers here use: sorted keys, no spaces, only needed escapes, numbers as
/// [`number`] writes them.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(s) => write_string(s, out),
        Value::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(value, out);
            }
            out.push(']');
        }
        Value::Object(values) => {
            let mut sorted: Vec<_> = values.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_string(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        simple => out.push_str(&simple.to_string()),
    }
}

/// Appends `string` in quotes.
pub(crate) fn write_string(string: &str, out: &mut String) {
    out.push_str(&Value::from(string).to_string());
}

/// Whole numbers below 10^15 as digits, others with the fewest digits that read back the same: `1e-5`, `2.5e0`.
pub(crate) fn number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            if float.fract() == 0.0 && float.abs() < 1e15 {
                format!("{}", float as i64)
            } else {
                format!("{float:e}")
            }
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_metadata(text: &str) -> Result<Value, String> {
        let count = Cell::new(0);
        parse(text.as_bytes(), "the test", ValueSeed::new(&METADATA, &count)).map_err(|e| e.to_string())
    }

    #[test]
    fn depth_values_and_doubles_are_limited() {
        assert!(parse_metadata(r#"[[[[1]]]]"#).is_ok());
        assert!(parse_metadata(r#"[[[[[1]]]]]"#).unwrap_err().contains("nested deeper than 4"));
        assert!(parse_metadata(r#"{"a":1,"a":2}"#).unwrap_err().contains("the key 'a' stands twice"));
        assert!(parse_metadata(&format!("[{}1]", "1,".repeat(65_536))).unwrap_err().contains("65536 values"));
        assert!(parse_metadata("{} x").is_err());
        assert!(parse_metadata(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn one_form_of_writing() {
        let value: Value =
            serde_json::from_str(r#"{"b":[1,2.0,0.00001,1e22,-0.5],"a":"\u00e9\n\"","c":null}"#).unwrap();
        let mut text = String::new();
        write(&value, &mut text);
        assert_eq!(text, r#"{"a":"é\n\"","b":[1,2,1e-5,1e22,-5e-1],"c":null}"#);
    }
}
