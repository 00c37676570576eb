//! Code fences in a message: which stretches of it are code, and of which language.

use std::ops::Range;

use crate::language::Named;

/// A stretch of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Bytes of the message, without the lines of the fences.
    pub range: Range<usize>,
    /// What the fence says it is; nothing outside of fences.
    pub named: Named,
    /// Whether it stands between fences.
    pub is_fenced: bool,
}

/// An opening fence: its sign and how many there are.
struct Fence {
    sign: u8,
    length: usize,
    named: Named,
}

/// A walk over the lines of a message.
#[derive(Default)]
struct Walk {
    open: Option<Fence>,
    /// Where the stretch began that is not over yet.
    from: usize,
    at: usize,
}

impl Walk {
    /// Takes a line; gives the stretch that it ends, if it is a fence.
    fn take(&mut self, line: &str) -> Option<Stretch> {
        let start = self.at;
        self.at += line.len();
        let opened = match &self.open {
            None => Some(opening(line)?),
            Some(fence) if closes(line, fence) => None,
            Some(_) => return None,
        };
        let stretch = self.until(start);
        self.open = opened;
        self.from = self.at;
        Some(stretch)
    }

    fn until(&self, end: usize) -> Stretch {
        let named = self.open.as_ref().map_or(Named::Nothing, |fence| fence.named);
        Stretch { range: self.from..end, named, is_fenced: self.open.is_some() }
    }
}

/// Divides a message at its fences (CommonMark 0.31, section 4.5, at any indentation). A fence that is never closed
/// reaches to the end.
pub(crate) fn stretches(text: &str) -> Vec<Stretch> {
    let mut walk = Walk::default();
    let mut found: Vec<Stretch> = text.split_inclusive('\n').filter_map(|line| walk.take(line)).collect();
    found.push(walk.until(text.len()));
    found.retain(|stretch| !stretch.range.is_empty());
    found
}

/// Up to where a message that goes on is judged for good: to the last fence that closed, or to the one that is open. A
/// last line without its end may turn out not to be a fence.
pub(crate) fn settled(text: &str) -> usize {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let mut walk = Walk::default();
    let mut settled = 0;
    for line in text[..whole].split_inclusive('\n') {
        let start = walk.at;
        if walk.take(line).is_some() {
            settled = if walk.open.is_some() { start } else { walk.at };
        }
    }
    settled
}

/// The sign, how often it stands at the start of a line, and what follows.
fn signs(line: &str) -> Option<(u8, usize, &str)> {
    let line = line.trim();
    let sign = *line.as_bytes().first().filter(|&&sign| sign == b'`' || sign == b'~')?;
    let length = line.bytes().take_while(|&byte| byte == sign).count();
    (length >= 3).then(|| (sign, length, &line[length..]))
}

fn opening(line: &str) -> Option<Fence> {
    let (sign, length, info) = signs(line)?;
    if sign == b'`' && info.contains('`') {
        return None;
    }
    let word = info.trim().split(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | ':'));
    let name = word.map(|word| word.trim_start_matches('.')).find(|word| !word.is_empty());
    Some(Fence { sign, length, named: name.map_or(Named::Nothing, Named::by) })
}

fn closes(line: &str, fence: &Fence) -> bool {
    signs(line)
        .is_some_and(|(sign, length, rest)| sign == fence.sign && length >= fence.length && rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn check(text: &str, expected: &[(&str, Option<Language>, bool)]) {
        let found = stretches(text);
        let found: Vec<_> =
            found.iter().map(|s| (&text[s.range.clone()], s.named.language(), s.is_fenced)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn fences_name_their_language() {
        check("```python\nx\n```", &[("x\n", Some(Language::Python), true)]);
        check(
            "a\n~~~ C++ title\nx\n~~~\nb",
            &[("a\n", None, false), ("x\n", Some(Language::Cpp), true), ("b", None, false)],
        );
        check("```{.js .numbered}\nx\n```", &[("x\n", Some(Language::JavaScript), true)]);
        check("```TSX\nx\n```", &[("x\n", Some(Language::JavaScript), true)]);
        check("```klingon\nx\n```", &[("x\n", None, true)]);
        check("```\nx\n```", &[("x\n", None, true)]);
        check(
            "  1. do:\n     ```py\n     x\n     ```\n",
            &[("  1. do:\n", None, false), ("     x\n", Some(Language::Python), true)],
        );
    }

    #[test]
    fn odd_fences_are_read_as_commonmark_reads_them() {
        check("```py\nx", &[("x", Some(Language::Python), true)]);
        check("```x```", &[("```x```", None, false)]);
        check("````\n```\nx\n````\ny", &[("```\nx\n", None, true), ("y", None, false)]);
        check("```py\nx\n``` no\ny\n~~~\n```", &[("x\n``` no\ny\n~~~\n", Some(Language::Python), true)]);
        check("``\nx", &[("``\nx", None, false)]);
        check("", &[]);
        check("```", &[]);
    }

    #[test]
    fn what_stands_before_the_open_fence_is_settled() {
        for (text, before) in [
            ("", ""),
            ("prose", ""),
            ("prose\n```py", ""),
            ("prose\n```py\n", "prose\n"),
            ("```py\nx\n```", ""),
            ("```py\nx\n```\n", "```py\nx\n```\n"),
            ("```py\nx\n```\ny", "```py\nx\n```\n"),
            ("```py\nx\n```\ny\n~~~\nz\n", "```py\nx\n```\ny\n"),
        ] {
            assert_eq!(&text[..settled(text)], before, "{text:?}");
        }
    }

    #[test]
    fn stretches_never_overlap_and_stand_in_order() {
        let text = "```py\na\n```\n```\nb\n~~~\n```\nc\n``````\nd".repeat(20);
        let mut end = 0;
        for stretch in stretches(&text) {
            assert!(stretch.range.start >= end && stretch.range.end > stretch.range.start);
            end = stretch.range.end;
        }
        assert_eq!(end, text.len());
    }
}
