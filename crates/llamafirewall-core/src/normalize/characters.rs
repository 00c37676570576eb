//! What is known of each character, by pages of 256 that are made when a text first has a character of theirs: to make all of them
//! takes longer than most scans do.

use super::fold::{self, Look};
use super::invisible::Invisible;
use std::sync::OnceLock;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, is_nfkc_quick};

const PAGE: usize = 256;
const PAGES: usize = (char::MAX as usize + 1) / PAGE;

/// What is known of a character.
#[derive(Clone, Copy)]
pub(super) struct Character {
    /// What it is taken for.
    pub look: Look,
    /// Whether it is a letter or a digit, or looks like one.
    pub is_letter: bool,
    /// Whether it is seen, is in NFKC, and neither marks nor completes what stands before it.
    pub is_steady: bool,
}

impl Character {
    /// What is known of `c`.
    pub fn of(c: char) -> Self {
        static TABLE: [OnceLock<Box<[Character; PAGE]>>; PAGES] = [const { OnceLock::new() }; PAGES];
        let number = c as usize;
        let first = number - number % PAGE;
        // Numbers of no character are never looked up.
        let known = |at| char::from_u32((first + at) as u32).map_or(Self::UNKNOWN, Self::made);
        let page = TABLE[number / PAGE].get_or_init(|| Box::new(std::array::from_fn(known)));
        page[number % PAGE]
    }

    const UNKNOWN: Self = Self { look: Look::Several, is_letter: false, is_steady: false };

    fn made(c: char) -> Self {
        let look = fold::look(c);
        let is_letter = match look {
            Look::Ascii(byte) => byte.is_ascii_alphanumeric(),
            Look::Itself | Look::Several => c.is_alphanumeric(),
        };
        let is_seen = Invisible::of(c).is_none() && !is_combining_mark(c);
        // What completes a letter may be written with it, which the quick check says of each such character.
        let is_steady = is_seen && is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes;
        Self { look, is_letter, is_steady }
    }
}

/// How much of a text, from `from` on, is steady, and where the last character of that begins.
pub(super) fn steady(text: &str, from: usize) -> (usize, usize) {
    let (mut last, mut end) = (from, from);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(end) {
        let length = if byte.is_ascii() {
            usize::from(is_plain(*byte))
        } else {
            let steady = text[end..].chars().next().filter(|c| Character::of(*c).is_steady);
            steady.map_or(0, char::len_utf8)
        };
        if length == 0 {
            break;
        }
        (last, end) = (end, end + length);
    }
    (last, end)
}

/// ASCII that is seen, and white space.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) || matches!(byte, b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn steady_text_ends_before_what_changes_or_may_join() {
        for (text, last, end) in [
            ("", 0, 0),
            ("plain\n", 5, 6),
            ("Привет, 世界 가 ё", 25, 27),
            ("abe\u{301}", 2, 3),
            ("\u{301}", 0, 0),
            ("fi\u{ad}ne", 1, 2),
            ("ﬁne", 0, 0),
            ("가\u{11a8}", 0, 3),
            ("カ\u{ff9e}", 0, 3),
            ("ok \u{8}", 2, 3),
        ] {
            assert_eq!(steady(text, 0), (last, end), "{text:?}");
        }
    }

    #[test]
    fn steady_characters_are_written_into_none_before_them() {
        let befores = ["a", "ᄀ", "가", "カ", "ㄱ", "ᅡ", "ｱ"];
        for c in ('\0'..=char::MAX).filter(|c| Character::of(*c).is_steady) {
            for before in befores {
                let apart: String = before.nfkc().chain([c]).collect();
                assert!(before.chars().chain([c]).nfkc().eq(apart.chars()), "{before} {c:?}");
            }
        }
    }
}
