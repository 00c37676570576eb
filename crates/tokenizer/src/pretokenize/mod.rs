//! Splits normalised text into words that the model encodes one by one.

mod scripts;

use std::borrow::Cow;
use std::ops::Range;

use crate::alphabet;
use crate::pattern::Pattern;

/// What becomes of the text that a splitter finds. The names are those of tokenizer.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// What a splitter looks for.
#[derive(Debug, Clone)]
pub(crate) enum Delimiter {
    Pattern(Box<Pattern>),
    Literal(String),
    /// Each character of which this is true.
    Char(fn(char) -> bool),
}

/// When Metaspace puts its sign before a piece that does not begin with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrependScheme {
    Always,
    First,
    Never,
}

/// One way of splitting.
#[derive(Debug, Clone)]
pub(crate) enum Splitter {
    Split {
        delimiter: Delimiter,
        behavior: Behavior,
        invert: bool,
    },
    Metaspace {
        replacement: char,
        prepend: PrependScheme,
        split: bool,
    },
    /// Ends in bytes: later splitters see GPT-2's alphabet.
    ByteLevel {
        add_prefix_space: bool,
        pattern: Option<Box<Pattern>>,
    },
    /// A word per stretch of one script.
    Scripts,
    /// A word per so many characters.
    FixedLength(usize),
    /// Digits in groups of three from the right; with `whole`, only where no letter or sign of a word follows.
    Threes {
        whole: bool,
    },
}

impl Splitter {
    /// By what factor the splitter can make a word longer, at most.
    pub(crate) fn growth(&self) -> usize {
        match self {
            // A space before a word of one byte, and two bytes for each.
            Self::ByteLevel { add_prefix_space: true, .. } => 4,
            Self::ByteLevel { .. } => 2,
            Self::Metaspace { replacement, prepend: PrependScheme::Never, .. } => replacement.len_utf8(),
            // Each space becomes a sign, and one more stands before a word that begins with none.
            Self::Metaspace { replacement, .. } => replacement.len_utf8() + 1,
            Self::Split { .. } | Self::Scripts | Self::FixedLength(_) | Self::Threes { .. } => 1,
        }
    }
}

/// Splitters in order; each splits what the one before has made.
#[derive(Debug, Clone, Default)]
pub(crate) struct PreTokenizer(pub(crate) Vec<Splitter>);

/// A word on its way through the splitters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    /// Begins where the whole input begins.
    pub(crate) first: bool,
    /// Is written in GPT-2's alphabet already.
    pub(crate) byte_chars: bool,
}

type Sink<'s> = &'s mut dyn FnMut(Word<'_>);

impl PreTokenizer {
    /// Hands each word of `text` to `sink`; none is empty.
    pub(crate) fn split(&self, word: Word<'_>, sink: Sink<'_>) {
        run(&self.0, word, sink);
    }
}

fn run(splitters: &[Splitter], word: Word<'_>, sink: Sink<'_>) {
    if word.text.is_empty() {
        return;
    }
    let Some((splitter, rest)) = splitters.split_first() else { return sink(word) };
    let part = |range: Range<usize>, sink: Sink<'_>| {
        let first = word.first && range.start == 0;
        run(rest, Word { text: &word.text[range], first, ..word }, sink);
    };
    match splitter {
        Splitter::Split { delimiter, behavior, invert } => match delimiter {
            Delimiter::Pattern(p) => {
                cut(p.find_iter(word.text), word.text.len(), (*behavior, *invert), part, sink)
            }
            Delimiter::Literal(needle) => {
                let found = word.text.match_indices(needle.as_str()).map(|(at, text)| at..at + text.len());
                cut(found, word.text.len(), (*behavior, *invert), part, sink);
            }
            Delimiter::Char(is_it) => {
                let found = word.text.char_indices().filter(|(_, c)| is_it(*c));
                let found = found.map(|(at, c)| at..at + c.len_utf8());
                cut(found, word.text.len(), (*behavior, *invert), part, sink);
            }
        },
        Splitter::Scripts => scripts::stretches(word.text).for_each(|range| part(range, sink)),
        Splitter::Threes { whole } => {
            let found = threes(word.text, *whole);
            cut(found.into_iter(), word.text.len(), (Behavior::Isolated, false), part, sink);
        }
        Splitter::FixedLength(chars) => {
            let mut starts = word.text.char_indices().map(|(at, _)| at).step_by(*chars).peekable();
            while let Some(start) = starts.next() {
                part(start..starts.peek().copied().unwrap_or(word.text.len()), sink);
            }
        }
        Splitter::Metaspace { replacement, prepend, split } => {
            metaspace(word, (*replacement, *prepend, *split), rest, sink);
        }
        Splitter::ByteLevel { add_prefix_space, pattern } => {
            byte_level(word, *add_prefix_space, pattern.as_deref(), rest, sink);
        }
    }
}

