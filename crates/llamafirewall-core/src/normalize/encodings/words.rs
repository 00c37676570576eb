//! Letters as signs or words: Morse code, and spelling alphabets.

use super::Blob;
use aho_corasick::AhoCorasick;
use std::ops::Range;
use std::sync::OnceLock;

/// Fewer dots and dashes make no text.
pub(super) const FEWEST_STROKES: usize = 8;
/// Fewer letters make no text.
const FEWEST: usize = 4;

/// Widest gap between two words that spell, in bytes.
const WIDEST_GAP: usize = 4;

const MORSE: &str = "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- \
u..- v...- w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----. ,--..-- ..-.-.- ?..--..";

const SPELLING: [&str; 28] = [
    "alpha", "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett",
    "juliet", "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango",
    "uniform", "victor", "whiskey", "x-ray", "yankee", "zulu",
];

/// Finds rows of Morse letters; a slash, a bar or a wide gap parts words.
pub(super) fn find_morse(text: &str, blobs: &mut Vec<Blob>) {
    each_row_of_signs(text, &mut |read, range| {
        if read.chars().filter(char::is_ascii_alphanumeric).count() >= FEWEST {
            blobs.push(Blob { range, encoding: "morse", text: Some(read.to_owned()) });
        }
    });
}

/// Where a row of Morse letters begins that reaches to the end of the text.
pub(super) fn open_morse(text: &str) -> usize {
    let mut open = text.len();
    each_row_of_signs(text, &mut |read, range| {
        let between = |c: char| c.is_whitespace() || c == '/' || c == '|';
        if !read.is_empty() && text[range.end..].chars().all(between) {
            open = range.start;
        }
    });
    open
}

fn each_row_of_signs(text: &str, each: &mut dyn FnMut(&str, Range<usize>)) {
    let (mut read, mut start, mut end) = (String::new(), 0, 0);
    let mut close = |read: &mut String, start, end| {
        each(read, start..end);
        read.clear();
    };
    let mut at = 0;
    for token in text.split_inclusive(|c: char| c.is_whitespace() || c == '/' || c == '|') {
        let signs = token.trim_end_matches(|c: char| c.is_whitespace() || c == '/' || c == '|');
        match morse(signs) {
            Some(letter) => {
                if read.is_empty() {
                    start = at;
                }
                read.push(letter);
                end = at + signs.len();
            }
            None if signs.is_empty() => {}
            None => close(&mut read, start, end),
        }
        let parts = token.ends_with(['/', '|', '\n']) || signs.is_empty();
        if parts && !read.is_empty() && !read.ends_with(' ') {
            read.push(' ');
        }
        at += token.len();
    }
    close(&mut read, start, end);
}

fn morse(signs: &str) -> Option<char> {
    if signs.is_empty() || signs.chars().count() > 6 {
        return None;
    }
    let plain = |c: char| match c {
        '.' | '·' | '•' | '∙' => Some('.'),
        '-' | '_' | '–' | '—' | '−' => Some('-'),
        _ => None,
    };
    let signs: Option<String> = signs.chars().map(plain).collect();
    let signs = signs?;
    let row = MORSE.split(' ').find(|row| row[1..] == signs)?;
    row.chars().next()
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
        blobs.clear();
        find_morse("well ... that - as they say - is - that ... and --- so", &mut blobs);
        assert_eq!(blobs, []);
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
