//! The values of a template: Python's, as far as templates meet them.

use super::budget::{Budget, VALUE_DEPTH};
use super::error::{Kind, Result, clipped, fail, type_error};
use super::text::{Origin, Text};
use indexmap::IndexMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Does not exist; what it would have been is said when it is used.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    Seq(Arc<Seq>),
    Dict(Arc<Dict>),
    /// Lives in the interpreter: namespaces, loops, macros, generators.
    Object(ObjectId),
    /// A function that every template has.
    Function(Function),
    /// A method together with what it belongs to.
    Method(Arc<(Value, Box<str>)>),
}

/// Index of an object of the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    RaiseException,
    StrftimeNow,
}

/// Things in a row, under the names that Python has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeqKind {
    List,
    Tuple,
    Range,
    Keys,
    Values,
    Items,
}

#[derive(Debug)]
pub(crate) struct Seq {
    pub kind: SeqKind,
    pub items: Vec<Value>,
    /// Of the first items, which can be asked for by them: a tuple may be a named one.
    pub names: &'static [&'static str],
    depth: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Dict {
    entries: IndexMap<Key, (Value, Value)>,
    depth: usize,
}

/// What dictionaries go by: values that Python holds for equal are one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Undefined,
    None,
    Int(i128),
    Float(u64),
    Str(Box<str>),
    Tuple(Vec<Key>),
    Object(ObjectId),
}

/// Pairs, in the order in which they were given; of equal keys the last value counts and the first place.
impl Dict {
    pub fn new(pairs: impl IntoIterator<Item = (Value, Value)>, budget: &mut Budget) -> Result<Self> {
        let mut dict = Self { entries: IndexMap::new(), depth: 1 };
        for (key, value) in pairs {
            let hash = Key::of(&key, budget)?;
            dict.insert(hash, key, value)?;
        }
        Ok(dict)
    }

    /// Sets a field of an object that comes from outside.
    pub fn set_foreign(&mut self, key: &str, value: Value) -> Result<()> {
        self.insert(Key::Str(key.into()), Value::foreign(key), value)
    }

    fn insert(&mut self, hash: Key, key: Value, value: Value) -> Result<()> {
        self.depth = self.depth.max(1 + nested(&value)?);
        match self.entries.get_mut(&hash) {
            Some(entry) => entry.1 = value,
            None => drop(self.entries.insert(hash, (key, value))),
        }
        Ok(())
    }

    pub fn get(&self, key: &Value, budget: &mut Budget) -> Result<Option<&Value>> {
        Ok(self.entries.get(&Key::of(key, budget)?).map(|entry| &entry.1))
    }

