//! Rewrites text before it is split: Unicode forms, replacements, prefixes. Offsets are not kept.

mod charsmap;
mod forms;
mod sentencepiece;

use std::borrow::Cow;

use crate::alphabet;
use crate::pattern::Pattern;
use crate::unicode::Class;
pub(crate) use charsmap::Charsmap;
pub(crate) use forms::{Bert, Form};
pub(crate) use sentencepiece::{SentencePiece, Symbols};

/// What a replacement looks for.
#[derive(Debug, Clone)]
pub(crate) enum Needle {
    Literal(String),
    Pattern(Box<Pattern>),
}

impl Needle {
    /// The length of what is found where `text` begins.
    fn at_start(&self, text: &str) -> Option<usize> {
        match self {
            Self::Literal(from) => text.starts_with(from.as_str()).then_some(from.len()),
            Self::Pattern(pattern) => pattern.match_at_start(text),
        }
    }
}

/// One rewriting.
#[derive(Debug, Clone)]
pub(crate) enum Rewrite {
    Form(Form),
    Lowercase,
    /// Puts a text before every text that is not empty.
    Prepend(String),
    Replace(Needle, String),
    /// Removes white space at the start, at the end.
    Strip {
        start: bool,
        end: bool,
    },
    /// Removes combining marks.
    StripAccents,
    /// Writes the bytes in GPT-2's alphabet.
    ByteLevel,
    Bert(Bert),
    Nmt,
    Precompiled(Box<Charsmap>),
    SentencePiece(Box<SentencePiece>),
}

/// Rewritings in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Normalizer(pub(crate) Vec<Rewrite>);

impl Normalizer {
    pub(crate) fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, rewrite| match rewrite.apply(&text) {
            Some(changed) => Cow::Owned(changed),
            None => text,
        })
    }

    /// The rewritten text, and whether it still begins with what `text` begins with.
    pub(crate) fn apply_at_start<'a>(&self, text: &'a str) -> (Cow<'a, str>, bool) {
        self.0.iter().fold((Cow::Borrowed(text), true), |(text, keeps), rewrite| {
            let keeps = keeps && !rewrite.drops_start(&text);
            match rewrite.apply(&text) {
                Some(changed) => (Cow::Owned(changed), keeps),
                None => (text, keeps),
            }
        })
    }
}

impl Rewrite {
    /// Whether nothing comes of the first character of `text` that stands in its place.
    fn drops_start(&self, text: &str) -> bool {
        let first = text.chars().next().map_or("", |c| &text[..c.len_utf8()]);
        match self {
            Self::Strip { start: true, .. } | Self::StripAccents | Self::Nmt | Self::Bert(_) => {
                self.apply(first).is_some_and(|changed| changed.is_empty())
            }
            // In `tokenizers` what replaces several characters stands where the last of them stood.
            Self::Replace(needle, to) => {
                needle.at_start(text).is_some_and(|found| to.is_empty() || found > first.len())
            }
            _ => false,
        }
    }

    /// By what factor the rewriting can make a long text longer, at most.
    pub(crate) fn growth(&self) -> usize {
        match self {
            Self::Replace(Needle::Literal(from), to) => to.len().div_ceil(from.len().max(1)).max(1),
            Self::Replace(Needle::Pattern(_), to) => to.len().max(1),
            // One sign per piece of text, of which there are at most as many as bytes.
            Self::Prepend(prefix) => prefix.len() + 1,
            Self::ByteLevel | Self::Lowercase | Self::Bert(_) => 2,
            Self::Precompiled(map) => map.growth(),
            Self::SentencePiece(model) => model.growth(),
            Self::Form(_) | Self::Strip { .. } | Self::StripAccents | Self::Nmt => 1,
        }
    }

    /// The changed text, or `None` where nothing changes.
    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Form(form) => form.apply(text),
            Self::Lowercase => Some(lowercase(text)),
            Self::Prepend(_) if text.is_empty() => None,
            Self::Prepend(prefix) => Some(format!("{prefix}{text}")),
            Self::Replace(Needle::Literal(from), to) => {
                text.contains(from.as_str()).then(|| text.replace(from.as_str(), to))
            }
            Self::Replace(Needle::Pattern(pattern), to) => replace(pattern, text, to),
            Self::Strip { start, end } => {
                let text = if *start { text.trim_start() } else { text };
                Some(if *end { text.trim_end() } else { text }.to_owned())
            }
            Self::StripAccents if text.is_ascii() => None,
            Self::StripAccents => Some(text.chars().filter(|&c| !Class::Mark.has(c)).collect()),
            Self::ByteLevel => Some(alphabet::to_chars(text)),
            Self::Bert(bert) => Some(bert.apply(text)),
            Self::Nmt => Some(text.chars().filter_map(forms::nmt).collect()),
            Self::Precompiled(map) => Some(map.by_cluster(text)),
            Self::SentencePiece(model) => Some(model.apply(text)),
        }
    }
}

