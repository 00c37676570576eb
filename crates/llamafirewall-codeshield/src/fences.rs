//! Code fences in a message: which stretches of it are code, and of which language. Outside of fences quotations and the code
//! of HTML are stretches of their own besides.

use std::ops::Range;

use crate::code::{Wrapping, unquoted};
use crate::html;
use crate::language::Named;

/// A stretch of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Bytes of the message, without the lines of the fences.
    pub range: Range<usize>,
    /// What the fence says it is; nothing outside of fences.
    pub named: Named,
    /// What the message puts around its lines.
    pub wrapping: Wrapping,
}

/// An opening fence: its sign, how many there are, and in how many quotations it stands.
struct Fence {
    sign: u8,
    length: usize,
    quotes: usize,
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
    /// Takes a line; gives the stretch that ends before it, if it is a fence or the quotation around one is over.
    fn take(&mut self, line: &str) -> Option<Stretch> {
        let start = self.at;
        self.at += line.len();
        let quotes = self.open.as_ref().map_or(0, |fence| fence.quotes);
        let (found, rest) = unquoted(line, quotes);
        let is_over = found < quotes;
        let opened = match &self.open {
            Some(_) if is_over => opening(line),
            None => Some(opening(line)?),
            Some(fence) if closes(rest, fence) => None,
            Some(_) => return None,
        };
        let stretch = self.until(start);
        self.from = if is_over && opened.is_none() { start } else { self.at };
        self.open = opened;
        Some(stretch)
    }

    fn until(&self, end: usize) -> Stretch {
        let (named, quotes) =
            self.open.as_ref().map_or((Named::Nothing, 0), |fence| (fence.named, fence.quotes));
        Stretch { range: self.from..end, named, wrapping: Wrapping { quotes, is_html: false } }
    }

    /// Where a scan may begin anew: nothing from here on is judged for good.
    fn settled(&self, line: usize) -> usize {
        if self.open.is_some() { line } else { self.from }
    }
}

/// Divides a message at its fences (CommonMark 0.31, section 4.5, at any indentation, in lists and quotations too). A fence that is
/// never closed reaches to the end, or to that of its quotation. What is wrapped outside of fences comes behind.
pub(crate) fn stretches(text: &str) -> Vec<Stretch> {
    let mut walk = Walk::default();
    let (mut found, mut wrapped) = (Vec::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        let is_outside = walk.open.is_none();
        let ended = walk.take(line);
        wrapped
            .extend(ended.iter().filter(|_| is_outside).flat_map(|outside| wrapped_in(text, &outside.range)));
        found.extend(ended);
    }
    let last = walk.until(text.len());
    if walk.open.is_none() {
        wrapped.extend(wrapped_in(text, &last.range));
    }
    found.push(last);
    found.append(&mut wrapped);
    found.retain(|stretch| !stretch.range.is_empty());
    found
}

/// Code outside of fences that something is put around: lines of quotations, and blocks of HTML.
fn wrapped_in(text: &str, outside: &Range<usize>) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut at = outside.start;
    let mut quotation: Option<Range<usize>> = None;
    let of_quotation = |range| Stretch {
        range,
        named: Named::Nothing,
        wrapping: Wrapping { quotes: usize::MAX, is_html: false },
    };
    for line in text[outside.clone()].split_inclusive('\n') {
        let end = at + line.len();
        match &mut quotation {
            _ if unquoted(line, 1).0 == 0 => found.extend(quotation.take().map(of_quotation)),
            Some(lines) => lines.end = end,
            None => quotation = Some(at..end),
        }
        at = end;
    }
    found.extend(quotation.map(of_quotation));
    found.extend(html_in(text, outside));
    found
}

