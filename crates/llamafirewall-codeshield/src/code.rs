//! Code as it is read: without what a message puts around it, such as the signs of a quotation before its lines and the
//! character references of HTML, and where its bytes stand in the message.

use std::borrow::Cow;
use std::ops::Range;

/// What is put around code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wrapping {
    /// How many signs of quotation stand before each line.
    pub quotes: usize,
    /// Whether it is text of HTML.
    pub is_html: bool,
}

/// Code, and its places in a message.
pub(crate) struct Code<'t> {
    pub text: Cow<'t, str>,
    /// Where the parts begin that the text was put together from, and their places in the message, in order. A part that stands there as
    /// it is has the length that it has there, and no other has.
    parts: Vec<(usize, Range<usize>)>,
}

impl<'t> Code<'t> {
    /// The code in a range of a message.
    pub(crate) fn of(message: &'t str, range: Range<usize>, wrapping: Wrapping) -> Self {
        if wrapping == Wrapping::default() {
            return Self { text: Cow::Borrowed(&message[range.clone()]), parts: vec![(0, range)] };
        }
        let mut code = Self::empty();
        let mut at = range.start;
        let mut html = Html::of(message, &range);
        for line in message[range].split_inclusive('\n') {
            let end = at + line.len();
            let (_, rest) = unquoted(line, wrapping.quotes);
            match wrapping.is_html {
                true => code.push_html(rest, end - rest.len(), &mut html),
                false => code.push(rest, end - rest.len()..end),
            }
            at = end;
        }
        code
    }

    /// Code that parts of a message are put to.
    pub(crate) fn empty() -> Self {
        Self { text: Cow::Owned(String::new()), parts: Vec::new() }
    }

    /// Adds what stands at a place of the message. What is not as it stands there has another length.
    pub(crate) fn push(&mut self, text: &str, place: Range<usize>) {
        if text.is_empty() {
            return;
        }
        let length = self.text.len();
        let joins = |(from, before): &(usize, Range<usize>)| {
            before.len() == length - from && before.end == place.start && place.len() == text.len()
        };
        match self.parts.last_mut().filter(|last| joins(last)) {
            Some((_, before)) => before.end = place.end,
            None => self.parts.push((length, place)),
        }
        self.text.to_mut().push_str(text);
    }

    /// Text of HTML: references are characters, highlighting and comments are nothing.
    fn push_html(&mut self, mut text: &str, mut at: usize, html: &mut Html) {
        while let Some(next) = if html.is_in_comment { Some(0) } else { text.find(['&', '<']) } {
            let is_line_begun = next > 0 || !(self.text.is_empty() || self.text.ends_with('\n'));
            let (length, meant) = match html.comment(&text[next..], at + next) {
                Some(length) => (length, Cow::Borrowed("")),
                None => sign(&text[next..], html.has_lines.then_some(is_line_begun))
                    .unwrap_or((1, Cow::Borrowed(&text[next..=next]))),
            };
            let (plain, rest) = (&text[..next], &text[next + length..]);
            self.push(plain, at..at + next);
            self.push(&meant, at + next..at + next + length);
            at += next + length;
            text = rest;
            if text.is_empty() {
                return;
            }
        }
        self.push(text, at..at + text.len());
    }

    /// A part of the code.
    pub(crate) fn slice(&self, span: Range<usize>) -> Code<'_> {
        let first = self.parts.partition_point(|(from, _)| *from <= span.start).saturating_sub(1);
        let mut parts = Vec::new();
        for (at, (from, place)) in self.parts.iter().enumerate().skip(first) {
            let end = self.parts.get(at + 1).map_or(self.text.len(), |(next, _)| *next);
            let within = span.start.max(*from)..span.end.min(end);
            if within.is_empty() {
                break;
            }
            let place = match place.len() == end - from {
                true => place.start + (within.start - from)..place.start + (within.end - from),
                false => place.clone(),
            };
            parts.push((within.start - span.start, place));
        }
        Code { text: Cow::Borrowed(&self.text[span]), parts }
    }

    /// Where a stretch of the code stands in the message.
    pub(crate) fn place(&self, span: Range<usize>) -> Range<usize> {
        let start = self.at(span.start);
        if span.is_empty() {
            return start..start;
        }
        let last = self.parts.partition_point(|(from, _)| *from < span.end);
        let Some((from, place)) = last.checked_sub(1).map(|last| &self.parts[last]) else {
            return start..start;
        };
        let is_whole = self.parts.get(last).map_or(self.text.len(), |(next, _)| *next) == span.end;
        let end = if is_whole { place.end } else { place.start + (span.end - from) };
        start..end.max(start)
    }

    fn at(&self, byte: usize) -> usize {
        let part = self.parts.partition_point(|(from, _)| *from <= byte);
        part.checked_sub(1)
            .map(|part| &self.parts[part])
            .map_or(0, |(from, place)| place.start + (byte - from))
    }
}