/// The digits of `text` in groups of three, counted from the right end of each run.
fn threes(text: &str, whole: bool) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut run: Vec<usize> = Vec::new();
    for (at, c) in text.char_indices().map(|(at, c)| (at, Some(c))).chain([(text.len(), None)]) {
        if c.is_some_and(char::is_numeric) {
            run.push(at);
            continue;
        }
        let cut_off = whole && c.is_some_and(regex_syntax::is_word_character);
        if !cut_off {
            let starts = run
                .iter()
                .enumerate()
                .filter(|(place, _)| *place == 0 || (run.len() - place).is_multiple_of(3));
            let starts: Vec<usize> = starts.map(|(_, start)| *start).chain([at]).collect();
            groups.extend(starts.windows(2).map(|pair| pair[0]..pair[1]).filter(|range| !range.is_empty()));
        }
        run.clear();
    }
    groups
}

/// Cuts `0..len` at what was found and hands on the pieces.
fn cut(
    found: impl Iterator<Item = Range<usize>>,
    len: usize,
    (behavior, invert): (Behavior, bool),
    part: impl Fn(Range<usize>, Sink<'_>),
    sink: Sink<'_>,
) {
    let mut pieces = Pieces { behavior, held: None, held_is_match: false, ready: Vec::new() };
    let mut done = 0;
    for range in found {
        pieces.push(done..range.start, invert);
        done = range.end;
        pieces.push(range, !invert);
        pieces.ready.drain(..).for_each(|range| part(range, sink));
    }
    pieces.push(done..len, invert);
    pieces.ready.extend(pieces.held.take());
    pieces.ready.drain(..).for_each(|range| part(range, sink));
}

/// Joins matches and the text between them as the behaviour says; holds back the last piece.
struct Pieces {
    behavior: Behavior,
    held: Option<Range<usize>>,
    held_is_match: bool,
    ready: Vec<Range<usize>>,
}

impl Pieces {
    fn push(&mut self, range: Range<usize>, is_match: bool) {
        if range.is_empty() {
            return;
        }
        let joins = match self.behavior {
            Behavior::Removed | Behavior::Isolated => false,
            Behavior::Contiguous => self.held_is_match == is_match,
            Behavior::MergedWithPrevious => is_match && !self.held_is_match,
            Behavior::MergedWithNext => !is_match && self.held_is_match,
        };
        self.held_is_match = is_match;
        match &mut self.held {
            Some(held) if joins => held.end = range.end,
            held => {
                let keep = self.behavior != Behavior::Removed || !is_match;
                self.ready.extend(std::mem::replace(held, keep.then_some(range)));
            }
        }
    }
}

fn metaspace(
    word: Word<'_>,
    (replacement, prepend, split): (char, PrependScheme, bool),
    rest: &[Splitter],
    sink: Sink<'_>,
) {
    let mut sign = [0; 4];
    let sign: &str = replacement.encode_utf8(&mut sign);
    let mut text = word.text.replace(' ', sign);
    let wanted = prepend == PrependScheme::Always || (prepend == PrependScheme::First && word.first);
    if wanted && !text.starts_with(replacement) {
        text.insert_str(0, sign);
    }
    if !split {
        return run(rest, Word { text: &text, ..word }, sink);
    }
    let found = text.match_indices(replacement).map(|(at, text)| at..at + text.len());
    let part = |range: Range<usize>, sink: Sink<'_>| {
        run(rest, Word { text: &text[range.clone()], first: word.first && range.start == 0, ..word }, sink);
    };
    cut(found, text.len(), (Behavior::MergedWithNext, false), part, sink);
}

