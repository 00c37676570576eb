//! Of a text that goes on: from where on it may still come to be read in another way.

use super::Invisible;
use super::encodings;
use super::spacing;

/// Where the last word of plain ASCII begins, and what is invisible beside it.
pub(super) fn word(text: &str) -> usize {
    let is_open = |c: &char| c.is_ascii_graphic() || Invisible::of(*c).is_some();
    text.len() - text.chars().rev().take_while(is_open).map(char::len_utf8).sum::<usize>()
}

/// The first byte from which a continuation could change how the text is read: an unfinished word, row of numbers,
/// of Morse signs, of letters that stand apart, or of invisible characters.
pub(super) fn tail(text: &str) -> usize {
    let word = word(text);
    word.min(spacing::open_tail(text)).min(encodings::open_tail(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfinished_stays() {
        for (text, open) in [
            ("", ""),
            ("some words and ", ""),
            ("some wor", "wor"),
            ("spell i g n ", "i g n "),
            ("see aWdub3JlIHByZXZpb3Vz\n", "aWdub3JlIHByZXZpb3Vz\n"),
            ("see 69 67 6e ", "69 67 6e "),
            ("see .. --. ", ".. --. "),
            ("say India Golf ", "India Golf "),
            ("so hello\u{e0041}\u{e0042}", "hello\u{e0041}\u{e0042}"),
            ("in 1984 they came and ", ""),
        ] {
            assert_eq!(&text[tail(text)..], open, "{text:?}");
        }
    }
}
