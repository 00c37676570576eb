//! Filters by name, and those of single values.

use super::call::{Bound, CallArgs};
use super::error::{Kind, Result, fail, type_error, value_error};
use super::json::Layout;
use super::lexer::is_space;
use super::machine::Machine;
use super::str_methods::{capitalize, strip_chars};
use super::text::{Origin, Text, TextBuilder};
use super::value::{SeqKind, Value};
use std::cmp::Ordering;

impl Machine<'_> {
    /// `value|name(args)`
    pub fn filter(&mut self, name: &str, value: Value, args: CallArgs) -> Result<Value> {
        self.read_args(&args)?;
        // Those that call others by name take all their arguments.
        match name {
            "map" => return self.map_filter(&value, args),
            "select" | "reject" | "selectattr" | "rejectattr" => {
                return self.select_filter(name, &value, args);
            }
            "format" => {
                if !args.named.is_empty() && !args.positional.is_empty() {
                    return type_error("format takes arguments by position or by name, not both");
                }
                let values = match args.named.is_empty() {
                    true => Value::tuple(args.positional, &mut self.budget)?,
                    false => {
                        let pairs = args.named.into_iter().map(|(name, value)| (Value::Str(name), value));
                        Value::dict(pairs.collect(), &mut self.budget)?
                    }
                };
                let format = self.text(&value)?;
                return self.percent(&format, &values);
            }
            _ => {}
        }
        let mut args = args.bind(name);
        let done = match self.text_filter(name, &value, &mut args)? {
            Some(done) => Some(done),
            None => match self.number_filter(name, &value, &mut args)? {
                Some(done) => Some(done),
                None => self.list_filter(name, &value, &mut args)?,
            },
        };
        match done {
            Some(done) => args.end().map(|()| done),
            None => fail(Kind::Runtime, format!("no filter named '{name}'")),
        }
    }

    fn text_filter(&mut self, name: &str, value: &Value, args: &mut Bound) -> Result<Option<Value>> {
        let text = match name {
            "tojson" => {
                let layout = self.layout(args)?;
                return Ok(Some(Value::Str(self.json(value, &layout)?)));
            }
            "default" | "d" => {
                let default = args.next("default_value").unwrap_or_else(|| Value::str(""));
                let boolean = args.flag("boolean", false);
                let missing = value.is_undefined() || (boolean && !value.is_true());
                return Ok(Some(if missing { default } else { value.clone() }));
            }
            "urlencode" if matches!(value, Value::Dict(_) | Value::Seq(_) | Value::Object(_)) => {
                return self.url_query(value).map(Some);
            }
            "truncate" => return self.truncate(value, args).map(Some),
            "indent" => match value.defined()? {
                Value::Str(text) => text.clone(),
                other => return type_error(format!("indent needs text, not '{}'", other.type_name())),
            },
            "string" | "safe" | "trim" | "upper" | "lower" | "title" | "capitalize" | "replace"
            | "center" | "escape" | "e" | "forceescape" | "urlencode" | "striptags" | "pprint"
            | "wordcount" => self.text(value)?,
            _ => return Ok(None),
        };
        self.budget.bytes(text.len())?;
        Ok(Some(Value::Str(match name {
            "trim" => match args.next("chars") {
                None | Some(Value::None) => strip_chars(&text, None, "strip"),
                Some(chars) => strip_chars(&text, Some(self.text(&chars)?.as_str()), "strip"),
            },
            "upper" => text.map_runs(str::to_uppercase),
            "lower" => text.map_runs(str::to_lowercase),
            "title" => title(&text),
            "capitalize" => capitalize(&text),
            "replace" => {
                let (old, new) = (args.need("old")?, args.need("new")?);
                let (old, new) = (self.text(&old)?, self.text(&new)?);
                let most = args.optional_int("count")?.and_then(|n| usize::try_from(n).ok());
                self.replace(&text, (&old, &new), most)?.with_markup(false)
            }
            "indent" => self.indent(&text, args)?,
            "center" => {
                let width = args.int("width", 80)?;
                self.justify(&text, "center", (width, &" ".into()))?
            }
            "escape" | "e" => self.as_markup(&text, true)?,
            "forceescape" => self.escape(&text)?,
            "safe" => text.with_markup(true),
            "urlencode" => text.map_runs(|run| url_encoded(run, "/")),
            "wordcount" => {
                let words = text.as_str().split(|c: char| c != '_' && !c.is_alphanumeric());
                return Ok(Some(Value::Int(words.filter(|word| !word.is_empty()).count() as i128)));
            }
            "striptags" | "pprint" => {
                return fail(Kind::Runtime, format!("the filter '{name}' is not supported"));
            }
            _ => text,
        })))
    }

    /// Pairs as the query of an address: `name=value&name=value`.
    fn url_query(&mut self, value: &Value) -> Result<Value> {
        let pairs = match value {
            Value::Dict(dict) => self.pairs(dict, SeqKind::List)?,
            other => other.clone(),
        };
        let mut out = TextBuilder::default();
        for (i, pair) in self.iterate(&pairs)?.iter().enumerate() {
            let [name, value] = &self.iterate(pair)?[..] else {
                return value_error("urlencode needs pairs of names and values");
            };
            for (sign, part) in [(if i > 0 { "&" } else { "" }, name), ("=", value)] {
                let part = self.text(part)?;
                self.budget.bytes(part.len())?;
                out.push(sign, Origin::Template);
                let part = part.map_runs(|run| url_encoded(run, "").replace("%20", "+"));
                out.push_text(&part);
            }
        }
        Ok(Value::Str(out.finish()))
    }

    /// Arguments in transformers' order, which is not that of Jinja's own `tojson`.
    fn layout(&mut self, args: &mut Bound) -> Result<Layout> {
        let ensure_ascii = args.flag("ensure_ascii", false);
        let indent = match args.next("indent") {
            None | Some(Value::None) => None,
            Some(Value::Str(text)) => Some(text),
            Some(other) => match other.defined()?.index() {
                Some(n) => Some(Text::template(" ".repeat(usize::try_from(n).unwrap_or(0).min(1000)))),
                None => return type_error("tojson: 'indent' has to be a number or text"),
            },
        };
        let comma = if indent.is_some() { "," } else { ", " };
        let (mut item_separator, mut key_separator) = (comma.into(), ": ".into());
        if let Some(pair) = args.next("separators").filter(|pair| !matches!(pair, Value::None)) {
            match &self.iterate(&pair)?[..] {
                [Value::Str(item), Value::Str(key)] => {
                    (item_separator, key_separator) = (item.clone(), key.clone());
                }
                _ => return type_error("tojson: 'separators' has to be two texts"),
            }
        }
        let sort_keys = args.flag("sort_keys", false);
        Ok(Layout { indent, item_separator, key_separator, sort_keys, ensure_ascii })
    }

    fn indent(&mut self, text: &Text, args: &mut Bound) -> Result<Text> {
        let width = match args.next("width").unwrap_or(Value::Int(4)) {
            Value::Str(text) => text,
            other => match other.defined()?.index() {
                Some(n) => Text::template(" ".repeat(usize::try_from(n).unwrap_or(0).min(1000))),
                None => return type_error("indent: 'width' has to be a number or text"),
            },
        };
        let (first, blank) = (args.flag("first", false), args.flag("blank", false));
        let mut out = TextBuilder::default();
        let mut whole = TextBuilder::default();
        whole.push_text(text);
        whole.push("\n", text.origin_at(text.len()));
        let lines = self.str_method(&whole.finish(), "splitlines", CallArgs::default())?;
        for (i, line) in self.iterate(&lines)?.iter().enumerate() {
            let Value::Str(line) = line else { continue };
            self.budget.bytes(width.len() + line.len() + 1)?;
            if i > 0 {
                out.push("\n", text.origin_at(0));
            }
            if if i == 0 { first } else { blank || !line.is_empty() } {
                out.push_text(&width);
            }
            out.push_text(line);
        }
        Ok(out.finish())
    }

    /// What is short enough stays as it is, also if it is no text.
    fn truncate(&mut self, value: &Value, args: &mut Bound) -> Result<Value> {
        let length = usize::try_from(args.int("length", 255)?).ok();
        let kill_words = args.flag("killwords", false);
        let end = args.next("end").unwrap_or_else(|| Value::str("..."));
        let end = self.text(&end)?;
        let leeway = usize::try_from(args.optional_int("leeway")?.unwrap_or(5)).ok();
        let end_length = end.as_str().chars().count();
        let (Some(length), Some(leeway)) = (length.filter(|&length| length >= end_length), leeway) else {
            return value_error(format!(
                "truncate: 'length' has to be at least {end_length}, that of 'end', and 'leeway' 0"
            ));
        };
        if self.len(value)? <= length.saturating_add(leeway) {
            return Ok(value.clone());
        }
        let Value::Str(text) = value else {
            return type_error(format!("truncate needs text, not '{}'", value.type_name()));
        };
        self.budget.bytes(text.len())?;
        let ends: Vec<usize> = text.as_str().char_indices().map(|(at, _)| at).collect();
        let keep = length - end_length;
        let mut cut = ends.get(keep).copied().unwrap_or(text.len());
        if !kill_words {
            cut = text.as_str()[..cut].rfind(' ').unwrap_or(cut);
        }
        let mut out = TextBuilder::default();
        out.push_slice(text, 0..cut);
        self.push_text(&end, &mut out)?;
        Ok(Value::Str(out.finish()))
    }

    /// What markup takes `text` for: escaped, unless it is markup itself.
    pub fn as_markup(&mut self, text: &Text, markup: bool) -> Result<Text> {
        if markup && !text.is_markup() { self.escape(text) } else { Ok(text.clone()) }
    }

    fn escape(&mut self, text: &Text) -> Result<Text> {
        self.budget.bytes(4 * text.len())?;
        let escaped = text.map_chars(|c, out| match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        });
        Ok(escaped.with_markup(true))
    }

    fn number_filter(&mut self, name: &str, value: &Value, args: &mut Bound) -> Result<Option<Value>> {
        Ok(Some(match name {
            "int" => {
                let default = args.next("default").unwrap_or(Value::Int(0));
                let base = args.int("base", 10)?;
                self.int_of(value.defined()?, base)?.map_or(default, Value::Int)
            }
            "float" => {
                let default = args.next("default").unwrap_or(Value::Float(0.0));
                self.float_of(value.defined()?)?.map_or(default, Value::Float)
            }
            "abs" => match value.defined()? {
                Value::Float(f) => Value::Float(f.abs()),
                other => match other.index() {
                    Some(i) => Value::Int(i.checked_abs().unwrap_or(i128::MAX)),
                    None => {
                        return type_error(format!("bad operand type for abs(): '{}'", other.type_name()));
                    }
                },
            },
            "round" => {
                let precision = args.int("precision", 0)?;
                let method = args.next("method").unwrap_or_else(|| Value::str("common"));
                round(value.defined()?, precision, method.as_str().unwrap_or(""))?
            }
            _ => return Ok(None),
        }))
    }

    fn int_of(&mut self, value: &Value, base: i128) -> Result<Option<i128>> {
        Ok(match value {
            Value::Str(text) => {
                self.budget.reads(text.len())?;
                match parse_int(text.as_str(), base) {
                    Some(i) => Some(i),
                    None => self.float_of(value)?.and_then(whole_part),
                }
            }
            Value::Float(f) => whole_part(*f),
            other => other.index(),
        })
    }

    fn float_of(&mut self, value: &Value) -> Result<Option<f64>> {
        Ok(match value {
            Value::Float(f) => Some(*f),
            Value::Str(text) => {
                self.budget.reads(text.len())?;
                let text = text.as_str().trim_matches(is_space).replace('_', "").to_lowercase();
                text.parse().ok()
            }
            other => other.index().map(|i| i as f64),
        })
    }
}