fn byte_level(word: Word<'_>, prefix: bool, pattern: Option<&Pattern>, rest: &[Splitter], sink: Sink<'_>) {
    let text = if prefix && !word.text.starts_with(' ') {
        Cow::Owned(format!(" {}", word.text))
    } else {
        Cow::Borrowed(word.text)
    };
    let part = |range: Range<usize>, sink: Sink<'_>| {
        let (piece, first) = (&text[range.clone()], word.first && range.start == 0);
        if rest.is_empty() && !word.byte_chars {
            return sink(Word { text: piece, first, byte_chars: false });
        }
        run(rest, Word { text: &alphabet::to_chars(piece), first, byte_chars: true }, sink);
    };
    match pattern {
        Some(pattern) => cut(pattern.find_iter(&text), text.len(), (Behavior::Isolated, false), part, sink),
        None => part(0..text.len(), sink),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(splitters: Vec<Splitter>, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let word = Word { text, first: true, byte_chars: false };
        PreTokenizer(splitters).split(word, &mut |word| words.push(word.text.to_owned()));
        words
    }

    fn at_dash(behavior: Behavior, invert: bool) -> Vec<String> {
        let delimiter = Delimiter::Pattern(Box::new(Pattern::new("-").unwrap()));
        words(vec![Splitter::Split { delimiter, behavior, invert }], "the-final--countdown")
    }

    #[test]
    fn behaviours_are_those_of_the_file_format() {
        assert_eq!(at_dash(Behavior::Removed, false), ["the", "final", "countdown"]);
        assert_eq!(at_dash(Behavior::Isolated, false), ["the", "-", "final", "-", "-", "countdown"]);
        assert_eq!(at_dash(Behavior::MergedWithPrevious, false), ["the-", "final-", "-", "countdown"]);
        assert_eq!(at_dash(Behavior::MergedWithNext, false), ["the", "-final", "-", "-countdown"]);
        assert_eq!(at_dash(Behavior::Contiguous, false), ["the", "-", "final", "--", "countdown"]);
        assert_eq!(at_dash(Behavior::Removed, true), ["-", "-", "-"]);
    }

    #[test]
    fn metaspace_marks_the_start_of_words() {
        let metaspace = |prepend, split| vec![Splitter::Metaspace { replacement: '▁', prepend, split }];
        assert_eq!(words(metaspace(PrependScheme::Always, true), "Hey  you"), ["▁Hey", "▁", "▁you"]);
        assert_eq!(words(metaspace(PrependScheme::First, false), "a b"), ["▁a▁b"]);
        assert_eq!(words(metaspace(PrependScheme::Never, false), "a b"), ["a▁b"]);
        assert_eq!(words(metaspace(PrependScheme::Always, true), " a"), ["▁a"]);
    }

    #[test]
    fn characters_and_lengths_split() {
        let delimiter = Delimiter::Char(char::is_whitespace);
        let white = Splitter::Split { delimiter, behavior: Behavior::Removed, invert: false };
        assert_eq!(words(vec![white], " a\u{3000}b c"), ["a", "b", "c"]);
        assert_eq!(words(vec![Splitter::FixedLength(2)], "aébcd"), ["aé", "bc", "d"]);
        assert_eq!(words(vec![Splitter::Scripts], "abв"), ["ab", "в"]);
    }

    #[test]
    fn splitters_after_byte_level_see_its_alphabet() {
        let digits = Delimiter::Pattern(Box::new(Pattern::new("[0-9]").unwrap()));
        let split = Splitter::Split { delimiter: digits, behavior: Behavior::Isolated, invert: false };
        let bytes = Splitter::ByteLevel { add_prefix_space: true, pattern: None };
        assert_eq!(words(vec![bytes.clone()], "a1 é"), [" a1 é"]);
        assert_eq!(words(vec![bytes, split], "a1 é"), ["Ġa", "1", "ĠÃ©"]);
    }
}
