//! One view of hyperparameters, whichever format they come from: flat keys, scalar values, and a memory of
//! which keys were read, so that a key nobody read can be refused.

use crate::ModelError;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use torchless_formats::{Checkpoint, Metadata, gguf};

/// A hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list, which no scalar key accepts.
    List(usize),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(v) => v.fmt(f),
            Value::Float(v) => v.fmt(f),
            Value::Bool(v) => v.fmt(f),
            Value::Text(v) => write!(f, "\"{}\"", v.chars().take(60).collect::<String>()),
            Value::List(n) => write!(f, "a list of {n}"),
        }
    }
}

/// How the two dialects of metadata spell a key; an empty spelling means that the dialect lacks it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// GGUF, without the architecture's prefix.
    pub gguf: &'static str,
    /// `config.json`, nested objects joined by dots; several spellings are tried in order.
    pub json: &'static [&'static str],
}

/// Shorthand for a [`Key`].
pub const fn key(gguf: &'static str, json: &'static [&'static str]) -> Key {
    Key { gguf, json }
}

/// Which dialect the metadata is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Keys with the architecture as prefix.
    Gguf,
    /// Names of transformers' `config.json`.
    Json,
}

/// Hyperparameters of one checkpoint.
#[derive(Debug)]
pub struct Config<'a> {
    /// The architecture's name in the file.
    pub arch: String,
    /// The dialect.
    pub dialect: Dialect,
    checkpoint: &'a Checkpoint,
    values: BTreeMap<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

/// Keys of `config.json` that say nothing about the arithmetic of a forward pass.
const HARMLESS_JSON: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "auto_map",
    "bad_words_ids",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "do_sample",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "hidden_dropout",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "max_length",
    "model_type",
    "num_beams",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",
    "quant",
    "residual_dropout",
    "return_dict",
    "rope_interleaved",
    "sep_token_id",
    "temperature",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
];

/// Keys under the architecture's prefix that say nothing about the arithmetic.
const HARMLESS_GGUF: &[&str] = &["rope.scaling.finetuned", "tensor_data_layout", "vocab_size"];

/// Upstream's names in the native header, and what transformers calls them.
const NATIVE_NAMES: &[(&str, &str)] = &[
    ("n_layers", "num_hidden_layers"),
    ("n_heads", "num_attention_heads"),
    ("n_kv_heads", "num_key_value_heads"),
    ("norm_eps", "rms_norm_eps"),
    ("act_type", "hidden_act"),
];

impl<'a> Config<'a> {
    /// Reads the metadata of `checkpoint`.
    ///
    /// # Errors
    /// The architecture is not named.
    pub fn new(checkpoint: &'a Checkpoint) -> Result<Self, ModelError> {
        let (dialect, arch, values) = match &checkpoint.metadata {
            Metadata::Gguf(meta) => {
                let arch = meta.get::<&str>("general.architecture")?.to_owned();
                let prefix = format!("{arch}.");
                let own = meta
                    .iter()
                    .filter_map(|(k, v)| Some((k.strip_prefix(&prefix)?.to_owned(), gguf_value(v))));
                (Dialect::Gguf, arch, own.collect())
            }
            Metadata::HuggingFace { config, .. } => {
                let values = flatten(config);
                (Dialect::Json, json_arch(&values), values)
            }
            Metadata::Native(header) => {
                let values = native_values(header);
                let arch = json_arch(&values);
                (Dialect::Json, if arch.is_empty() { "mistral".to_owned() } else { arch }, values)
            }
            other => {
                let what = format!("metadata of another kind: {other:?}").chars().take(80).collect();
                return Err(ModelError::Unsupported {
                    what,
                    supported: "GGUF, config.json, native".to_owned(),
                });
            }
        };
        if arch.is_empty() {
            let key = if dialect == Dialect::Gguf { "general.architecture" } else { "model_type" };
            return Err(ModelError::MissingKey { key: key.to_owned(), arch: "every model".to_owned() });
        }
        Ok(Self { arch, dialect, checkpoint, values, read: RefCell::default() })
    }

