//! Reads the wire format of Protocol Buffers: as much of it as models of SentencePiece hold.
//! <https://protobuf.dev/programming-guides/encoding/>

use crate::TokenizerError;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    /// Bytes, a text, or another message.
    Bytes(&'a [u8]),
}

/// The fields of one message.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    file: &'static str,
}

impl<'a> Fields<'a> {
    /// `file` is what errors name.
    pub(super) fn new(file: &'static str, message: &'a [u8]) -> Self {
        Self { rest: message, file }
    }

    /// The next field with its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, TokenizerError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let len =
                    usize::try_from(self.varint()?).map_err(|_| self.bad("a length beyond the file"))?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Fixed32(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
            }
            _ => return Err(self.bad("a field of an unknown wire type")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, TokenizerError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.bad("a number of more than ten bytes"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], TokenizerError> {
        let (head, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| self.bad("a field that is cut off"))?;
        self.rest = rest;
        Ok(head)
    }

    /// The error that the message is not what it should be.
    pub(super) fn bad(&self, what: &str) -> TokenizerError {
        TokenizerError::Binary {
            file: self.file,
            what: format!("{what}, {} bytes before its end", self.rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u64, Value<'_>)>, TokenizerError> {
        let mut fields = Fields::new("file", message);
        std::iter::from_fn(|| fields.next().transpose()).collect()
    }

    #[test]
    fn fields_are_read() {
        let message = [8, 0x96, 1, 0x15, 1, 0, 0, 0x80, 0x1A, 2, b'a', b'b', 0x21, 0, 0, 0, 0, 0, 0, 0, 0];
        let want = [
            (1, Value::Varint(150)),
            (2, Value::Fixed32(0x8000_0001)),
            (3, Value::Bytes(b"ab")),
            (4, Value::Fixed64),
        ];
        assert_eq!(all(&message).unwrap(), want);
        assert_eq!(all(&[]).unwrap(), []);
    }

    #[test]
    fn broken_messages_are_refused() {
        for (message, what) in [
            (&[0x0A, 5, 1][..], "cut off"),
            (&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], "cut off"),
            (&[0x0B], "unknown wire type"),
            (&[0x80], "cut off"),
            (&[0xFF; 11], "more than ten bytes"),
        ] {
            let error = all(message).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
