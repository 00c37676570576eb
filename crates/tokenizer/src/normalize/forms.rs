//! Unicode's normal forms, and the normaliser of BERT that builds on one.

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

use super::ascii_runs;
use crate::unicode::{Class, is_chinese};

/// A Unicode normalisation form (UAX #15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

impl Form {
    /// The text in this form, or `None` where nothing changes. Characters that came after Unicode 9 stand as
    /// they are: the forms that models were trained on did not know them.
    pub(crate) fn apply(self, text: &str) -> Option<String> {
        if ascii_runs(text).all(|(run, is_ascii)| is_ascii || self.is_normal(run)) {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        for (run, is_ascii) in ascii_runs(text) {
            if is_ascii || self.is_normal(run) {
                out.push_str(run);
            } else {
                let is_later = |c: char| Class::Later.has(c);
                run.split_inclusive(is_later).for_each(|part| {
                    let known = part.trim_end_matches(is_later);
                    self.push(known, &mut out);
                    out.push_str(&part[known.len()..]);
                });
            }
        }
        Some(out)
    }

    fn is_normal(self, text: &str) -> bool {
        let quick = match self {
            Self::Nfc => is_nfc_quick(text.chars()),
            Self::Nfd => is_nfd_quick(text.chars()),
            Self::Nfkc => is_nfkc_quick(text.chars()),
            Self::Nfkd => is_nfkd_quick(text.chars()),
        };
        quick == IsNormalized::Yes
    }

    fn push(self, text: &str, out: &mut String) {
        match self {
            Self::Nfc => out.extend(text.nfc()),
            Self::Nfd => out.extend(text.nfd()),
            Self::Nfkc => out.extend(text.nfkc()),
            Self::Nfkd => out.extend(text.nfkd()),
        }
    }
}

/// What BERT does to a text. The names are those of `BertNormalizer` in tokenizer.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bert {
    /// Removes control characters, makes all white space a space.
    pub(crate) clean_text: bool,
    /// Puts spaces around Chinese characters.
    pub(crate) handle_chinese_chars: bool,
    pub(crate) strip_accents: bool,
    pub(crate) lowercase: bool,
}

impl Bert {
    pub(super) fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut first, mut second) = (String::new(), String::new());
        for (run, is_ascii) in ascii_runs(text) {
            if is_ascii {
                out.extend(run.chars().filter_map(|c| self.clean(c)).map(|c| self.lower_ascii(c)));
                continue;
            }
            first.clear();
            for c in run.chars().filter_map(|c| self.clean(c)) {
                if self.handle_chinese_chars && is_chinese(c) {
                    first.extend([' ', c, ' ']);
                } else {
                    first.push(c);
                }
            }
            if self.strip_accents {
                second.clear();
                let decomposed = Form::Nfd.apply(&first);
                let text = decomposed.as_deref().unwrap_or(&first);
                second.extend(text.chars().filter(|&c| c.is_ascii() || !Class::Nonspacing.has(c)));
                std::mem::swap(&mut first, &mut second);
            }
            if self.lowercase {
                out.extend(first.chars().flat_map(char::to_lowercase));
            } else {
                out.push_str(&first);
            }
        }
        out
    }

    /// `c`, a space in its place, or nothing.
    fn clean(&self, c: char) -> Option<char> {
        if !self.clean_text {
            return Some(c);
        }
        let is_space = matches!(c, '\t' | '\n' | '\r') || c.is_whitespace();
        let is_bad = match c {
            '\t' | '\n' | '\r' => false,
            '\0' | '\u{FFFD}' => true,
            ' '..='~' => false,
            _ => Class::Other.has(c),
        };
        (!is_bad).then_some(if is_space { ' ' } else { c })
    }

    fn lower_ascii(&self, c: char) -> char {
        if self.lowercase { c.to_ascii_lowercase() } else { c }
    }
}

/// What Google's machine translation did to control characters and odd spaces: `c`, a space, or nothing.
pub(super) fn nmt(c: char) -> Option<char> {
    match u32::from(c) {
        0x01..=0x08 | 0x0B | 0x0E..=0x1F | 0x7F | 0x8F | 0x9F => None,
        0x09 | 0x0A | 0x0C | 0x0D | 0x1680 | 0x200B..=0x200F | 0x2028 | 0x2029 | 0x2581 | 0xFEFF | 0xFFFD => {
            Some(' ')
        }
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const BERT: Bert =
        Bert { clean_text: true, handle_chinese_chars: true, strip_accents: true, lowercase: true };

    #[test]
    fn bert_cleans_splits_and_lowers() {
        assert_eq!(BERT.apply("Größe\tÉ\u{0}語x\u{AD}"), "große e 語 x");
        let cased = Bert { strip_accents: false, lowercase: false, ..BERT };
        assert_eq!(cased.apply("É\u{301}\nA"), "É\u{301} A");
        let bare = Bert { clean_text: false, handle_chinese_chars: false, ..cased };
        assert_eq!(bare.apply("\t語\u{0}"), "\t語\u{0}");
    }

    #[test]
    fn runs_make_no_difference() {
        let mut random = Random::new(29);
        let signs =
            ['a', 'e', ' ', '\u{301}', 'é', '\u{327}', 'ﬁ', '\u{1100}', '\u{1161}', '語', '가', '\u{D7}'];
        for _ in 0..2000 {
            let text: String = (0..random.below(12)).map(|_| *random.pick(&signs)).collect();
            for (form, want) in [
                (Form::Nfc, text.nfc().collect::<String>()),
                (Form::Nfd, text.nfd().collect()),
                (Form::Nfkc, text.nfkc().collect()),
                (Form::Nfkd, text.nfkd().collect()),
            ] {
                assert_eq!(form.apply(&text).unwrap_or(text.clone()), want, "{form:?} of {text:?}");
            }
        }
    }

    #[test]
    fn characters_of_later_days_stand_as_they_are() {
        // U+11938 of Unicode 13 decomposes today.
        assert_eq!(Form::Nfd.apply("é\u{11938}é").unwrap(), "e\u{301}\u{11938}e\u{301}");
    }

    #[test]
    fn nmt_drops_controls_and_widens_spaces() {
        let kept: String = "a\u{1}b\u{200B}c\td".chars().filter_map(nmt).collect();
        assert_eq!(kept, "ab c d");
    }
}
