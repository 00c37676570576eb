//! Of a text that goes on: from where on it may still come to be read in another way.

use super::Invisible;
use super::encodings;
use super::fold;
use super::script;
use super::spacing;

/// Where the last word begins, and what is invisible beside it: one of ASCII and of letters that may come to be read in another script,
/// or the last letter of others, which a mark may still change.
pub(super) fn word(text: &str) -> usize {
    let is_open = |c: &char| c.is_ascii_graphic() || Invisible::of(*c).is_some();
    let mut end = text.len();
    loop {
        let graphic = text[..end].chars().rev().take_while(is_open).map(char::len_utf8).sum::<usize>();
        let word = script::open_word(&text[..end - graphic]);
        if word == end {
            return end.min(fold::open_letter(text));
        }
        end = word;
    }
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
            ("он сказал oтм", "oтм"),
            ("言う\u{ff8c}", "\u{ff8c}"),
            ("и г н ", "и г н "),
        ] {
            assert_eq!(&text[tail(text)..], open, "{text:?}");
        }
    }
}
