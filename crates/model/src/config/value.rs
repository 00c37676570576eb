//! Metadata of every format as flat keys with plain values.

use super::text_part;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use torchless_formats::gguf;

/// Entries that a list may have: per-layer values and rotary factors, not vocabularies.
const LONGEST_LIST: usize = 8192;

/// A hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Named, with no value: another thing than absent where the default is not nothing.
    Null,
    /// Whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list of at most [`LONGEST_LIST`] values.
    List(Vec<Value>),
    /// A longer list, which no key accepts.
    LongList(usize),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Int(v) => v.fmt(f),
            Value::Float(v) => v.fmt(f),
            Value::Bool(v) => v.fmt(f),
            Value::Text(v) => write!(f, "\"{}\"", v.chars().take(60).collect::<String>()),
            Value::List(values) => write!(f, "a list of {}", values.len()),
            Value::LongList(n) => write!(f, "a list of {n}"),
        }
    }
}

impl Value {
    /// The whole number that this is, if it is one.
    pub fn whole(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e15 => Some(*x as i128),
            _ => None,
        }
    }

    /// The finite number that this is, if it is one.
    pub fn number(&self) -> Option<f32> {
        let x = match self {
            Value::Int(n) => *n as f32,
            Value::Float(x) => *x as f32,
            _ => return None,
        };
        x.is_finite().then_some(x)
    }
}

/// Upstream's names in the native header, and what transformers calls them.
const NATIVE_NAMES: &[(&str, &str)] = &[
    ("n_layers", "num_hidden_layers"),
    ("n_heads", "num_attention_heads"),
    ("n_kv_heads", "num_key_value_heads"),
    ("norm_eps", "rms_norm_eps"),
    ("act_type", "hidden_act"),
];

/// The key that stands in every native header.
const WINDOW: &str = "sliding_window";

/// Nested objects become dotted keys; one without keys is a key without a value. A dot that is part of a name stands behind a backslash, so that it
/// parts nothing.
pub(super) fn flatten(json: &Json) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), json)];
    while let Some((prefix, value)) = todo.pop() {
        if let Json::Object(map) = value
            && (prefix.is_empty() || !map.is_empty())
        {
            for (k, v) in map {
                let name = k.replace('\\', r"\\").replace('.', r"\.");
                let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                todo.push((path, v));
            }
        } else if !prefix.is_empty() {
            out.insert(prefix, json_value(value));
        }
    }
    out
}

/// The outermost name of a flattened key, as the file spells it.
pub(super) fn outermost(key: &str) -> String {
    let mut name = String::new();
    let mut letters = key.chars();
    while let Some(letter) = letters.next().filter(|c| *c != '.') {
        name.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    name
}

/// A flattened key for a person: with its names as the file spells them.
pub(super) fn spelled(key: &str) -> String {
    key.replace(r"\.", ".").replace(r"\\", r"\")
}

fn json_value(value: &Json) -> Value {
    match value {
        Json::Null | Json::Object(_) => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(i) => Value::Int(i.into()),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => Value::Text(s.clone()),
        Json::Array(a) if a.len() > LONGEST_LIST => Value::LongList(a.len()),
        // What is nested deeper says nothing here: a list of lists is a list of lengths.
        Json::Array(a) => Value::List(
            a.iter()
                .map(|v| v.as_array().map_or_else(|| json_value(v), |a| Value::LongList(a.len())))
                .collect(),
        ),
    }
}

/// The native header writes numbers as text, `None` for absent, and 0 for no window.
pub(super) fn native_values(header: &Json) -> BTreeMap<String, Value> {
    // Absent is null here: this format has no defaults of its own.
    let mut out = BTreeMap::from([(WINDOW.to_owned(), Value::Null)]);
    for (name, value) in text_part(header) {
        let value = match value {
            Value::Text(s) if matches!(s.as_str(), "None" | "null" | "") => Value::Null,
            Value::Text(s) => parse_text(s),
            other => other,
        };
        // Many families read no window, and refuse keys that they do not read.
        let none = name == WINDOW && value == Value::Int(0);
        let value = if none { Value::Null } else { value };
        let renamed = NATIVE_NAMES.iter().find(|(from, _)| *from == name);
        out.insert(renamed.map_or(name, |(_, to)| (*to).to_owned()), value);
    }
    out
}

fn parse_text(s: String) -> Value {
    if let Ok(i) = s.parse::<i64>() {
        return Value::Int(i.into());
    }
    match s.as_str() {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        _ => s.parse::<f64>().map_or(Value::Text(s), Value::Float),
    }
}

pub(super) fn gguf_value(value: &gguf::Value) -> Value {
    match value {
        gguf::Value::Int(_, n) => Value::Int(*n),
        gguf::Value::F32(x) => Value::Float(f64::from(*x)),
        gguf::Value::F64(x) => Value::Float(*x),
        gguf::Value::Bool(b) => Value::Bool(*b),
        gguf::Value::String(s) => Value::Text(s.clone()),
        gguf::Value::Array(a) if a.len() > LONGEST_LIST => Value::LongList(a.len()),
        gguf::Value::Array(a) => gguf_list(a),
    }
}

fn gguf_list(list: &gguf::Array) -> Value {
    let values = list
        .integers()
        .map(|v| v.map(Value::Int).collect())
        .or_else(|| list.floats().map(|v| v.map(|x| Value::Float(x.into())).collect()))
        .or_else(|| list.bools().map(|v| v.map(Value::Bool).collect()))
        .or_else(|| list.strings().map(|v| v.iter().map(|s| Value::Text(s.to_owned())).collect()));
    values.map_or(Value::LongList(list.len()), Value::List)
}

/// What transformers takes where a file leaves a key out.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// Whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// Text.
    Text(&'static str),
}

impl Fallback {
    /// As if the file said so.
    pub(super) fn value(self) -> Value {
        match self {
            Fallback::Int(n) => Value::Int(n.into()),
            Fallback::Float(x) => Value::Float(x),
            Fallback::Bool(b) => Value::Bool(b),
            Fallback::Text(s) => Value::Text(s.to_owned()),
        }
    }
}
