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
        for line in message[range].split_inclusive('\n') {
            let end = at + line.len();
            let (_, rest) = unquoted(line, wrapping.quotes);
            match wrapping.is_html {
                true => code.push_html(rest, end - rest.len()),
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

    /// Text of HTML: references are characters, and highlighting is none.
    fn push_html(&mut self, mut text: &str, mut at: usize) {
        while let Some(next) = text.find(['&', '<']) {
            let (length, meant) = sign(&text[next..]).unwrap_or((1, Cow::Borrowed(&text[next..=next])));
            let (plain, rest) = (&text[..next], &text[next + length..]);
            self.push(plain, at..at + next);
            self.push(&meant, at + next..at + next + length);
            at += next + length;
            text = rest;
        }
        self.push(text, at..at + text.len());
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

/// A line without the signs of quotation at its start, at most `most` of them; and how many there were.
pub(crate) fn unquoted(line: &str, most: usize) -> (usize, &str) {
    let (mut found, mut rest) = (0, line);
    while found < most {
        let Some(after) = rest.trim_start_matches([' ', '\t']).strip_prefix('>') else { break };
        rest = after.strip_prefix(' ').unwrap_or(after);
        found += 1;
    }
    (found, rest)
}

/// What a reference or a tag of highlighting at the start of a text means, and its length; `None` where there is none.
fn sign(text: &str) -> Option<(usize, Cow<'static, str>)> {
    /// Longest reference or tag that is looked for.
    const LONGEST: usize = 400;
    const NAMES: [(&str, &str); 6] =
        [("lt", "<"), ("gt", ">"), ("amp", "&"), ("quot", "\""), ("apos", "'"), ("nbsp", " ")];
    let text = &text[..text.floor_char_boundary(LONGEST)];
    if let Some(tag) = text.strip_prefix("</").or_else(|| text.strip_prefix('<')) {
        let end = tag.find('>')?;
        let name = tag[..end].split([' ', '/']).next().unwrap_or_default();
        let length = text.len() - tag.len() + end + 1;
        return match name {
            "span" => Some((length, Cow::Borrowed(""))),
            "br" => Some((length, Cow::Borrowed("\n"))),
            _ => None,
        };
    }
    let name = text.strip_prefix('&').and_then(|rest| rest.split_once(';')).map(|(name, _)| name)?;
    let number = name.strip_prefix('#').and_then(|digits| {
        let hex = digits.strip_prefix(['x', 'X']);
        hex.map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    });
    let meant = match number.and_then(char::from_u32) {
        Some(meant) => Cow::Owned(meant.to_string()),
        None => Cow::Borrowed(NAMES.iter().find(|(known, _)| *known == name)?.1),
    };
    Some((name.len() + 2, meant))
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
    }

    #[test]
    fn code_is_read_without_what_is_around_it() {
        check("> a\n>  b\n>c\n> > d", (1, false), "a\n b\nc\n> d");
        check(">> a\n> > b\n  >\t> c\nd", (2, false), "a\nb\nc\nd");
        check("é &lt;a&gt; &#34;&#x27;&amp;lt;", (0, true), "é <a> \"'&lt;");
        check("a && b & c; <b &; &# &x; x<y", (0, true), "a && b & c; <b &; &# &x; x<y");
        check("<span class=\"k\">def</span> f<br/>x<i>", (0, true), "def f\nx<i>");
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
