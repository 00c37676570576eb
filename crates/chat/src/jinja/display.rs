//! Values as text: Python's `str` and `repr`.

use super::error::{Result, type_error};
use super::machine::{Machine, Object};
use super::text::{Origin, Text, TextBuilder};
use super::value::{SeqKind, Value};

/// A float in Python's shortest form.
pub(crate) fn float(f: f64) -> String {
    if f.is_nan() {
        return "nan".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{f:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{f}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Whether Python prints the character as it is inside of `repr`.
pub(crate) fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ if c.is_ascii() => false,
        // Behind another character Rust escapes what Python escapes; in front, combining marks as well.
        _ => !format!("a{c}").escape_debug().to_string().contains("\\u{"),
    }
}

/// `text` as `repr` shows it, with the quotes.
fn quoted(text: &Text, out: &mut TextBuilder) {
    let quote = if text.as_str().contains('\'') && !text.as_str().contains('"') { '"' } else { '\'' };
    let marks = if quote == '"' { "\"" } else { "'" };
    out.push(marks, Origin::Template);
    for (range, origin) in text.runs() {
        let mut run = String::with_capacity(range.len());
        for c in text.as_str()[range].chars() {
            match c {
                '\\' => run.push_str("\\\\"),
                '\n' => run.push_str("\\n"),
                '\r' => run.push_str("\\r"),
                '\t' => run.push_str("\\t"),
                c if c == quote => run.extend(['\\', c]),
                c if is_printable(c) => run.push(c),
                c if (c as u32) < 0x100 => run.push_str(&format!("\\x{:02x}", c as u32)),
                c if (c as u32) < 0x10000 => run.push_str(&format!("\\u{:04x}", c as u32)),
                c => run.push_str(&format!("\\U{:08x}", c as u32)),
            }
        }
        out.push(&run, origin);
    }
    out.push(marks, Origin::Template);
}

impl Machine<'_> {
    /// `str(value)`
    pub fn text(&mut self, value: &Value) -> Result<Text> {
        if let Value::Str(text) = value {
            return Ok(text.clone());
        }
        let mut out = TextBuilder::default();
        self.write(value, &mut out)?;
        Ok(out.finish())
    }

    /// `str(value)`, added to `out`.
    pub fn write(&mut self, value: &Value, out: &mut TextBuilder) -> Result<()> {
        match value {
            Value::Undefined(_) => Ok(()),
            Value::Str(text) => self.push_text(text, out),
            other => self.repr(other, out),
        }
    }

    /// Adds a text to `out`, and pays for it.
    pub fn push_text(&mut self, text: &Text, out: &mut TextBuilder) -> Result<()> {
        self.budget.bytes(text.weight())?;
        out.push_text(text);
        Ok(())
    }

    /// `repr(value)`, added to `out`.
    pub fn repr(&mut self, value: &Value, out: &mut TextBuilder) -> Result<()> {
        self.budget.bytes(8)?;
        let word = match value {
            Value::Undefined(_) => "Undefined".to_owned(),
            Value::None => "None".to_owned(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => float(*f),
            Value::Str(text) => {
                self.budget.bytes(2 * text.len() + 8)?;
                out.push(if text.is_markup() { "Markup(" } else { "" }, Origin::Template);
                quoted(text, out);
                out.push(if text.is_markup() { ")" } else { "" }, Origin::Template);
                return Ok(());
            }
            Value::Seq(seq) => return self.repr_seq(seq.kind, &seq.items, out),
            Value::Dict(dict) => {
                out.push("{", Origin::Template);
                for (i, (key, value)) in dict.iter().enumerate() {
                    out.push(if i > 0 { ", " } else { "" }, Origin::Template);
                    self.repr(key, out)?;
                    out.push(": ", Origin::Template);
                    self.repr(value, out)?;
                }
                "}".to_owned()
            }
            Value::Object(id) => match self.object(*id) {
                Object::Namespace(_) => "<Namespace>".to_owned(),
                Object::Macro(object) => format!("<Macro '{}'>", object.def.name),
                Object::Loop(_) => "<LoopContext>".to_owned(),
                Object::Stream(_) => "<generator object>".to_owned(),
                Object::Cycler { .. } => "<Cycler>".to_owned(),
                Object::Joiner { .. } => "<Joiner>".to_owned(),
            },
            Value::Function(_) => "<function>".to_owned(),
            Value::Method(bound) => format!("<method '{}'>", bound.1),
        };
        self.budget.bytes(word.len())?;
        out.push(&word, Origin::Template);
        Ok(())
    }

    fn repr_seq(&mut self, kind: SeqKind, items: &[Value], out: &mut TextBuilder) -> Result<()> {
        if let (SeqKind::Range, [Value::Int(first), Value::Int(second), ..]) = (kind, items)
            && first + 1 == *second
        {
            out.push(&format!("range({first}, {})", first + items.len() as i128), Origin::Template);
            return Ok(());
        }
        let (begin, end) = match kind {
            SeqKind::List => ("[", "]"),
            SeqKind::Tuple if items.len() == 1 => ("(", ",)"),
            SeqKind::Tuple => ("(", ")"),
            SeqKind::Range => return type_error("only a range in steps of 1 can be printed: use |list"),
            SeqKind::Keys => ("dict_keys([", "])"),
            SeqKind::Values => ("dict_values([", "])"),
            SeqKind::Items => ("dict_items([", "])"),
        };
        out.push(begin, Origin::Template);
        for (i, item) in items.iter().enumerate() {
            out.push(if i > 0 { ", " } else { "" }, Origin::Template);
            self.repr(item, out)?;
        }
        out.push(end, Origin::Template);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_python() {
        for (f, want) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (-0.0, "-0.0"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float(f), want);
        }
    }

    #[test]
    fn strings_are_quoted_as_in_python() {
        for (text, want) in [
            ("a'b", r#""a'b""#),
            ("a'\"b", r#"'a\'"b'"#),
            ("a\n\u{7f}\u{a0}é\u{200b}\u{1F600}\u{301}", r"'a\n\x7f\xa0é\u200b😀́'"),
        ] {
            let mut out = TextBuilder::default();
            quoted(&Text::template(text), &mut out);
            assert_eq!(out.finish().as_str(), want);
        }
    }
}
