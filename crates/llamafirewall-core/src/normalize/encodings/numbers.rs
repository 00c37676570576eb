//! Characters as numbers, one after the other: `69 67 6e`, `105, 103, 110`, `01101001 01100111`, `151 147 156`.

use super::{Blob, as_text};
use std::ops::Range;

/// Fewer digits make no text.
pub(super) const FEWEST_DIGITS: usize = 6;
/// Fewer numbers make no text.
const FEWEST: usize = 5;
/// Widest gap between two numbers, in bytes.
const WIDEST_GAP: usize = 4;

/// In which base the numbers of a row can be read.
const BASES: [(u32, &str); 4] =
    [(2, "binary"), (16, "hexadecimal numbers"), (10, "decimal numbers"), (8, "octal numbers")];

/// Finds rows of numbers.
pub(super) fn find(text: &str, blobs: &mut Vec<Blob>) {
    each_row(text, &mut |row| row.close(blobs));
}

/// Where a row of numbers begins that reaches to the end of the text.
pub(super) fn open_tail(text: &str) -> usize {
    let mut open = text.len();
    each_row(text, &mut |row| {
        let reaches = row.end.is_some_and(|end| text.len() - end <= WIDEST_GAP);
        if reaches && row.values.iter().any(Option::is_some) {
            open = row.start;
        }
    });
    open
}

fn each_row(text: &str, each: &mut dyn FnMut(&Row)) {
    let mut row = Row::default();
    for range in tokens(text) {
        let token = &text[range.clone()];
        let values = BASES.map(|(base, _)| value(token, base));
        let goes_on = row.end.is_some_and(|end| range.start - end <= WIDEST_GAP);
        if !goes_on || !row.takes(&values) {
            each(&row);
            row = Row::default();
        }
        row.push(range, values);
    }
    each(&row);
}

/// Numbers in a row.
#[derive(Default)]
struct Row {
    start: usize,
    end: Option<usize>,
    /// In each base, or nothing where one of the numbers is none in it.
    values: [Option<Vec<u8>>; 4],
}

impl Row {
    /// Whether some base reads all numbers, these included.
    fn takes(&self, values: &[Option<u8>; 4]) -> bool {
        self.values.iter().zip(values).any(|(row, value)| row.is_some() && value.is_some())
    }

    fn push(&mut self, range: Range<usize>, values: [Option<u8>; 4]) {
        if self.end.is_none() {
            self.start = range.start;
            self.values = [const { Some(Vec::new()) }; 4];
        }
        self.end = Some(range.end);
        for (row, value) in self.values.iter_mut().zip(values) {
            match (row.as_mut(), value) {
                (Some(row), Some(value)) => row.push(value),
                _ => *row = None,
            }
        }
    }

    fn close(&self, blobs: &mut Vec<Blob>) {
        let Some(end) = self.end else { return };
        for (values, (_, encoding)) in self.values.iter().zip(BASES) {
            let Some(values) = values.as_ref().filter(|values| values.len() >= FEWEST) else { continue };
            if let Some(text) = as_text(values).filter(|_| values.iter().all(|byte| *byte >= 9)) {
                blobs.push(Blob { range: self.start..end, encoding, text: Some(text) });
                return;
            }
        }
    }
}

/// Letters and digits between anything else, with the signs that mark a base.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        at += bytes[at..].iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        let start = at;
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        (at > start).then_some(start..at)
    })
}

fn value(token: &str, base: u32) -> Option<u8> {
    let digits = match base {
        2 => token.strip_prefix("0b").unwrap_or(token),
        16 => token.strip_prefix("0x").or_else(|| token.strip_prefix('x')).unwrap_or(token),
        _ => token,
    };
    let fits = match base {
        2 => (7..=8).contains(&digits.len()),
        16 => digits.len() == 2,
        8 => digits.len() == 3,
        _ => (1..=3).contains(&digits.len()),
    };
    if !fits { None } else { u8::from_str_radix(digits, base).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_numbers_are_read() {
        for text in [
            "x: 69 67 6e 6f 72 65",
            "x: 0x69, 0x67, 0x6e, 0x6f, 0x72, 0x65",
            "x: 69:67:6E:6F:72:65",
            "x: 105 103 110 111 114 101",
            "x: [105, 103, 110, 111, 114, 101]",
            "x: 01101001 01100111 01101110 01101111 01110010 01100101",
            "x: 151 147 156 157 162 145",
        ] {
            let mut blobs = Vec::new();
            find(text, &mut blobs);
            assert!(blobs.iter().any(|blob| blob.text.as_deref() == Some("ignore")), "{text}: {blobs:?}");
        }
    }

    #[test]
    fn rows_that_are_no_text_are_left() {
        let mut blobs = Vec::new();
        find("1 2 3 4 5 6 7 8, 2024-01-02 03:04:05, 192.168.0.1 and 10 apples", &mut blobs);
        assert_eq!(blobs, []);
    }
}
