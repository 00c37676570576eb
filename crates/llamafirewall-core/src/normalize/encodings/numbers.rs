//! Characters as numbers, one after the other: `69 67 6e`, `6967 6e6f`, `105, 103, 110`, `01101001 01100111`, `151 147 156`, `U+0069 U+0067`.

use super::{Blob, as_text};
use std::ops::Range;

/// Fewer digits make no text.
pub(super) const FEWEST_DIGITS: usize = 6;
/// Fewer numbers make no text; of several bytes each, fewer words.
const FEWEST: usize = 5;
const FEWEST_WORDS: usize = 3;
/// Widest gap between two numbers, in bytes.
const WIDEST_GAP: usize = 4;
/// The same over the end of a line, with what the next line begins with, and how many signs are in it.
const WIDEST_BREAK: usize = 80;
const MOST_SIGNS: usize = 4;

/// In which base the numbers of a row can be read; the last are words of base 16, of some bytes each.
const BASES: [(u32, &str); 6] = [
    (2, "binary"),
    (16, "hexadecimal numbers"),
    (10, "decimal numbers"),
    (8, "octal numbers"),
    (WORDS, "hexadecimal words"),
    (POINTS, "code points"),
];
const WORDS: u32 = 0;
/// Numbers of characters of Unicode, with the mark for it.
const POINTS: u32 = 1;
const MARK: [&str; 2] = ["U+", "u+"];

/// Finds rows of numbers. Of what two bases read, the first one of [`BASES`] counts.
pub(super) fn find(text: &str, blobs: &mut Vec<Blob>) {
    let mut rows: [Vec<Range<usize>>; BASES.len()] = std::array::from_fn(|_| Vec::new());
    each_row(text, &mut |base, row| {
        let fewest = if BASES[base].0 == WORDS { FEWEST_WORDS } else { FEWEST };
        if row.count >= fewest {
            rows[base].push(row.span.clone());
        }
    });
    let mut found: [Vec<Range<usize>>; BASES.len()] = std::array::from_fn(|_| Vec::new());
    for (at, rows) in rows.into_iter().enumerate() {
        let (base, encoding) = BASES[at];
        for row in rows {
            if found[..at].iter().any(|found| lies_within(&row, found)) {
                continue;
            }
            let read: Vec<u8> = tokens(&text[row.clone()]).flat_map(|token| bytes(token, base)).collect();
            if let Some(text) = as_text(&read) {
                blobs.push(Blob { range: row.clone(), encoding, text: Some(text) });
                found[at].push(row);
            }
        }
    }
}

/// Whether a row is part of one of these, which follow each other.
fn lies_within(row: &Range<usize>, rows: &[Range<usize>]) -> bool {
    let before = rows.partition_point(|one| one.start <= row.start);
    before.checked_sub(1).is_some_and(|last| rows[last].end >= row.end)
}

/// Where a row of numbers begins that reaches to the end of the text.
pub(super) fn open_tail(text: &str) -> usize {
    let mut open = text.len();
    each_row(text, &mut |_, row| {
        let rest = &text.as_bytes()[row.span.end..];
        if rest.len() <= WIDEST_GAP || may_be_break(rest) {
            open = open.min(row.span.start);
        }
    });
    open
}

/// Numbers in a row, in one base.
struct Row {
    span: Range<usize>,
    count: usize,
}

/// Calls `each` with the place of a base and a row of numbers in it. What is no number in one base may go on a row in another: a number
/// before or behind a row belongs to no more than those.
fn each_row(text: &str, each: &mut dyn FnMut(usize, &Row)) {
    let mut rows: [Option<Row>; BASES.len()] = std::array::from_fn(|_| None);
    let mut at = 0;
    loop {
        if rows.iter().all(Option::is_none) {
            // A row begins with a digit: of what is text, every number has one in every base.
            at = next_with_digit(text.as_bytes(), at);
        }
        let Some(token) = next_token(text.as_bytes(), at) else { break };
        at = token.end;
        let reads = readings(&text[token.clone()]);
        for (base, row) in rows.iter_mut().enumerate() {
            let goes_on = |row: &Row| reads[base] && is_gap(&text.as_bytes()[row.span.end..token.start]);
            let before = match row.take() {
                Some(row) if !goes_on(&row) => {
                    each(base, &row);
                    None
                }
                row => row,
            };
            let (start, count) = before.map_or((token.start, 0), |row| (row.span.start, row.count));
            *row = reads[base].then_some(Row { span: start..token.end, count: count + 1 });
        }
    }
    rows.iter().enumerate().for_each(|(base, row)| row.iter().for_each(|row| each(base, row)));
}

