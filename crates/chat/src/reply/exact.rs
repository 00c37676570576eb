//! JSON of calls, read without a loss: keys that come twice are an error, and integers that no 64 bits hold become texts.

use crate::integers::{is_long, quoted};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The value of a text; `None` if it is no JSON, or says two things under one key.
pub(super) fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(&quoted(text, is_long).0).ok().map(|Exact(value)| value)
}

struct Exact(Value);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor).map(Exact)
    }
}

struct ExactVisitor;

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(b.into())
    }

    fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
        Ok(i.into())
    }

    fn visit_u64<E>(self, i: u64) -> Result<Value, E> {
        Ok(i.into())
    }

    fn visit_f64<E>(self, f: f64) -> Result<Value, E> {
        Ok(f.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Exact(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Exact(value))) = map.next_entry::<String, Exact>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key comes twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use serde_json::json;

    #[test]
    fn nothing_is_rounded_or_dropped() {
        let big = "12345678901234567890123";
        for (text, want) in [
            (format!("{{\"a\": [{big}, -{big}, 1]}}"), json!({"a": [big, format!("-{big}"), 1]})),
            (format!("[{}, {}, 15e2]", u64::MAX, i64::MIN), json!([u64::MAX, i64::MIN, 1500.0])),
            (format!("{{\"{big}\": \"\\\"{big}\"}}"), json!({big: format!("\"{big}")})),
            ("[true, null, 1.5, -2]".to_owned(), json!([true, null, 1.5, -2])),
        ] {
            assert_eq!(parse(&text), Some(want), "{text}");
        }
        for text in ["{\"a\": 1, \"a\": 1}", "[{\"a\": {\"b\": 1, \"b\": 2}}]", "", "é1", "[1", "[01]", "-"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