/// Words as Jinja's `title` cuts them: also after a hyphen and an opening bracket.
fn title(text: &Text) -> Text {
    let mut begins = true;
    text.map_chars(|c, out| {
        match begins {
            true => out.extend(c.to_uppercase()),
            false => out.extend(c.to_lowercase()),
        }
        begins = is_space(c) || "-({[<".contains(c);
    })
}

/// `safe` stays as it is, beside what is safe everywhere.
fn url_encoded(run: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in run.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"_.-~".contains(&b) => out.push(char::from(b)),
            b if safe.as_bytes().contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn parse_int(text: &str, base: i128) -> Option<i128> {
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    let text = text.trim_matches(is_space);
    let negative = text.starts_with('-');
    let mut digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let prefixes: [&str; 2] = match base {
        2 => ["0b", "0B"],
        8 => ["0o", "0O"],
        16 => ["0x", "0X"],
        _ => ["\0", "\0"],
    };
    digits = prefixes.iter().find_map(|prefix| digits.strip_prefix(prefix)).unwrap_or(digits);
    if digits.starts_with(['_', '-', '+']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let size = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -size } else { size })
}

fn whole_part(f: f64) -> Option<i128> {
    (f.abs() < 1e38).then_some(f.trunc() as i128)
}

/// The multiple of ten to the power of `digits` that is nearest to `i`, of two the even one.
fn round_int(i: i128, digits: u32) -> Option<i128> {
    let Some(unit) = 10i128.checked_pow(digits) else { return Some(0) };
    let above = i.rem_euclid(unit);
    let below = i.checked_sub(above)?;
    match above.cmp(&(unit - above)) {
        Ordering::Less => Some(below),
        Ordering::Equal if below / unit % 2 == 0 => Some(below),
        _ => below.checked_add(unit),
    }
}

fn round(value: &Value, precision: i128, method: &str) -> Result<Value> {
    let scale = 10f64.powi(i32::try_from(precision).unwrap_or(0).clamp(-300, 300));
    let f = match (value, value.index()) {
        (Value::Float(f), _) => *f,
        (_, Some(i)) if method == "common" => {
            let digits = u32::try_from(precision.min(0).unsigned_abs()).unwrap_or(u32::MAX);
            return round_int(i, digits).map_or_else(
                || fail(Kind::Limit, "an integer of more than 127 bits"),
                |i| Ok(Value::Int(i)),
            );
        }
        (_, Some(i)) => i as f64,
        (other, None) => {
            return type_error(format!("type {} doesn't define __round__ method", other.type_name()));
        }
    };
    Ok(Value::Float(match method {
        "common" if (0..=300).contains(&precision) && f.is_finite() => {
            format!("{f:.*}", precision as usize).parse().unwrap_or(f)
        }
        "common" => (f * scale).round_ties_even() / scale,
        // Whole numbers in between know no negative zero.
        "ceil" => ((f * scale).ceil() + 0.0) / scale,
        "floor" => ((f * scale).floor() + 0.0) / scale,
        _ => return value_error("round: the method must be common, ceil or floor"),
    }))
}
