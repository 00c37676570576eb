//! One view of hyperparameters, whichever format they come from: flat keys, scalar values, and a memory of
//! which keys were read, so that a key nobody read can be refused.

mod harmless;
mod value;

pub use value::{Fallback, Value};

use crate::ModelError;
use crate::arch::{self, Family};
use crate::own_words;
use crate::roles::{Naming, Part, Role};
use harmless::{HARMLESS_GGUF, is_harmless, is_idle};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use torchless_formats::gguf::GgufMetadata;
use torchless_formats::{Checkpoint, Metadata};
use torchless_quant::TensorType;
use value::{flatten, gguf_value, native_values, outermost, spelled};

/// How the two dialects of metadata spell a key; an empty spelling means that the dialect lacks it.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// GGUF, without the architecture's prefix.
    pub gguf: &'k str,
    /// `config.json`, nested objects joined by dots; several spellings are tried in order.
    pub json: &'k [&'k str],
}

/// Shorthand for a [`Key`].
pub const fn key<'k>(gguf: &'k str, json: &'k [&'k str]) -> Key<'k> {
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
    /// Names of tensors.
    pub naming: Naming,
    /// The family of the architecture.
    pub family: &'static Family,
    /// What GGUF's keys begin with: the file's own name of the architecture.
    prefix: String,
    checkpoint: &'a Checkpoint,
    values: BTreeMap<String, Value>,
    defaults: BTreeMap<&'static str, Value>,
    read: RefCell<BTreeSet<String>>,
}

/// What stands before keys of our own, here and in the file.
pub(crate) const OWN: &str = "own.";
pub(crate) const OWN_PREFIX: &str = "torchless.";

/// Under which keys files name their architecture.
const ARCHITECTURE: &str = "general.architecture";
const MODEL_TYPE: &str = "model_type";

/// How weights are stored, or quantised while they are loaded.
const QUANT_METHOD: &str = "quantization_config.quant_method";
/// Those that say no more than the tensors and their scales do. Others change the arithmetic.
const QUANT_METHODS: &[&str] = &["fp8", "compressed-tensors", "mxfp4", "bitnet"];

impl<'a> Config<'a> {
    /// Reads the metadata of `checkpoint`, a decoder; of another architecture than it names where one is given.
    ///
    /// # Errors
    /// The architecture is not named, or not known.
    pub fn new(checkpoint: &'a Checkpoint, architecture: Option<&str>) -> Result<Self, ModelError> {
        let family = |dialect, named: &str| arch::family(dialect, architecture.unwrap_or(named));
        let mut config = Self::of_family(checkpoint, family)?;
        if let Some(name) = architecture {
            name.clone_into(&mut config.arch);
        }
        Ok(config)
    }

    /// Reads the metadata of `checkpoint`, whose family `family` finds by the name of the architecture.
    ///
    /// # Errors
    /// The architecture is not named, or `family` does not know it.
    pub fn of_family(
        checkpoint: &'a Checkpoint,
        family: impl Fn(Dialect, &str) -> Result<&'static Family, ModelError>,
    ) -> Result<Self, ModelError> {
        let (dialect, prefix, values) = match &checkpoint.metadata {
            Metadata::Gguf(meta) => {
                let (arch, values) = of_gguf(meta)?;
                (Dialect::Gguf, arch, values)
            }
            Metadata::HuggingFace { config, .. } => {
                let values = text_part(config);
                (Dialect::Json, json_arch(&values)?, values)
            }
            Metadata::Native(header) => {
                let values = native_values(header);
                let arch = json_arch(&values)?;
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
        if prefix.is_empty() {
            return Err(unnamed(if dialect == Dialect::Gguf { ARCHITECTURE } else { MODEL_TYPE }));
        }
        let arch = prefix.clone();
        let family = family(dialect, &arch)?;
        let naming = Naming::new(checkpoint, dialect, family);
        let defaults = match dialect {
            Dialect::Json => defaults(family, &values),
            Dialect::Gguf => BTreeMap::new(),
        };
        let read = RefCell::default();
        Ok(Self { arch, dialect, naming, family, prefix, checkpoint, values, defaults, read })
    }

    /// The checkpoint itself, for what only its tensors say.
    pub fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    /// Whether the checkpoint has the tensor of that role.
    pub fn has(&self, role: Role, layer: Option<usize>, part: Part) -> bool {
        self.naming.find(role, layer, part).is_some_and(|name| self.checkpoint.tensors.contains(&name))
    }

    /// Whether a tensor of that name (in the file's dialect) exists.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.checkpoint.tensors.contains(name)
    }

    fn spellings<'k>(&self, key: Key<'k>) -> impl Iterator<Item = &'k str> + use<'k> {
        let gguf = (self.dialect == Dialect::Gguf && !key.gguf.is_empty()).then_some(key.gguf);
        let json = if self.dialect == Dialect::Json { key.json } else { &[] };
        gguf.into_iter().chain(json.iter().copied())
    }

