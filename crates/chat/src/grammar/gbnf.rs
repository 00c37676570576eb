//! GBNF, the grammars of llama.cpp, in the Lark of llguidance.
//!
//! llguidance reads lexemes and takes the longest, while GBNF knows characters only. So every character of a literal
//! becomes a lexeme of its own, and nothing is ever longer than another.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Groups in groups.
const MAX_DEPTH: usize = 200;
/// The largest number in braces.
const MAX_REPEAT: u32 = 10_000;
/// Characters of literals, classes and names of rules in all: each is a symbol, of which llguidance numbers some more.
const MAX_ITEMS: usize = 65_000;

/// The grammar as Lark, or what is wrong with it.
pub(super) fn to_lark(source: &str) -> Result<String, String> {
    let mut reader = Reader { rest: source, names: BTreeMap::new(), depth: 0, items: 0 };
    let mut rules = Vec::new();
    reader.space(true);
    while !reader.rest.is_empty() {
        let (name, body) = reader.rule()?;
        rules.push((name, body));
        reader.space(true);
    }
    let root = *reader.names.get("root").ok_or("there is no rule 'root'")?;
    for (name, id) in &reader.names {
        match rules.iter().filter(|(rule, _)| rule == id).count() {
            1 => {}
            0 => return Err(format!("the rule '{name}' is used and not defined")),
            _ => return Err(format!("the rule '{name}' is defined twice")),
        }
    }
    let mut lark = format!("start: r{root}\n");
    for (id, body) in rules {
        let _ = writeln!(lark, "r{id}: {body}");
    }
    Ok(lark)
}

struct Reader<'s> {
    rest: &'s str,
    /// Numbers of rules by name, in the order in which they were first seen.
    names: BTreeMap<&'s str, usize>,
    depth: usize,
    /// Counted up to MAX_ITEMS.
    items: usize,
}

