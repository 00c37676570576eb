//! Tokens that were added to a vocabulary as a whole, and how they are found in text before anything else.
//!
//! Of several that begin at one place the longest wins. Special ones are found only in control text.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::TokenizerError;
use crate::normalize::Normalizer;
use crate::tokenizer::{Part, Special};

/// Longest text of an added token in bytes; matching costs at most this per byte of text.
const MAX_BYTES: usize = 1024;

/// One added token. The fields are those of `added_tokens` in tokenizer.json.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AddedToken {
    pub(crate) id: u32,
    pub(crate) text: String,
    /// Found in control text only.
    pub(crate) special: bool,
    /// Takes the white space before it along.
    pub(crate) lstrip: bool,
    /// Takes the white space after it along.
    pub(crate) rstrip: bool,
    /// Only where no letter, digit or underscore touches it.
    pub(crate) single_word: bool,
    /// Found in normalised text instead of the raw one.
    pub(crate) normalized: bool,
}

/// A stretch of text, or a token that stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Text(Range<usize>),
    Token(u32),
}

/// Who wrote a whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The program alone.
    Control,
    /// Users alone.
    Text,
    /// Both. Normalising loses sight of who wrote what, so special tokens are found in the raw text only.
    Mixed,
}

impl Source {
    pub(crate) fn of(parts: &[Part<'_>]) -> Self {
        match (parts.iter().all(is_control), parts.iter().any(is_control)) {
            (true, _) => Self::Control,
            (_, false) => Self::Text,
            _ => Self::Mixed,
        }
    }
}

fn is_control(part: &Part<'_>) -> bool {
    part.special == Special::Parse
}

/// Finds added tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddedTokens {
    /// In raw text: all that are not looked for in normalised text, of them those for users' text, and, for
    /// the control parts of a mixed text, the former with all special ones.
    raw: Finder,
    raw_text: Finder,
    raw_mixed: Finder,
    /// In normalised text: the rest, and of it those that are not special.
    normalized: Finder,
    normalized_text: Finder,
}

impl AddedTokens {
    pub(crate) fn new(tokens: &[AddedToken], normalizer: &Normalizer) -> Result<Self, TokenizerError> {
        let these = |is_wanted: fn(&AddedToken) -> bool| {
            tokens.iter().filter(|token| is_wanted(token)).cloned().collect::<Vec<_>>()
        };
        let in_normal_form = |mut tokens: Vec<AddedToken>| {
            tokens.iter_mut().for_each(|t| t.text = normalizer.apply(&t.text).into_owned());
            Finder::new(tokens)
        };
        let raw = Finder::new(these(|t| !t.normalized))?;
        let has_both = tokens.iter().any(|t| t.special && t.normalized);
        let raw_mixed =
            if has_both { Finder::new(these(|t| t.special || !t.normalized))? } else { raw.clone() };
        Ok(Self {
            raw,
            raw_mixed,
            raw_text: Finder::new(these(|t| !t.special && !t.normalized))?,
            normalized: in_normal_form(these(|t| t.normalized))?,
            normalized_text: in_normal_form(these(|t| !t.special && t.normalized))?,
        })
    }

    /// Takes tokens out of what users' texts are searched for, as if they had been special from the start.
    pub(crate) fn reserve(
        &mut self,
        ids: &HashSet<u32>,
        name: &dyn Fn(u32) -> String,
    ) -> Result<(), TokenizerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let those = |finder: &Finder, keep: bool| -> Vec<AddedToken> {
            finder.tokens.iter().filter(|token| ids.contains(&token.id) == keep).cloned().collect()
        };
        let taken = those(&self.normalized_text, true);
        self.raw_text = Finder::new(those(&self.raw_text, false))?;
        self.normalized_text = Finder::new(those(&self.normalized_text, false))?;
        let named =
            taken.into_iter().map(|token| AddedToken { text: name(token.id), special: true, ..token });
        self.raw_mixed = Finder::new(self.raw_mixed.tokens.iter().cloned().chain(named).collect())?;
        Ok(())
    }

    /// What to look for in a raw part of a text; `control` says whether the program wrote this part.
    pub(crate) fn raw(&self, source: Source, control: bool) -> &Finder {
        match (source, control) {
            (_, false) => &self.raw_text,
            (Source::Mixed, true) => &self.raw_mixed,
            (_, true) => &self.raw,
        }
    }

    /// What to look for in a normalised text.
    pub(crate) fn normalized(&self, source: Source) -> &Finder {
        if source == Source::Control { &self.normalized } else { &self.normalized_text }
    }
}

/// Finds the tokens of one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finder {
    automaton: Option<AhoCorasick>,
    tokens: Vec<AddedToken>,
}

