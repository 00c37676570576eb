//! Rewrites text before it is split: Unicode forms, replacements, prefixes. Offsets are not kept.

use std::borrow::Cow;

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

use crate::alphabet;
use crate::pattern::Pattern;

/// What a replacement looks for.
#[derive(Debug, Clone)]
pub(crate) enum Needle {
    Literal(String),
    Pattern(Pattern),
}

/// A Unicode normalisation form (UAX #15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
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
    /// Removes combining marks that have no width (category Mn).
    StripAccents(Pattern),
    /// Writes the bytes in GPT-2's alphabet.
    ByteLevel,
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
}

impl Rewrite {
    /// By what factor the rewriting can make a long text longer, at most.
    pub(crate) fn growth(&self) -> usize {
        match self {
            Self::Replace(Needle::Literal(from), to) => to.len().div_ceil(from.len().max(1)).max(1),
            Self::Replace(Needle::Pattern(_), to) => to.len().max(1),
            // One sign per piece of text, of which there are at most as many as bytes.
            Self::Prepend(prefix) => prefix.len() + 1,
            Self::ByteLevel | Self::Lowercase => 2,
            Self::Form(_) | Self::Strip { .. } | Self::StripAccents(_) => 1,
        }
    }

    /// The changed text, or `None` where nothing changes.
    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Form(form) => form.apply(text),
            Self::Lowercase => Some(text.chars().flat_map(char::to_lowercase).collect()),
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
            Self::StripAccents(marks) => replace(marks, text, ""),
            Self::ByteLevel => Some(alphabet::to_chars(text)),
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

impl Form {
    fn apply(self, text: &str) -> Option<String> {
        if text.is_ascii() {
            return None;
        }
        let quick = match self {
            Self::Nfc => is_nfc_quick(text.chars()),
            Self::Nfd => is_nfd_quick(text.chars()),
            Self::Nfkc => is_nfkc_quick(text.chars()),
            Self::Nfkd => is_nfkd_quick(text.chars()),
        };
        if quick == IsNormalized::Yes {
            return None;
        }
        Some(match self {
            Self::Nfc => text.nfc().collect(),
            Self::Nfd => text.nfd().collect(),
            Self::Nfkc => text.nfkc().collect(),
            Self::Nfkd => text.nfkd().collect(),
        })
    }
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
        assert_eq!(apply(vec![Rewrite::Replace(Needle::Pattern(digits), "#".to_owned())], "a12b3"), "a#b#");
    }

    #[test]
    fn unicode_forms_compose_and_decompose() {
        assert_eq!(apply(vec![Rewrite::Form(Form::Nfc)], "e\u{301}"), "é");
        assert_eq!(apply(vec![Rewrite::Form(Form::Nfkc)], "ﬁ"), "fi");
        let marks = Pattern::new(r"\p{Mn}").unwrap();
        assert_eq!(apply(vec![Rewrite::Form(Form::Nfd), Rewrite::StripAccents(marks)], "Éa"), "Ea");
        assert_eq!(
            apply(vec![Rewrite::Lowercase, Rewrite::Strip { start: true, end: false }], " ÀB "),
            "àb "
        );
    }
}