    pub fn get_str(&self, key: &str) -> Option<&Value> {
        self.entries.get(&Key::Str(key.into())).map(|entry| &entry.1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.entries.values().map(|(key, value)| (key, value))
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.iter().map(|(key, _)| key)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Values in a tuple that is a key, those of tuples in it included.
const MAX_KEY: usize = 1000;

impl Key {
    /// The key that `value` is; its texts are copied, and paid for.
    pub fn of(value: &Value, budget: &mut Budget) -> Result<Self> {
        Self::counted(value, &mut 0, budget)
    }

    fn counted(value: &Value, count: &mut usize, budget: &mut Budget) -> Result<Self> {
        *count += 1;
        budget.steps(usize::from(*count > 1))?;
        if *count > MAX_KEY {
            return fail(Kind::Limit, format!("a key of more than {MAX_KEY} values"));
        }
        Ok(match value {
            Value::Undefined(_) => Key::Undefined,
            Value::None => Key::None,
            Value::Bool(b) => Key::Int(i128::from(*b)),
            Value::Int(i) => Key::Int(*i),
            Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => Key::Int(*f as i128),
            Value::Float(f) => Key::Float(f.to_bits()),
            Value::Str(text) => {
                budget.bytes(text.len())?;
                Key::Str(text.as_str().into())
            }
            Value::Seq(seq) if seq.kind == SeqKind::Tuple => {
                let items = seq.items.iter().map(|item| Key::counted(item, count, budget));
                Key::Tuple(items.collect::<Result<_>>()?)
            }
            Value::Object(id) => Key::Object(*id),
            other => return type_error(format!("unhashable type: '{}'", other.type_name())),
        })
    }
}

/// How deep lists nest in `value`; an error where it is too deep to be dropped or printed.
fn nested(value: &Value) -> Result<usize> {
    let depth = match value {
        Value::Seq(seq) => seq.depth,
        Value::Dict(dict) => dict.depth,
        Value::Method(bound) => nested(&bound.0)?,
        _ => 0,
    };
    match depth < VALUE_DEPTH {
        true => Ok(depth),
        false => fail(Kind::Limit, format!("lists nest deeper than {VALUE_DEPTH}")),
    }
}

impl Value {
    pub fn undefined(what: impl Into<String>) -> Self {
        Value::Undefined(clipped(what.into()).into())
    }

    /// Text that the template or the program wrote.
    pub fn str(text: impl Into<Arc<str>>) -> Self {
        Value::Str(Text::template(text))
    }

    pub fn foreign(text: impl Into<Arc<str>>) -> Self {
        Value::Str(Text::new(text, Origin::Foreign))
    }

    /// A sequence, paid for.
    pub fn seq(kind: SeqKind, items: Vec<Value>, budget: &mut Budget) -> Result<Self> {
        budget.items(items.len())?;
        Self::seq_unpaid(kind, items)
    }

    pub fn list(items: Vec<Value>, budget: &mut Budget) -> Result<Self> {
        Self::seq(SeqKind::List, items, budget)
    }

    pub fn tuple(items: Vec<Value>, budget: &mut Budget) -> Result<Self> {
        Self::seq(SeqKind::Tuple, items, budget)
    }

    /// A tuple whose items have names.
    pub fn named_tuple(
        names: &'static [&'static str],
        items: Vec<Value>,
        budget: &mut Budget,
    ) -> Result<Self> {
        budget.items(items.len())?;
        Self::seq_named(SeqKind::Tuple, names, items)
    }

    pub fn seq_unpaid(kind: SeqKind, items: Vec<Value>) -> Result<Self> {
        Self::seq_named(kind, &[], items)
    }

    fn seq_named(kind: SeqKind, names: &'static [&'static str], items: Vec<Value>) -> Result<Self> {
        let mut depth = 1;
        for item in &items {
            depth = depth.max(1 + nested(item)?);
        }
        Ok(Value::Seq(Arc::new(Seq { kind, items, names, depth })))
    }

    pub fn dict(pairs: Vec<(Value, Value)>, budget: &mut Budget) -> Result<Self> {
        budget.items(4 * pairs.len())?;
        Ok(Value::Dict(Arc::new(Dict::new(pairs, budget)?)))
    }

    /// The name of the type in messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Seq(seq) => match seq.kind {
                SeqKind::List => "list",
                SeqKind::Tuple => "tuple",
                SeqKind::Range => "range",
                SeqKind::Keys => "dict_keys",
                SeqKind::Values => "dict_values",
                SeqKind::Items => "dict_items",
            },
            Value::Dict(_) => "dict",
            Value::Object(_) => "object",
            Value::Function(_) => "function",
            Value::Method(_) => "method",
        }
    }

    /// How messages speak of an object of this type.
    pub fn object_name(&self) -> String {
        match self {
            Value::None => "None".to_owned(),
            other => format!("{} object", other.type_name()),
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    /// An error if this does not exist.
    pub fn defined(&self) -> Result<&Self> {
        match self {
            Value::Undefined(what) => fail(Kind::Undefined, &**what),
            other => Ok(other),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(i) => *i != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Seq(seq) => !seq.items.is_empty(),
            Value::Dict(dict) => dict.len() > 0,
            Value::Object(_) | Value::Function(_) | Value::Method(_) => true,
        }
    }

    /// `len`, for what has one.
    pub fn length(&self) -> Result<usize> {
        Ok(match self {
            Value::Undefined(_) => 0,
            Value::Str(text) => text.as_str().chars().count(),
            Value::Seq(seq) => seq.items.len(),
            Value::Dict(dict) => dict.len(),
            other => return type_error(format!("object of type '{}' has no len()", other.type_name())),
        })
    }

    /// As a whole number, where Python takes one: of indices, counts and widths.
    pub fn index(&self) -> Option<i128> {
        match self {
            Value::Bool(b) => Some(i128::from(*b)),
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_one() {
        let pairs = [
            (Value::Int(1), "a"),
            (Value::Bool(true), "b"),
            (Value::Float(1.0), "c"),
            (Value::str("1"), "d"),
        ];
        let mut budget = Budget::new(0);
        let dict = Dict::new(pairs.map(|(key, value)| (key, Value::str(value))), &mut budget).unwrap();
        assert_eq!(dict.len(), 2);
        assert_eq!(dict.get(&Value::Int(1), &mut budget).unwrap().unwrap().as_str(), Some("c"));
    }

    #[test]
    fn lists_nest_to_a_limit() {
        let mut list = Value::None;
        for depth in 0.. {
            match Value::seq_unpaid(SeqKind::List, vec![list.clone()]) {
                Ok(deeper) => list = deeper,
                Err(e) => {
                    assert_eq!((e.kind, depth), (Kind::Limit, VALUE_DEPTH));
                    return;
                }
            }
        }
    }
}
