//! Fences in strings and comments of code: a line of fence signs in a docstring, a template or a comment of several lines does not
//! end the code around it for whoever runs it. Code is read roughly here, as far as strings and comments of several lines depend on it.

use std::ops::Range;

use crate::code::{is_unseen, unquoted};
use crate::fences::{Fence, Stretch, closes};
use crate::language::{Language, Named};

/// How many bytes the stretches may have together, per byte of the message and at least.
const BYTES_PER_BYTE: usize = 8;
const BYTES: usize = 64 << 10;
/// How many readings are followed at once, and how many blocks of code in each.
const MOST_OPEN: usize = 12;
const MOST_STARTS: usize = 16;
/// Longest end of a string that is told from shorter ones.
const LONGEST_END: usize = 16;

/// How languages write strings and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lexis {
    Python,
    /// C, C++, C#, Java, JavaScript and TypeScript: what one of them has is an error in the others.
    Curly,
}

/// A string or a comment that goes on in the next line, by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text<'t> {
    /// Of a string in which a backslash is part of the character behind it.
    Escaped(&'t str),
    Comment,
    /// `@"..."` of C#, in which two quotes are one.
    Verbatim,
    /// `R"x(...)x"` of C++.
    Raw(&'t str),
}

/// Code that may go on behind fences: of one or more fences, all in the same text by now.
struct Open<'t> {
    lexis: Lexis,
    text: Option<Text<'t>>,
    quotes: usize,
    /// Whether a fence stood in a text of it.
    has_passed: bool,
    starts: Vec<(Fence, usize)>,
    /// Where the first began that were too many.
    dropped: Option<usize>,
}

/// A walk over the lines of a message beside that over its fences.
pub(crate) struct Texts<'t> {
    open: Vec<Open<'t>>,
    found: Vec<Stretch>,
    /// How many bytes further stretches may have.
    left: usize,
    /// Code that was too much.
    unread: Vec<Range<usize>>,
    /// Whether no code goes on behind the last line but what that begins.
    is_idle: bool,
}

impl<'t> Texts<'t> {
    pub(crate) fn of(message: &str) -> Self {
        let left = BYTES.max(message.len().saturating_mul(BYTES_PER_BYTE));
        Self { open: Vec::new(), found: Vec::new(), left, unread: Vec::new(), is_idle: true }
    }

    /// Whether no code goes on behind the last line, but what that line begins.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Takes a line that begins at `at`, what it is as an opening fence, and whether it begins code as such.
    pub(crate) fn take(&mut self, line: &'t str, at: usize, (sign, begins): (Option<&Fence>, bool)) {
        let before = std::mem::take(&mut self.open);
        for mut code in before {
            self.go_on(&mut code, line, (at, sign));
            if !code.starts.is_empty() {
                self.add(code, at);
            }
        }
        self.is_idle = self.open.is_empty();
        if let Some(fence) = sign.filter(|_| begins) {
            for lexis in lexes(fence.named) {
                let starts = vec![(*fence, at + line.len())];
                let code = Open {
                    lexis: *lexis,
                    text: None,
                    quotes: fence.quotes,
                    has_passed: false,
                    starts,
                    dropped: None,
                };
                self.add(code, at);
            }
        }
    }

