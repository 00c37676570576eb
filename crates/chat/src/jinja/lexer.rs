//! From template source to tokens, with Jinja's rules for white space (`trim_blocks` and `lstrip_blocks` on).

use super::error::{Kind, Result, TemplateError};

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Text(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
    End,
}

/// A token and the line where it begins, counted from 1.
pub(crate) type Spanned = (Token, u32);

/// Longest first, so that the first that fits is meant.
const OPERATORS: [&str; 25] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",",
];

/// Bytes of a name at most: every use looks at all of them.
const MAX_NAME: usize = 1000;

/// Cuts `source` into tokens; the last one is [`Token::End`].
pub(crate) fn tokenize(source: &str) -> Result<Vec<Spanned>> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { rest: source, line: 1, line_starting: true, tokens: Vec::new() };
    lexer.run().map_err(|e| e.at(lexer.line))?;
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    rest: &'s str,
    line: u32,
    /// Whether the last thing taken ended a line.
    line_starting: bool,
    tokens: Vec<Spanned>,
}

fn syntax<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError::new(Kind::Syntax, message))
}

impl<'s> Lexer<'s> {
    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.line += taken.bytes().filter(|&b| b == b'\n').count() as u32;
        if !taken.is_empty() {
            self.line_starting = taken.ends_with('\n');
        }
        taken
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    fn run(&mut self) -> Result<()> {
        loop {
            let begin = self
                .rest
                .match_indices('{')
                .map(|(at, _)| at)
                .find(|&at| matches!(self.rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')));
            let Some(begin) = begin else {
                let text = self.take(self.rest.len()).to_owned();
                if !text.is_empty() {
                    self.push(Token::Text(text));
                }
                self.push(Token::End);
                return Ok(());
            };
            self.text_before(begin);
            match self.take(2) {
                "{{" => self.variable()?,
                "{#" => self.comment()?,
                _ => self.block()?,
            }
            // The sign belongs to the opening bracket and was taken with it.
        }
    }

    /// Takes the text before a bracket at `begin`; the bracket's sign says what becomes of the white space.
    fn text_before(&mut self, begin: usize) {
        let line_starting = self.line_starting;
        let sign = self.rest.as_bytes().get(begin + 2).copied();
        let variable = self.rest.as_bytes()[begin + 1] == b'{';
        let line = self.line;
        let text = strip_end(self.take(begin), sign, !variable, line_starting);
        if !text.is_empty() {
            self.tokens.push((Token::Text(text.to_owned()), line));
        }
    }

    /// After an opening bracket.
    fn sign(&mut self) {
        if self.rest.starts_with(['-', '+']) {
            self.take(1);
        }
    }

    fn comment(&mut self) -> Result<()> {
        let Some(end) = self.rest.find("#}") else { return syntax("a comment is not closed") };
        let sign = self.rest[..end].bytes().last();
        self.take(end + 2);
        self.after_block(sign);
        Ok(())
    }

    /// White space after `%}` and `#}`, of which `sign` stands before the bracket.
    fn after_block(&mut self, sign: Option<u8>) {
        match sign {
            Some(b'-') => self.skip_space(),
            Some(b'+') => {}
            _ if self.rest.starts_with('\n') => drop(self.take(1)),
            _ => {}
        }
    }

    fn skip_space(&mut self) {
        let space = self.rest.len() - self.rest.trim_start_matches(is_space).len();
        self.take(space);
    }

    fn variable(&mut self) -> Result<()> {
        self.sign();
        self.push(Token::VariableBegin);
        self.inside("}}")?;
        self.push(Token::VariableEnd);
        Ok(())
    }

    fn block(&mut self) -> Result<()> {
        if let Some(after) = raw_begin(self.rest) {
            return self.raw(after);
        }
        self.sign();
        self.push(Token::BlockBegin);
        self.inside("%}")?;
        self.push(Token::BlockEnd);
        Ok(())
    }

    /// `after` bytes from here the raw text begins.
    fn raw(&mut self, after: usize) -> Result<()> {
        let trims = self.take(after).ends_with("-%}");
        if trims {
            self.skip_space();
        }
        let line_starting = self.line_starting;
        let found =
            self.rest.match_indices("{%").find_map(|(at, _)| Some((at, raw_end(&self.rest[at + 2..])?)));
        let Some((at, end)) = found else { return syntax("a raw block is not closed with endraw") };
        let sign = self.rest.as_bytes().get(at + 2).copied();
        let line = self.line;
        let text = strip_end(self.take(at), sign, true, line_starting);
        if !text.is_empty() {
            self.tokens.push((Token::Text(text.to_owned()), line));
        }
        let bracket = self.take(2 + end);
        let sign = bracket.as_bytes()[..bracket.len() - 2].last().copied();
        self.after_block(sign);
        Ok(())
    }

    /// Tokens up to the closing bracket `end`, and the white space that it swallows.
    fn inside(&mut self, end: &'static str) -> Result<()> {
        let mut open: Vec<&'static str> = Vec::new();
        loop {
            self.skip_space();
            if open.is_empty() {
                let signed = self.rest.strip_prefix(['-', '+']).unwrap_or(self.rest);
                let sign = self.rest.len() - signed.len();
                // `+}}` is an operator and a bracket.
                if signed.starts_with(end) && !(end == "}}" && self.rest.starts_with('+')) {
                    let sign = self.rest.bytes().next().filter(|_| sign == 1);
                    self.take(usize::from(sign.is_some()) + 2);
                    if end == "%}" {
                        self.after_block(sign);
                    } else if sign == Some(b'-') {
                        self.skip_space();
                    }
                    return Ok(());
                }
            }
            let Some(first) = self.rest.chars().next() else {
                return syntax(format!("'{end}' is missing"));
            };
            if first == '"' || first == '\'' {
                self.string(first)?;
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphanumeric() {
                let name = self.rest.len()
                    - self.rest.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric()).len();
                if name > MAX_NAME {
                    return syntax(format!("a name of {name} bytes, of at most {MAX_NAME}"));
                }
                let name = self.take(name).to_owned();
                self.push(Token::Name(name));
            } else {
                self.operator(first, &mut open)?;
            }
        }
    }

    fn operator(&mut self, first: char, open: &mut Vec<&'static str>) -> Result<()> {
        let Some(&op) = OPERATORS.iter().find(|op| self.rest.starts_with(**op)) else {
            return syntax(format!("unexpected character {first:?}"));
        };
        match op {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" => match open.pop() {
                Some(wanted) if wanted == op => {}
                Some(wanted) => return syntax(format!("unexpected '{op}', expected '{wanted}'")),
                None => return syntax(format!("unexpected '{op}'")),
            },
            _ => {}
        }
        self.take(op.len());
        self.push(Token::Op(op));
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        loop {
            match bytes.get(at) {
                None => return syntax("a string is not closed"),
                Some(b'\\') => at += 2,
                Some(&b) if b == quote as u8 => break,
                Some(_) => at += 1,
            }
        }
        let line = self.line;
        let raw = self.take(at + 1);
        let text = unescape(&raw[1..raw.len() - 1])?;
        self.tokens.push((Token::Str(text), line));
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.rest.as_bytes();
        let radix = match bytes.get(1).map(u8::to_ascii_lowercase) {
            Some(b'x') if bytes[0] == b'0' => 16,
            Some(b'o') if bytes[0] == b'0' => 8,
            Some(b'b') if bytes[0] == b'0' => 2,
            _ => 10,
        };
        if radix != 10 {
            let digits =
                bytes[2..].iter().take_while(|b| (**b as char).is_digit(radix) || **b == b'_').count();
            let text = self.take(2 + digits)[2..].replace('_', "");
            let int = i128::from_str_radix(&text, radix);
            self.push(Token::Int(int.or_else(|_| syntax("an integer is too long or has no digits"))?));
            return Ok(());
        }
        let digits = |from: usize| from + bytes[from..].iter().take_while(|b| is_digit(b)).count();
        let mut end = digits(0);
        let mut float = false;
        // Not after a dot: `list.0.1` are two indices.
        let index = matches!(self.tokens.last(), Some((Token::Op("."), _)));
        if !index && bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(is_digit) {
            (end, float) = (digits(end + 1), true);
        }
        if !index && matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(end + 1 + sign).is_some_and(is_digit) {
                (end, float) = (digits(end + 1 + sign), true);
            }
        }
        let text = self.take(end).replace('_', "");
        if !float && text.starts_with('0') && text.bytes().any(|digit| digit != b'0') {
            return syntax(format!("an integer does not begin with 0: '{text}'"));
        }
        self.push(match float {
            true => Token::Float(text.parse().or_else(|_| syntax("a number is malformed"))?),
            false => Token::Int(text.parse().or_else(|_| syntax("an integer is too long"))?),
        });
        Ok(())
    }
}

