//! Code in the strings of JSON, as a program gets it that reads them: with line breaks for `\n`. What is JSON only up to a place, since it
//! was cut or since something is wrong in it, is read up to there.

use std::ops::Range;

use crate::code::Code;
use crate::language::Named;

/// Shorter strings have no code that a rule speaks of.
const SHORTEST: usize = 8;

/// Keys of what is code whatever it looks like.
const CODE: [&str; 11] = [
    "body",
    "cmd",
    "code",
    "command",
    "expression",
    "program",
    "script",
    "snippet",
    "source",
    "source_code",
    "src",
];

/// Keys of what may be code in a language, or the text of a file, that is named beside it.
const CONTENT: [&str; 6] = ["content", "contents", "data", "file_text", "text", "value"];

/// Keys of languages and of files.
const LANGUAGES: [&str; 2] = ["lang", "language"];
const FILES: [&str; 5] = ["file", "file_name", "file_path", "filename", "path"];

/// A string, or the lines of a list of them.
pub(crate) struct Text {
    pub code: Code<'static>,
    /// What it is written in, by what stands beside it.
    pub named: Named,
    /// Whether it is one line that nothing says to be code: a title, a signature or a message as well.
    pub is_phrase: bool,
}

/// The strings of all JSON in a text, but those of a list of lines as one text.
pub(crate) fn strings(text: &str) -> Vec<Text> {
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
struct Around<'t> {
    /// The last key of an object, or that of a list.
    key: &'t str,
    /// Strings of a list so far.
    list: Option<Vec<Range<usize>>>,
    /// What an object says that its code is written in.
    named: Named,
    /// Texts that are code or the content of a file, among those found.
    contents: Vec<usize>,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    around: Vec<Around<'t>>,
}

impl<'t> Reader<'t> {
    fn of(text: &'t str, at: usize) -> Self {
        Self { text, at, around: Vec::new() }
    }

