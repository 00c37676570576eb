//! Reads little-endian values from a header, never past its end.

use crate::error::{FormatError, Problem};
use crate::limits;

#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next `count` bytes; `what` names them in the error.
    pub(crate) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], FormatError> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| {
            let end = (self.at as u64).saturating_add(count);
            let have = self.bytes.len() as u64;
            FormatError::at(self.at, Problem::Truncated { what, end, have })
        })?;
        if self.at + taken.len() > limits::GGUF_HEADER_BYTES {
            let (value, limit) = ((self.at + taken.len()) as u64, limits::GGUF_HEADER_BYTES as u64);
            return Err(FormatError::at(self.at, Problem::Limit { what: "the header's size", value, limit }));
        }
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count of things that take at least one byte each; refused above `limit`.
    pub(crate) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, FormatError> {
        let at = self.at;
        let value = self.u64(what)?;
        if value > limit {
            return Err(FormatError::at(at, Problem::Limit { what, value, limit }));
        }
        Ok(value)
    }

    /// A string of at most `limit` bytes: its length as u64, then its bytes.
    pub(crate) fn string(&mut self, what: &'static str, limit: u64) -> Result<&'a str, FormatError> {
        let at = self.at;
        let length = self.u64(what)?;
        if length > limit && length <= self.bytes.len() as u64 {
            return Err(FormatError::at(at, Problem::Limit { what, value: length, limit }));
        }
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| FormatError::at(at, Problem::NotUtf8(what)))
    }
}
