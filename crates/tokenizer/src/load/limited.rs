//! JSON that ends at a limit: what lies beyond is not kept while it is read.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::vocab::MAX_TOKENS;

/// Values of all kinds in one component. None has more than a handful, but for the special tokens of a template.
const MAX_VALUES: usize = 1 << 16;

/// Refuses one more where there are as many as a tokenizer may have tokens.
pub(super) fn refuse_more<E: Error>(have: usize, most: usize) -> Result<(), E> {
    if have < most { Ok(()) } else { Err(E::custom(format_args!("more entries than the limit of {most}"))) }
}

/// A list with an entry for each token, or merge.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(List::default())
}

/// The same where it may be left out.
pub(super) fn optional_list<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Wrapped<T>(Vec<T>);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wrapped<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            list(from).map(Wrapped)
        }
    }
    Ok(Option::<Wrapped<T>>::deserialize(from)?.map(|Wrapped(list)| list))
}

/// A component, whose kind is not known yet; `None` where it is null.
pub(super) fn component<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    let value = Values { count: &Cell::new(0), most: MAX_VALUES }.deserialize(from)?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// Reads a list of so many entries at most.
pub(super) struct List<T> {
    most: usize,
    entry: PhantomData<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { most: MAX_TOKENS, entry: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            refuse_more(entries.len(), self.most)?;
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Reads a value with so many others in it at most.
#[derive(Clone, Copy)]
struct Values<'c> {
    count: &'c Cell<usize>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        refuse_more(self.count.get(), self.most)?;
        self.count.set(self.count.get() + 1);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key()? {
            values.insert(key, map.next_value_seed(self)?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error as Plain, SeqDeserializer};

    /// What `read` makes of a list that goes on without end, and how many of its entries it looks at.
    fn read_endless<T>(
        read: impl FnOnce(SeqDeserializer<&mut dyn Iterator<Item = u32>, Plain>) -> Result<T, Plain>,
    ) -> (Result<T, String>, u32) {
        let mut entries = 0u32..;
        let ended = read(SeqDeserializer::new(&mut entries)).map_err(|e| e.to_string());
        (ended, entries.next().unwrap_or_default())
    }

    #[test]
    fn what_lies_beyond_a_limit_is_not_read() {
        let (list, seen) = read_endless(|from| List::<u32> { most: 3, ..List::default() }.visit_seq(from));
        assert_eq!((list.unwrap_err().as_str(), seen), ("more entries than the limit of 3", 4));
        let count = Cell::new(0);
        let (value, seen) = read_endless(|from| Values { count: &count, most: 3 }.deserialize(from));
        assert_eq!((value.unwrap_err().as_str(), seen), ("more entries than the limit of 3", 3));
    }

    #[test]
    fn within_the_limit_a_value_is_what_it_is() {
        let text = r#"{"a": [1, -2, 0.5, "x", null, true], "b": {"c": {}}}"#;
        let mut from = serde_json::Deserializer::from_str(text);
        let value = component(&mut from).unwrap();
        assert_eq!(value, serde_json::from_str(text).unwrap());
        assert_eq!(component(&mut serde_json::Deserializer::from_str("null")).unwrap(), None);
    }
}
