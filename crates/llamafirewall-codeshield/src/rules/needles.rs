//! Which rules over trees are worth parsing a text for: those of whose words it has one.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::TreeRule;
use crate::language::Language;

/// At most so many bytes between the parts of needles are looked at, per byte of the text: comments that begin over and over would
/// take quadratic time otherwise.
const LOOKS_PER_BYTE: usize = 4;

/// What a needle asks for behind its first word.
#[derive(Clone, Copy)]
struct Rest {
    rule: usize,
    /// Words and signs: `(`, `.Xml`. `*` is the rest of a name, `|` its end.
    parts: &'static str,
}

struct Words {
    automaton: AhoCorasick,
    /// For each word what must follow it.
    rests: Vec<Rest>,
    rules: Vec<(Language, &'static TreeRule)>,
}

/// The rules that could find something in a text. The parts of a needle count also with space, comments and line continuations
/// between them, and a bracket also behind one that closes, since `(eval)(x)` is a call too.
pub(crate) fn wanted(text: &str) -> Vec<(Language, &'static TreeRule)> {
    let words = words();
    let mut is_wanted = vec![false; words.rules.len()];
    let mut looks = text.len().saturating_mul(LOOKS_PER_BYTE);
    for hit in words.automaton.find_overlapping_iter(text) {
        let Rest { rule, parts } = words.rests[hit.pattern().as_usize()];
        is_wanted[rule] = is_wanted[rule] || follows(&text[hit.end()..], parts, &mut looks);
    }
    let rules = words.rules.iter().zip(is_wanted);
    rules.filter(|(_, is_wanted)| *is_wanted).map(|(rule, _)| *rule).collect()
}

/// Whether a text begins with `parts`. Once nothing more may be looked at, everything counts as if it did.
fn follows(mut text: &str, mut parts: &str, looks: &mut usize) -> bool {
    while !parts.is_empty() {
        let length = parts.find(|c| !is_of_name(c)).unwrap_or(parts.len()).max(1);
        let (part, later) = parts.split_at(length);
        parts = later;
        match part {
            " " => {}
            "*" => text = text.trim_start_matches(is_of_name),
            "|" if text.starts_with(is_of_name) => return false,
            _ => {}
        }
        if matches!(part, " " | "*" | "|") {
            continue;
        }
        if !text.starts_with(part) {
            let rest = without_filler(text);
            *looks = looks.saturating_sub(text.len() - rest.len());
            text = rest;
        }
        match text.strip_prefix(part) {
            Some(rest) => text = rest,
            None => return *looks == 0,
        }
    }
    true
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A text without what may stand between a name and what belongs to it in any of the languages: space, continuations of lines, comments,
/// brackets that close, and the signs of `eval?.(x)` and `eval!(x)`.
fn without_filler(mut text: &str) -> &str {
    const SIGNS: [char; 3] = ['\\', ')', '!'];
    loop {
        text = text
            .strip_prefix("?.")
            .unwrap_or(text)
            .trim_start_matches(|c: char| c.is_whitespace() || SIGNS.contains(&c));
        let end = if text.starts_with('#') || text.starts_with("//") {
            text.find('\n')
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.find("*/").map(|end| end + 4)
        } else {
            return text;
        };
        text = &text[end.unwrap_or(text.len())..];
    }
}

fn words() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let of = |language: Language| language.tree_rules().iter().map(move |rule| (language, rule));
        let rules: Vec<_> = Language::ALL.into_iter().flat_map(of).collect();
        let mut rests = Vec::new();
        let mut first = Vec::new();
        for (rule, (_, row)) in rules.iter().enumerate() {
            for needle in row.needles {
                // A needle that begins with a sign, such as a quote, is one word.
                let end = needle.find(|c| !is_of_name(c)).filter(|end| *end > 0).unwrap_or(needle.len());
                rests.push(Rest { rule, parts: &needle[end..] });
                first.push(&needle[..end]);
            }
        }
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(first);
        let automaton = automaton.expect("the words of the tables fit an automaton");
        Words { automaton, rests, rules }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, parts: &str, expected: bool) {
        assert_eq!(follows(text, parts, &mut 1000), expected, "{text:?} {parts:?}");
    }

    #[test]
    fn parts_of_needles_may_stand_apart() {
        for text in ["(", "  (", "\\\n(", " # why\n (", "/* x */ // y\n(", ")(", "?.(", "!("] {
            check(text, "(", true);
        }
        for text in ["", " x(", "# (", "/* (", "uation", "\\"] {
            check(text, "(", false);
        }
        check(" . /* */ Xml", ".Xml", true);
        check(".Net", ".Xml", false);
        check("many (", "*(", true);
        check("many", "*(", false);
        check("\\\n as s", " as", true);
        check("tem", " as", false);
        check(";", "|", true);
        check("uation", "|", false);
    }

    #[test]
    fn comments_that_begin_over_and_over_take_linear_time() {
        for unit in ["eval /*", "eval #", "system ."] {
            assert!(wanted(&unit.repeat((1 << 20) / unit.len())).len() < 80, "{unit}");
        }
    }
}