/// Whether what stands between two numbers leaves them in one row.
fn is_gap(bytes: &[u8]) -> bool {
    bytes.len() <= WIDEST_GAP || (may_be_break(bytes) && bytes.contains(&b'\n'))
}

/// Whether it may become the end of a line with the beginning of the next one: blanks and few signs.
fn may_be_break(bytes: &[u8]) -> bool {
    let is_short = bytes.len() <= WIDEST_BREAK;
    is_short && bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).count() <= MOST_SIGNS
}

/// Where the first token from `at` on begins that has a digit, or the end.
fn next_with_digit(bytes: &[u8], at: usize) -> usize {
    let digit = bytes[at..].iter().position(u8::is_ascii_digit).map_or(bytes.len(), |passed| at + passed);
    let token = digit - bytes[at..digit].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    token - marked(&bytes[at..token], |bytes, mark| bytes.ends_with(mark))
}

/// Letters and digits between anything else, with the signs that mark a base.
fn next_token(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + bytes[at..].iter().position(u8::is_ascii_alphanumeric)?;
    let digits = start + marked(&bytes[start..], |bytes, mark| bytes.starts_with(mark));
    let length = bytes[digits..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    Some(start..digits + length)
}

/// How long the mark of a code point is that stands there, or nothing.
fn marked(bytes: &[u8], stands: fn(&[u8], &[u8]) -> bool) -> usize {
    MARK.iter().find(|mark| stands(bytes, mark.as_bytes())).map_or(0, |mark| mark.len())
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
        [_, _] | [b'x', _, _] | [b'U' | b'u', b'+', ..] => true,
        token => token.len() <= LONGEST && token[0].is_ascii_digit(),
    };
    let is_number = |(base, _)| match base {
        WORDS => word(token).is_some(),
        POINTS => point(token).is_some(),
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
        POINTS => point(token).into_iter().flat_map(|c| c.to_string().into_bytes()).collect(),
        base => value(token, base).into_iter().collect(),
    }
}

/// The digits of some bytes of base 16.
fn word(token: &str) -> Option<&str> {
    let digits = token.strip_prefix("0x").unwrap_or(token);
    // Pairs of digits are in the order of their bytes up to `09`.
    let has_text = |pair: &[u8]| pair > &b"08"[..];
    let is_word = digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_word && digits.as_bytes().chunks(2).all(has_text)).then_some(digits)
}

/// The character of a number behind the mark, of four to six digits.
fn point(token: &str) -> Option<char> {
    let digits = token.get(2..).filter(|digits| (4..=6).contains(&digits.len()))?;
    let number = MARK.contains(&&token[..2]).then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
    char::from_u32(number).filter(|c| *c >= '\t')
}

/// Whether texts have such bytes: the first ones are for control.
fn is_text(byte: u8) -> bool {
    byte >= b'\t'
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
    if !fits { None } else { u8::from_str_radix(digits, base).ok().filter(|byte| is_text(*byte)) }
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
            "Step 3: 69 67 6e 6f 72 65",
            "v 1.2.300\n105, 103, 110, 111, 114, 101\n4711 1 5 300",
            "7d9f8c6b5d\n01101001 01100111 01101110 01101111 01110010 01100101 (12)",
            "5 151 147 156 157 162 145 7",
            "x[] = {\n    0x69, 0x67,\n    0x6e, 0x6f,\n    0x72, 0x65,\n};",
            "> 105, 103, 110,\r\n>   \t111, 114, 101\n>\n",
            "x: U+0069 U+0067 U+006E U+006f U+00072 U+000065",
            "4 U+0069,u+0067,U+006e;U+006f U+0072 U+0065 x",
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
        find("U+0069 U+0067, U+ 0069, U+69, U+, u+0067 U+D800 U+0069 U+110000 U+é", &mut blobs);
        find("xU+0069U+0067U+006E, U+U+0069", &mut blobs);
        assert_eq!(blobs, []);
    }
}
