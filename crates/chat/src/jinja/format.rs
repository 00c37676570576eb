//! `'%s' % value` and `'{}'.format(value)`.

use super::display::float;
use super::error::{Result, type_error, value_error};
use super::machine::Machine;
use super::text::{Origin, Text, TextBuilder};
use super::value::{SeqKind, Value};

/// How one value is to look.
#[derive(Default)]
struct Spec {
    /// With where it was written.
    fill: Option<(char, Origin)>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    group: bool,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    /// Zeros between the sign and the digits.
    fn zeros(&mut self) {
        (self.fill, self.align) = (Some(('0', Origin::Template)), Some('='));
    }
}

/// Widths and digits of a number at most.
const MAX_WIDTH: usize = 10_000;

/// Takes the first character of `rest` if it is one of those wanted.
fn take(rest: &mut &str, wanted: impl FnOnce(char) -> bool) -> Option<char> {
    let first = rest.chars().next().filter(|c| wanted(*c))?;
    *rest = &rest[first.len_utf8()..];
    Some(first)
}

fn number(rest: &mut &str) -> Result<Option<usize>> {
    let mut value = None;
    while let Some(digit) = take(rest, |c| c.is_ascii_digit()).and_then(|c| c.to_digit(10)) {
        value = Some(value.unwrap_or(0) * 10 + digit as usize);
        if value > Some(MAX_WIDTH) {
            return value_error(format!("a width of more than {MAX_WIDTH}"));
        }
    }
    Ok(value)
}

