//! `tojson` as transformers has it: Python's `json.dumps`, characters left as they are.

use super::display::float;
use super::error::{Result, type_error};
use super::machine::Machine;
use super::text::{Origin, Text, TextBuilder};
use super::value::Value;

/// How JSON is laid out.
pub(crate) struct Layout {
    /// White space per level, and then a line per item.
    pub indent: Option<Text>,
    pub item_separator: Text,
    pub key_separator: Text,
    pub sort_keys: bool,
    pub ensure_ascii: bool,
}

impl Machine<'_> {
    /// `json.dumps(value)`
    pub fn json(&mut self, value: &Value, layout: &Layout) -> Result<Text> {
        let mut out = TextBuilder::default();
        self.write_json(value, layout, 1, &mut out)?;
        Ok(out.finish())
    }

    fn write_json(
        &mut self,
        value: &Value,
        layout: &Layout,
        depth: usize,
        out: &mut TextBuilder,
    ) -> Result<()> {
        self.budget.bytes(8)?;
        let word = match value {
            Value::None => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => json_float(*f),
            Value::Str(text) => {
                self.budget.bytes(2 * text.len())?;
                quoted(text, layout.ensure_ascii, out);
                return Ok(());
            }
            Value::Seq(seq) if seq.kind.adds() => {
                let items = seq.items.iter().map(|item| (None, item));
                return self.write_items(items, ["[", "]"], (layout, depth), out);
            }
            Value::Dict(dict) => {
                let mut entries: Vec<_> = dict.iter().map(|(key, value)| (Some(key), value)).collect();
                if layout.sort_keys {
                    let mut failed = None;
                    entries.sort_by(|a, b| match self.order(a.0.unwrap_or(a.1), b.0.unwrap_or(b.1)) {
                        Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
                        Err(e) => {
                            failed.get_or_insert(e);
                            std::cmp::Ordering::Equal
                        }
                    });
                    if let Some(e) = failed {
                        return Err(e);
                    }
                }
                return self.write_items(entries.into_iter(), ["{", "}"], (layout, depth), out);
            }
            other => {
                let name = match other {
                    Value::Object(id) => self.object(*id).type_name(),
                    other => other.type_name(),
                };
                return type_error(format!("Object of type {name} is not JSON serializable"));
            }
        };
        out.push(&word, Origin::Template);
        Ok(())
    }

    fn write_items<'v>(
        &mut self,
        items: impl ExactSizeIterator<Item = (Option<&'v Value>, &'v Value)>,
        [begin, end]: [&str; 2],
        (layout, depth): (&Layout, usize),
        out: &mut TextBuilder,
    ) -> Result<()> {
        out.push(begin, Origin::Template);
        let empty = items.len() == 0;
        for (i, (key, value)) in items.enumerate() {
            if i > 0 {
                self.push_text(&layout.item_separator, out)?;
            }
            self.new_line(layout, depth, out)?;
            if let Some(key) = key {
                self.write_key(key, layout, out)?;
            }
            self.write_json(value, layout, depth + 1, out)?;
        }
        if !empty {
            self.new_line(layout, depth - 1, out)?;
        }
        out.push(end, Origin::Template);
        Ok(())
    }

    fn new_line(&mut self, layout: &Layout, depth: usize, out: &mut TextBuilder) -> Result<()> {
        let Some(indent) = &layout.indent else { return Ok(()) };
        self.budget.bytes(1)?;
        out.push("\n", Origin::Template);
        (0..depth).try_for_each(|_| self.push_text(indent, out))
    }

    fn write_key(&mut self, key: &Value, layout: &Layout, out: &mut TextBuilder) -> Result<()> {
        let key = match key {
            Value::Str(text) => text.clone(),
            Value::None => "null".into(),
            Value::Bool(b) => Text::template(b.to_string()),
            Value::Int(i) => Text::template(i.to_string()),
            Value::Float(f) => Text::template(json_float(*f)),
            other => {
                let name = other.type_name();
                return type_error(format!("keys must be str, int, float, bool or None, not {name}"));
            }
        };
        self.budget.bytes(2 * key.len())?;
        quoted(&key, layout.ensure_ascii, out);
        self.push_text(&layout.key_separator, out)
    }
}

fn json_float(f: f64) -> String {
    match f {
        f if f.is_nan() => "NaN".to_owned(),
        f if f.is_infinite() => if f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        f => float(f),
    }
}

fn quoted(text: &Text, ensure_ascii: bool, out: &mut TextBuilder) {
    out.push("\"", Origin::Template);
    for (range, origin) in text.runs() {
        let mut run = String::with_capacity(range.len());
        for c in text.as_str()[range].chars() {
            match c {
                '"' => run.push_str("\\\""),
                '\\' => run.push_str("\\\\"),
                '\n' => run.push_str("\\n"),
                '\r' => run.push_str("\\r"),
                '\t' => run.push_str("\\t"),
                '\u{8}' => run.push_str("\\b"),
                '\u{c}' => run.push_str("\\f"),
                c if (c as u32) < 0x20 || (ensure_ascii && !(' '..='~').contains(&c)) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        run.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => run.push(c),
            }
        }
        out.push(&run, origin);
    }
    out.push("\"", Origin::Template);
}