    fn shown(&self, spelling: &str) -> String {
        match self.dialect {
            Dialect::Gguf if spelling.starts_with(OWN) => spelling.replacen(OWN, OWN_PREFIX, 1),
            Dialect::Gguf => format!("{}.{spelling}", self.prefix),
            Dialect::Json => spelled(spelling),
        }
    }

    /// The value of a key and the spelling under which it was found. What the file leaves out has transformers' default for
    /// the architecture; what it sets to null has no value.
    pub fn get<'k>(&self, key: Key<'k>) -> Option<(&Value, &'k str)> {
        let mut found = None;
        for spelling in self.spellings(key) {
            if let Some(value) = self.values.get(spelling) {
                self.read.borrow_mut().insert(spelling.to_owned());
                found = found.or(Some((value, spelling)));
            }
        }
        let found = found.or_else(|| self.spellings(key).find_map(|s| Some((self.defaults.get(s)?, s))));
        found.filter(|(value, _)| **value != Value::Null)
    }

    /// Whether the file itself has a value for the key.
    pub fn states(&self, key: Key<'_>) -> bool {
        self.spellings(key).any(|s| self.values.get(s).is_some_and(|v| *v != Value::Null))
    }

    /// Whether `config.json` has a key of that name, be it empty or an object.
    pub fn names(&self, name: &str) -> bool {
        let within =
            |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.dialect == Dialect::Json && self.values.keys().any(|key| within(key))
    }

    /// Marks a key as read whose value does not matter here.
    pub fn pass(&self, key: Key<'_>) {
        self.get(key);
    }

    /// Counts keys with these outermost names as read: they are judged elsewhere, or say nothing about the arithmetic.
    pub fn disregard(&self, names: &[&str]) {
        let top = |key: &&String| names.contains(&outermost(key).as_str());
        self.read.borrow_mut().extend(self.values.keys().filter(top).cloned());
    }

    fn wrong(&self, spelling: &str, found: &Value, expected: &str) -> ModelError {
        let (key, found) = (self.shown(spelling), found.to_string());
        ModelError::BadValue { key, found, expected: expected.to_owned() }
    }

    /// The error for a key that has to be there.
    pub fn missing(&self, key: Key<'_>) -> ModelError {
        let spelling = self.spellings(key).next().unwrap_or("?");
        ModelError::MissingKey { key: self.shown(spelling), arch: self.arch.clone() }
    }

    /// A size: whole, at least 1, at most `limit`. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn size(&self, key: Key<'_>, limit: usize) -> Result<Option<usize>, ModelError> {
        self.whole(key, 1, limit)
    }

    /// A whole number that may be 0.
    ///
    /// # Errors
    /// The value is something else.
    pub fn count(&self, key: Key<'_>, limit: usize) -> Result<Option<usize>, ModelError> {
        self.whole(key, 0, limit)
    }

    fn whole(&self, key: Key<'_>, low: usize, limit: usize) -> Result<Option<usize>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        match value.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| (low..=limit).contains(n)) {
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong(spelling, value, &format!("a whole number from {low} to {limit}"))),
        }
    }

    /// A size that has to be there.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn need_size(&self, key: Key<'_>, limit: usize) -> Result<usize, ModelError> {
        self.size(key, limit)?.ok_or_else(|| self.missing(key))
    }

    /// A finite number greater than 0. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn positive(&self, key: Key<'_>) -> Result<Option<f32>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        match value.number().filter(|x| *x > 0.0) {
            Some(x) => Ok(Some(x)),
            None => Err(self.wrong(spelling, value, "a finite number above 0")),
        }
    }

    /// A finite number. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn number(&self, key: Key<'_>) -> Result<Option<f32>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        value.number().map(Some).ok_or_else(|| self.wrong(spelling, value, "a finite number"))
    }

    /// A number above 0 that has to be there.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn need_positive(&self, key: Key<'_>) -> Result<f32, ModelError> {
        self.positive(key)?.ok_or_else(|| self.missing(key))
    }

    /// Whole numbers from 0 to `limit`, as many as `count`; a single number stands for all. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn counts(&self, key: Key<'_>, count: usize, limit: usize) -> Result<Option<Vec<usize>>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        let one = |v: &Value| v.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= limit);
        let all = match value {
            Value::List(list) if list.len() == count => list.iter().map(one).collect::<Option<Vec<_>>>(),
            single => one(single).map(|n| vec![n; count]),
        };
        let expected = || format!("a whole number up to {limit}, or {count} of them");
        all.map(Some).ok_or_else(|| self.wrong(spelling, value, &expected()))
    }

    /// Finite numbers, as many as `count`. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn numbers(&self, key: Key<'_>, count: usize) -> Result<Option<Vec<f32>>, ModelError> {
        self.list(key, count, "finite numbers", Value::number)
    }

    /// Texts, as many as `count`. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn texts(&self, key: Key<'_>, count: usize) -> Result<Option<Vec<String>>, ModelError> {
        self.list(key, count, "texts", |v| if let Value::Text(s) = v { Some(s.clone()) } else { None })
    }

    /// Truth values, as many as `count`; 0 and 1 will do. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flags(&self, key: Key<'_>, count: usize) -> Result<Option<Vec<bool>>, ModelError> {
        self.list(key, count, "truth values", |v| match v {
            Value::Bool(b) => Some(*b),
            Value::Int(n @ (0 | 1)) => Some(*n == 1),
            _ => None,
        })
    }

    /// Whole numbers below `limit`, however many. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn indices(&self, key: Key<'_>, limit: usize) -> Result<Option<Vec<usize>>, ModelError> {
        let count = match self.get(key) {
            Some((Value::List(list), _)) => list.len(),
            _ => 0,
        };
        let below = |v: &Value| v.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| *n < limit);
        self.list(key, count, &format!("whole numbers below {limit}"), below)
    }

    fn list<T>(
        &self,
        key: Key<'_>,
        count: usize,
        what: &str,
        one: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ModelError> {
        let Some((value, spelling)) = self.get(key) else { return Ok(None) };
        let all = match value {
            Value::List(list) if list.len() == count => list.iter().map(one).collect(),
            _ => None,
        };
        all.map(Some).ok_or_else(|| self.wrong(spelling, value, &format!("a list of {count} {what}")))
    }

    /// A truth value. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flag(&self, key: Key<'_>) -> Result<Option<bool>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some((Value::Bool(b), _)) => Ok(Some(*b)),
            Some((value, spelling)) => Err(self.wrong(spelling, value, "true or false")),
        }
    }

    /// A text. `None` where absent.
    ///
    /// # Errors
    /// The value is something else.
    pub fn text(&self, key: Key<'_>) -> Result<Option<&str>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some((Value::Text(s), _)) => Ok(Some(s)),
            Some((value, spelling)) => Err(self.wrong(spelling, value, "a text")),
        }
    }

    /// The error for a value that does not go with the others.
    pub fn bad(&self, key: Key<'_>, expected: &str) -> ModelError {
        let spelling = self.spellings(key).next().unwrap_or("?");
        match self.get(key) {
            Some((value, spelling)) => self.wrong(spelling, value, expected),
            None => self.wrong(spelling, &Value::Null, expected),
        }
    }

    /// A value that is known and not built, named by its key.
    pub fn unsupported(&self, key: Key<'_>, supported: &str) -> ModelError {
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
        if let Some(Value::Text(method)) = self.values.get(QUANT_METHOD)
            && !QUANT_METHODS.contains(&method.as_str())
        {
            let (what, supported) = (format!("{QUANT_METHOD} = \"{method}\""), QUANT_METHODS.join(", "));
            return Err(ModelError::Unsupported { what, supported });
        }
        self.refuse_rounding_while_loading()?;
        for (key, value) in self.unread() {
            if self.dialect == Dialect::Json && is_idle(&self.arch, key, value) {
                continue;
            }
            let (key, value) = (self.shown(key), value.to_string());
            return Err(ModelError::UnknownKey { key, value, arch: self.arch.clone() });
        }
        Ok(())
    }

    /// Keys that nobody read and that say nothing here by the value that they have, though they may elsewhere.
    pub fn idle(&self) -> Vec<String> {
        let idle = |(key, value): &(&String, &Value)| {
            self.dialect == Dialect::Json && is_idle(&self.arch, key, value)
        };
        self.unread().into_iter().filter(idle).map(|(key, _)| self.shown(key)).collect()
    }

    /// Keys that have a value, that nobody read, and that are not known to be harmless everywhere.
    fn unread(&self) -> Vec<(&String, &Value)> {
        let harmless = |key: &String| match self.dialect {
            Dialect::Gguf => HARMLESS_GGUF.contains(&key.as_str()),
            Dialect::Json => is_harmless(key),
        };
        let read = self.read.borrow();
        let unread = |(key, value): &(&String, &Value)| {
            **value != Value::Null && !read.contains(*key) && !harmless(key)
        };
        self.values.iter().filter(unread).collect()
    }
}