    /// The checkpoint itself, for what only its tensors say.
    pub fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    /// Whether a tensor of that name (in the file's dialect) exists.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.checkpoint.tensors.contains(name)
    }

    fn spellings(&self, key: Key) -> impl Iterator<Item = &'static str> {
        let gguf = (self.dialect == Dialect::Gguf && !key.gguf.is_empty()).then_some(key.gguf);
        let json = if self.dialect == Dialect::Json { key.json } else { &[] };
        gguf.into_iter().chain(json.iter().copied())
    }

    fn shown(&self, spelling: &str) -> String {
        match self.dialect {
            Dialect::Gguf => format!("{}.{spelling}", self.arch),
            Dialect::Json => spelling.to_owned(),
        }
    }

    /// The value of a key and the spelling under which it was found.
    pub fn get(&self, key: Key) -> Option<(&Value, &'static str)> {
        let mut found = None;
        for spelling in self.spellings(key) {
            if let Some(value) = self.values.get(spelling) {
                self.read.borrow_mut().insert(spelling.to_owned());
                found = found.or(Some((value, spelling)));
            }
        }
        found
    }

    fn bad(&self, spelling: &str, found: &Value, expected: &str) -> ModelError {
        let (key, found) = (self.shown(spelling), found.to_string());
        ModelError::BadValue { key, found, expected: expected.to_owned() }
    }

    fn missing(&self, key: Key) -> ModelError {
        let spelling = self.spellings(key).next().unwrap_or("?");
        ModelError::MissingKey { key: self.shown(spelling), arch: self.arch.clone() }
    }

    /// A size: whole, at least 1, at most `limit`. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn size(&self, key: Key, limit: usize) -> Result<Option<usize>, ModelError> {
        self.whole(key, 1, limit)
    }

    /// A whole number that may be 0.
    ///
    /// # Errors
    /// The value is something else.
    pub fn count(&self, key: Key, limit: usize) -> Result<Option<usize>, ModelError> {
        self.whole(key, 0, limit)
    }

    fn whole(&self, key: Key, low: usize, limit: usize) -> Result<Option<usize>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        let n = match value {
            Value::Int(n) => Some(*n),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e15 => Some(*x as i128),
            _ => None,
        };
        match n.and_then(|n| usize::try_from(n).ok()).filter(|n| (low..=limit).contains(n)) {
            Some(n) => Ok(Some(n)),
            None => Err(self.bad(spelling, value, &format!("a whole number from {low} to {limit}"))),
        }
    }

    /// A size that has to be there.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn need_size(&self, key: Key, limit: usize) -> Result<usize, ModelError> {
        self.size(key, limit)?.ok_or_else(|| self.missing(key))
    }

    /// A finite number greater than 0. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn positive(&self, key: Key) -> Result<Option<f32>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        let x = match value {
            Value::Int(n) => Some(*n as f32),
            Value::Float(x) => Some(*x as f32),
            _ => None,
        };
        match x.filter(|x| x.is_finite() && *x > 0.0) {
            Some(x) => Ok(Some(x)),
            None => Err(self.bad(spelling, value, "a finite number above 0")),
        }
    }

    /// A number above 0 that has to be there.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn need_positive(&self, key: Key) -> Result<f32, ModelError> {
        self.positive(key)?.ok_or_else(|| self.missing(key))
    }

    /// A truth value. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flag(&self, key: Key) -> Result<Option<bool>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some((Value::Bool(b), _)) => Ok(Some(*b)),
            Some((value, spelling)) => Err(self.bad(spelling, value, "true or false")),
        }
    }

    /// A text. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn text(&self, key: Key) -> Result<Option<&str>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some((Value::Text(s), _)) => Ok(Some(s)),
            Some((value, spelling)) => Err(self.bad(spelling, value, "a text")),
        }
    }

    /// A value that is known and not built, named by its key.
    pub fn unsupported(&self, key: Key, supported: &str) -> ModelError {
        let what = self.get(key).map_or_else(
            || self.shown(self.spellings(key).next().unwrap_or("?")),
            |(value, spelling)| format!("{} = {value}", self.shown(spelling)),
        );
        ModelError::Unsupported { what, supported: supported.to_owned() }
    }

    /// Refuses keys that nobody read and that are not known to be harmless.
    ///
    /// # Errors
    /// The first such key.
    pub fn finish(&self) -> Result<(), ModelError> {
        let harmless = if self.dialect == Dialect::Gguf { HARMLESS_GGUF } else { HARMLESS_JSON };
        let read = self.read.borrow();
        for (key, value) in &self.values {
            let top = key.split('.').next().unwrap_or(key);
            if read.contains(key) || harmless.contains(&key.as_str()) || harmless.contains(&top) {
                continue;
            }
            let (key, value) = (self.shown(key), value.to_string());
            return Err(ModelError::UnknownKey { key, value, arch: self.arch.clone() });
        }
        Ok(())
    }
}

fn json_arch(values: &BTreeMap<String, Value>) -> String {
    match values.get("model_type") {
        Some(Value::Text(s)) => s.clone(),
        _ => String::new(),
    }
}

/// Nested objects become dotted keys; nulls are absent.
fn flatten(json: &Json) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), json)];
    while let Some((prefix, value)) = todo.pop() {
        if let Json::Object(map) = value {
            for (k, v) in map {
                let path = if prefix.is_empty() { k.clone() } else { format!("{prefix}.{k}") };
                todo.push((path, v));
            }
        } else if let Some(v) = json_value(value) {
            out.insert(prefix, v);
        }
    }
    out
}

fn json_value(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null | Json::Object(_) => return None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(i) => Value::Int(i.into()),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => Value::Text(s.clone()),
        Json::Array(a) => Value::List(a.len()),
    })
}

/// The native header writes numbers as text, `None` for absent, and 0 for no window.
fn native_values(header: &Json) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for (name, value) in flatten(header) {
        let value = match value {
            Value::Text(s) if matches!(s.as_str(), "None" | "null" | "") => continue,
            Value::Text(s) => parse_text(s),
            other => other,
        };
        if name == "sliding_window" && value == Value::Int(0) {
            continue;
        }
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

fn gguf_value(value: &gguf::Value) -> Value {
    match value {
        gguf::Value::Int(_, n) => Value::Int(*n),
        gguf::Value::F32(x) => Value::Float(f64::from(*x)),
        gguf::Value::F64(x) => Value::Float(*x),
        gguf::Value::Bool(b) => Value::Bool(*b),
        gguf::Value::String(s) => Value::Text(s.clone()),
        gguf::Value::Array(a) => Value::List(a.len()),
    }
}