impl Machine<'_> {
    /// `format % values`
    pub fn percent(&mut self, format: &Text, values: &Value) -> Result<Value> {
        self.budget.bytes(format.len())?;
        let (mut positional, mapping) = match values {
            Value::Seq(seq) if seq.kind == SeqKind::Tuple => (seq.items.clone().into_iter(), None),
            Value::Dict(_) => (vec![values.clone()].into_iter(), Some(values)),
            one => (vec![one.clone()].into_iter(), None),
        };
        let mut out = TextBuilder::default();
        let source = format.as_str();
        let (mut at, mut by_name) = (0, false);
        while let Some(found) = source[at..].find('%') {
            out.push_slice(format, at..at + found);
            self.budget.step()?;
            let mut rest = &source[at + found + 1..];
            let mut key = None;
            if let Some(named) = rest.strip_prefix('(') {
                let Some(end) = named.find(')') else { return value_error("incomplete format key") };
                (key, rest) = (Some(&named[..end]), &named[end + 1..]);
            }
            let mut spec = percent_spec(&mut rest)?;
            let Some(kind) = take(&mut rest, |_| true) else { return value_error("incomplete format") };
            at = source.len() - rest.len();
            if kind == '%' {
                out.push("%", format.origin_at(at - 1));
                continue;
            }
            let value = match (key, mapping) {
                (Some(key), Some(mapping)) => {
                    by_name = true;
                    match self.item(mapping, &Value::str(key))? {
                        Value::Undefined(_) => return value_error(format!("no value for '{key}'")),
                        value => value,
                    }
                }
                (Some(_), None) => return type_error("format requires a mapping"),
                (None, _) => match positional.next() {
                    Some(value) => value,
                    None => return type_error("not enough arguments for format string"),
                },
            };
            let text = self.percent_value(&value, kind, &mut spec)?;
            let text = self.padded(&text, &spec, '>')?;
            let text = self.as_markup(&text, format.is_markup())?;
            self.push_text(&text, &mut out)?;
        }
        out.push_slice(format, at..source.len());
        // Python takes a list for a mapping, too, and mappings need not be used.
        let is_list = matches!(values, Value::Seq(seq) if seq.kind != SeqKind::Tuple);
        if mapping.is_none() && !by_name && !is_list && positional.next().is_some() {
            return type_error("not all arguments converted during string formatting");
        }
        Ok(Value::Str(out.finish().with_markup(format.is_markup())))
    }

    fn percent_value(&mut self, value: &Value, kind: char, spec: &mut Spec) -> Result<Text> {
        match kind {
            's' | 'r' | 'a' => {
                if spec.align == Some('=') {
                    (spec.align, spec.fill) = (None, None);
                }
                let text = if kind == 's' { self.text(value)? } else { self.repr_text(value)? };
                Ok(cut(&text, spec.precision))
            }
            'c' => match value {
                Value::Str(text) if text.as_str().chars().count() == 1 => Ok(text.clone()),
                Value::Int(i) => match u32::try_from(*i).ok().and_then(char::from_u32) {
                    // The number may be a message's, and then so is the character.
                    Some(c) => Ok(Text::new(c.to_string(), Origin::Foreign)),
                    None => value_error("%c arg not in range"),
                },
                _ => type_error("%c requires int or char"),
            },
            'd' | 'i' | 'u' => {
                let int = match value.defined()? {
                    Value::Float(f) if f.is_finite() => Value::Int(f.trunc() as i128),
                    other => other.clone(),
                };
                spec.kind = Some('d');
                let digits = spec.precision.take();
                let mut text = number_text(&int, spec)?;
                let zeros =
                    digits.unwrap_or(0).saturating_sub(text.trim_start_matches(['-', '+', ' ']).len());
                text.insert_str(
                    text.len() - text.trim_start_matches(['-', '+', ' ']).len(),
                    &"0".repeat(zeros),
                );
                Ok(Text::template(text))
            }
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' | 'x' | 'X' | 'o' => {
                spec.kind = Some(kind);
                Ok(Text::template(number_text(value.defined()?, spec)?))
            }
            other => value_error(format!("unsupported format character '{other}'")),
        }
    }

    fn repr_text(&mut self, value: &Value) -> Result<Text> {
        let mut out = TextBuilder::default();
        self.repr(value, &mut out)?;
        Ok(out.finish())
    }

    fn padded(&mut self, text: &Text, spec: &Spec, default: char) -> Result<Text> {
        let (fill, origin) = spec.fill.unwrap_or((' ', Origin::Template));
        let fill = Text::new(fill.to_string(), origin);
        let width = spec.width as i128;
        match spec.align.unwrap_or(default) {
            '<' => self.justify(text, "ljust", (width, &fill)),
            '=' => {
                let sign = usize::from(text.as_str().starts_with(['-', '+', ' ']));
                let rest =
                    self.justify(&text.slice(sign..text.len()), "rjust", (width - sign as i128, &fill))?;
                let mut out = TextBuilder::default();
                out.push_slice(text, 0..sign);
                out.push_text(&rest);
                Ok(out.finish())
            }
            '^' => {
                let missing = spec.width.saturating_sub(text.as_str().chars().count());
                let left = width - (missing - missing / 2) as i128;
                let half = self.justify(text, "rjust", (left, &fill))?;
                self.justify(&half, "ljust", (width, &fill))
            }
            _ => self.justify(text, "rjust", (width, &fill)),
        }
    }

    /// `format.format(*positional, **named)`
    pub fn format(&mut self, format: &Text, positional: &[Value], named: &[(Text, Value)]) -> Result<Text> {
        self.budget.bytes(format.len())?;
        let (source, mut at, mut auto) = (format.as_str(), 0, 0);
        let mut out = TextBuilder::default();
        while let Some(found) = source[at..].find(['{', '}']) {
            self.budget.steps(1 + named.len() / 16)?;
            let start = at + found;
            out.push_slice(format, at..start);
            if source[start..].starts_with("{{") || source[start..].starts_with("}}") {
                out.push_slice(format, start..start + 1);
                at = start + 2;
                continue;
            }
            if source[start..].starts_with('}') {
                return value_error("single '}' encountered in format string");
            }
            let Some(end) = source[start..].find('}').map(|end| start + end) else {
                return value_error("expected '}' before end of string");
            };
            at = end + 1;
            let (field, spec) =
                source[start + 1..end].split_once(':').unwrap_or((&source[start + 1..end], ""));
            let (path, conversion) = field.split_once('!').unwrap_or((field, ""));
            let value = self.field(path, (positional, named), &mut auto)?;
            let value = match conversion {
                "" => value,
                "s" => Value::Str(self.text(&value)?),
                "r" | "a" => Value::Str(self.repr_text(&value)?),
                other => return value_error(format!("unknown conversion '{other}'")),
            };
            let text = self.with_spec(&value, (spec, format.origin_at(end - spec.len())))?;
            self.push_text(&text, &mut out)?;
        }
        out.push_slice(format, at..source.len());
        Ok(out.finish())
    }

    /// The value that `name.attribute[index]` stands for.
    fn field(
        &mut self,
        path: &str,
        (positional, named): (&[Value], &[(Text, Value)]),
        auto: &mut usize,
    ) -> Result<Value> {
        let first = path.find(['.', '[']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at(first);
        let mut value = match name.parse::<usize>() {
            _ if name.is_empty() => {
                *auto += 1;
                positional.get(*auto - 1).cloned()
            }
            Ok(index) => positional.get(index).cloned(),
            Err(_) => named.iter().find(|(n, _)| n.as_str() == name).map(|(_, value)| value.clone()),
        };
        while let (Some(inner), false) = (&value, rest.is_empty()) {
            self.budget.step()?;
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = Some(self.attribute(inner, &after[..end])?);
                rest = &after[end..];
            } else {
                let Some(end) = rest.find(']') else { return value_error("missing ']' in format string") };
                let index = &rest[1..end];
                let index = index.parse().map_or_else(|_| Value::str(index), Value::Int);
                value = Some(self.item(inner, &index)?);
                rest = &rest[end + 1..];
            }
        }
        value.map_or_else(|| value_error(format!("no value for the field '{path}'")), Ok)
    }

    fn with_spec(&mut self, value: &Value, (spec, origin): (&str, Origin)) -> Result<Text> {
        if spec.is_empty() {
            return self.text(value);
        }
        let spec = parse_spec(spec, origin)?;
        let is_number = matches!(value, Value::Int(_) | Value::Float(_)) || value.index().is_some();
        if is_number && spec.kind != Some('s') {
            let text = Text::template(number_text(value, &spec)?);
            return self.padded(&text, &spec, '>');
        }
        let is_for_numbers = spec.align == Some('=') || spec.sign.is_some() || spec.alternate || spec.group;
        if spec.kind.is_some_and(|kind| kind != 's') || is_for_numbers || value.as_str().is_none() {
            return value_error(format!("unknown format for a value of type '{}'", value.type_name()));
        }
        let text = self.text(value)?;
        self.padded(&cut(&text, spec.precision), &spec, '<')
    }
}