impl Finder {
    fn new(tokens: Vec<AddedToken>) -> Result<Self, TokenizerError> {
        let tokens: Vec<_> = tokens.into_iter().filter(|t| !t.text.is_empty()).collect();
        if tokens.is_empty() {
            return Ok(Self::default());
        }
        if let Some(long) = tokens.iter().find(|t| t.text.len() > MAX_BYTES) {
            let what = "bytes of an added token";
            return Err(TokenizerError::TooMany { what, found: long.text.len(), limit: MAX_BYTES });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|t| t.text.as_bytes()))
            .map_err(|_| TokenizerError::TooMany {
                what: "added tokens",
                found: tokens.len(),
                limit: crate::vocab::MAX_TOKENS,
            })?;
        Ok(Self { automaton: Some(automaton), tokens })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Cuts `range` of a text at its tokens.
    pub(crate) fn cut(&self, text: &str, range: Range<usize>, out: &mut Vec<Segment>) {
        let mut done = range.start;
        if let Some(automaton) = &self.automaton {
            for found in automaton.find_iter(&text[range.clone()]) {
                let token = &self.tokens[found.pattern().as_usize()];
                let (start, end) = (range.start + found.start(), range.start + found.end());
                if start < done || (token.single_word && touches_word(text, start, end)) {
                    continue;
                }
                let start = if token.lstrip { text[..start].trim_end().len().max(done) } else { start };
                let rest = &text[end..range.end];
                let end = if token.rstrip { range.end - rest.trim_start().len() } else { end };
                push_text(done..start, out);
                out.push(Segment::Token(token.id));
                done = end;
            }
        }
        push_text(done..range.end, out);
    }
}

/// Appends a stretch, joined to the one before if they touch.
fn push_text(range: Range<usize>, out: &mut Vec<Segment>) {
    match out.last_mut() {
        _ if range.is_empty() => {}
        Some(Segment::Text(last)) if last.end == range.start => last.end = range.end,
        _ => out.push(Segment::Text(range)),
    }
}

fn touches_word(text: &str, start: usize, end: usize) -> bool {
    let is_word = regex_syntax::is_word_character;
    text[..start].chars().next_back().is_some_and(is_word) || text[end..].chars().next().is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, text: &str) -> AddedToken {
        AddedToken { id, text: text.to_owned(), ..AddedToken::default() }
    }

    fn cut(tokens: &[AddedToken], text: &str, control: bool) -> Vec<String> {
        let added = AddedTokens::new(tokens, &Normalizer::default()).unwrap();
        let mut out = Vec::new();
        let source = if control { Source::Control } else { Source::Text };
        added.raw(source, control).cut(text, 0..text.len(), &mut out);
        out.into_iter()
            .map(|segment| match segment {
                Segment::Text(range) => text[range].to_owned(),
                Segment::Token(id) => format!("#{id}"),
            })
            .collect()
    }

    #[test]
    fn the_longest_of_those_that_begin_first_wins() {
        let tokens = [token(1, "ab"), token(2, "abc"), token(3, "bcd")];
        assert_eq!(cut(&tokens, "xabcd", true), ["x", "#2", "d"]);
        assert_eq!(cut(&tokens, "abbcd", true), ["#1", "#3"]);
    }

    #[test]
    fn special_tokens_are_found_only_in_control_text() {
        let tokens = [AddedToken { special: true, ..token(1, "<s>") }, token(2, "<tool>")];
        assert_eq!(cut(&tokens, "a<s><tool>", true), ["a", "#1", "#2"]);
        assert_eq!(cut(&tokens, "a<s><tool>", false), ["a<s>", "#2"]);
    }

    #[test]
    fn reserved_tokens_are_found_as_special_ones_are() {
        let tokens = [AddedToken { normalized: true, ..token(1, "<A>") }, token(2, "<B>"), token(3, "<C>")];
        let mut added = AddedTokens::new(&tokens, &Normalizer::default()).unwrap();
        added.reserve(&HashSet::from([1, 2]), &|_| "<A>".to_owned()).unwrap();
        let found = |finder: &Finder| finder.tokens.iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(found(added.raw(Source::Text, false)), [3]);
        assert_eq!(found(added.raw(Source::Control, true)), [2, 3]);
        assert_eq!(found(added.raw(Source::Mixed, true)), [2, 3, 1]);
        assert_eq!(
            (found(added.normalized(Source::Control)), found(added.normalized(Source::Text))),
            (vec![1], vec![])
        );
    }

    #[test]
    fn strips_and_word_borders_are_kept() {
        let both = AddedToken { lstrip: true, rstrip: true, ..token(1, "<m>") };
        assert_eq!(cut(&[both], "a  <m> \n <m>b", true), ["a", "#1", "#1", "b"]);
        let word = AddedToken { single_word: true, ..token(1, "ing") };
        assert_eq!(cut(&[word], "sing ing ing1 ing²", true), ["sing ", "#1", " ing1 ", "#1", "²"]);
    }

    #[test]
    fn parts_without_a_token_between_them_are_one_stretch() {
        let added = AddedTokens::new(&[token(1, "<s>")], &Normalizer::default()).unwrap();
        let mut out = Vec::new();
        added.raw(Source::Mixed, true).cut("ab<s>cd", 0..2, &mut out);
        added.raw(Source::Mixed, true).cut("ab<s>cd", 2..6, &mut out);
        added.raw(Source::Mixed, false).cut("ab<s>cd", 6..7, &mut out);
        assert_eq!(out, [Segment::Text(0..2), Segment::Token(1), Segment::Text(5..7)]);
    }
}
