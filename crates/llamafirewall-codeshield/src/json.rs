//! Code in the strings of JSON, as a program gets it that reads them: with line breaks for `\n`. What is JSON only up to a place, since it
//! was cut or since something is wrong in it, is read up to there.

use std::ops::Range;

use crate::code::Code;

/// Shorter strings have no code that a rule speaks of.
const SHORTEST: usize = 8;

/// The strings of all JSON in a text, each alone, and those of a list as lines besides.
pub(crate) fn strings(text: &str) -> Vec<Code<'static>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut is_first = true;
    while let Some(next) = text[at..].find(['{', '[', '"']) {
        let before = text[at..at + next].trim_end_matches([' ', '\t', '\r']);
        let starts_text = is_first && before.trim().is_empty();
        let starts_line = starts_text || before.ends_with('\n') || before.ends_with("data:");
        let may_begin = match text.as_bytes()[at + next] {
            b'{' => true,
            b'[' => starts_line,
            _ => starts_text,
        };
        let from = at + next;
        at = if may_begin { Reader::of(text, from).read(&mut found) } else { from + 1 };
        is_first = false;
    }
    found
}

/// What may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// A value, or the end of a list.
    Item,
    /// A key, or the end of an object.
    Key,
    Colon,
    /// A comma, or the end of what is around.
    Comma,
}

/// A list or an object that is open.
enum Around {
    Object,
    /// With its strings so far.
    List(Vec<Range<usize>>),
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    around: Vec<Around>,
}

impl<'t> Reader<'t> {
    fn of(text: &'t str, at: usize) -> Self {
        Self { text, at, around: Vec::new() }
    }

    /// Reads one value and adds its strings; gives where it is over, or is none.
    fn read(mut self, found: &mut Vec<Code<'static>>) -> usize {
        let from = self.at;
        let mut next = Next::Value;
        while let Some(then) = self.step(next, found) {
            next = then;
            if next == Next::Comma && self.around.is_empty() {
                break;
            }
        }
        while let Some(around) = self.around.pop() {
            self.end(around, found);
        }
        self.at.max(from + 1)
    }

    fn end(&self, around: Around, found: &mut Vec<Code<'static>>) {
        match around {
            Around::List(strings) if strings.len() > 1 => found.push(unescaped(self.text, &strings)),
            Around::List(_) | Around::Object => {}
        }
    }

    /// Reads what may follow; `None` where something else does.
    fn step(&mut self, next: Next, found: &mut Vec<Code<'static>>) -> Option<Next> {
        self.at += self.text[self.at..].find(|c: char| !c.is_whitespace())?;
        let sign = self.text.as_bytes()[self.at];
        let is_value = matches!(next, Next::Value | Next::Item);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        match (sign, next) {
            (b'"', Next::Key) => {
                self.string(found);
                Some(Next::Colon)
            }
            (b'"', _) if is_value => {
                let string = self.string(found);
                if let Some(Around::List(strings)) = self.around.last_mut() {
                    strings.push(string);
                }
                Some(Next::Comma)
            }
            (b'{', _) if is_value => self.pass(Next::Key, Some(Around::Object)),
            (b'[', _) if is_value => self.pass(Next::Item, Some(Around::List(Vec::new()))),
            (b':', Next::Colon) => self.pass(Next::Value, None),
            (b',', Next::Comma) => match self.around.last()? {
                Around::Object => self.pass(Next::Key, None),
                Around::List(_) => self.pass(Next::Item, None),
            },
            (b'}', Next::Key | Next::Comma) | (b']', Next::Item | Next::Comma) => {
                let is_list = matches!(self.around.last()?, Around::List(_));
                let around = self.around.pop_if(|_| is_list == (sign == b']'))?;
                self.end(around, found);
                self.pass(Next::Comma, None)
            }
            (_, _) if is_value && is_plain(sign as char) => {
                let rest = &self.text[self.at..];
                self.at += rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
                Some(Next::Comma)
            }
            _ => None,
        }
    }

    fn pass(&mut self, next: Next, around: Option<Around>) -> Option<Next> {
        self.at += 1;
        self.around.extend(around);
        Some(next)
    }

    /// Moves over a string, and adds it.
    fn string(&mut self, found: &mut Vec<Code<'static>>) -> Range<usize> {
        let from = self.at + 1;
        let mut end = from;
        while let Some(next) = self.text[end..].find(['"', '\\']) {
            end += next;
            if self.text.as_bytes()[end] == b'"' {
                break;
            }
            let escaped = self.text[end + 1..].chars().next().map_or(0, char::len_utf8);
            end += 1 + escaped;
        }
        if !self.text[end..].starts_with('"') {
            end = self.text.len();
        }
        self.at = (end + 1).min(self.text.len());
        if end - from >= SHORTEST {
            found.push(unescaped(self.text, std::slice::from_ref(&(from..end))));
        }
        from..end
    }
}

/// Strings without their escapes, each a line where there are several.
fn unescaped(text: &str, strings: &[Range<usize>]) -> Code<'static> {
    let mut code = Code::empty();
    let mut before: Option<usize> = None;
    for string in strings {
        if let Some(end) = before.filter(|_| !code.text.ends_with('\n')) {
            code.push("\n", end..string.start);
        }
        let mut at = string.start;
        while let Some(next) = text[at..string.end].find('\\') {
            code.push(&text[at..at + next], at..at + next);
            at += next;
            let (length, meant) = escape(&text[at..string.end]);
            code.push(meant.encode_utf8(&mut [0; 4]), at..at + length);
            at += length;
        }
        code.push(&text[at..string.end], at..string.end);
        before = Some(string.end);
    }
    code
}

/// The length of an escape, and what it means.
fn escape(text: &str) -> (usize, char) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    if let Some(first) = unit(0) {
        let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        return match char::from_u32(first.into()) {
            Some(meant) => (6, meant),
            None => (if pair.is_some() { 12 } else { 6 }, pair.unwrap_or(char::REPLACEMENT_CHARACTER)),
        };
    }
    let Some(sign) = text[1..].chars().next() else { return (1, char::REPLACEMENT_CHARACTER) };
    let meant = match sign {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        other => other,
    };
    (1 + sign.len_utf8(), meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found = strings(text);
        let found: Vec<&str> = found.iter().map(|code| &code.text[..]).collect();
        assert_eq!(found, expected, "{text}");
        for code in strings(text) {
            assert!(text.get(code.place(0..code.text.len())).is_some(), "{text}");
        }
    }

    #[test]
    fn strings_are_read_without_escapes() {
        check(r#"{"a": "import os\nx(\"y\")\u00e9\ud83d\ude00\/"}"#, &["import os\nx(\"y\")é😀/"]);
        check(r#" "one string\t" "another one""#, &["one string\t"]);
        check(
            "data: [\"one line\\n\", \"another line\", \"a third!\"]",
            &["one line\n", "another line", "a third!", "one line\nanother line\na third!"],
        );
        check(
            r#"So: {"k": {"long key 1": [1, null, "value 12"]}, } {"x": "value 34"}"#,
            &["long key 1", "value 12", "value 34"],
        );
        check("{\"cut\": \"import os\\nx(\\", &["import os\nx(\u{fffd}"]);
        check("{\"a\": \"import os\" + x, \"b\": \"never read\"}", &["import os"]);
        check("f(\"a string of code\"); { g(\"another one\"); } a[\"a third one\"] \"a fourth\"", &[]);
        check("[] {} [[{\"a\":", &[]);
    }
}
