//! Classes of characters as tokenizers see them, which is not always as Unicode has them today.
//!
//! Models were trained on ids from the crate `tokenizers`, whose tables are those of Unicode 8 (categories) and
//! 9 (normal forms). A character that came later belongs to none of their classes, and so it is here.

use std::sync::OnceLock;

use crate::pattern::Classes;

/// Which classes a character belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Punctuation, ASCII's signs included.
    Punctuation,
    /// Marks without a width of their own (Mn).
    Nonspacing,
    /// All marks (M).
    Mark,
    /// Control, format and private use (Cc, Cf, Co).
    Other,
    /// Came after Unicode 9.
    Later,
}

/// One set per [`Class`], in its order.
const SETS: [&str; 5] = [
    r"[[\p{P}&&\p{age:8.0}]\x{166D}\x{111C9}!-/:-@\[-`{-~]",
    r"[[[\p{Mn}&&\p{age:8.0}]\x{1734}\x{1171E}]--[\x{1885}\x{1886}\x{A9BD}\x{111C9}]]",
    r"[[[\p{M}&&\p{age:9.0}]\x{1CF2}\x{1CF3}]--\x{111C9}]",
    r"[[\p{Cc}\p{Cf}\p{Co}]&&\p{age:8.0}]",
    r"[^\p{age:9.0}]",
];

impl Class {
    /// Whether `c` belongs to the class.
    pub(crate) fn has(self, c: char) -> bool {
        static CLASSES: OnceLock<Classes> = OnceLock::new();
        let classes = CLASSES.get_or_init(|| Classes::new(&SETS));
        classes.of(c) >> (self as u8) & 1 == 1
    }
}

/// Chinese characters as BERT knows them: the blocks of Han, without the scripts of Japan and Korea.
pub(crate) fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x2_0000..=0x2_A6DF
            | 0x2_A700..=0x2_B73F
            | 0x2_B740..=0x2_B81F
            | 0x2_B920..=0x2_CEAF
            | 0xF900..=0xFAFF
            | 0x2_F800..=0x2_FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_their_time() {
        assert!(Class::Punctuation.has('$') && Class::Punctuation.has('。') && !Class::Punctuation.has('a'));
        assert!(Class::Nonspacing.has('\u{301}') && !Class::Nonspacing.has('\u{903}'));
        assert!(Class::Mark.has('\u{903}') && Class::Mark.has('\u{301}'));
        assert!(Class::Other.has('\u{7F}') && Class::Other.has('\u{AD}') && Class::Other.has('\u{E000}'));
        assert!(!Class::Other.has('\u{378}'), "what is not assigned is no other");
        // U+2E52 came with Unicode 14.
        assert!(!Class::Punctuation.has('\u{2E52}') && Class::Later.has('\u{2E52}'));
        assert!(!Class::Later.has('é'));
        assert!(is_chinese('語') && !is_chinese('ご') && !is_chinese('한'));
    }
}
