//! Values in lines of conversations: content, and the texts that stand in keys that nobody knows.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use torchless::conversation::{Beside, place_within};
use torchless::firewall::Field;

/// A text, or parts of one.
#[derive(Default)]
pub struct Content(pub Vec<Part>);

/// A part of a content.
#[derive(Default, Deserialize)]
#[serde(expecting = "a part of content")]
pub struct Part {
    pub text: Option<String>,
    /// Of a call among the parts.
    pub name: Option<Box<RawValue>>,
    pub input: Option<Box<RawValue>>,
    #[serde(flatten)]
    pub others: Others,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyContent)
    }
}

/// Written out because serde's own says of any mistake only that it matches no variant.
struct AnyContent;

impl<'de> Visitor<'de> for AnyContent {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a list of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content(vec![Part { text: Some(text.to_owned()), ..Part::default() }]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        let mut content = Content::default();
        while let Some(part) = parts.next_element()? {
            content.0.push(part);
        }
        Ok(content)
    }
}

/// What an object has under other keys: each entry of it, also where one key stands there twice.
#[derive(Default)]
pub struct Others(Beside);

impl Others {
    /// The texts of any value, with the place of it.
    pub fn within(place: &str, value: &RawValue) -> serde_json::Result<Vec<Field>> {
        let mut beside = Beside::default();
        Texts { place, beside: &mut beside }
            .deserialize(&mut serde_json::Deserializer::from_str(value.get()))?;
        Ok(beside.into_fields().into_iter().map(|(place, text)| Field { place, text }).collect())
    }

    /// With the place of the object that they stand in.
    pub fn at(self, place: &str) -> Vec<Field> {
        let inside = |(at, text): (String, String)| Field { place: place_within(place, &at), text };
        self.0.into_fields().into_iter().map(inside).collect()
    }
}

impl<'de> Deserialize<'de> for Others {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut beside = Beside::default();
        from.deserialize_map(Texts { place: "", beside: &mut beside })?;
        Ok(Self(beside))
    }
}

/// Gathers the texts and numbers of a value.
struct Texts<'a> {
    place: &'a str,
    beside: &'a mut Beside,
}

impl Texts<'_> {
    fn at<'b>(&'b mut self, place: &'b str) -> Texts<'b> {
        Texts { place, beside: self.beside }
    }
}

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        // What every part and every call is said to be.
        let says_nothing =
            matches!((self.place.rsplit('.').next(), text), (Some("type"), "text" | "function"));
        if !says_nothing {
            self.beside.value(self.place, text.to_owned());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut at = 0;
        while items.next_element_seed(self.at(&place_within(self.place, &format!("[{at}]"))))?.is_some() {
            at += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            let place = self.beside.key(self.place, &key);
            entries.next_value_seed(self.at(&place))?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.beside.value(self.place, number.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.beside.value(self.place, number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.beside.value(self.place, number.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