/// White space, and what takes no space at all: byte order marks, which files of some systems begin with, and the like.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// A line without the signs of quotation at its start, at most `most` of them; and how many there were.
pub(crate) fn unquoted(line: &str, most: usize) -> (usize, &str) {
    let (mut found, mut rest) = (0, line);
    while found < most {
        let Some(after) = rest.trim_start_matches(is_unseen).strip_prefix('>') else { break };
        rest = after.strip_prefix(' ').unwrap_or(after);
        found += 1;
    }
    (found, rest)
}

/// What is known of a block of HTML while it is read.
struct Html {
    is_in_comment: bool,
    /// Where the last comment ends that does: one that does not is none.
    last_end: usize,
    /// Whether elements stand for its lines.
    has_lines: bool,
}

impl Html {
    fn of(message: &str, range: &Range<usize>) -> Self {
        let text = &message[range.clone()];
        let last_end = text.rfind("-->").map_or(0, |end| range.start + end);
        let first = text.trim_start_matches(|c: char| c.is_whitespace() || c == '>');
        let has_lines = tag(first).is_some_and(|(name, length)| is_of_lines(&name, &first[..length]));
        Self { is_in_comment: false, last_end, has_lines }
    }

    /// How many bytes at the start of a text are a comment, or what of it is on this line. It stands at `at` in the message.
    fn comment(&mut self, text: &str, at: usize) -> Option<usize> {
        let opening = if self.is_in_comment { "" } else { "<!--" };
        let rest = text.strip_prefix(opening).filter(|_| self.is_in_comment || at < self.last_end)?;
        let at_once = [">", "->"].into_iter().find(|end| !opening.is_empty() && rest.starts_with(end));
        let end = at_once.map(str::len).or_else(|| rest.find("-->").map(|end| end + 3));
        self.is_in_comment = end.is_none();
        Some(end.map_or(text.len(), |end| opening.len() + end))
    }
}

/// Elements that some highlighters make of lines.
const LINES: [&str; 6] = ["div", "li", "ol", "p", "tr", "ul"];

/// Whether a tag is of such an element. Braces are those of JSX, which is code.
fn is_of_lines(name: &str, tag: &str) -> bool {
    LINES.contains(&name) && !tag.contains('{')
}

/// The name of the tag that a text begins with, in small letters, and the length of the tag.
fn tag(text: &str) -> Option<(String, usize)> {
    /// Longest tag that is looked for.
    const LONGEST: usize = 400;
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let tag = text.strip_prefix("</").or_else(|| text.strip_prefix('<'))?;
    let end = tag.find('>')?;
    let name = tag[..end].split([' ', '/']).next().unwrap_or_default();
    Some((name.to_ascii_lowercase(), text.len() - tag.len() + end + 1))
}

/// What a reference or a tag of highlighting at the start of a text means, and its length; `None` where there is none. Where elements
/// stand for lines, they end one that has begun.
fn sign(text: &str, is_line_begun: Option<bool>) -> Option<(usize, Cow<'static, str>)> {
    if text.starts_with('<') {
        let (name, length) = tag(text)?;
        let is_line_begun = is_line_begun.filter(|_| is_of_lines(&name, &text[..length]));
        return match (&*name, is_line_begun) {
            ("span" | "wbr", _) => Some((length, Cow::Borrowed(""))),
            ("br", _) => Some((length, Cow::Borrowed("\n"))),
            (_, Some(true)) => Some((length, Cow::Borrowed("\n"))),
            (_, Some(false)) => Some((length, Cow::Borrowed(""))),
            _ => None,
        };
    }
    let rest = text.strip_prefix('&')?;
    let is_of =
        |is_in: fn(&u8) -> bool, text: &str| text.bytes().take(LONGEST_NAME).take_while(is_in).count();
    let Some(number) = rest.strip_prefix('#') else {
        let name = &rest[..is_of(u8::is_ascii_alphanumeric, rest)];
        return match rest[name.len()..].starts_with(';') {
            true => named(name).map(|meant| (name.len() + 2, Cow::Borrowed(meant))),
            // Browsers read those that are older than the semicolon without one.
            false => OLD
                .iter()
                .find(|old| name.starts_with(**old))
                .and_then(|old| Some((old.len() + 1, Cow::Borrowed(named(old)?)))),
        };
    };
    let (radix, digits) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (16, &digits[..is_of(u8::is_ascii_hexdigit, digits)]),
        None => (10, &number[..is_of(u8::is_ascii_digit, number)]),
    };
    let meant = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)?;
    let length = 2 + usize::from(radix == 16) + digits.len();
    Some((length + usize::from(text[length..].starts_with(';')), Cow::Owned(meant.to_string())))
}

/// Longest name or number of a reference that is read.
const LONGEST_NAME: usize = 40;
/// References that need no semicolon.
const OLD: [&str; 9] = ["lt", "LT", "gt", "GT", "amp", "AMP", "quot", "QUOT", "nbsp"];

