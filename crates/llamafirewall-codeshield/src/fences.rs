//! Code fences in a message: which stretches of it are code, and of which language. Outside of fences quotations and the code
//! of HTML are stretches of their own besides.

use std::collections::HashSet;
use std::ops::Range;

use crate::blocks::{Blocks, Step};
use crate::code::{Wrapping, is_unseen, unquoted};
use crate::html;
use crate::language::Named;
use crate::texts::Texts;

/// A stretch of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stretch {
    /// Bytes of the message, without the lines of the fences.
    pub range: Range<usize>,
    /// What the fence says it is; nothing outside of fences.
    pub named: Named,
    /// What the message puts around its lines.
    pub wrapping: Wrapping,
    /// Whether it is one of several readings: nothing in it counts but what can be read as code.
    pub is_doubtful: bool,
    /// The fence of another reading that it lies in and has its name from.
    pub within: Option<Range<usize>>,
}

impl Stretch {
    pub(crate) fn outside(range: Range<usize>) -> Self {
        Self { range, named: Named::Nothing, wrapping: Wrapping::default(), is_doubtful: false, within: None }
    }

    pub(crate) fn of_fence(range: Range<usize>, fence: &Fence) -> Self {
        let wrapping = Wrapping { quotes: fence.quotes, is_html: false };
        Self { named: fence.named, wrapping, ..Self::outside(range) }
    }

    fn of(range: Range<usize>, fence: Option<&Fence>) -> Self {
        match fence {
            Some(fence) => Self::of_fence(range, fence),
            None => Self::outside(range),
        }
    }

    /// What it has of a range, in another reading.
    fn part(&self, of: &Range<usize>) -> Self {
        let range = self.range.start.max(of.start)..self.range.end.min(of.end);
        Self { range, ..self.clone() }.in_doubt()
    }

    pub(crate) fn in_doubt(self) -> Self {
        Self { is_doubtful: true, ..self }
    }
}

/// A message divided into stretches.
pub(crate) struct Division {
    pub stretches: Vec<Stretch>,
    /// The fences that name their language, in order. In another reading of the same lines that name counts too.
    pub named: Vec<Stretch>,
    /// What has too many readings.
    pub unread: Vec<Range<usize>>,
}

/// An opening fence: its sign, how many there are, in how many quotations it stands, and whether it says anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence {
    pub sign: u8,
    pub length: usize,
    pub quotes: usize,
    pub named: Named,
    pub has_info: bool,
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
        Stretch::of(self.from..end, self.open.as_ref())
    }

    /// Where a scan may begin anew: nothing from here on is judged for good.
    fn settled(&self, line: usize) -> usize {
        if self.open.is_some() { line } else { self.from }
    }
}

/// The other readings of a message with fences, beside that of [`Walk`].
struct Others<'t> {
    /// As CommonMark has it, and where the stretch began that is not over yet.
    blocks: Blocks,
    from: usize,
    /// Where the last block of HTML ended within a fence of the walk.
    html_end: Option<usize>,
    /// With a stretch of its own behind each fence that may begin one; the last of them.
    last: Option<Fence>,
    last_from: usize,
    /// Whether that one says so itself, and not the one around it.
    is_last_sure: bool,
    /// Code with fences in its strings and comments.
    texts: Texts<'t>,
    found: Vec<Stretch>,
}

impl<'t> Others<'t> {
    fn of(message: &str) -> Self {
        Self {
            blocks: Blocks::new(),
            from: 0,
            html_end: None,
            last: None,
            last_from: 0,
            is_last_sure: false,
            texts: Texts::of(message),
            found: Vec::new(),
        }
    }

    /// Takes a line that begins at `at`. `before` is the fence around it, and `is_end` whether a stretch of the walk ends there.
    fn take(&mut self, line: &'t str, at: usize, (before, is_end): (Option<Fence>, bool)) -> Step {
        let end = at + line.len();
        let fence = self.blocks.fence().copied();
        let was_html = self.blocks.is_html();
        let step = self.blocks.take(line);
        if was_html && !self.blocks.is_html() && before.is_some() {
            self.html_end = Some(end);
        }
        if step != Step::None {
            self.end_html(at);
            self.found.push(Stretch::of(self.from..at, fence.as_ref()).in_doubt());
            self.from = if step == Step::Leaves { at } else { end };
        }
        let sign = opening(line);
        let is_named = sign.is_some_and(|sign| sign.has_info);
        // Under the name of a language without rules nothing is looked at, so that any fence may end it.
        let is_unruled = before.is_some_and(|fence| fence.named == Named::Other);
        let is_closed =
            sign.is_some() && self.last.is_some_and(|last| closes(unquoted(line, last.quotes).1, &last));
        if is_end || is_named || is_closed || (sign.is_some() && is_unruled) {
            self.split(at);
            (self.last, self.last_from) = (sign, if sign.is_some() { end } else { at });
            let is_known = sign.is_some_and(|sign| sign.named.language().is_some());
            self.is_last_sure = is_known || (is_named && is_unruled);
        }
        let begins = is_named || (is_end && before.is_none()) || matches!(step, Step::Opens { .. });
        self.texts.take(line, at, (sign.as_ref(), begins));
        step
    }