fn is_digit(b: &u8) -> bool {
    b.is_ascii_digit() || *b == b'_'
}

/// White space as Python's `re` and `str.strip` see it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Text before a bracket with this sign; `blocks` are not variables.
fn strip_end(text: &str, sign: Option<u8>, blocks: bool, line_starting: bool) -> &str {
    if sign == Some(b'-') {
        return text.trim_end_matches(is_space);
    }
    if sign == Some(b'+') || !blocks {
        return text;
    }
    let line = text.rfind('\n').map_or(0, |at| at + 1);
    let blank = text[line..].chars().all(is_space);
    if blank && (line > 0 || line_starting) { &text[..line] } else { text }
}

/// Length of `raw %}` with its signs, if that is what follows `{%`.
fn raw_begin(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start_matches(is_space);
    let after = after.strip_prefix("raw")?.trim_start_matches(is_space);
    let after = after.strip_prefix("-%}").or_else(|| after.strip_prefix("%}"))?;
    Some(rest.len() - after.len())
}

fn raw_end(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start_matches(is_space);
    let after = after.strip_prefix("endraw")?.trim_start_matches(is_space);
    let after = after.strip_prefix(['-', '+']).unwrap_or(after).strip_prefix("%}")?;
    Some(rest.len() - after.len())
}