fn replace(pattern: &Pattern, text: &str, to: &str) -> Option<String> {
    let (mut out, mut done) = (String::new(), 0);
    for found in pattern.find_iter(text) {
        out.push_str(&text[done..found.start]);
        out.push_str(to);
        done = found.end;
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// Each character by itself: a final sigma is one like any other.
fn lowercase(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Cuts where an ASCII character follows another: runs of ASCII, and runs of anything else that take along the
/// ASCII character before them, which may be the base of a mark. What Unicode says of clusters and normal forms
/// never reaches over such a cut; a carriage return and its line feed stay together.
fn ascii_runs(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let Some(ascii) = bytes.iter().position(|byte| *byte >= 0x80) else {
            let last = std::mem::take(&mut rest);
            return (!last.is_empty()).then_some((last, true));
        };
        let base = if bytes[..ascii].ends_with(b"\r\n") { 2 } else { 1 };
        let run;
        if ascii > base {
            (run, rest) = rest.split_at(ascii - base);
            return Some((run, true));
        }
        let tail = bytes[ascii..].iter().position(u8::is_ascii);
        (run, rest) = rest.split_at(tail.map_or(bytes.len(), |len| ascii + len));
        Some((run, false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rewrites: Vec<Rewrite>, text: &str) -> String {
        Normalizer(rewrites).apply(text).into_owned()
    }

    #[test]
    fn rewritings_are_applied_in_order() {
        let metaspace = vec![
            Rewrite::Prepend("▁".to_owned()),
            Rewrite::Replace(Needle::Literal(" ".to_owned()), "▁".to_owned()),
        ];
        assert_eq!(apply(metaspace.clone(), "a  b"), "▁a▁▁b");
        assert_eq!(apply(metaspace, ""), "");
        let digits = Pattern::new(r"\d+").unwrap();
        assert_eq!(
            apply(vec![Rewrite::Replace(Needle::Pattern(Box::new(digits)), "#".to_owned())], "a12b3"),
            "a#b#"
        );
    }

    #[test]
    fn a_start_that_is_dropped_is_told() {
        let strip = Rewrite::Strip { start: true, end: true };
        let without = Rewrite::Replace(Needle::Pattern(Box::new(Pattern::new("a+").unwrap())), String::new());
        for (rewrite, text, keeps) in [
            (&strip, " a", false),
            (&strip, "a ", true),
            (&Rewrite::Nmt, "\u{1}a", false),
            (&Rewrite::StripAccents, "\u{301}a", false),
            (&without, "aab", false),
            (&without, "ba", true),
            (&Rewrite::Replace(Needle::Literal("ab".to_owned()), "x".to_owned()), "ab", false),
            (&Rewrite::Replace(Needle::Literal("a".to_owned()), "xy".to_owned()), "ab", true),
        ] {
            let steps = Normalizer(vec![rewrite.clone(), Rewrite::Prepend("x".to_owned())]);
            assert_eq!(steps.apply_at_start(text).1, keeps, "{rewrite:?} {text:?}");
            assert_eq!(steps.apply_at_start(text).0, steps.apply(text));
        }
    }

    #[test]
    fn unicode_forms_compose_and_decompose() {
        assert_eq!(apply(vec![Rewrite::Form(Form::Nfc)], "e\u{301}"), "é");
        assert_eq!(apply(vec![Rewrite::Form(Form::Nfkc)], "ﬁ"), "fi");
        assert_eq!(apply(vec![Rewrite::Form(Form::Nfd), Rewrite::StripAccents], "Éa"), "Ea");
        assert_eq!(
            apply(vec![Rewrite::Lowercase, Rewrite::Strip { start: true, end: false }], " ÀB "),
            "àb "
        );
    }

    #[test]
    fn runs_join_to_the_text() {
        let runs = |text| ascii_runs(text).collect::<Vec<_>>();
        assert_eq!(runs("abé\u{301}cd"), [("a", true), ("bé\u{301}", false), ("cd", true)]);
        assert_eq!(runs("éa"), [("é", false), ("a", true)]);
        assert_eq!(runs("aéb\u{301}"), [("aé", false), ("b\u{301}", false)]);
        assert_eq!(runs("a\r\né"), [("a", true), ("\r\né", false)]);
        assert_eq!(runs(""), []);
    }
}