    /// Ends what began behind a block of HTML.
    fn end_html(&mut self, end: usize) {
        let from = self.html_end.take().filter(|from| *from < end);
        self.found.extend(from.map(|from| Stretch::outside(from..end).in_doubt()));
    }

    /// Ends the stretch of the last fence that may have begun one.
    fn split(&mut self, end: usize) {
        let stretch = Stretch::of(self.last_from..end, self.last.as_ref());
        self.found.push(if self.is_last_sure { stretch } else { stretch.in_doubt() });
    }

    /// Stretches that are not among those `known`, and what was too much. What lies in a fence of those `named` keeps its name.
    fn finish(
        mut self,
        text: &str,
        known: &[Stretch],
        named: &[Stretch],
    ) -> (Vec<Stretch>, Vec<Range<usize>>) {
        self.split(text.len());
        self.end_html(text.len());
        self.found.push(Stretch::of(self.from..text.len(), self.blocks.fence()).in_doubt());
        let (with_texts, unread) = self.texts.finish(text.len());
        let mut seen: HashSet<Stretch> = known.iter().map(|stretch| stretch.clone().in_doubt()).collect();
        let mut stretches = Vec::new();
        for stretch in self.found.into_iter().chain(with_texts) {
            if !seen.insert(stretch.clone().in_doubt()) {
                continue;
            }
            let is_unnamed = stretch.is_doubtful && stretch.named == Named::Nothing;
            let fences = if is_unnamed { overlapping(named, &stretch.range) } else { &[] };
            for fence in fences {
                let part = fence.part(&stretch.range);
                // Of what names a language without rules, parts may be code of others.
                if seen.insert(part.clone()) || fence.named == Named::Other {
                    stretches.push(Stretch { within: Some(fence.range.clone()), ..part });
                }
            }
            if fences.first().is_some_and(|fence| fence.part(&stretch.range).range == stretch.range) {
                continue;
            }
            if stretch.named == Named::Nothing && stretch.wrapping == Wrapping::default() {
                stretches.extend(wrapped_in(text, &stretch.range).into_iter().map(Stretch::in_doubt));
            }
            stretches.push(stretch);
        }
        (stretches, unread)
    }
}

/// Those of stretches in order that have something of a range.
pub(crate) fn overlapping<'a>(stretches: &'a [Stretch], range: &Range<usize>) -> &'a [Stretch] {
    let from = stretches.partition_point(|stretch| stretch.range.end <= range.start);
    let to = stretches.partition_point(|stretch| stretch.range.start < range.end);
    &stretches[from..to.max(from)]
}

/// Divides a message at its fences (CommonMark 0.31, section 4.5, at any indentation, in lists and quotations too). A fence that is
/// never closed reaches to the end, or to that of its quotation. What is wrapped outside of fences comes behind, and then what the
/// message has in other readings: as CommonMark has it; with a new fence wherever a line says what follows; with fences that stand in
/// strings and comments of code.
pub(crate) fn stretches(text: &str) -> Division {
    let mut walk = Walk::default();
    let mut others = has_fences(text).then(|| Others::of(text));
    let (mut found, mut wrapped) = (Vec::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        let (at, before) = (walk.at, walk.open);
        let ended = walk.take(line);
        if let Some(others) = &mut others {
            others.take(line, at, (before, ended.is_some()));
        }
        let outside = ended.iter().filter(|_| before.is_none());
        wrapped.extend(outside.flat_map(|outside| wrapped_in(text, &outside.range)));
        found.extend(ended);
    }
    let last = walk.until(text.len());
    if walk.open.is_none() {
        wrapped.extend(wrapped_in(text, &last.range));
    }
    found.push(last);
    let is_named = |stretch: &&Stretch| stretch.named != Named::Nothing && !stretch.range.is_empty();
    let named: Vec<Stretch> = found.iter().filter(is_named).cloned().collect();
    found.append(&mut wrapped);
    let mut unread = Vec::new();
    if let Some((stretches, too_much)) = others.map(|others| others.finish(text, &found, &named)) {
        found.extend(stretches);
        unread = too_much;
    }
    found.retain(|stretch| !stretch.range.is_empty());
    Division { stretches: found, named, unread }
}

pub(crate) fn has_fences(text: &str) -> bool {
    text.contains("```") || text.contains("~~~")
}

/// Code outside of fences that something is put around: lines of quotations, and blocks of HTML.
fn wrapped_in(text: &str, outside: &Range<usize>) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut at = outside.start;
    let mut quotation: Option<Range<usize>> = None;
    let of_quotation = |range| Stretch {
        wrapping: Wrapping { quotes: usize::MAX, is_html: false },
        ..Stretch::outside(range)
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
        Stretch { named, wrapping: Wrapping { quotes, is_html: true }, ..Stretch::outside(range) }
    };
    html::blocks(&text[outside.clone()]).into_iter().map(of_html).collect()
}

