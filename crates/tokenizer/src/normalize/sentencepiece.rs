//! SentencePiece's own normaliser: the character map, spaces joined and written as signs.

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};

use super::charsmap::Charsmap;
use crate::TokenizerError;
use crate::vocab::MAX_TOKENS;

/// The sign that is written for a space.
const SIGN: &str = "▁";

/// What SentencePiece does to a text before it is cut. The names are those of its `NormalizerSpec`.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentencePiece {
    pub(crate) charsmap: Option<Charsmap>,
    /// Pieces that the user defined: they stay as they are.
    pub(crate) symbols: Symbols,
    /// Puts a space before the text, or behind it.
    pub(crate) add_dummy_prefix: bool,
    /// Removes spaces at both ends, joins those between.
    pub(crate) remove_extra_whitespaces: bool,
    /// Writes the sign instead of a space.
    pub(crate) escape_whitespaces: bool,
    /// The space that is added goes behind the text.
    pub(crate) treat_whitespace_as_suffix: bool,
}

/// Texts that no character map changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Symbols(Option<AhoCorasick>);

impl Symbols {
    /// Of several that begin at one place the longest counts.
    ///
    /// # Errors
    /// More than can be looked for.
    pub(crate) fn new(texts: &[&str]) -> Result<Self, TokenizerError> {
        if texts.is_empty() {
            return Ok(Self(None));
        }
        let builder = &mut AhoCorasick::builder();
        let builder = builder.match_kind(MatchKind::LeftmostLongest).start_kind(StartKind::Anchored);
        let automaton = builder.build(texts).map_err(|_| TokenizerError::TooMany {
            what: "pieces that the user defined",
            found: texts.len(),
            limit: MAX_TOKENS,
        })?;
        Ok(Self(Some(automaton)))
    }

    /// The length of the one that `rest` begins with.
    fn at_start(&self, rest: &str) -> Option<usize> {
        let found = self.0.as_ref()?.find(Input::new(rest).anchored(Anchored::Yes))?;
        Some(found.end()).filter(|len| *len > 0)
    }
}

impl SentencePiece {
    pub(super) fn growth(&self) -> usize {
        // A space may become a sign, and there is one more.
        self.charsmap.as_ref().map_or(1, Charsmap::growth) * SIGN.len() + 1
    }

    pub(super) fn apply(&self, text: &str) -> String {
        let space = if self.escape_whitespaces { SIGN } else { " " };
        let mut out = String::with_capacity(text.len() + text.len() / 2);
        if self.add_dummy_prefix && !self.treat_whitespace_as_suffix {
            out.push_str(space);
        }
        let start = out.len();
        let mut after_space = self.remove_extra_whitespaces;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let symbol = self.symbols.at_start(rest).map(|len| (len, &rest[..len]));
            let replaced = symbol.or_else(|| self.replaced(rest));
            let (len, piece) = replaced.unwrap_or((c.len_utf8(), &rest[..c.len_utf8()]));
            let piece = if after_space { piece.trim_start_matches(' ') } else { piece };
            if !piece.is_empty() {
                piece.chars().for_each(|c| if c == ' ' { out.push_str(space) } else { out.push(c) });
                after_space = self.remove_extra_whitespaces && piece.ends_with(' ');
            }
            rest = &rest[len..];
        }
        if self.remove_extra_whitespaces {
            while out.ends_with(space) && out.len() > start {
                out.truncate(out.len() - space.len());
            }
            if out.len() == start {
                return String::new();
            }
        }
        if self.add_dummy_prefix && self.treat_whitespace_as_suffix {
            out.push_str(space);
        }
        out
    }

    /// What the character map makes of the start of `rest`; none where it has nothing for it.
    fn replaced<'m>(&'m self, rest: &str) -> Option<(usize, &'m str)> {
        let map = self.charsmap.as_ref()?;
        let bytes = rest.as_bytes();
        if bytes[0] < 0x80 && !map.replaces_ascii(bytes[0]) && bytes.get(1).is_none_or(|next| *next < 0x80) {
            return None;
        }
        // An entry that would end inside a character is none.
        map.longest(bytes).filter(|(len, _)| rest.is_char_boundary(*len))
    }
}

#[cfg(test)]
mod tests {
    use super::super::charsmap::tests::blob;
    use super::*;

    fn model() -> SentencePiece {
        SentencePiece {
            charsmap: None,
            symbols: Symbols::default(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            treat_whitespace_as_suffix: false,
        }
    }

    #[test]
    fn spaces_are_joined_and_signed() {
        assert_eq!(model().apply("  a  b "), "▁a▁b");
        assert_eq!(model().apply("   "), "");
        assert_eq!(model().apply(""), "");
        let all = SentencePiece { remove_extra_whitespaces: false, ..model() };
        assert_eq!(all.apply(" a  b "), "▁▁a▁▁b▁");
        assert_eq!(all.apply(" "), "▁▁");
        let suffix = SentencePiece { treat_whitespace_as_suffix: true, ..model() };
        assert_eq!(suffix.apply("a b"), "a▁b▁");
        let plain = SentencePiece { escape_whitespaces: false, add_dummy_prefix: false, ..model() };
        assert_eq!(plain.apply(" a  b "), "a b");
    }

    #[test]
    fn the_map_comes_before_the_spaces() {
        let charsmap = crate::normalize::Charsmap::new(&blob(&[(b'\t', " "), (b'A', "a b")])).unwrap();
        let model = SentencePiece { charsmap: Some(charsmap), ..model() };
        assert_eq!(model.apply("\t A\té"), "▁a▁b▁é");
    }

    #[test]
    fn what_the_user_defined_stays() {
        let charsmap = crate::normalize::Charsmap::new(&blob(&[(b'\t', " "), (b'A', "a b")])).unwrap();
        let symbols = Symbols::new(&["\t", "\tA", "\t\t\t"]).unwrap();
        let model = SentencePiece { charsmap: Some(charsmap), symbols, ..model() };
        assert_eq!(model.apply("x\ty\t\tA A"), "▁x\ty\t\tA▁a▁b");
        assert_eq!(model.apply(" \t "), "▁\t");
    }
}
