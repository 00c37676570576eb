//! Calls as Python writes them: `[f(a="x", b=[1, 2]), g()]`.

use super::{ToolCall, exact};
use serde_json::{Map, Value};

/// Lists and dictionaries in each other.
const MAX_DEPTH: usize = 64;

/// The calls of a text that holds nothing else.
pub(super) fn calls(text: &str) -> Option<Vec<ToolCall>> {
    let mut reader = Reader { rest: text };
    let listed = reader.skip("[");
    let mut calls = vec![reader.call()?];
    while reader.skip(",") {
        calls.push(reader.call()?);
    }
    let ended = !listed || reader.skip("]");
    (ended && reader.rest.trim().is_empty()).then_some(calls)
}

/// Whether a text that is no call may become one as it goes on.
pub(super) fn is_begun(text: &str) -> bool {
    let mut reader = Reader { rest: text };
    reader.skip("[");
    reader.word().is_some() && reader.skip("(") && reader.word().is_some() && reader.skip("=")
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn skip(&mut self, word: &str) -> bool {
        let after = self.rest.trim_start().strip_prefix(word);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// A name, a number, `True`, `False` or `None`.
    fn word(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(c.is_alphanumeric() || "_-+.".contains(c)));
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn call(&mut self) -> Option<ToolCall> {
        let name = self.word()?.to_owned();
        let mut arguments = Map::new();
        if !self.skip("(") {
            return None;
        }
        while !self.skip(")") {
            let key = self.word()?;
            let value = if self.skip("=") { self.value(0)? } else { return None };
            let twice = arguments.insert(key.to_owned(), value).is_some();
            if twice || !(self.skip(",") || self.rest.trim_start().starts_with(')')) {
                return None;
            }
        }
        Some(ToolCall { id: None, name, arguments: Value::Object(arguments) })
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        for (open, close) in [("[", "]"), ("(", ")")] {
            if self.skip(open) {
                return self.items(close, &mut |reader| reader.value(depth + 1)).map(Value::Array);
            }
        }
        if self.skip("{") {
            let pair = &mut |reader: &mut Self| {
                let Value::String(key) = reader.value(depth + 1)? else { return None };
                if reader.skip(":") { Some((key, reader.value(depth + 1)?)) } else { None }
            };
            return Some(Value::Object(self.items("}", pair)?.into_iter().collect()));
        }
        for quote in ["\"\"\"", "'''", "\"", "'"] {
            if self.skip(quote) {
                return self.text(quote).map(Value::String);
            }
        }
        match self.word()? {
            "True" => Some(true.into()),
            "False" => Some(false.into()),
            "None" => Some(Value::Null),
            word => exact::parse(word),
        }
    }

    fn items<T>(&mut self, close: &str, item: &mut dyn FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        while !self.skip(close) {
            items.push(item(self)?);
            if !self.skip(",") {
                return self.skip(close).then_some(items);
            }
        }
        Some(items)
    }

    fn text(&mut self, quote: &str) -> Option<String> {
        let mut out = String::new();
        loop {
            if let Some(after) = self.rest.strip_prefix(quote) {
                self.rest = after;
                return Some(out);
            }
            let c = self.next()?;
            if c != '\\' {
                out.push(c);
                continue;
            }
            match self.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'x' => out.push(self.code(2)?),
                'u' => out.push(self.code(4)?),
                'U' => out.push(self.code(8)?),
                '\n' => {}
                c @ ('\\' | '"' | '\'') => out.push(c),
                other => out.extend(['\\', other]),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// The character of so many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Option<char> {
        let code = u32::from_str_radix(self.rest.get(..digits)?, 16).ok()?;
        self.rest = &self.rest[digits..];
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use super::calls;
    use serde_json::json;

    #[test]
    fn literals_are_those_of_python() {
        for (text, want) in [
            ("f()", json!({})),
            (" [ f ( a = 1, b=-2.5e3 , ) ] ", json!({"a": 1, "b": -2500.0})),
            (r#"f(a="x, \"y\")", b='\'\u00e9\q\n')"#, json!({"a": "x, \"y\")", "b": "'é\\q\n"})),
            (
                "f(a=[True, None, (1,), []], b={'k': {}, \"l\": false})",
                json!({"a": [true, null, [1], []], "b": {"k": {}, "l": false}}),
            ),
            ("f(a=\"\"\"x\n\"y\"\n\"\"\")", json!({"a": "x\n\"y\"\n"})),
        ] {
            let got = calls(text).unwrap();
            assert_eq!((got[0].name.as_str(), &got[0].arguments), ("f", &want), "{text}");
        }
        assert_eq!(calls("[f(), g()]").unwrap().len(), 2);
        let deep = format!("f(a={}", "[".repeat(100_000));
        for text in [
            "",
            "f",
            "[f()",
            "f(1)",
            "f(a=)",
            "f(a=1 b=2)",
            "f(a=1, a=2)",
            "f(a=x)",
            "f(a='x)",
            "f() g()",
            &deep,
        ] {
            assert!(calls(text).is_none(), "{text}");
        }
    }
}
