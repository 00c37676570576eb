//! What stands in lines that programs print bytes in: dumps, whose points stand for other signs and whose digits are no numbers, and
//! uuencode. What the bytes say is read in a form of its own.

use std::ops::Range;

/// Longest line that is looked at, in bytes.
const LONGEST: usize = 400;
/// Digits of a place, at most and at least, and where no signs stand beside the bytes.
const MOST_PLACE: usize = 16;
const FEWEST_PLACE: usize = 4;
const FEWEST_PLACE_ALONE: usize = 6;
/// Bytes of a line of a dump, at most.
const WIDEST: usize = 64;
/// Groups of four digits in a full line of `hexdump` and `od -x`.
const GROUPS: usize = 8;

/// Whether what looks like an address of mail is a part of such lines.
pub(super) fn is_no_address(text: &str, span: &Range<usize>) -> bool {
    has_other_bytes(text, span) || is_uuencoded(text, span)
}

/// The same for the number of an account.
pub(super) fn is_no_account(text: &str, span: &Range<usize>) -> bool {
    stands_in_dump(text, span) || stands_in_full_line(text, span)
}

/// Whether what has a point at one of its places stands among the signs beside a dump's bytes, and one of these points is another
/// byte's.
fn has_other_bytes(text: &str, span: &Range<usize>) -> bool {
    let Some(line) = line_around(text, span) else { return false };
    let start = line.start;
    let (line, from, to) = (&text.as_bytes()[line], span.start - start, span.end - start);
    if !begins_with_place(line) {
        return false;
    }
    let Some((column, bytes)) = (0..=from).rev().take(WIDEST).find_map(|at| Some((at, signs(line, at)?)))
    else {
        return false;
    };
    let others = |at: usize| bytes.get(at - column).is_none_or(|byte| *byte != line[at]);
    to - column <= bytes.len() && (from..to).any(others)
}

/// Whether it is among the digits of a dump that has its signs beside them.
pub(super) fn stands_in_dump(text: &str, span: &Range<usize>) -> bool {
    let Some(range) = line_around(text, span) else { return false };
    let (line, to) = (&text.as_bytes()[range.clone()], span.end - range.start);
    begins_with_place(line) && (to + 1..line.len()).any(|at| signs(line, at).is_some())
}

/// Whether its line is a place and as many groups of four digits, in small letters, as dumps without signs have.
fn stands_in_full_line(text: &str, span: &Range<usize>) -> bool {
    let Some(line) = line_around(text, span) else { return false };
    let has_four = |group: &&[u8]| group.len() == 4 && !group.iter().any(u8::is_ascii_uppercase);
    parts(&text.as_bytes()[line]).is_some_and(|(place, groups)| {
        place.len() >= FEWEST_PLACE_ALONE && groups.len() == GROUPS && groups.iter().all(has_four)
    })
}

/// Whether the line around is one of uuencode, behind another one or its heading.
fn is_uuencoded(text: &str, span: &Range<usize>) -> bool {
    let Some(line) = line_around(text, span) else { return false };
    let Some(before) = line.start.checked_sub(1) else { return false };
    let Some(before) = line_around(text, &(before..before)) else { return false };
    let before = &text.as_bytes()[before];
    is_line_of_uuencode(&text.as_bytes()[line])
        && (before.starts_with(b"begin ") || is_line_of_uuencode(before))
}

/// The line that a place is in, without its end; `None` for a long one.
fn line_around(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = bytes[..span.start].iter().rev().take(LONGEST).position(|byte| *byte == b'\n');
    let start = span.start - before.or((span.start < LONGEST).then_some(span.start))?;
    let rest = &bytes[span.end..];
    let after = rest.iter().take(LONGEST).position(|byte| *byte == b'\n');
    let end = span.end + after.or((rest.len() < LONGEST).then_some(rest.len()))?;
    Some(start..end - usize::from(end > start && bytes[end - 1] == b'\r'))
}

/// The bytes of a line of a dump whose signs begin at `at`: letters and signs of ASCII as they are, a point for each other byte.
fn signs(line: &[u8], at: usize) -> Option<Vec<u8>> {
    let (before, column) = line.split_at(at);
    // A bar or `>` begins them where the dump has one.
    let digits = before.strip_suffix(b"|").or_else(|| before.strip_suffix(b">")).unwrap_or(before);
    let (_, groups) = parts(digits.strip_suffix(b" ")?)?;
    let bytes = bytes_of(&groups)?;
    let shows = |bytes: &[u8]| {
        let is_rest = column.iter().skip(bytes.len()).all(|byte| b" |<".contains(byte));
        let shown = |byte: u8| if (b' '..=b'~').contains(&byte) { byte } else { b'.' };
        column.len() >= bytes.len()
            && is_rest
            && bytes.iter().zip(column).all(|(byte, sign)| shown(*byte) == *sign)
    };
    if shows(&bytes) {
        return Some(bytes);
    }
    // Numbers of several bytes, whose lowest one comes first in the file.
    let width = groups.first()?.len() / 2;
    let swapped: Vec<u8> = bytes.chunks(width).flat_map(|group| group.iter().rev().copied()).collect();
    shows(&swapped).then_some(swapped)
}