/// Up to where a message that goes on is judged for good: to the last fence that closed, or to the one that is open, as far as all
/// readings agree. A last line without its end may turn out not to be a fence.
pub(crate) fn settled(text: &str) -> usize {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if !has_fences(&text[..whole]) {
        return 0;
    }
    let (mut walk, mut others) = (Walk::default(), Others::of(text));
    let mut settled = 0;
    for line in text[..whole].split_inclusive('\n') {
        let (at, before) = (walk.at, walk.open);
        let was_fresh = others.blocks.are_fresh();
        let was_outside = others.blocks.is_outside_of_lists();
        let is_end = walk.take(line).is_some();
        let step = others.take(line, at, (before, is_end));
        let do_agree = match step {
            Step::Opens { ends_another } => {
                walk.open.is_some() && (was_fresh || (was_outside && ends_another))
            }
            Step::Closes => walk.open.is_none() && others.blocks.is_outside_of_lists(),
            Step::Leaves => walk.open.is_none() && was_outside,
            Step::None => false,
        };
        if is_end && do_agree && others.texts.is_idle() {
            settled = walk.settled(at);
        }
    }
    settled
}

/// The sign, how often it stands at the start of a line, and what follows.
fn signs(line: &str) -> Option<(u8, usize, &str)> {
    let line = line.trim_matches(is_unseen);
    let sign = *line.as_bytes().first().filter(|&&sign| sign == b'`' || sign == b'~')?;
    let length = line.bytes().take_while(|&byte| byte == sign).count();
    (length >= 3).then(|| (sign, length, &line[length..]))
}

/// The fence that a line opens, whatever it stands in.
fn opening(line: &str) -> Option<Fence> {
    if !has_fences(line) {
        return None;
    }
    let (quotes, line) = without_containers(line);
    Some(Fence { quotes, ..opened_by(line)? })
}

/// The fence that a line without quotations opens.
pub(crate) fn opened_by(line: &str) -> Option<Fence> {
    let (sign, length, info) = signs(line)?;
    if sign == b'`' && info.contains('`') {
        return None;
    }
    let words = info.split(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | ':'));
    let name = words.map(|word| word.trim_start_matches('.')).find(|word| !word.is_empty());
    let named = name.map_or(Named::Nothing, Named::by);
    Some(Fence { sign, length, quotes: 0, named, has_info: name.is_some() })
}

/// A line without the signs of quotations and of items of lists that it begins with, and how many of the former there are.
fn without_containers(line: &str) -> (usize, &str) {
    let (mut quotes, mut rest) = (0, line);
    loop {
        let (found, after) = unquoted(rest, usize::MAX);
        quotes += found;
        let item = after.trim_start_matches(is_unseen);
        let digits = item.bytes().take(9).take_while(u8::is_ascii_digit).count();
        let signs: &[char] = if digits == 0 { &['-', '*', '+'] } else { &['.', ')'] };
        match item[digits..].strip_prefix(signs).and_then(|item| item.strip_prefix([' ', '\t'])) {
            Some(item) => rest = item,
            None => return (quotes, after),
        }
    }
}

pub(crate) fn closes(line: &str, fence: &Fence) -> bool {
    signs(line)
        .is_some_and(|(sign, length, rest)| sign == fence.sign && length >= fence.length && rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn check(text: &str, expected: &[(&str, Option<Language>)]) {
        let found = stretches(text).stretches;
        let found: Vec<_> = found.iter().map(|s| (&text[s.range.clone()], s.named.language())).collect();
        assert_eq!(found, expected, "{text}");
    }

    /// The same, and what other readings give.
    fn check_others(text: &str, expected: &[(&str, Option<Language>)]) {
        let expected: Vec<_> =
            expected.iter().map(|(code, language)| ((*code).to_owned(), *language)).collect();
        let found = stretches(text).stretches;
        let found: Vec<_> =
            found.iter().map(|s| (text[s.range.clone()].to_owned(), s.named.language())).collect();
        for one in &expected {
            assert!(found.contains(one), "{one:?}: {found:?}");
        }
    }

    #[test]
    fn fences_name_their_language() {
        check("```python\nx\n```", &[("x\n", Some(Language::Python))]);
        check("a\n~~~ C++ title\nx\n~~~\nb", &[("a\n", None), ("x\n", Some(Language::Cpp)), ("b", None)]);
        check("```{.js .numbered}\nx\n```", &[("x\n", Some(Language::JavaScript))]);
        check("```TSX\nx\n```", &[("x\n", Some(Language::TypeScript))]);
        check("```klingon\nx\n```", &[("x\n", None)]);
        check("\u{feff}```py\nx\n```\u{feff}\n", &[("x\n", Some(Language::Python))]);
        check("\u{feff}> ```py\n\u{feff}> x", &[("\u{feff}> x", Some(Language::Python))]);
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
        check_others("```py\nx\n``` no\ny\n~~~\n```", &[("x\n``` no\ny\n~~~\n", Some(Language::Python))]);
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
        let of_walk = |stretch: &Stretch| !stretch.is_doubtful;
        for stretch in stretches(&text).stretches.into_iter().filter(of_walk) {
            assert!(stretch.range.start >= end && stretch.range.end > stretch.range.start);
            end = stretch.range.end;
        }
        assert_eq!(end, text.len());
    }
}
