//! Regular expressions of tokenizers, compiled to one table and matched in linear time.
//!
//! The dialects are what pre-tokenizers use: classes with Unicode properties, groups, alternation, all
//! repetitions, `^`, `$`, look-ahead by one character, `(?i:...)`. The leftmost match wins, then the earlier
//! alternative, as in Perl. It is no general regex engine: captures, back-references, look-behind and long
//! look-ahead are refused when the pattern is compiled.
//!
//! Matching never backtracks. An attempt that scans on after its last acceptance leaves a trail of (position,
//! state) pairs from which nothing was accepted; later attempts stop when they reach one. So the work over a
//! whole text is bounded by a constant of the pattern times its length, whatever the text.

mod classes;
mod compile;
mod parse;
mod ruby;

use std::collections::HashSet;
use std::ops::Range;

use crate::hash::PairState;
use classes::Alphabet;
pub(crate) use classes::Classes;

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text of the pattern cannot be read.
    #[error("at character {at}: {what}")]
    Syntax {
        /// Index of the offending character.
        at: usize,
        /// What is wrong there.
        what: String,
    },
    /// A construct that the linear matcher does not have.
    #[error(
        "at character {at}: {what} is not supported (known: classes, groups, alternation, repetition, ^, $, (?i:), look-ahead by one character)"
    )]
    Unsupported {
        /// Index of the offending character.
        at: usize,
        /// The construct.
        what: &'static str,
    },
    /// The compiled pattern would be too large.
    #[error("needs more than {limit} {unit}")]
    TooLarge {
        /// The limit it passes.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// It would match the empty text, so it splits nothing.
    #[error("matches the empty text; a pattern must consume at least one character")]
    Empty,
}

/// State 0 of every table: no thread is left.
const DEAD: u32 = 0;
/// One pair is kept per stretch of this many bytes.
const STRETCH: usize = 64;
/// States fit in so many bits; the compiler sees to it.
const STATE_BITS: u32 = 13;

/// Who reads a pattern the way that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// The crate `regex`, as tiktoken has it.
    Rust,
    /// Oniguruma with Ruby's syntax, as in tokenizer.json.
    Ruby,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    alphabet: Alphabet,
    /// `[state][symbol]`: next state shifted left by one; bit 0 says that the text before this symbol is a match.
    table: Vec<u32>,
    width: usize,
    start_of_text: u32,
    start_of_line: u32,
    start: u32,
}

impl Pattern {
    /// Compiles `source` as the crate `regex` reads it.
    ///
    /// # Errors
    /// What the dialect does not have, and patterns whose table would be too large.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        compile::compile(&parse::parse(source, Dialect::Rust)?)
    }

    /// Compiles `source` as Oniguruma reads Ruby's syntax: `^` and `$` are the ends of a line, classes of POSIX are Unicode's.
    ///
    /// # Errors
    /// As [`Pattern::new`], and what the two read differently and this matcher does not have.
    pub fn ruby(source: &str) -> Result<Self, PatternError> {
        compile::compile(&parse::parse(source, Dialect::Ruby)?)
    }

    /// The end of the match that begins where `text` begins.
    pub(crate) fn match_at_start(&self, text: &str) -> Option<usize> {
        self.find_iter(text).end_of_match(0)
    }

    /// All matches in `text` from left to right, none overlapping, none empty.
    pub fn find_iter<'p, 't>(&'p self, text: &'t str) -> Matches<'p, 't> {
        Matches { pattern: self, text: text.as_bytes(), at: 0, barren: HashSet::default(), trail: Vec::new() }
    }
}

/// Iterator over the matches of a [`Pattern`].
#[derive(Debug)]
pub struct Matches<'p, 't> {
    pattern: &'p Pattern,
    text: &'t [u8],
    at: usize,
    /// Pairs of position and state from which no acceptance follows.
    barren: HashSet<u64, PairState>,
    trail: Vec<u64>,
}

impl Matches<'_, '_> {
    /// End of the match that begins at `start`, if there is one.
    fn end_of_match(&mut self, start: usize) -> Option<usize> {
        let pattern = self.pattern;
        let mut state = match start.checked_sub(1).map(|before| self.text[before]) {
            None => pattern.start_of_text,
            Some(b'\n') => pattern.start_of_line,
            Some(_) => pattern.start,
        };
        let (mut pos, mut end) = (start, None);
        loop {
            let (symbol, len) = pattern.alphabet.symbol_at(self.text, pos);
            let entry = pattern.table[state as usize * pattern.width + symbol];
            if entry & 1 == 1 {
                end = Some(pos);
                self.trail.clear();
            }
            state = entry >> 1;
            if state == DEAD || len == 0 {
                break;
            }
            let before = pos;
            pos += len;
            if before / STRETCH != pos / STRETCH {
                let pair = (pos as u64) << STATE_BITS | u64::from(state);
                if self.barren.contains(&pair) {
                    break;
                }
                self.trail.push(pair);
            }
        }
        if !self.trail.is_empty() {
            self.barren.extend(self.trail.drain(..));
        }
        end.filter(|&end| end > start)
    }
}

impl Iterator for Matches<'_, '_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while self.at < self.text.len() {
            let start = self.at;
            if let Some(end) = self.end_of_match(start) {
                self.at = end;
                return Some(start..end);
            }
            self.at += char_len(self.text[start]);
        }
        None
    }
}

/// Bytes of the character that begins with `lead` in valid UTF-8.
fn char_len(lead: u8) -> usize {
    match lead {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests;
