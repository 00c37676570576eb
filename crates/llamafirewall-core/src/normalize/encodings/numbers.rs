//! Characters as numbers, one after the other: `69 67 6e`, `6967 6e6f`, `105, 103, 110`, `01101001 01100111`, `151 147 156`.

use super::{Blob, as_text};
use std::ops::Range;

/// Fewer digits make no text.
pub(super) const FEWEST_DIGITS: usize = 6;
/// Fewer numbers make no text; of several bytes each, fewer words.
const FEWEST: usize = 5;
const FEWEST_WORDS: usize = 3;
/// Widest gap between two numbers, in bytes.
const WIDEST_GAP: usize = 4;

/// In which base the numbers of a row can be read; the last are words of base 16, of some bytes each.
const BASES: [(u32, &str); 5] = [
    (2, "binary"),
    (16, "hexadecimal numbers"),
    (10, "decimal numbers"),
    (8, "octal numbers"),
    (WORDS, "hexadecimal words"),
];
const WORDS: u32 = 0;

/// Finds rows of numbers.
pub(super) fn find(text: &str, blobs: &mut Vec<Blob>) {
    each_row(text, &mut |row| row.close(text, blobs));
}

/// Where a row of numbers begins that reaches to the end of the text.
pub(super) fn open_tail(text: &str) -> usize {
    let mut open = text.len();
    each_row(text, &mut |row| {
        if text.len() - row.span.end <= WIDEST_GAP && row.reads.contains(&true) {
            open = row.span.start;
        }
    });
    open
}

fn each_row(text: &str, each: &mut dyn FnMut(&Row)) {
    let mut row: Option<Row> = None;
    let mut at = 0;
    loop {
        if row.is_none() {
            // A row begins with a digit: of what is text, every number has one in every base.
            at = next_with_digit(text.as_bytes(), at);
        }
        let Some(range) = next_token(text.as_bytes(), at) else { break };
        at = range.end;
        let reads = readings(&text[range.clone()]);
        let last = row.take();
        let joined = last.as_ref().filter(|last| range.start - last.span.end <= WIDEST_GAP);
        row = joined.and_then(|last| last.with(range.end, reads)).or_else(|| {
            last.iter().for_each(&mut *each);
            // What is no number begins no row.
            reads.contains(&true).then_some(Row { span: range, count: 1, reads })
        });
    }
    row.iter().for_each(each);
}

/// Where the first token from `at` on begins that has a digit, or the end.
fn next_with_digit(bytes: &[u8], at: usize) -> usize {
    let digit = bytes[at..].iter().position(u8::is_ascii_digit).map_or(bytes.len(), |passed| at + passed);
    digit - bytes[at..digit].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

/// Numbers in a row.
struct Row {
    span: Range<usize>,
    count: usize,
    /// Which bases read all numbers.
    reads: [bool; BASES.len()],
}

impl Row {
    /// The row with one more number, if some base reads that too.
    fn with(&self, end: usize, reads: [bool; BASES.len()]) -> Option<Self> {
        let reads = std::array::from_fn(|base| self.reads[base] && reads[base]);
        reads.contains(&true).then(|| Self { span: self.span.start..end, count: self.count + 1, reads })
    }

    fn close(&self, text: &str, blobs: &mut Vec<Blob>) {
        let row = &text[self.span.clone()];
        for ((base, encoding), _) in BASES.iter().zip(self.reads).filter(|(_, reads)| *reads) {
            if self.count < if *base == WORDS { FEWEST_WORDS } else { FEWEST } {
                continue;
            }
            let read: Vec<u8> = tokens(row).flat_map(|token| bytes(token, *base)).collect();
            if let Some(text) = as_text(&read).filter(|_| read.iter().all(|byte| *byte >= 9)) {
                blobs.push(Blob { range: self.span.clone(), encoding, text: Some(text) });
                return;
            }
        }
    }
}

/// Letters and digits between anything else, with the signs that mark a base.
fn next_token(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + bytes[at..].iter().position(u8::is_ascii_alphanumeric)?;
    Some(start..start + bytes[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count())
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let token = next_token(text.as_bytes(), at)?;
        at = token.end;
        Some(&text[token])
    })
}

/// Longer tokens are no number: eight bytes of base 16 and their mark.
const LONGEST: usize = 18;

/// In which bases a token is a number.
fn readings(token: &str) -> [bool; BASES.len()] {
    // Without digits there is no number but one of base 16 of two letters, perhaps with its mark.
    let may_be = match token.as_bytes() {
        [_, _] | [b'x', _, _] => true,
        token => token.len() <= LONGEST && token[0].is_ascii_digit(),
    };
    let is_number = |(base, _)| match base {
        WORDS => word(token).is_some(),
        base => value(token, base).is_some(),
    };
    if may_be { BASES.map(is_number) } else { [false; BASES.len()] }
}

/// The bytes of a token in a base.
fn bytes(token: &str, base: u32) -> Vec<u8> {
    let of_word = |digits: &str| {
        let pairs = digits.as_bytes().chunks_exact(2);
        pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
    };
    match base {
        WORDS => word(token).map(of_word).unwrap_or_default(),
        base => value(token, base).into_iter().collect(),
    }
}

/// The digits of some bytes of base 16.
fn word(token: &str) -> Option<&str> {
    let digits = token.strip_prefix("0x").unwrap_or(token);
    let is_word = digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_word.then_some(digits)
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
            "be 69 67 6e 6f 72 65",
            "x: 0x69, 0x67, 0x6e, 0x6f, 0x72, 0x65",
            "x: 69:67:6E:6F:72:65",
            "x: 105 103 110 111 114 101",
            "x: [105, 103, 110, 111, 114, 101]",
            "x: 01101001 01100111 01101110 01101111 01110010 01100101",
            "x: 151 147 156 157 162 145",
            "x: 6967 6e6f 7265",
            "x: 0x6967 0x6e6f 0x7265",
            "x: 69676e6f 72 65",
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