/// Blocks of HTML, each in as many quotations as signs of them begin its line.
fn html_in(text: &str, outside: &Range<usize>) -> Vec<Stretch> {
    let (mut at, mut quotes) = (outside.start, unquoted(&text[outside.clone()], usize::MAX).0);
    let of_html = |(range, named): (Range<usize>, Named)| {
        let range = outside.start + range.start..outside.start + range.end;
        if let Some(end) = text[at..range.start].rfind('\n') {
            quotes = unquoted(&text[at + end + 1..range.start], usize::MAX).0;
        }
        at = range.start;
        Stretch { range, named, wrapping: Wrapping { quotes, is_html: true } }
    };
    html::blocks(&text[outside.clone()]).into_iter().map(of_html).collect()
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
            settled = walk.settled(start);
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
    if !line.contains("```") && !line.contains("~~~") {
        return None;
    }
    let (quotes, line) = without_containers(line);
    let (sign, length, info) = signs(line)?;
    if sign == b'`' && info.contains('`') {
        return None;
    }
    let word = info.trim().split(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | ':'));
    let name = word.map(|word| word.trim_start_matches('.')).find(|word| !word.is_empty());
    Some(Fence { sign, length, quotes, named: name.map_or(Named::Nothing, Named::by) })
}

/// A line without the signs of quotations and of items of lists that it begins with, and how many of the former there are.
fn without_containers(line: &str) -> (usize, &str) {
    let (mut quotes, mut rest) = (0, line);
    loop {
        let (found, after) = unquoted(rest, usize::MAX);
        quotes += found;
        let item = after.trim_start();
        let digits = item.bytes().take(9).take_while(u8::is_ascii_digit).count();
        let signs: &[char] = if digits == 0 { &['-', '*', '+'] } else { &['.', ')'] };
        match item[digits..].strip_prefix(signs).and_then(|item| item.strip_prefix([' ', '\t'])) {
            Some(item) => rest = item,
            None => return (quotes, after),
        }
    }
}

fn closes(line: &str, fence: &Fence) -> bool {
    signs(line)
        .is_some_and(|(sign, length, rest)| sign == fence.sign && length >= fence.length && rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn check(text: &str, expected: &[(&str, Option<Language>)]) {
        let found = stretches(text);
        let found: Vec<_> = found.iter().map(|s| (&text[s.range.clone()], s.named.language())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn fences_name_their_language() {
        check("```python\nx\n```", &[("x\n", Some(Language::Python))]);
        check("a\n~~~ C++ title\nx\n~~~\nb", &[("a\n", None), ("x\n", Some(Language::Cpp)), ("b", None)]);
        check("```{.js .numbered}\nx\n```", &[("x\n", Some(Language::JavaScript))]);
        check("```TSX\nx\n```", &[("x\n", Some(Language::TypeScript))]);
        check("```klingon\nx\n```", &[("x\n", None)]);
        check("```\nx\n```", &[("x\n", None)]);
        check(
            "  1. do:\n     ```py\n     x\n     ```\n",
            &[("  1. do:\n", None), ("     x\n", Some(Language::Python))],
        );
    }

    #[test]
    fn odd_fences_are_read_as_commonmark_reads_them() {
        check("```py\nx", &[("x", Some(Language::Python))]);
        check("```x```", &[("```x```", None)]);
        check("````\n```\nx\n````\ny", &[("```\nx\n", None), ("y", None)]);
        check("```py\nx\n``` no\ny\n~~~\n```", &[("x\n``` no\ny\n~~~\n", Some(Language::Python))]);
        check("``\nx", &[("``\nx", None)]);
        check("", &[]);
        check("```", &[]);
    }

    #[test]
    fn fences_stand_in_quotations_and_lists() {
        let python = Some(Language::Python);
        check("> ```py\n> x\n> ```\n", &[("> x\n", python)]);
        check("> ```py\n> x\ny", &[("> x\n", python), ("y", None)]);
        check("> > ~~~ py\n> > x\n> y", &[("> > x\n", python), ("> y", None), ("> y", None)]);
        check("> ```py\n```\nx", &[("x", None)]);
        check("```py\n> ```\n```", &[("> ```\n", python)]);
        check("1. > - ```py\n   >   x\n   >   ```", &[("   >   x\n", python)]);
        check("- ```py\n  x\n  ```\ny", &[("  x\n", python), ("y", None)]);
        check("a\n> b\n> c\nd\n", &[("a\n> b\n> c\nd\n", None), ("> b\n> c\n", None)]);
        check("<pre lang=py>\nx</pre>", &[("<pre lang=py>\nx</pre>", None), ("\nx", python)]);
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
            ("> ```py\n> x\ny\nz", "> ```py\n> x\n"),
            ("> ```py\n> x\n```\nz", "> ```py\n> x\n"),
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
