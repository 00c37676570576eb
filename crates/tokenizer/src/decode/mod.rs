//! From ids back to bytes, and from bytes to text as they arrive.

mod steps;

use torchless_base::TokenId;

use crate::Tokenizer;
pub(crate) use steps::{DecodeStep, DecodeSteps};

/// Whether control tokens are written when decoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Controls {
    /// They leave no trace.
    #[default]
    Hide,
    /// They are written as they are called, such as `<|eot_id|>`.
    Show,
}

/// What happens to the start of a text.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// Up to so many of this byte are removed.
    Strip { byte: u8, count: usize },
    /// The first token is written as these steps say.
    Steps(DecodeSteps),
}

impl Start {
    pub(crate) const KEEP: Self = Self::Strip { byte: b' ', count: 0 };
}

/// Up to so many of this byte are removed from the end of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) byte: u8,
    pub(crate) count: usize,
}

impl End {
    /// How many bytes at the end of `text` go.
    fn removes(self, text: &[u8]) -> usize {
        text.iter().rev().take(self.count).take_while(|byte| **byte == self.byte).count()
    }
}

/// The bytes of every token and the rules for the ends of a text.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    start: Start,
    end: End,
    drops_repeats: bool,
}

impl Decoder {
    pub(crate) fn new(tokens: impl Iterator<Item = Vec<u8>>, start: Start) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for token in tokens {
            bytes.extend_from_slice(&token);
            ends.push(bytes.len());
        }
        Self { bytes, ends, start, end: End::default(), drops_repeats: false }
    }

    /// A decoder that does what `steps` say; the step that it cannot do as an error.
    pub(crate) fn of_steps<'t>(
        steps: &DecodeSteps,
        tokens: impl Iterator<Item = &'t [u8]>,
    ) -> Result<Self, &DecodeStep> {
        let (start, end) = steps.ends()?;
        let decoder = Self::new(tokens.map(|text| steps.token_bytes(text, false)), start);
        Ok(Self { end, drops_repeats: steps.drops_repeats(), ..decoder })
    }

    /// The bytes that the token contributes inside a text.
    pub(crate) fn token(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }

    /// Removes what does not belong to the end of `text`.
    pub(crate) fn finish(&self, text: &mut Vec<u8>) {
        text.truncate(text.len() - self.end.removes(text));
    }
}

/// Where decoding stands in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    to_strip: usize,
    first: bool,
    last: Option<TokenId>,
}

impl Position {
    pub(crate) fn start(decoder: &Decoder) -> Self {
        let to_strip = if let Start::Strip { count, .. } = decoder.start { count } else { 0 };
        Self { to_strip, first: true, last: None }
    }

    pub(crate) fn inside() -> Self {
        Self { to_strip: 0, first: false, last: None }
    }

    /// Appends the bytes of `id`, which stands here.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, id: TokenId, controls: Controls, out: &mut Vec<u8>) {
        if controls == Controls::Hide && tokenizer.is_control(id) {
            return;
        }
        let decoder = tokenizer.decoder();
        let Some(mut bytes) = decoder.token(id.0) else { return };
        if decoder.drops_repeats && self.last.replace(id) == Some(id) {
            return;
        }
        match &decoder.start {
            Start::Strip { byte, .. } => {
                while self.to_strip > 0 && !bytes.is_empty() {
                    let strips = bytes[0] == *byte;
                    self.to_strip = if strips { self.to_strip - 1 } else { 0 };
                    bytes = &bytes[usize::from(strips)..];
                }
                out.extend_from_slice(bytes);
            }
            Start::Steps(steps) if self.first => {
                let text = tokenizer.piece(id).unwrap_or_default();
                out.extend(steps.token_bytes(text.as_bytes(), true));
            }
            Start::Steps(_) => out.extend_from_slice(bytes),
        }
        self.first = false;
    }
}

/// Turns ids into text as they come; never gives half a character.
///
/// Everything that it gave, joined, equals the decoding of all ids at once. Bytes that are not UTF-8 become
/// U+FFFD as soon as it is certain that nothing later completes them.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    controls: Controls,
    position: Position,
    pending: Vec<u8>,
}

impl<'t> StreamDecoder<'t> {
    pub(crate) fn new(tokenizer: &'t Tokenizer, position: Position, controls: Controls) -> Self {
        Self { tokenizer, controls, position, pending: Vec::new() }
    }

    /// The text that `id` completes; often empty in the middle of a character.
    pub fn push(&mut self, id: TokenId) -> String {
        self.position.push(self.tokenizer, id, self.controls, &mut self.pending);
        let complete = match unfinished(&self.pending) {
            // What may have to go from the end of the text waits until something follows.
            0 => self.pending.len() - self.tokenizer.decoder().end.removes(&self.pending),
            waiting => self.pending.len() - waiting,
        };
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        text
    }

    /// What is left when nothing more comes: U+FFFD for a character that was never finished.
    pub fn flush(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.pending);
        self.tokenizer.decoder().finish(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// How many bytes at the end begin a character that more bytes may finish; at most 3.
fn unfinished(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|&n| {
            let tail = &bytes[bytes.len() - n..];
            tail[0] >= 0xC0 && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_still_become_a_character_waits() {
        assert_eq!(unfinished("aé".as_bytes()), 0);
        assert_eq!(unfinished(b"a\xC3"), 1);
        assert_eq!(unfinished(b"\xF0\x9F\xA6"), 3);
        assert_eq!(unfinished(b"\xF0\x9F"), 2);
        assert_eq!(unfinished(b"\xFF"), 0);
        assert_eq!(unfinished(b"\xE0\x80"), 0);
        assert_eq!(unfinished(b"\xA9"), 0);
        assert_eq!(unfinished(b""), 0);
    }
}
