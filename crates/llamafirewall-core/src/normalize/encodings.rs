//! Texts that were packed into another alphabet: what can be unpacked is, what cannot is an opaque blob.

mod hidden;
mod numbers;
mod radix;
mod words;

use super::survey::Survey;
use std::ops::Range;

/// What stands in a text in another alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its place.
    pub range: Range<usize>,
    /// Name of the encoding.
    pub encoding: &'static str,
    /// What it says; `None` for what nothing here can read.
    pub text: Option<String>,
}

/// Every blob of a text, ordered by place within each encoding.
pub(super) fn blobs(text: &str, survey: &Survey) -> Vec<Blob> {
    let mut blobs = Vec::new();
    if survey.longest_word >= radix::SHORTEST {
        radix::find(text, &mut blobs);
    }
    if survey.digits >= numbers::FEWEST_DIGITS {
        numbers::find(text, &mut blobs);
    }
    if survey.strokes >= words::FEWEST_STROKES {
        words::find_morse(text, &mut blobs);
    }
    words::find_spelled(text, &mut blobs);
    blobs
}

/// What invisible characters say.
pub(super) fn hidden(text: &str) -> Vec<Blob> {
    let mut blobs = Vec::new();
    hidden::find(text, &mut blobs);
    blobs
}

/// Where a blob begins that reaches to the end of the text, where the last word begins at `word`.
pub(super) fn open_tail(text: &str, word: usize) -> usize {
    let opens = [
        radix::open_tail(text, word),
        numbers::open_tail(text),
        words::open_morse(text),
        words::open_spelled(text),
    ];
    opens.into_iter().min().unwrap_or(text.len())
}

/// The text that bytes are, if they are text.
fn as_text(bytes: &[u8]) -> Option<String> {
    if bytes.len() < 4 {
        return None;
    }
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count() * 10;
    // Two bytes per character, as PowerShell encodes.
    let text = if zeros(1) >= bytes.len() * 4 {
        let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    let is_odd = |c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
    let (all, odd) = text.chars().fold((0, 0), |(all, odd), c| (all + 1, odd + usize::from(is_odd(c))));
    (odd * 20 <= all).then_some(text)
}