/// The place that a line begins with, and its groups of digits of base 16.
fn parts(line: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let place = words.next()?;
    let place = place.strip_suffix(b":").unwrap_or(place);
    let mut groups = Vec::new();
    for group in words {
        if groups.len() == WIDEST || !is_hex(group) {
            return None;
        }
        groups.push(group);
    }
    (is_hex(place) && !groups.is_empty()).then_some((place, groups))
}

fn is_hex(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a line begins as those of dumps do, which most lines do not.
fn begins_with_place(line: &[u8]) -> bool {
    let digits =
        line.trim_ascii_start().iter().take(MOST_PLACE + 1).take_while(|byte| byte.is_ascii_hexdigit());
    (FEWEST_PLACE..=MOST_PLACE).contains(&digits.count())
}

fn bytes_of(groups: &[&[u8]]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for group in groups {
        if group.len() % 2 == 1 || bytes.len() + group.len() / 2 > WIDEST {
            return None;
        }
        for pair in group.chunks_exact(2) {
            bytes.push(value(pair[0])? << 4 | value(pair[1])?);
        }
    }
    Some(bytes)
}

/// Whether the first sign tells how many bytes the others hold, with a sum behind them or none.
fn is_line_of_uuencode(line: &[u8]) -> bool {
    const MOST: usize = 45;
    let Some((count, digits)) = line.split_first() else { return false };
    let has = |byte: &u8| (b' '..=b'`').contains(byte);
    let count = usize::from(count.wrapping_sub(b' ') & 63);
    let length = count.div_ceil(3) * 4;
    (1..=MOST).contains(&count) && (length..=length + 1).contains(&digits.len()) && line.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn place(text: &str, part: &str) -> Range<usize> {
        let at = text.find(part).expect("it is there");
        at..at + part.len()
    }

    #[test]
    fn points_beside_bytes_may_be_other_bytes() {
        for (text, part, want) in [
            ("00000000: 6140 6202 6465 0a00 0102 0304 0506 0708  a@b.de..........", "a@b.de", true),
            ("00000000: 6140 622e 6465 0a00 0102 0304 0506 0708  a@b.de..........", "a@b.de", false),
            ("00000000  61 40 62 02 64 65 0a 00  |a@b.de..|", "a@b.de", true),
            ("00000000  61 40 62 2e 64 65 0a 00  |a@b.de..|", "a@b.de", false),
            (" 4000 61406202 64650a00                    a@b.de..        ", "a@b.de", true),
            ("0000000 4061 0262 6564 000a  >a@b.de..<", "a@b.de", true),
            // What is beside is not what the bytes say, or there are none.
            ("00000000: 4141 4141 4141 0a00  a@b.de..", "a@b.de", false),
            ("write to a@b.de", "a@b.de", false),
            ("00000000: a@b.de", "a@b.de", false),
        ] {
            assert_eq!(has_other_bytes(text, &place(text, part)), want, "{text}");
            let lines = format!("so\r\n{text}\r\nend");
            assert_eq!(has_other_bytes(&lines, &place(&lines, part)), want, "{text}");
        }
    }

    #[test]
    fn digits_of_dumps_are_told_from_numbers() {
        let part = "ee35 1300 0000 0000 6830";
        for (text, want) in [
            ("000088f0: ee35 1300 0000 0000 6830 1400 0000 0000  .5......h0......", true),
            ("00088f0 ee35 1300 0000 0000 6830 1400 0000 0000", true),
            ("000088f0: ee35 1300 0000 0000 6830 1400 0000 0000  of my own", false),
            ("000088f0: ee35 1300 0000 0000 6830", false),
            ("my account: ee35 1300 0000 0000 6830 1400", false),
            ("ee35 1300 0000 0000 6830", false),
        ] {
            let span = place(text, part);
            assert_eq!(is_no_account(text, &span), want, "{text}");
        }
    }

    #[test]
    fn lines_of_uuencode_say_their_length() {
        let line = format!("M{:<60}", "41Q14%WGG%+4@4.HBO").replace(' ', "$");
        let part = "4@4.HBO";
        for (text, want) in [
            (format!("begin 644 a.zip\n{line}\n`\nend"), true),
            (format!("begin 644 a.zip\r\n{line}\r\n`\r\nend"), true),
            (format!("{line}\n{line}"), false),
            (format!("begin 644 a.zip\n{line}$$\n"), false),
            (format!("begin 644 a.zip\n\n{line}\n"), false),
            ("begin 644 a.zip\nMAIL 4@4.HBO\n".to_owned(), false),
        ] {
            assert_eq!(is_uuencoded(&text, &place(&text, part)), want, "{text}");
        }
        let text = format!("{line}\n{}", line.replace("41Q", "41R"));
        let at = text.rfind(part).expect("it is there");
        assert!(is_uuencoded(&text, &(at..at + part.len())));
    }

    #[test]
    fn long_lines_and_odd_ends_are_none() {
        let text = format!("{}a@b.de{}", "é".repeat(3000), "1".repeat(3000));
        assert!(!has_other_bytes(&text, &place(&text, "a@b.de")));
        for text in ["", "\n", "\r\n", ":", "0000: ", "0000: 6", "`\n`"] {
            let all = 0..text.len();
            for is_read_otherwise in [has_other_bytes, stands_in_dump, stands_in_full_line, is_uuencoded] {
                assert!(!is_read_otherwise(text, &all), "{text:?}");
            }
        }
    }
}