impl<'s> Reader<'s> {
    /// Skips blanks and comments; line breaks where they mean nothing.
    fn space(&mut self, lines: bool) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if self.rest.starts_with('#') {
                self.rest = &self.rest[self.rest.find(['\n', '\r']).unwrap_or(self.rest.len())..];
            } else if lines && self.rest.starts_with(['\n', '\r']) {
                self.rest = &self.rest[1..];
            } else {
                return;
            }
        }
    }

    fn wrong<T>(&self, wanted: &str) -> Result<T, String> {
        let at: String = self.rest.chars().take(20).collect();
        Err(if at.is_empty() {
            format!("expected {wanted} at the end")
        } else {
            format!("expected {wanted} at {at:?}")
        })
    }

    fn skip(&mut self, word: &str) -> bool {
        let after = self.rest.strip_prefix(word);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn name(&mut self) -> Option<&'s str> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    fn number_of(&mut self, name: &'s str) -> usize {
        let next = self.names.len();
        *self.names.entry(name).or_insert(next)
    }

    fn rule(&mut self) -> Result<(usize, String), String> {
        let Some(name) = self.name() else { return self.wrong("the name of a rule") };
        let id = self.number_of(name);
        self.space(false);
        if !self.skip("::=") {
            return self.wrong("'::='");
        }
        self.space(true);
        let body = self.alternatives(false)?;
        if !self.rest.is_empty() && !self.rest.starts_with(['\n', '\r']) {
            return self.wrong("the end of the rule");
        }
        Ok((id, body))
    }

    fn alternatives(&mut self, nested: bool) -> Result<String, String> {
        let mut out = self.sequence(nested)?;
        loop {
            // A line that begins with a bar goes on with the rule.
            let before = self.rest;
            self.space(true);
            if !self.skip("|") {
                self.rest = if nested { self.rest } else { before };
                return Ok(out);
            }
            self.space(true);
            out = format!("{out} | {}", self.sequence(nested)?);
        }
    }

    fn sequence(&mut self, nested: bool) -> Result<String, String> {
        let mut items = Vec::new();
        loop {
            self.space(nested);
            let Some(item) = self.item()? else { break };
            let item = match self.repetition()? {
                Some(times) => format!("({item}){times}"),
                None => item,
            };
            items.push(item);
        }
        Ok(if items.is_empty() { "\"\"".to_owned() } else { items.join(" ") })
    }

    fn count(&mut self) -> Result<(), String> {
        self.items += 1;
        match self.items <= MAX_ITEMS {
            true => Ok(()),
            false => Err(format!("more than {MAX_ITEMS} characters, classes and names of rules")),
        }
    }

    fn item(&mut self) -> Result<Option<String>, String> {
        if self.skip("\"") {
            return self.literal().map(Some);
        }
        self.count()?;
        if self.skip("[") {
            return self.class().map(Some);
        }
        if self.skip(".") {
            return Ok(Some("/(?s:.)/".to_owned()));
        }
        if self.skip("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(format!("groups nest deeper than {MAX_DEPTH}"));
            }
            let inner = self.alternatives(true)?;
            if !self.skip(")") {
                return self.wrong("')'");
            }
            self.depth -= 1;
            return Ok(Some(format!("({inner})")));
        }
        if self.rest.starts_with('<') {
            return Err("tokens in angle brackets are not supported".to_owned());
        }
        Ok(self.name().map(|name| format!("r{}", self.number_of(name))))
    }

    /// `*`, `+`, `?` or `{m,n}`, as Lark writes it.
    fn repetition(&mut self) -> Result<Option<String>, String> {
        for sign in ["*", "+", "?"] {
            if self.skip(sign) {
                return Ok(Some(sign.to_owned()));
            }
        }
        if !self.skip("{") {
            return Ok(None);
        }
        let Some((inside, rest)) = self.rest.split_once('}') else { return self.wrong("'}'") };
        self.rest = rest;
        let number = |text: &str| match text.trim().parse::<u32>() {
            Ok(n) if n <= MAX_REPEAT => Ok(n),
            Ok(n) => Err(format!("{n} repetitions: {MAX_REPEAT} are the most")),
            Err(_) => Err(format!("'{{{inside}}}' is no number of repetitions")),
        };
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let low = if low.trim().is_empty() && inside.contains(',') { 0 } else { number(low)? };
        if high.trim().is_empty() {
            return Ok(Some(format!("{{{low},}}")));
        }
        let high = number(high)?;
        match low <= high {
            true => Ok(Some(format!("{{{low},{high}}}"))),
            false => Err(format!("'{{{inside}}}' ends before it begins")),
        }
    }

    fn literal(&mut self) -> Result<String, String> {
        let mut chars = Vec::new();
        while !self.skip("\"") {
            self.count()?;
            chars.push(format!("/\\u{{{:x}}}/", u32::from(self.character()?)));
        }
        Ok(match &chars[..] {
            [] => "\"\"".to_owned(),
            [one] => one.clone(),
            many => format!("({})", many.join(" ")),
        })
    }

    fn class(&mut self) -> Result<String, String> {
        let negated = self.skip("^");
        let mut out = String::from(if negated { "/[^" } else { "/[" });
        let mut any = false;
        while !self.skip("]") {
            let first = self.character()?;
            let _ = write!(out, "\\u{{{:x}}}", u32::from(first));
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.skip("-");
                let last = self.character()?;
                if last < first {
                    return Err(format!("the range {first:?} to {last:?} ends before it begins"));
                }
                let _ = write!(out, "-\\u{{{:x}}}", u32::from(last));
            }
            any = true;
        }
        match any {
            true => Ok(out + "]/"),
            false if negated => Ok("/(?s:.)/".to_owned()),
            false => Err("a class without characters matches nothing".to_owned()),
        }
    }

    fn character(&mut self) -> Result<char, String> {
        let Some(c) = self.rest.chars().next() else { return self.wrong("a character") };
        self.rest = &self.rest[c.len_utf8()..];
        if c != '\\' {
            return Ok(c);
        }
        let Some(c) = self.rest.chars().next() else { return self.wrong("an escaped character") };
        self.rest = &self.rest[c.len_utf8()..];
        let digits = match c {
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            '\\' | '"' | '[' | ']' | '-' | '^' | '\'' | '/' => return Ok(c),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => return Err(format!("unknown escape '\\{other}'")),
        };
        let code = self.rest.get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                self.rest = &self.rest[digits..];
                Ok(c)
            }
            None => self.wrong(&format!("{digits} hexadecimal digits of a character")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::to_lark;

    #[test]
    fn rules_become_lark() {
        let lark =
            to_lark("# c\nroot ::= \"ab\" x-y* # d\n  | [^a-c\\n]{2,}\nx-y ::= ( \"\" |\n . )?").unwrap();
        let want = "start: r0\nr0: (/\\u{61}/ /\\u{62}/) (r1)* | (/[^\\u{61}-\\u{63}\\u{a}]/){2,}\n\
                    r1: ((\"\" | /(?s:.)/))?\n";
        assert_eq!(lark, want);
    }

    #[test]
    fn faults_are_named() {
        for (source, word) in [
            ("", "no rule 'root'"),
            ("root ::= x", "'x' is used and not defined"),
            ("root ::= \"a\"\nroot ::= \"b\"", "defined twice"),
            ("root = \"a\"", "'::='"),
            ("root ::= \"a", "a character at the end"),
            ("root ::= [b-a]", "ends before"),
            ("root ::= \"\\q\"", "unknown escape"),
            ("root ::= (\"a\"", "')'"),
            ("root ::= \"a\"{x}", "no number"),
            ("root ::= <[1]>", "angle brackets"),
            ("root ::= \"a\" )", "the end of the rule"),
        ] {
            let fault = to_lark(source).unwrap_err();
            assert!(fault.contains(word), "{source}: {fault}");
        }
    }
}