    /// Reads one value and adds its strings; gives where it is over, or is none.
    fn read(mut self, found: &mut Vec<Text>) -> usize {
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

    fn end(&mut self, around: Around<'t>, found: &mut Vec<Text>) {
        let mut contents = around.contents;
        for &at in contents.iter().filter(|_| around.named != Named::Nothing) {
            found[at].named = around.named;
        }
        let strings = around.list.unwrap_or_default();
        let ends_line = |string: &Range<usize>| self.text[string.clone()].ends_with("\\n");
        let are_lines = strings.len() > 1
            && (is_one_of(around.key, &CODE) || strings[..strings.len() - 1].iter().all(ends_line));
        if are_lines {
            let text = Text { code: unescaped(self.text, &strings), named: Named::Nothing, is_phrase: false };
            contents.push(found.len());
            found.push(text);
        }
        for string in strings {
            let text = self.text_of(string, around.key);
            if text.code.text.len() >= SHORTEST && !(are_lines && is_line(&text.code.text)) {
                contents.push(found.len());
                found.push(text);
            }
        }
        if let Some(outer) = self.around.last_mut().filter(|_| is_content(around.key)) {
            outer.contents.append(&mut contents);
        }
    }

    fn text_of(&self, string: Range<usize>, key: &str) -> Text {
        let code = unescaped(self.text, &[string]);
        let is_phrase = is_line(&code.text) && !is_one_of(key, &CODE);
        Text { code, named: Named::Nothing, is_phrase }
    }

    /// Takes a string that is a value.
    fn value(&mut self, string: Range<usize>, found: &mut Vec<Text>) {
        // A text that is nothing but a string is what it says.
        let key = self.around.last().map_or("code", |around| around.key);
        let written = &self.text[string.clone()];
        if let Some(around) = self.around.last_mut() {
            if let Some(list) = &mut around.list {
                return list.push(string);
            }
            if is_one_of(key, &LANGUAGES) {
                around.named = Named::by(written);
            }
            if let Some((_, ending)) = written.rsplit_once('.').filter(|_| is_one_of(key, &FILES)) {
                around.named = Named::by(ending);
            }
        }
        if string.len() >= SHORTEST {
            let text = self.text_of(string, key);
            if let Some(around) = self.around.last_mut().filter(|_| is_content(key)) {
                around.contents.push(found.len());
            }
            found.push(text);
        }
    }

    /// Reads what may follow; `None` where something else does.
    fn step(&mut self, next: Next, found: &mut Vec<Text>) -> Option<Next> {
        self.at += self.text[self.at..].find(|c: char| !c.is_whitespace())?;
        let sign = self.text.as_bytes()[self.at];
        let is_value = matches!(next, Next::Value | Next::Item);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        match (sign, next) {
            (b'"', Next::Key) => {
                let key = self.string();
                if key.len() >= SHORTEST {
                    found.push(self.text_of(key.clone(), ""));
                }
                self.around.last_mut()?.key = &self.text[key];
                Some(Next::Colon)
            }
            (b'"', _) if is_value => {
                let string = self.string();
                self.value(string, found);
                Some(Next::Comma)
            }
            (b'{', _) if is_value => self.pass(Next::Key, Some(None)),
            (b'[', _) if is_value => self.pass(Next::Item, Some(Some(Vec::new()))),
            (b':', Next::Colon) => self.pass(Next::Value, None),
            (b',', Next::Comma) => match self.around.last()?.list {
                None => self.pass(Next::Key, None),
                Some(_) => self.pass(Next::Item, None),
            },
            (b'}', Next::Key | Next::Comma) | (b']', Next::Item | Next::Comma) => {
                let is_list = self.around.last()?.list.is_some();
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

    /// Moves over a sign, into a list or an object if one begins.
    fn pass(&mut self, next: Next, list: Option<Option<Vec<Range<usize>>>>) -> Option<Next> {
        self.at += 1;
        let key = self.around.last().map_or("", |around| around.key);
        let begun = list.map(|list| Around { key, list, named: Named::Nothing, contents: Vec::new() });
        self.around.extend(begun);
        Some(next)
    }

    /// Moves over a string.
    fn string(&mut self) -> Range<usize> {
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
        from..end
    }
}

fn is_one_of(key: &str, keys: &[&str]) -> bool {
    keys.iter().any(|known| known.eq_ignore_ascii_case(key))
}

fn is_content(key: &str) -> bool {
    is_one_of(key, &CODE) || is_one_of(key, &CONTENT)
}

fn is_line(text: &str) -> bool {
    !text.trim().contains(['\n', '\r'])
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
    use crate::language::Language;

    fn check(text: &str, expected: &[&str]) {
        let found = strings(text);
        let found: Vec<&str> = found.iter().map(|text| &text.code.text[..]).collect();
        assert_eq!(found, expected, "{text}");
        for Text { code, .. } in strings(text) {
            assert!(text.get(code.place(0..code.text.len())).is_some(), "{text}");
        }
    }

    /// What the string with `of it` is said to be.
    fn check_kind(text: &str, expected: (Named, bool)) {
        let found = strings(text);
        let found = found.iter().find(|text| text.code.text.contains("of it"));
        assert_eq!(found.map(|text| (text.named, text.is_phrase)), Some(expected), "{text}");
    }

    #[test]
    fn what_stands_beside_a_string_says_what_it_is() {
        let python = Named::Known(Language::Python);
        check_kind(r#"{"a": "one line of it"}"#, (Named::Nothing, true));
        check_kind(r#"{"Code": "one line of it"}"#, (Named::Nothing, false));
        check_kind(r#"{"a": "two lines\nof it"}"#, (Named::Nothing, false));
        check_kind(r#""one line of it""#, (Named::Nothing, false));
        check_kind(r#"{"code": "one line of it", "language": "Python"}"#, (python, false));
        check_kind(r#"{"path": "a.b/c.py", "content": ["one line", "one of it"]}"#, (python, true));
        check_kind(
            r#"{"path": "a.sql", "content": "two lines\nof it", "b": {"c": 1}}"#,
            (Named::Other, false),
        );
        check_kind(r#"{"lang": "fr", "text": "two lines\nof it"}"#, (Named::Nothing, false));
        check_kind(r#"{"lang": "py", "title": "two lines\nof it"}"#, (Named::Nothing, false));
    }

    #[test]
    fn strings_are_read_without_escapes() {
        check(r#"{"a": "import os\nx(\"y\")\u00e9\ud83d\ude00\/"}"#, &["import os\nx(\"y\")é😀/"]);
        check(r#" "one string\t" "another one""#, &["one string\t"]);
        check(
            "data: [\"one line\\n\", \"another\\n\", \"third\\nlines\"]",
            &["one line\nanother\nthird\nlines", "third\nlines"],
        );
        check(
            "[\"one line\\n\", \"another line\", \"a third!\"]",
            &["one line\n", "another line", "a third!"],
        );
        check(
            "{\"source\": [\"one line\\n\", \"another line\", \"a third!\"]}",
            &["one line\nanother line\na third!"],
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