impl Config<'_> {
    /// Ternary weights have to be there as such: whole ones that are rounded while they are loaded, and norms within matrices, are
    /// another model than the tensors say.
    fn refuse_rounding_while_loading(&self) -> Result<(), ModelError> {
        if self.values.get(QUANT_METHOD) != Some(&Value::Text("bitnet".to_owned())) {
            return Ok(());
        }
        let online = self.values.get("quantization_config.quantization_mode");
        let online = online == Some(&Value::Text("online".to_owned()));
        let normed = self.values.get("quantization_config.use_rms_norm") == Some(&Value::Bool(true));
        let packed = self.checkpoint.tensors.iter().any(|tensor| tensor.ty == TensorType::I2_S);
        if packed && !online && !normed {
            return Ok(());
        }
        let what = format!("{QUANT_METHOD} = \"bitnet\" with weights that are rounded while they are loaded");
        let supported = "weights that are packed as ternary codes, or GGUF of ternary types".to_owned();
        Err(ModelError::Unsupported { what, supported })
    }
}

/// The two names of the object with the parameters of rotary embeddings.
const ROTARY: [&str; 2] = ["rope_parameters", "rope_scaling"];

/// What transformers takes for keys that a file leaves out. An object that the file has stands for the whole of a usual one.
fn defaults(family: &'static Family, values: &BTreeMap<String, Value>) -> BTreeMap<&'static str, Value> {
    let in_rotary = |key: &str| key.split_once('.').is_some_and(|(object, _)| ROTARY.contains(&object));
    let has_rotary = values.keys().any(|key| in_rotary(key));
    let all = family.defaults.iter().filter(|(key, _)| !has_rotary || !in_rotary(key));
    all.map(|(key, fallback)| (*key, fallback.value())).collect()
}

/// The architecture that a GGUF file names, and the keys under its name; keys of our own under [`OWN`].
fn of_gguf(meta: &GgufMetadata) -> Result<(String, BTreeMap<String, Value>), ModelError> {
    let named = meta.opt::<&str>(ARCHITECTURE)?.ok_or_else(|| unnamed(ARCHITECTURE))?;
    let arch = if named == own_words::ARCHITECTURE { meta.get::<&str>(own_words::OF)? } else { named };
    let prefix = format!("{arch}.");
    let mut values = BTreeMap::new();
    for (key, value) in meta.iter().filter(|(key, _)| *key != own_words::OF) {
        let plain = key.strip_prefix(&prefix).map(str::to_owned);
        let own = key.strip_prefix(OWN_PREFIX).map(|key| format!("{OWN}{key}"));
        if let Some(key) = own.or(plain) {
            values.insert(key, gguf_value(value));
        }
    }
    Ok((arch.to_owned(), values))
}

fn json_arch(values: &BTreeMap<String, Value>) -> Result<String, ModelError> {
    match values.get(MODEL_TYPE) {
        Some(Value::Text(s)) => Ok(s.clone()),
        None | Some(Value::Null) => Ok(String::new()),
        Some(other) => {
            let (key, found, expected) = (MODEL_TYPE.to_owned(), other.to_string(), "a text".to_owned());
            Err(ModelError::BadValue { key, found, expected })
        }
    }
}

/// The error for a file that names no architecture.
fn unnamed(key: &str) -> ModelError {
    ModelError::MissingKey { key: key.to_owned(), arch: "every model".to_owned() }
}

/// Of a multimodal model the part that is a language model, with what the whole says and the part does not.
fn text_part(config: &Json) -> BTreeMap<String, Value> {
    let Some(text) = config.get("text_config").filter(|t| t.is_object()) else { return flatten(config) };
    let mut values = flatten(text);
    for (key, value) in flatten(config) {
        if !key.starts_with("text_config.") {
            values.entry(key).or_insert(value);
        }
    }
    values
}
