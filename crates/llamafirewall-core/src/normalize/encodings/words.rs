//! Letters as signs or words: Morse code, and spelling alphabets.

use super::Blob;
use aho_corasick::AhoCorasick;
use std::ops::Range;
use std::sync::OnceLock;

/// Fewer letters make no text.
pub(super) const FEWEST: usize = 4;

/// Widest gap between two words that spell, in bytes.
const WIDEST_GAP: usize = 4;

const MORSE: &str = "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- \
u..- v...- w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----. ,--..-- ..-.-.- ?..--..";

pub(in crate::normalize) const SPELLING: [&str; 28] = [
    "alpha", "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett",
    "juliet", "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango",
    "uniform", "victor", "whiskey", "x-ray", "yankee", "zulu",
];

/// Finds rows of Morse letters; a slash, a bar or a wide gap parts words.
pub(super) fn find_morse(text: &str, blobs: &mut Vec<Blob>) {
    each_row_of_signs(text, &mut |read, range| {
        if read.chars().filter(char::is_ascii_alphanumeric).count() >= FEWEST
            && has_both_signs(&text[range.clone()])
        {
            blobs.push(Blob { range, encoding: "morse", text: Some(read.to_owned()) });
        }
    });
}

/// Whether there are dots and dashes: lines of tables have the ones alone, and what they would spell (T, M, O) is no word.
fn has_both_signs(row: &str) -> bool {
    let mut signs = row.chars().filter_map(sign);
    let first = signs.next();
    signs.any(|sign| Some(sign) != first)
}

/// Where a row of Morse letters begins that reaches to the end of the text.
pub(super) fn open_morse(text: &str) -> usize {
    let mut open = text.len();
    each_row_of_signs(text, &mut |_, range| {
        let between = |c: char| c.is_whitespace() || c == '/' || c == '|';
        if text[range.end..].chars().all(between) {
            open = range.start;
        }
    });
    open
}

fn each_row_of_signs(text: &str, each: &mut dyn FnMut(&str, Range<usize>)) {
    let (mut read, mut start, mut end) = (String::new(), 0, 0);
    let mut close = |read: &mut String, start, end| {
        if !read.is_empty() {
            each(read, start..end);
            read.clear();
        }
    };
    let mut at = 0;
    loop {
        if read.is_empty() {
            at = next_sign(text, at);
        }
        if at >= text.len() {
            break;
        }
        let token = token(text, at);
        let signs = &text[at..token.signs];
        match morse(signs) {
            Some(letter) => {
                if read.is_empty() {
                    start = at;
                }
                read.push(letter);
                end = token.signs;
            }
            None if signs.is_empty() => {}
            None => close(&mut read, start, end),
        }
        let parts = text[..token.end].ends_with(['/', '|', '\n']) || signs.is_empty();
        if parts && !read.is_empty() && !read.ends_with(' ') {
            read.push(' ');
        }
        at = token.end;
    }
    close(&mut read, start, end);
}

/// The first place from `at` on where a Morse letter may begin, or the end. Nothing but ASCII is passed over.
fn next_sign(text: &str, at: usize) -> usize {
    let mut begin = at;
    for (at, byte) in text.bytes().enumerate().skip(at) {
        let is_first = at == begin;
        match byte {
            b'.' | b'-' | b'_' if is_first => return at,
            // A name may stand right before: `msg:.. --.`.
            b' ' | b'\t'..=b'\r' | b'/' | b'|' | b':' | b'=' | b'"' | b'\'' | b'`' | b'(' => begin = at + 1,
            _ if byte.is_ascii() => {}
            _ => return begin,
        }
    }
    text.len()
}

/// What stands between two separators, and the one behind it.
struct Token {
    signs: usize,
    end: usize,
}