    /// Adds code to that in the same text, which goes on in the same way and is read once.
    fn add(&mut self, code: Open<'t>, at: usize) {
        let is_same = |other: &&mut Open<'_>| {
            (other.lexis, other.text, other.quotes) == (code.lexis, code.text, code.quotes)
        };
        if let Some(other) = self.open.iter_mut().find(is_same) {
            let kept = code.starts.len().min(MOST_STARTS.saturating_sub(other.starts.len()));
            other.starts.extend(&code.starts[..kept]);
            let dropped = code.starts.get(kept).map(|(_, at)| *at);
            other.dropped = other.dropped.or(code.dropped).or(dropped);
            other.has_passed |= code.has_passed;
        } else if self.open.len() < MOST_OPEN {
            self.open.push(code);
        } else {
            let first = code.starts.first().map_or(at, |(_, start)| *start);
            self.unread.push(first.min(at)..at.max(first));
        }
    }

    fn go_on(&mut self, code: &mut Open<'t>, line: &'t str, (at, sign): (usize, Option<&Fence>)) {
        let (found, rest) = unquoted(line, code.quotes);
        if found < code.quotes {
            self.end(code, at, |_| true);
            code.starts.clear();
            return;
        }
        let is_fence = |fence: &Fence| sign.is_some_and(|sign| sign.has_info) || closes(rest, fence);
        if code.text.is_none() {
            self.end(code, at, is_fence);
        } else {
            code.has_passed |= code.starts.iter().any(|(fence, _)| is_fence(fence));
        }
        // What follows the signs of a fence may end the text around it.
        let signs = rest.trim_start_matches(is_unseen);
        let is_sign = signs.starts_with("```") || signs.starts_with("~~~");
        code.text = behind(if is_sign { &signs[3..] } else { rest }, code.text, code.lexis);
    }

    /// Ends code of fences at `at`: where it has fences in its texts, it is another than that up to the first of them.
    fn end(&mut self, code: &mut Open<'_>, at: usize, ends: impl Fn(&Fence) -> bool) {
        let ended: Vec<(Fence, usize)> = code.starts.extract_if(.., |(fence, _)| ends(fence)).collect();
        if !code.has_passed || code.text.is_some() || ended.is_empty() {
            return;
        }
        self.unread.extend(code.dropped.take().map(|start| start..at));
        for (fence, start) in ended {
            match self.left.checked_sub(at - start) {
                Some(left) => {
                    self.left = left;
                    self.found.push(Stretch::of_fence(start..at, &fence).in_doubt());
                }
                None => self.unread.push(start..at),
            }
        }
    }

    /// The code with fences in its strings and comments, and what was too much.
    pub(crate) fn finish(mut self, end: usize) -> (Vec<Stretch>, Vec<Range<usize>>) {
        for mut code in std::mem::take(&mut self.open) {
            self.end(&mut code, end, |_| true);
        }
        (self.found, self.unread)
    }
}

fn lexes(named: Named) -> &'static [Lexis] {
    match named {
        Named::Known(Language::Python) => &[Lexis::Python],
        Named::Known(Language::Php) | Named::Other => &[],
        Named::Known(_) => &[Lexis::Curly],
        Named::Nothing => &[Lexis::Python, Lexis::Curly],
    }
}

/// A walk over lines of one language.
pub(crate) struct Lines<'t> {
    lexis: Option<Lexis>,
    text: Option<Text<'t>>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(language: Language) -> Self {
        Self { lexis: lexes(Named::Known(language)).first().copied(), text: None }
    }

    /// Takes a line; says whether it begins in a string or a comment.
    pub(crate) fn is_within(&mut self, line: &'t str) -> bool {
        let before = self.is_open();
        self.text = self.lexis.and_then(|lexis| behind(line, self.text, lexis));
        before
    }

    /// Whether the last line ends in a string or a comment.
    pub(crate) fn is_open(&self) -> bool {
        self.text.is_some()
    }
}

/// In which text a line ends that begins in `text`.
fn behind<'t>(mut line: &'t str, mut text: Option<Text<'t>>, lexis: Lexis) -> Option<Text<'t>> {
    loop {
        if let Some(of) = text {
            let Some(end) = end(line, of) else { return text };
            line = &line[end..];
        }
        let (of, rest) = next(line, lexis)?;
        (text, line) = (Some(of), rest);
    }
}

/// Where a text ends in a line.
fn end(line: &str, text: Text<'_>) -> Option<usize> {
    match text {
        Text::Comment => line.find("*/").map(|at| at + 2),
        Text::Escaped(end) => closed(line, end),
        Text::Verbatim => {
            let mut at = 0;
            loop {
                at += line[at..].find('"')? + 1;
                match line[at..].starts_with('"') {
                    true => at += 1,
                    false => return Some(at),
                }
            }
        }
        Text::Raw(name) => {
            let mut ends = line.match_indices(')').map(|(at, _)| at + 1);
            let length = name.len() + 1;
            let is_end =
                |at: &usize| line[*at..].strip_prefix(name).is_some_and(|rest| rest.starts_with('"'));
            ends.find(is_end).map(|at| at + length)
        }
    }
}