fn cut(text: &Text, chars: Option<usize>) -> Text {
    match chars.and_then(|n| text.as_str().char_indices().nth(n)) {
        Some((end, _)) => text.slice(0..end),
        None => text.clone(),
    }
}

/// Flags, width and precision of a directive, which are taken from the front of `rest`.
fn percent_spec(rest: &mut &str) -> Result<Spec> {
    let mut spec = Spec::default();
    while let Some(flag) = take(rest, |c| "-0+ #".contains(c)) {
        match flag {
            '-' => spec.align = Some('<'),
            '0' if spec.align.is_none() => spec.zeros(),
            '+' | ' ' => spec.sign = Some(flag),
            '#' => spec.alternate = true,
            _ => {}
        }
    }
    spec.width = number(rest)?.unwrap_or(0);
    if take(rest, |c| c == '.').is_some() {
        spec.precision = Some(number(rest)?.unwrap_or(0));
    }
    Ok(spec)
}

fn parse_spec(source: &str, origin: Origin) -> Result<Spec> {
    let mut spec = Spec::default();
    let mut rest = source;
    let is_align = |c: char| "<>=^".contains(c);
    if source.chars().nth(1).is_some_and(is_align) {
        spec.fill = take(&mut rest, |_| true).map(|fill| (fill, origin));
    }
    spec.align = take(&mut rest, is_align);
    spec.sign = take(&mut rest, |c| "+- ".contains(c));
    spec.alternate = take(&mut rest, |c| c == '#').is_some();
    if take(&mut rest, |c| c == '0').is_some() && spec.align.is_none() {
        spec.zeros();
    }
    spec.width = number(&mut rest)?.unwrap_or(0);
    spec.group = take(&mut rest, |c| c == ',').is_some();
    if take(&mut rest, |c| c == '.').is_some() {
        spec.precision = number(&mut rest)?;
    }
    spec.kind = take(&mut rest, |_| true);
    match rest.is_empty() {
        true => Ok(spec),
        false => value_error(format!("invalid format specifier '{source}'")),
    }
}

fn number_text(value: &Value, spec: &Spec) -> Result<String> {
    let int = value.index();
    let as_float = match value {
        Value::Float(f) => *f,
        other => match other.index() {
            Some(i) => i as f64,
            None => return type_error(format!("a number is required, not {}", other.type_name())),
        },
    };
    let precision = spec.precision.unwrap_or(6);
    let prefix = |p: &str| if spec.alternate { p.to_owned() } else { String::new() };
    let negative = as_float.is_sign_negative() && !(as_float == 0.0 && int.is_some());
    let size = as_float.abs();
    let digits = match (spec.kind, int) {
        (Some('d') | None, Some(i)) => i.unsigned_abs().to_string(),
        (Some('x'), Some(i)) => prefix("0x") + &format!("{:x}", i.unsigned_abs()),
        (Some('X'), Some(i)) => prefix("0X") + &format!("{:X}", i.unsigned_abs()),
        (Some('o'), Some(i)) => prefix("0o") + &format!("{:o}", i.unsigned_abs()),
        (Some('b'), Some(i)) => prefix("0b") + &format!("{:b}", i.unsigned_abs()),
        (Some('f' | 'F'), _) if size.is_finite() => format!("{size:.precision$}"),
        (Some('e' | 'E'), _) if size.is_finite() => exponent(size, precision),
        (Some('g' | 'G'), _) if size.is_finite() => general(size, precision.max(1)),
        (Some('%'), _) => format!("{:.precision$}%", size * 100.0),
        (None, None) => match spec.precision {
            Some(precision) => general(size, precision.max(1)),
            None => float(size),
        },
        (Some(_), _) if !size.is_finite() => float(size),
        (Some(kind), _) => return value_error(format!("unknown format code '{kind}' for a number")),
    };
    let digits = if matches!(spec.kind, Some('E' | 'G' | 'F')) { digits.to_uppercase() } else { digits };
    let digits = if spec.group { grouped(&digits) } else { digits };
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    Ok(format!("{sign}{digits}"))
}

fn exponent(size: f64, precision: usize) -> String {
    let text = format!("{size:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn general(size: f64, precision: usize) -> String {
    let scientific = exponent(size, precision - 1);
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..precision as i32).contains(&power) {
        let decimals = (precision as i32 - 1 - power).max(0) as usize;
        return trim(&format!("{size:.decimals$}"));
    }
    format!("{}e{}{:02}", trim(digits), if power < 0 { '-' } else { '+' }, power.abs())
}

fn grouped(digits: &str) -> String {
    let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let mut out = String::new();
    for (i, digit) in digits[..whole].chars().enumerate() {
        if i > 0 && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + &digits[whole..]
}