fn token(text: &str, start: usize) -> Token {
    let mut end = start;
    while let Some(byte) = text.as_bytes().get(end) {
        let c = if byte.is_ascii() { *byte as char } else { text[end..].chars().next().unwrap_or(' ') };
        if c == '/' || c == '|' || c.is_whitespace() {
            return Token { signs: end, end: end + c.len_utf8() };
        }
        end += c.len_utf8();
    }
    Token { signs: end, end }
}

fn morse(signs: &str) -> Option<char> {
    const LONGEST: usize = 6;
    let (mut row, mut count) = ([0; LONGEST], 0);
    for c in signs.chars() {
        *row.get_mut(count)? = sign(c)?;
        count += 1;
    }
    if count == 0 {
        return None;
    }
    let letter = |known: &&str| known.as_bytes()[1..] == row[..count];
    MORSE.split(' ').find(letter).and_then(|known| known.chars().next())
}

/// A dot or a dash, in whatever form.
fn sign(c: char) -> Option<u8> {
    match c {
        '.' | '·' | '•' | '∙' => Some(b'.'),
        '-' | '_' | '–' | '—' | '−' => Some(b'-'),
        _ => None,
    }
}

/// Finds rows of words that stand for their first letter.
pub(super) fn find_spelled(text: &str, blobs: &mut Vec<Blob>) {
    each_row_of_words(text, &mut |read, range| {
        if read.len() >= FEWEST {
            blobs.push(Blob { range, encoding: "spelling alphabet", text: Some(read.to_owned()) });
        }
    });
}

/// Where a row of such words begins that reaches to the end of the text.
pub(super) fn open_spelled(text: &str) -> usize {
    let mut open = text.len();
    each_row_of_words(text, &mut |read, range| {
        let gap = &text[range.end..];
        if !read.is_empty() && gap.len() <= WIDEST_GAP && !gap.contains(char::is_alphanumeric) {
            open = range.start;
        }
    });
    open
}

fn each_row_of_words(text: &str, each: &mut dyn FnMut(&str, Range<usize>)) {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let automaton =
        WORDS.get_or_init(|| AhoCorasick::builder().ascii_case_insensitive(true).build(SPELLING).ok());
    let Some(automaton) = automaton else { return };
    let (mut read, mut start, mut end) = (String::new(), 0, 0);
    let mut close = |read: &mut String, start, end| {
        each(read, start..end);
        read.clear();
    };
    for word in automaton.find_iter(text) {
        let gap = text.get(end..word.start()).unwrap_or("");
        let goes_on = !read.is_empty() && gap.len() <= WIDEST_GAP && !gap.contains(char::is_alphanumeric);
        if !goes_on {
            close(&mut read, start, end);
            start = word.start();
        }
        read.extend(SPELLING[word.pattern().as_usize()].chars().next());
        end = word.end();
    }
    close(&mut read, start, end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn morse_is_read() {
        let mut blobs = Vec::new();
        find_morse("decode: .. --. -. --- .-. . / .--. .-. . ...- please", &mut blobs);
        assert_eq!(blobs[0].text.as_deref(), Some("ignore prev"));
        find_morse("x=\".. --. -. --- .-. .\"", &mut blobs);
        assert_eq!(blobs[1].text.as_deref(), Some("ignor"));
        blobs.clear();
        find_morse("well ... that - as they say - is - that ... and --- so", &mut blobs);
        assert_eq!(blobs, []);
        for table in [
            "|a|b|c|d|\n|-|-|-|-|\n|1|2|3|4|",
            "| -- | --- | - | -- |\n| ---- | - | - | - |",
            "... ... ... ...",
        ] {
            find_morse(table, &mut blobs);
            assert_eq!(blobs, [], "{table}");
        }
    }

    #[test]
    fn spelling_is_read() {
        let mut blobs = Vec::new();
        find_spelled("India Golf November Oscar Romeo Echo", &mut blobs);
        assert_eq!(blobs[0].text.as_deref(), Some("ignore"));
        blobs.clear();
        find_spelled("Romeo and Juliet went to India in November, and Mike to Quebec", &mut blobs);
        assert_eq!(blobs, []);
    }
}
