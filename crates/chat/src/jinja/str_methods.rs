//! Methods of strings. Each keeps the origin of every byte.

use super::call::{Bound, CallArgs};
use super::error::{Result, type_error, value_error};
use super::lexer::is_space;
use super::machine::Machine;
use super::methods::{unsupported, want_text};
use super::text::{Text, TextBuilder};
use super::value::Value;

impl Machine<'_> {
    pub fn str_method(&mut self, text: &Text, name: &str, args: CallArgs) -> Result<Value> {
        self.budget.bytes(text.len() + 16)?;
        let mut args = args.bind(name);
        let found = match name {
            "strip" | "lstrip" | "rstrip" => Value::Str(strip(text, name, &mut args)?),
            "split" | "rsplit" => self.split(text, name == "rsplit", &mut args)?,
            "splitlines" => self.split_lines(text, args.flag("keepends", false))?,
            "partition" | "rpartition" => self.partition(text, name == "rpartition", &mut args)?,
            "replace" => {
                let (old, new) = (want_text(args.need("old")?, name)?, want_text(args.need("new")?, name)?);
                let (count, new) = (args.int("count", -1)?, self.as_markup(&new, text.is_markup())?);
                Value::Str(self.replace(text, (&old, &new), usize::try_from(count).ok())?)
            }
            "startswith" | "endswith" => self.affix(text, name == "startswith", &mut args)?,
            "find" | "rfind" | "index" | "rindex" | "count" => find(text, name, &mut args)?,
            "removeprefix" => {
                let part = want_text(args.need("prefix")?, name)?;
                let rest = text.as_str().strip_prefix(part.as_str()).unwrap_or(text.as_str());
                Value::Str(text.part(rest))
            }
            "removesuffix" => {
                let part = want_text(args.need("suffix")?, name)?;
                let rest = text.as_str().strip_suffix(part.as_str()).unwrap_or(text.as_str());
                Value::Str(text.part(rest))
            }
            "join" => {
                let list = args.need("iterable")?;
                let items = self.iterate(&list)?;
                self.join_strict(text, items)?
            }
            "center" | "ljust" | "rjust" => {
                let width = args.int("width", 0)?;
                let fill = args.next("fillchar").map(|fill| want_text(fill, name)).transpose()?;
                let fill = fill.unwrap_or_else(|| " ".into());
                Value::Str(self.justify(text, name, (width, &fill))?)
            }
            "zfill" => {
                let width = args.int("width", 0)?;
                let sign = usize::from(text.as_str().starts_with(['+', '-']));
                let rest = text.slice(sign..text.len());
                let width = width.saturating_sub(sign as i128);
                let filled = self.justify(&rest, "rjust", (width, &"0".into()))?;
                let mut out = TextBuilder::default();
                out.push_slice(text, 0..sign);
                out.push_text(&filled);
                Value::Str(out.finish())
            }
            "expandtabs" => {
                let size = usize::try_from(args.int("tabsize", 8)?).unwrap_or(0);
                Value::Str(self.expand_tabs(text, size)?)
            }
            "format" => {
                let rest = (args.rest(), args.named_rest());
                Value::Str(self.format(text, &rest.0, &rest.1)?)
            }
            _ => match changed(text, name).or_else(|| asked(text.as_str(), name).map(Value::Bool)) {
                Some(found) => found,
                None => return unsupported(&Value::Str(text.clone()), name),
            },
        };
        args.end()?;
        Ok(found)
    }

    fn split(&mut self, text: &Text, from_right: bool, args: &mut Bound) -> Result<Value> {
        let separator = match args.next("sep") {
            None | Some(Value::None) => None,
            Some(separator) => Some(want_text(separator, "split")?),
        };
        let most = usize::try_from(args.int("maxsplit", -1)?).unwrap_or(usize::MAX);
        let parts = match &separator {
            Some(separator) if separator.is_empty() => return value_error("empty separator"),
            Some(separator) if from_right => {
                let mut parts: Vec<_> =
                    text.as_str().rsplitn(most.saturating_add(1), separator.as_str()).collect();
                parts.reverse();
                parts
            }
            Some(separator) => text.as_str().splitn(most.saturating_add(1), separator.as_str()).collect(),
            None => split_space(text.as_str(), most, from_right),
        };
        self.parts(text, &parts)
    }

    fn parts(&mut self, text: &Text, parts: &[&str]) -> Result<Value> {
        self.budget.items(parts.len())?;
        Value::list(parts.iter().map(|part| Value::Str(text.part(part))).collect(), &mut self.budget)
    }

    fn split_lines(&mut self, text: &Text, keep_ends: bool) -> Result<Value> {
        let breaks =
            ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some(at) = rest.find(breaks) {
            let len = match &rest[at..] {
                end if end.starts_with("\r\n") => 2,
                end => end.chars().next().map_or(1, char::len_utf8),
            };
            parts.push(&rest[..if keep_ends { at + len } else { at }]);
            rest = &rest[at + len..];
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        self.parts(text, &parts)
    }

    fn partition(&mut self, text: &Text, from_right: bool, args: &mut Bound) -> Result<Value> {
        let separator = want_text(args.need("sep")?, "partition")?;
        if separator.is_empty() {
            return value_error("empty separator");
        }
        let (s, sep) = (text.as_str(), separator.as_str());
        let at = if from_right { s.rfind(sep) } else { s.find(sep) };
        let parts = match at {
            Some(at) => [0..at, at..at + sep.len(), at + sep.len()..s.len()],
            None if from_right => [0..0, 0..0, 0..s.len()],
            None => [0..s.len(), 0..0, 0..0],
        };
        Value::tuple(parts.map(|range| Value::Str(text.slice(range))).to_vec(), &mut self.budget)
    }

    /// Replaces the first `most` places where `old` stands, or all of them.
    pub fn replace(&mut self, text: &Text, (old, new): (&Text, &Text), most: Option<usize>) -> Result<Text> {
        let most = most.unwrap_or(usize::MAX);
        let mut out = TextBuilder::default();
        let mut last = 0;
        for (at, found) in text.as_str().match_indices(old.as_str()).take(most) {
            // What is between two places may be a stretch of its own.
            self.budget.bytes(new.weight() + 16)?;
            out.push_slice(text, last..at);
            out.push_text(new);
            last = at + found.len();
        }
        out.push_slice(text, last..text.len());
        Ok(out.finish().with_markup(text.is_markup()))
    }

    /// `separator.join(items)`, where all have to be text.
    fn join_strict(&mut self, separator: &Text, items: Vec<Value>) -> Result<Value> {
        let mut out = TextBuilder::default();
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.push_text(separator, &mut out)?;
            }
            match item {
                Value::Str(text) => {
                    let text = self.as_markup(&text, separator.is_markup())?;
                    self.push_text(&text, &mut out)?;
                }
                other => {
                    let name = other.type_name();
                    return type_error(format!("sequence item {i}: expected str instance, {name} found"));
                }
            }
        }
        Ok(Value::Str(out.finish().with_markup(separator.is_markup())))
    }

    pub fn justify(&mut self, text: &Text, how: &str, (width, fill): (i128, &Text)) -> Result<Text> {
        if fill.as_str().chars().count() != 1 {
            return type_error("the fill character must be exactly one character long");
        }
        let len = text.as_str().chars().count();
        let missing = usize::try_from(width).unwrap_or(0).saturating_sub(len);
        self.budget.bytes(missing.saturating_mul(fill.len()))?;
        let left = match how {
            "ljust" => 0,
            "rjust" => missing,
            _ => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
        };
        let mut out = TextBuilder::default();
        (0..left).for_each(|_| out.push_text(fill));
        out.push_text(text);
        (left..missing).for_each(|_| out.push_text(fill));
        Ok(out.finish().with_markup(text.is_markup()))
    }

    fn affix(&mut self, text: &Text, prefix: bool, args: &mut Bound) -> Result<Value> {
        let wanted = args.need("prefix")?;
        let Some((start, end)) = window(text.as_str(), args)? else { return Ok(Value::Bool(false)) };
        let part = &text.as_str()[start..end];
        let affixes = match &wanted {
            Value::Seq(seq) if seq.kind == super::value::SeqKind::Tuple => &seq.items[..],
            one => std::slice::from_ref(one),
        };
        for one in affixes {
            let Some(affix) = one.as_str() else {
                let name = one.type_name();
                return type_error(format!("startswith/endswith needs text or a tuple of texts, not {name}"));
            };
            self.budget.step()?;
            self.budget.reads(if affix.len() <= part.len() { affix.len() } else { 0 })?;
            if if prefix { part.starts_with(affix) } else { part.ends_with(affix) } {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn expand_tabs(&mut self, text: &Text, size: usize) -> Result<Text> {
        let tabs = text.as_str().matches('\t').count();
        self.budget.bytes(tabs.saturating_mul(size))?;
        let mut column = 0;
        Ok(text.map_chars(|c, out| match c {
            '\t' if size > 0 => {
                let n = size - column % size;
                out.extend(std::iter::repeat_n(' ', n));
                column += n;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }))
    }
}

fn strip(text: &Text, name: &str, args: &mut Bound) -> Result<Text> {
    let chars = match args.next("chars") {
        None | Some(Value::None) => None,
        Some(chars) => Some(want_text(chars, name)?),
    };
    Ok(strip_chars(text, chars.as_ref().map(Text::as_str), name))
}

/// Without `chars`, or white space, at the ends that `name` takes it from.
pub(crate) fn strip_chars(text: &Text, chars: Option<&str>, name: &str) -> Text {
    let set = chars.map(|chars| {
        let mut set: Vec<char> = chars.chars().collect();
        set.sort_unstable();
        set
    });
    let goes = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.binary_search(&c).is_ok());
    let mut part = text.as_str();
    if name != "rstrip" {
        part = part.trim_start_matches(goes);
    }
    if name != "lstrip" {
        part = part.trim_end_matches(goes);
    }
    text.part(part)
}

fn split_space(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest =
        if from_right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) };
    while !rest.is_empty() && parts.len() < most {
        let at = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = at else { break };
        if from_right {
            let after = at + rest[at..].chars().next().map_or(1, char::len_utf8);
            parts.push(&rest[after..]);
            rest = rest[..at].trim_end_matches(is_space);
        } else {
            parts.push(&rest[..at]);
            rest = rest[at..].trim_start_matches(is_space);
        }
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    if from_right {
        parts.reverse();
    }
    parts
}

/// The byte offsets of characters `start` and `end`, which are counted as in a slice.
fn window(text: &str, args: &mut Bound) -> Result<Option<(usize, usize)>> {
    let (start, end) = (args.optional_int("start")?, args.optional_int("end")?);
    if start.is_none() && end.is_none() {
        return Ok(Some((0, text.len())));
    }
    let len = text.chars().count() as i128;
    let bound = |value: Option<i128>, default: i128| match value {
        None => default,
        Some(i) if i < 0 => i.saturating_add(len).max(0),
        Some(i) => i,
    };
    let (start, end) = (bound(start, 0), bound(end, len).min(len));
    if start > end {
        return Ok(None);
    }
    let offset = |n: i128| text.char_indices().nth(n as usize).map_or(text.len(), |(at, _)| at);
    Ok(Some((offset(start), offset(end))))
}

fn find(text: &Text, name: &str, args: &mut Bound) -> Result<Value> {
    let wanted = want_text(args.need("sub")?, name)?;
    let found = window(text.as_str(), args)?.and_then(|(start, end)| {
        let part = &text.as_str()[start..end];
        if name == "count" {
            return Some(part.matches(wanted.as_str()).count());
        }
        let at = if name.starts_with('r') { part.rfind(wanted.as_str()) } else { part.find(wanted.as_str()) };
        Some(text.as_str()[..start + at?].chars().count())
    });
    match found {
        Some(n) => Ok(Value::Int(n as i128)),
        None if name == "count" => Ok(Value::Int(0)),
        None if name.ends_with("find") => Ok(Value::Int(-1)),
        None => value_error("substring not found"),
    }
}

/// Methods that change characters one by one.
fn changed(text: &Text, name: &str) -> Option<Value> {
    Some(Value::Str(match name {
        "lower" => text.map_runs(str::to_lowercase),
        "casefold" => text.map_runs(|run| run.to_lowercase().replace('ß', "ss")),
        "upper" => text.map_runs(str::to_uppercase),
        "capitalize" => capitalize(text),
        "swapcase" => map_cased(text, |c, lower, out| match c {
            c if c.is_uppercase() => out.extend(lower),
            c if c.is_lowercase() => out.extend(c.to_uppercase()),
            c => out.push(c),
        }),
        "title" => {
            let mut inside = false;
            map_cased(text, |c, lower, out| {
                match inside {
                    true => out.extend(lower),
                    false => push_title(c, out),
                }
                inside = is_cased(c);
            })
        }
        _ => return None,
    }))
}

pub(crate) fn capitalize(text: &Text) -> Text {
    let mut first = true;
    map_cased(text, |c, lower, out| match std::mem::take(&mut first) {
        true => push_title(c, out),
        false => out.extend(lower),
    })
}

/// Replaces single characters, which are given with their lower case where they stand: that of sigma depends on it.
fn map_cased(text: &Text, mut change: impl FnMut(char, Lower, &mut String)) -> Text {
    let lower = text.as_str().to_lowercase();
    let mut lower = lower.chars();
    text.map_chars(|c, out| {
        let mut one = [None; 2];
        one.iter_mut().zip(c.to_lowercase()).for_each(|(one, _)| *one = lower.next());
        change(c, one.into_iter().flatten(), out);
    })
}

/// Up to two characters.
type Lower = std::iter::Flatten<std::array::IntoIter<Option<char>, 2>>;

/// The form of `c` at the beginning of a word: of letters that are two in one, the first alone is a capital.
fn push_title(c: char, out: &mut String) {
    let greek = ('\u{1f80}'..='\u{1fff}').contains(&c);
    match c {
        c if is_title(c) => out.push(c),
        'Ǆ'..='ǆ' => out.push('ǅ'),
        'Ǉ'..='ǉ' => out.push('ǈ'),
        'Ǌ'..='ǌ' => out.push('ǋ'),
        'Ǳ'..='ǳ' => out.push('ǲ'),
        // Georgian has capitals for whole words only.
        '\u{10d0}'..='\u{10ff}' => out.push(c),
        '\u{1f80}'..='\u{1faf}' => out.extend(char::from_u32(c as u32 | 8)),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => out.extend(char::from_u32(c as u32 + 9)),
        'ŉ' => out.extend(c.to_uppercase()),
        c => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            upper.for_each(|c| match c {
                'Ι' if greek => out.push('\u{345}'),
                c => out.extend(c.to_lowercase()),
            });
        }
    }
}

/// Neither a capital nor a small letter, but a pair of both.
fn is_title(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
        || matches!(c, '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}')
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

/// Methods that ask what the characters are.
fn asked(text: &str, name: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    Some(match name {
        "isalnum" => all(|c| c.is_alphanumeric()),
        "isalpha" => all(|c| c.is_alphabetic()),
        "isascii" => text.is_ascii(),
        "isdecimal" | "isdigit" => all(|c| c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "isprintable" => text.chars().all(super::display::is_printable),
        "isidentifier" => {
            !text.starts_with(|c: char| c.is_numeric()) && all(|c| c == '_' || c.is_alphanumeric())
        }
        "islower" => text.chars().any(is_cased) && !text.chars().any(|c| c.is_uppercase() || is_title(c)),
        "isupper" => text.chars().any(is_cased) && !text.chars().any(|c| c.is_lowercase() || is_title(c)),
        "istitle" => {
            let mut inside = false;
            let fits = text.chars().all(|c| {
                let fits = !is_cased(c) || c.is_lowercase() == inside;
                inside = is_cased(c);
                fits
            });
            fits && text.chars().any(is_cased)
        }
        _ => return None,
    })
}
