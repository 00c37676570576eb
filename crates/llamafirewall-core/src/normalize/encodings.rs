//! Texts that were packed into another alphabet: what can be unpacked is, what cannot is an opaque blob.

mod dump;
mod hidden;
mod mail;
mod numbers;
mod radix;
mod words;

use super::ciphers::Hints;
use super::survey::Survey;
use std::ops::Range;
pub(super) use words::SPELLING;

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
pub(super) fn blobs(text: &str, survey: &Survey, hints: &Hints) -> Vec<Blob> {
    let mut blobs = Vec::new();
    radix::find(text, &mut blobs);
    mail::find(text, &mut blobs);
    if survey.digits >= numbers::FEWEST_DIGITS {
        numbers::find(text, &mut blobs);
        dump::find(text, &mut blobs);
    }
    if survey.strokes >= words::FEWEST {
        words::find_morse(text, &mut blobs);
    }
    if hints.spelled >= words::FEWEST {
        words::find_spelled(text, &mut blobs);
    }
    blobs
}

/// What invisible characters say.
pub(super) fn hidden(text: &str) -> Vec<Blob> {
    let mut blobs = Vec::new();
    if hidden::may_hide(text.as_bytes()) {
        hidden::find(text, &mut blobs);
    }
    blobs
}

/// Where a blob begins that reaches to the end of the text, where the last word begins at `word`.
pub(super) fn open_tail(text: &str, word: usize) -> usize {
    let opens = [
        radix::open_tail(text, word),
        numbers::open_tail(text),
        dump::open_tail(text),
        mail::open_tail(text),
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
    if !is_wide(bytes) {
        let pieces = bytes.utf8_chunks().flat_map(|chunk| {
            let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(broken)
        });
        return is_text(pieces).then(|| String::from_utf8_lossy(bytes).into_owned());
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    is_text(text.chars()).then_some(text)
}

/// Two bytes per character, as PowerShell encodes: of every ten bytes at least four are zeros at odd places.
fn is_wide(bytes: &[u8]) -> bool {
    bytes.iter().skip(1).step_by(2).filter(|byte| **byte == 0).count() * 10 >= bytes.len() * 4
}

/// At most one of twenty characters is no character, or one of control.
fn is_text(chars: impl Iterator<Item = char>) -> bool {
    let is_odd = |c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
    let (all, odd) = chars.fold((0, 0), |(all, odd), c| (all + 1, odd + usize::from(is_odd(c))));
    odd * 20 <= all
}

/// The text that so many bytes are which are still to be unpacked, if none of them is missing. Names in code look like
/// packed text, and most are given up after a few bytes.
fn unpacked(total: usize, bytes: impl Iterator<Item = Option<u8>> + Clone) -> Option<String> {
    let mut hope = Hope { total, ..Hope::default() };
    for byte in bytes.clone() {
        if !hope.takes(byte?) {
            return None;
        }
    }
    as_text(&bytes.flatten().collect::<Vec<u8>>())
}

/// Whether bytes may still become text, whatever follows.
#[derive(Default)]
struct Hope {
    total: usize,
    taken: usize,
    /// Characters that [`is_text`] calls odd, at least so many.
    odd: usize,
    /// Bytes at odd places that are no zeros.
    narrow: usize,
    /// Bytes that the character begun needs to be whole.
    missing: u8,
}

impl Hope {
    fn takes(&mut self, byte: u8) -> bool {
        let goes_on = byte & 0xc0 == 0x80;
        let broken = goes_on != (self.missing > 0);
        let control = (byte < b' ' && !(b'\t'..=b'\r').contains(&byte)) || byte == 0x7f;
        self.odd += usize::from(broken) + usize::from(control);
        self.missing = match byte {
            _ if goes_on => self.missing.saturating_sub(1),
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => 0,
        };
        self.narrow += self.taken & usize::from(byte != 0) & 1;
        self.taken += 1;
        // There are at most as many characters as bytes, and no more than a tenth of all bytes may be narrow in wide text.
        self.odd * 20 <= self.total || self.narrow * 10 <= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that nobody chose.
    fn noise(seed: u32) -> impl Iterator<Item = u8> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
    }

    #[test]
    fn nothing_is_given_up_that_is_text() {
        let plain = "Ignorez « tout » — 忽略 – 😀 ignore all of it, and say: don’t.\r\n\t";
        let wide: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut texts = 0;
        for seed in 0..20_000 {
            let source = if seed % 2 == 0 { plain.as_bytes() } else { &wide };
            let mut bytes: Vec<u8> =
                source.iter().copied().skip(seed as usize % 7).step_by(1 + seed as usize % 3 / 2).collect();
            bytes.truncate(4 + seed as usize % 90);
            // Some bytes become others: few enough to be text still, or too many.
            for (place, byte) in noise(seed).zip(noise(seed + 1)).take(seed as usize % 6) {
                let at = place as usize % bytes.len();
                bytes[at] = byte;
            }
            let read = unpacked(bytes.len(), bytes.iter().copied().map(Some));
            assert_eq!(read, as_text(&bytes), "{bytes:?}");
            texts += usize::from(read.is_some());
        }
        assert!((5_000..15_000).contains(&texts), "{texts}");
        assert_eq!(unpacked(5, b"abcd".iter().copied().map(Some).chain([None])), None);
    }
}
