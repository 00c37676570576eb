//! Whether what looks like a token is a piece of base64: long runs of it have whatever tokens begin with, and their signs
//! `+` and `/` and the ends of their lines stand around it as if it were a word of its own.

use std::ops::Range;

/// How far a run is looked at on either side.
const REACH: usize = 256;
/// Letters beside the piece, at least, that say what the run is; so many are no path.
const FEWEST: usize = 12;
const MANY: usize = 200;
/// Two bytes of zeros, and the beginning of another.
const ZEROS: &[u8] = b"AAA";
/// Shortest full line of a block.
const NARROWEST: usize = 60;
/// Longest beginning that all lines of a block have, such as `> `.
const WIDEST_MARGIN: usize = 16;

/// Whether bytes of `text` at `span` that begin with `prefix` belong to a longer run of base64: they have a `+` or `/` of it at one
/// side at least, or they begin or end a line of several. What is a whole line, a whole word, a part of a path or an address of the
/// web, or stands beside another token of its kind, does not.
pub fn is_within_base64(text: &str, span: &Range<usize>, prefix: &str) -> bool {
    let bytes = text.as_bytes();
    if !bytes[span.clone()].iter().all(|byte| is_digit(*byte)) {
        return false;
    }
    let run = Run::around(bytes, span);
    if run.range == *span || run.has_another(bytes, span, prefix) {
        return false;
    }
    run.is_line_of_several(bytes, span, prefix) || (run.is_apart(span, bytes) && run.is_packed(bytes, span))
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Digits of base64 in a row, of which the ends may be out of reach.
struct Run {
    range: Range<usize>,
    begins: bool,
    ends: bool,
}

impl Run {
    fn around(bytes: &[u8], span: &Range<usize>) -> Self {
        let before = bytes[..span.start].iter().rev().take(REACH).take_while(|byte| is_digit(**byte)).count();
        let after = bytes[span.end..].iter().take(REACH).take_while(|byte| is_digit(**byte)).count();
        let range = span.start - before..span.end + after;
        Self { range, begins: before < REACH, ends: after < REACH }
    }

    /// Whether a token that begins alike is next to it, as in `one/another`.
    fn has_another(&self, bytes: &[u8], span: &Range<usize>, prefix: &str) -> bool {
        let is_sign = |byte: &u8| !byte.is_ascii_alphanumeric();
        let before = &bytes[self.range.start..span.start];
        let before = before.strip_suffix(b"/").or_else(|| before.strip_suffix(b"+")).unwrap_or(before);
        let last = before.rsplit(is_sign).next().unwrap_or_default();
        let next = bytes[span.end..self.range.end].get(1..).unwrap_or_default();
        // Zeros behind such a beginning are in no token, but in many a program.
        let begins =
            |piece: &[u8]| piece.strip_prefix(prefix.as_bytes()).is_some_and(|rest| !rest.starts_with(ZEROS));
        begins(last) || begins(next)
    }

    /// Whether the run is a line of a block: the line before or behind it has one at the same place, as long, or shorter where it is
    /// the last.
    fn is_line_of_several(&self, bytes: &[u8], span: &Range<usize>, prefix: &str) -> bool {
        if !self.begins || !self.ends {
            return false;
        }
        let back = &bytes[self.range.start.saturating_sub(WIDEST_MARGIN + 1)..self.range.start];
        let Some(margin) = margin(back, self.range.start) else { return false };
        let line_start = self.range.start - margin.len();
        let at = span.start - self.range.start;
        let length = self.range.len();
        let is_other = |line: &[u8], fits: &dyn Fn(usize) -> bool| {
            let Some(digits) = line.strip_prefix(margin) else { return false };
            let count = digits.iter().take(REACH * 3).take_while(|byte| is_digit(**byte)).count();
            fits(count) && !digits[at.min(count)..].starts_with(prefix.as_bytes())
        };
        let before = line_before(bytes, line_start);
        let after = line_after(bytes, self.range.end);
        before.is_some_and(|line| is_other(line, &|count| count >= NARROWEST.max(length)))
            || (length >= NARROWEST
                && after.is_some_and(|line| is_other(line, &|count| (1..=length).contains(&count))))
    }

    /// Whether nothing before says that the signs are those of a path or an address of the web.
    fn is_apart(&self, span: &Range<usize>, bytes: &[u8]) -> bool {
        if !self.begins {
            return true;
        }
        let is_long = self.range.len() - span.len() >= MANY;
        let before = &bytes[..self.range.start];
        let is_blank =
            |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'(');
        let word = before.iter().rev().take(REACH).position(is_blank).unwrap_or(before.len().min(REACH));
        let word = &before[before.len() - word..];
        let is_of_name = word.last().is_some_and(|byte| b".-_~%@?&#$\\".contains(byte) || !byte.is_ascii());
        let is_path = bytes[self.range.start] == b'/' && !is_long;
        !is_of_name && !is_path && !word.windows(3).any(|three| three == b"://")
    }

    /// Whether what is beside the piece changes between capitals, small letters and digits as nothing does that is spelt, and all of
    /// it has a length that base64 has.
    fn is_packed(&self, bytes: &[u8], span: &Range<usize>) -> bool {
        let sides = [&bytes[self.range.start..span.start], &bytes[span.end..self.range.end]];
        let letters = || sides.into_iter().flat_map(|side| side.split(|byte| !byte.is_ascii_alphanumeric()));
        // What repeats itself, such as zeros, says nothing.
        let pairs = || letters().flat_map(|word| word.windows(2)).filter(|pair| pair[0] != pair[1]);
        let count = pairs().count() + letters().filter(|word| !word.is_empty()).count();
        let changes = pairs().filter(|pair| changes(pair[0], pair[1])).count();
        let is_whole = !self.begins || !self.ends || self.length_fits(bytes);
        count >= FEWEST && changes * 4 >= count && is_whole
    }

    fn length_fits(&self, bytes: &[u8]) -> bool {
        let padding = bytes[self.range.end..].iter().take(3).take_while(|byte| **byte == b'=').count();
        (self.range.len() + padding).is_multiple_of(4)
    }
}

/// A capital behind another letter, or a digit beside a letter.
fn changes(one: u8, next: u8) -> bool {
    (next.is_ascii_uppercase() && !one.is_ascii_uppercase()) || one.is_ascii_digit() != next.is_ascii_digit()
}

/// What stands before the run in its line, of which `back` is the end, with the end of the line before.
fn margin(back: &[u8], start: usize) -> Option<&[u8]> {
    match back.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => Some(&back[end + 1..]),
        None => (back.len() == start).then_some(back),
    }
}

/// The line before the one that begins at `start`, of a usual length.
fn line_before(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let before = bytes[..start].strip_suffix(b"\n")?;
    let length = before.iter().rev().take(REACH * 3).position(|byte| *byte == b'\n');
    let length = length.or_else(|| (before.len() < REACH * 3).then_some(before.len()))?;
    Some(&before[before.len() - length..])
}

/// What stands behind the line that goes on at `end`.
fn line_after(bytes: &[u8], end: usize) -> Option<&[u8]> {
    let newline = bytes[end..].iter().take(WIDEST_MARGIN).position(|byte| *byte == b'\n')?;
    Some(&bytes[end + newline + 1..])
}