/// What a reference means by name, where that is ASCII: code is (HTML, section 13.5).
fn named(name: &str) -> Option<&'static str> {
    const NAMES: [(&str, &[&str]); 35] = [
        ("\t", &["Tab"]),
        ("\n", &["NewLine"]),
        (" ", &["nbsp", "NonBreakingSpace"]),
        ("!", &["excl"]),
        ("\"", &["quot", "QUOT"]),
        ("#", &["num"]),
        ("$", &["dollar"]),
        ("%", &["percnt"]),
        ("&", &["amp", "AMP"]),
        ("'", &["apos"]),
        ("(", &["lpar"]),
        (")", &["rpar"]),
        ("*", &["ast", "midast"]),
        ("+", &["plus"]),
        (",", &["comma"]),
        (".", &["period"]),
        ("/", &["sol"]),
        (":", &["colon"]),
        (";", &["semi"]),
        ("<", &["lt", "LT"]),
        ("=", &["equals"]),
        (">", &["gt", "GT"]),
        ("?", &["quest"]),
        ("@", &["commat"]),
        ("[", &["lsqb", "lbrack"]),
        ("\\", &["bsol"]),
        ("]", &["rsqb", "rbrack"]),
        ("^", &["Hat"]),
        ("_", &["lowbar", "UnderBar"]),
        ("`", &["grave", "DiacriticalGrave"]),
        ("{", &["lcub", "lbrace"]),
        ("|", &["verbar", "vert", "VerticalLine"]),
        ("}", &["rcub", "rbrace"]),
        ("fj", &["fjlig"]),
        ("", &["shy", "ZeroWidthSpace"]),
    ];
    NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(meant, _)| *meant)
}

/// A text whose lines end by line feeds: those that carriage returns alone end do so too. Places stay what they are.
pub(crate) fn with_line_feeds(text: &str) -> Cow<'_, str> {
    let is_alone = |(at, byte): (usize, u8)| byte == b'\r' && text.as_bytes().get(at + 1) != Some(&b'\n');
    if !text.bytes().enumerate().any(is_alone) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\r') {
        let is_pair = rest[at + 1..].starts_with('\n');
        out.push_str(&rest[..at]);
        out.push(if is_pair { '\r' } else { '\n' });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, (quotes, is_html): (usize, bool), expected: &str) {
        let code = Code::of(message, 0..message.len(), Wrapping { quotes, is_html });
        assert_eq!(code.text, expected, "{message}");
        for (at, c) in code.text.char_indices() {
            let place = code.place(at..at + c.len_utf8());
            let written = &message[place];
            assert!(written == c.to_string() || written.starts_with(['&', '<']), "{message}: {c} {written}");
        }
        assert!(code.place(0..code.text.len()).end <= message.len());
        for (from, _) in code.text.char_indices() {
            for (to, _) in code.text.char_indices().filter(|(to, _)| *to > from) {
                let part = code.slice(from..to);
                assert_eq!(part.place(0..to - from), code.place(from..to), "{message}: {from}..{to}");
            }
        }
    }

    #[test]
    fn code_is_read_without_what_is_around_it() {
        check("> a\n>  b\n>c\n> > d", (1, false), "a\n b\nc\n> d");
        check(">> a\n> > b\n  >\t> c\nd", (2, false), "a\nb\nc\nd");
        check("é &lt;a&gt; &#34;&#x27;&amp;lt;", (0, true), "é <a> \"'&lt;");
        check("a && b & c; <b &; &# &x; x<y", (0, true), "a && b & c; <b &; &# &x; x<y");
        check("<span class=\"k\">def</span> f<br/>x<i>", (0, true), "def f\nx<i>");
        check("a<!-- b -->c<!---->d<!-->e<!-- f\ng\n-->h <!-- i", (0, true), "acdeh <!-- i");
        check("> a<!-- b\n> c -->d\n> e", (1, true), "ad\ne");
        check(
            "a&period;b&lpar;&QUOT;&quot c&lowbar;&#40d&#x29&NewLine;&copy;",
            (0, true),
            "a.b(\"\" c_(d)\n&copy;",
        );
        check("<div>a</div>\n<div class=\"x\"> b</div><LI>c</LI>", (0, true), "a\n\n b\nc\n");
        check("x = (\n<div>a</div>)", (0, true), "x = (\n<div>a</div>)");
        check("<div x={y}>a</div>", (0, true), "<div x={y}>a</div>");
        check("> if a &lt; b:\n> \tc", (1, true), "if a < b:\n\tc");
        check("", (1, true), "");
    }

    #[test]
    fn lines_end_by_line_feeds() {
        for (text, expected) in
            [("a\rb", "a\nb"), ("a\r\nb", "a\r\nb"), ("\r\r\n\r", "\n\r\n\n"), ("é\r", "é\n")]
        {
            assert_eq!(with_line_feeds(text), expected);
        }
    }
}
