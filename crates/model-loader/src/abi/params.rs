//! Parameters that start as the library's defaults and are changed field by field, where fields are known.

use super::call::Blob;
use super::footprint::Footprint;
use super::layout::{Kind, Layout, Row, recognise};
use crate::Error;

/// A parameter struct of one library: its defaults, and what is known of its fields.
#[derive(Clone, Debug)]
pub struct ParamsType {
    name: &'static str,
    footprint: Footprint,
    layout: Option<Layout>,
}

/// A value for a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// For `bool`.
    Bool(bool),
    /// For `int32_t` and enums.
    Int(i32),
    /// For `uint32_t`.
    Count(u32),
    /// For pointers.
    Address(usize),
}

impl ParamsType {
    /// Compares what was measured with `rows`.
    pub fn new(
        name: &'static str,
        footprint: Footprint,
        rows: &[Row],
        exports: &dyn Fn(&str) -> bool,
    ) -> Self {
        let layout = recognise(rows, &footprint, exports);
        if layout.is_none() {
            tracing::warn!(name, %footprint, "this layout is unknown: the library runs with its defaults");
        }
        Self { name, footprint, layout }
    }

    /// The library's defaults.
    pub fn defaults(&self) -> Params<'_> {
        Params { blob: self.footprint.defaults(), of: self }
    }

    /// Releases that have this layout; empty where it is unknown.
    pub fn releases(&self) -> &[&'static str] {
        self.layout.as_ref().map_or(&[], Layout::releases)
    }

    /// Size, gaps and checksum of the defaults.
    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }
}

/// Parameters on their way to the library.
pub struct Params<'a> {
    blob: Blob,
    of: &'a ParamsType,
}

impl Params<'_> {
    /// Whether the field is there and its place known.
    pub fn has(&self, field: &str) -> bool {
        self.place(field).is_some()
    }

    /// Sets a field, for the sake of the option `option`.
    ///
    /// # Errors
    /// Nobody knows where the field lies.
    pub fn set(&mut self, option: &'static str, field: &'static str, value: Value) -> Result<(), Error> {
        let (wanted, bits) = match value {
            Value::Bool(value) => (Kind::Bool, u64::from(value)),
            Value::Int(value) => (Kind::Word, u64::from(value.cast_unsigned())),
            Value::Count(value) => (Kind::Word, u64::from(value)),
            Value::Address(value) => (Kind::Pointer, value as u64),
        };
        match self.place(field) {
            Some((at, kind)) if kind == wanted => {
                let bytes = bits.to_le_bytes();
                self.blob.0[at..at + kind.bytes()].copy_from_slice(&bytes[..kind.bytes()]);
                Ok(())
            }
            _ => Err(self.unknown(option)),
        }
    }

    /// What is said where `option` cannot be set.
    pub fn unknown(&self, option: &'static str) -> Error {
        Error::UnknownLayout {
            option,
            params: self.of.name,
            found: self.of.footprint.to_string(),
            known: self.of.layout.is_some(),
        }
    }

    /// The struct, for a call.
    pub fn blob(&self) -> Blob {
        self.blob.clone()
    }

    fn place(&self, field: &str) -> Option<(usize, Kind)> {
        self.of.layout.as_ref()?.place(field)
    }
}