/// Python's escapes; an unknown one stays as it is.
fn unescape(raw: &str) -> Result<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { return syntax("a string ends in a backslash") };
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let digits = format!("{c}{}", &rest[..more]);
                rest = &rest[more..];
                out.push(code(&digits, 8)?);
            }
            'x' | 'u' | 'U' => {
                let len = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits = rest.get(..len).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(digits) = digits else { return syntax(format!("\\{c} needs {len} digits")) };
                rest = &rest[len..];
                let high = u32::from_str_radix(digits, 16).unwrap_or(0);
                let low = rest.strip_prefix("\\u").and_then(|r| r.get(..4));
                let low = low.and_then(|d| u32::from_str_radix(d, 16).ok());
                match low.filter(|l| (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(l)) {
                    Some(low) => {
                        rest = &rest[6..];
                        let c = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(c).unwrap_or('\u{fffd}'));
                    }
                    None => out.push(code(digits, 16)?),
                }
            }
            'N' => return syntax("characters by name (\\N) are not known here"),
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn code(digits: &str, radix: u32) -> Result<char> {
    let c = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    c.map_or_else(|| syntax(format!("'{digits}' is no character")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        let tokens = tokenize(source).unwrap();
        tokens
            .into_iter()
            .map(|(token, _)| match token {
                Token::Text(text) => text,
                Token::VariableBegin | Token::BlockBegin => "<".to_owned(),
                Token::VariableEnd | Token::BlockEnd => ">".to_owned(),
                Token::End => String::new(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn white_space_goes_where_jinja_takes_it() {
        for (source, want) in [
            ("a {% %} b", "a <> b"),
            ("a\n  {% %}\nb", "a\n<>b"),
            ("a\n  {%+ %}\nb", "a\n  <>b"),
            ("a\n  {% +%}\nb", "a\n<>\nb"),
            ("a \n {%- -%} \n b", "a<>b"),
            ("  {{ }}  \n", "  <>  "),
            (" \n {{- -}} \n b", "<>b"),
            ("  {# c #}\n b\n", " b"),
            ("x {#- c -#} y", "xy"),
            ("{% %}  {% %}", "<>  <>"),
            ("{% %}\n  {% %}\n\n", "<><>"),
            ("{% raw %}\n {{ }} {% endraw %}\nx", "\n {{ }} x"),
            ("{%- raw -%} {% a %} {%- endraw -%} x", "{% a %}x"),
            ("a\r\nb\r", "a\nb"),
        ] {
            assert_eq!(text(source), want, "{source:?}");
        }
    }

    #[test]
    fn brackets_inside_brackets_do_not_end_them() {
        assert_eq!(text("{{{}}}"), "<Op(\"{\")Op(\"}\")>");
        assert_eq!(text("{{ '}}' }}"), "<Str(\"}}\")>");
    }

    #[test]
    fn strings_are_pythons() {
        assert_eq!(unescape(r"a\n\x41\u00e9\U0001F600\101\q\'\\").unwrap(), "a\nA\u{e9}\u{1F600}A\\q'\\");
        assert!(unescape(r"\xZZ").is_err() && unescape(r"\ud800").is_err());
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for source in ["{{ a", "{% if", "{# a", "{% raw %} x", "{{ 'a }}", "{{ ) }}", "{{ [) }}", "{{ ? }}"] {
            assert_eq!(tokenize(source).unwrap_err().kind, Kind::Syntax, "{source}");
        }
    }
}