/// Behind the first `end` that no backslash stands before.
fn closed(line: &str, end: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += line[at..].find(['\\', end.chars().next()?])?;
        let rest = &line[at..];
        if rest.starts_with(end) {
            return Some(at + end.len());
        }
        let is_escape = rest.starts_with('\\');
        at += rest.chars().take(1 + usize::from(is_escape)).map(char::len_utf8).sum::<usize>();
    }
}

/// The first text of several lines that begins in a line of code, and what of the line is in it.
fn next(mut line: &str, lexis: Lexis) -> Option<(Text<'_>, &str)> {
    let signs: &[char] = match lexis {
        Lexis::Python => &['"', '\'', '#'],
        Lexis::Curly => &['"', '\'', '`', '/'],
    };
    let whole = line;
    loop {
        let at = line.find(signs)?;
        let before = &whole[..whole.len() - line.len() + at];
        let rest = &line[at..];
        let run = rest.bytes().take(LONGEST_END).take_while(|byte| *byte == rest.as_bytes()[0]).count();
        line = match &rest[..1] {
            "#" => return None,
            "/" if rest.starts_with("//") => return None,
            "/" if rest.starts_with("/*") => return Some((Text::Comment, &rest[2..])),
            "/" => &rest[1..],
            "`" => return Some((Text::Escaped("`"), &rest[1..])),
            _ if lexis == Lexis::Python && run >= 3 => return Some((Text::Escaped(&rest[..3]), &rest[3..])),
            "\"" if before.ends_with('@') || before.ends_with("@$") => {
                return Some((Text::Verbatim, &rest[1..]));
            }
            "\"" if before.ends_with('R') && raw_name(rest).is_some() => {
                let name = raw_name(rest)?;
                return Some((Text::Raw(name), &rest[name.len() + 2..]));
            }
            "\"" if run >= 3 => return Some((Text::Escaped(&rest[..run]), &rest[run..])),
            sign => &rest[1 + closed(&rest[1..], sign)?..],
        };
    }
}

/// The name between the quote and the bracket of a raw string.
fn raw_name(rest: &str) -> Option<&str> {
    let bracket = rest.bytes().take(LONGEST_END + 2).position(|byte| byte == b'(')?;
    Some(&rest[1..bracket])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], lexis: Lexis, expected: Option<Text<'_>>) {
        let found = lines.iter().fold(None, |text, line| behind(line, text, lexis));
        assert_eq!(found, expected, "{lines:?}");
    }

    #[test]
    fn texts_of_several_lines_are_followed() {
        check(
            &["x = 'a\\'\"\"\"' # '''", "y = \"\"\"a", "# ''' \\\"\"\" "],
            Lexis::Python,
            Some(Text::Escaped("\"\"\"")),
        );
        check(&["f('''a", "b''', \"c'\", '''", "'''"], Lexis::Python, None);
        check(&["a / b; /* c", " // d"], Lexis::Curly, Some(Text::Comment));
        check(&["f('\"', \"//\", '/*'); // /*", "g(`a \\` b", "c`)"], Lexis::Curly, None);
        check(&["s = @\"a\"\"b", "c\\"], Lexis::Curly, Some(Text::Verbatim));
        check(&["s = $@\"a\"\"b", "c\\\";", "/*"], Lexis::Curly, Some(Text::Comment));
        check(&["s = R\"x(a)\"", "b)y\""], Lexis::Curly, Some(Text::Raw("x")));
        check(&["s = R\"x(a)\"", "b)x\" + `"], Lexis::Curly, Some(Text::Escaped("`")));
        check(
            &["s = \"\"\"\"", "a \"\"\" b", "\"\"\"\" + \"\"\""],
            Lexis::Curly,
            Some(Text::Escaped("\"\"\"")),
        );
        check(&["it's", "`"], Lexis::Curly, Some(Text::Escaped("`")));
    }
}
