//! Methods of lists, dicts and numbers, and which methods there are.

use super::call::CallArgs;
use super::error::{Kind, Result, fail, type_error, value_error};
use super::evaluate::position;
use super::machine::Machine;
use super::value::{Dict, Seq, SeqKind, Value};

/// What `value.name` is.
pub(crate) enum Found {
    Nothing,
    Method,
    /// There is one, and templates may not call it.
    Mutating,
}

const STR: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const LIST_MUTATING: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const DICT_MUTATING: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];

/// Looks `name` up among the methods of `value`.
pub(crate) fn of(value: &Value, name: &str) -> Found {
    let (methods, mutating): (&[&str], &[&str]) = match value {
        Value::Str(_) => (&STR, &[]),
        Value::Dict(_) => (&["copy", "fromkeys", "get", "items", "keys", "values"], &DICT_MUTATING),
        Value::Seq(seq) => match seq.kind {
            SeqKind::List => (&["copy", "count", "index"], &LIST_MUTATING),
            SeqKind::Tuple | SeqKind::Range => (&["count", "index"], &[]),
            _ => (&[], &[]),
        },
        Value::Int(_) | Value::Bool(_) => (&["bit_count", "bit_length", "is_integer"], &[]),
        Value::Float(_) => (&["is_integer"], &[]),
        _ => (&[], &[]),
    };
    if methods.contains(&name) {
        Found::Method
    } else if mutating.contains(&name) {
        Found::Mutating
    } else {
        Found::Nothing
    }
}

impl SeqKind {
    /// Whether it has no indices.
    pub fn is_view(self) -> bool {
        matches!(self, SeqKind::Keys | SeqKind::Values | SeqKind::Items)
    }
}

impl Machine<'_> {
    pub fn value_method(&mut self, value: &Value, name: &str, args: CallArgs) -> Result<Value> {
        self.read_args(&args)?;
        match value {
            Value::Str(text) => self.str_method(text, name, args),
            Value::Dict(dict) => self.dict_method(dict, value, (name, args)),
            Value::Seq(seq) => self.seq_method(seq, value, (name, args)),
            number => {
                args.bind(name).end()?;
                match (name, number) {
                    ("is_integer", Value::Float(f)) => Ok(Value::Bool(f.fract() == 0.0)),
                    ("is_integer", _) => Ok(Value::Bool(true)),
                    ("bit_length", Value::Int(i)) => {
                        Ok(Value::Int(i128::from(128 - i.unsigned_abs().leading_zeros())))
                    }
                    ("bit_count", Value::Int(i)) => Ok(Value::Int(i128::from(i.unsigned_abs().count_ones()))),
                    _ => unsupported(number, name),
                }
            }
        }
    }

    fn dict_method(&mut self, dict: &Dict, value: &Value, (name, args): (&str, CallArgs)) -> Result<Value> {
        let mut args = args.bind(name);
        let found = match name {
            "get" => {
                let key = args.need("key")?;
                let default = args.next("default").unwrap_or(Value::None);
                dict.get(&key, &mut self.budget)?.cloned().unwrap_or(default)
            }
            "keys" => Value::seq(SeqKind::Keys, dict.keys().cloned().collect(), &mut self.budget)?,
            "values" => {
                let values = dict.iter().map(|(_, value)| value.clone()).collect();
                Value::seq(SeqKind::Values, values, &mut self.budget)?
            }
            "items" => self.pairs(dict, SeqKind::Items)?,
            "copy" => value.clone(),
            _ => return unsupported(value, name),
        };
        args.end()?;
        Ok(found)
    }

    /// Keys and values as tuples.
    pub fn pairs(&mut self, dict: &Dict, kind: SeqKind) -> Result<Value> {
        let mut pairs = Vec::with_capacity(dict.len());
        for (key, value) in dict.iter() {
            pairs.push(Value::tuple(vec![key.clone(), value.clone()], &mut self.budget)?);
        }
        Value::seq(kind, pairs, &mut self.budget)
    }

    fn seq_method(&mut self, seq: &Seq, value: &Value, (name, args): (&str, CallArgs)) -> Result<Value> {
        let mut args = args.bind(name);
        match name {
            "copy" => {
                args.end()?;
                Ok(value.clone())
            }
            "count" => {
                let wanted = args.need("value")?;
                args.end()?;
                let mut n = 0;
                for item in &seq.items {
                    n += i128::from(self.equal(item, &wanted)?);
                }
                Ok(Value::Int(n))
            }
            "index" => {
                let wanted = args.need("value")?;
                let start = args.int("start", 0)?;
                args.end()?;
                let start =
                    position(start, seq.items.len()).unwrap_or(if start < 0 { 0 } else { seq.items.len() });
                for (i, item) in seq.items.iter().enumerate().skip(start) {
                    if self.equal(item, &wanted)? {
                        return Ok(Value::Int(i as i128));
                    }
                }
                value_error("the value is not in the list")
            }
            _ => unsupported(value, name),
        }
    }
}

/// A method that Python has and templates here do not.
pub(crate) fn unsupported<T>(value: &Value, name: &str) -> Result<T> {
    fail(Kind::Runtime, format!("the method '{name}' of '{}' is not supported", value.type_name()))
}

/// `str` or an error that says who wanted it.
pub(crate) fn want_text(value: Value, who: &str) -> Result<super::text::Text> {
    match value {
        Value::Str(text) => Ok(text),
        other => type_error(format!("{who}() needs text, not '{}'", other.type_name())),
    }
}
