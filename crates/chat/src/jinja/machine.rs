//! What a rendering holds while it runs: scopes, objects, output and budget.

use super::ast::{Macro, Name, Stmt};
use super::budget::Budget;
use super::error::{Kind, Result, fail, type_error};
use super::loops::Loop;
use super::text::{Text, TextBuilder};
use super::time::CivilTime;
use super::value::{Function, ObjectId, Value};
use indexmap::IndexMap;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The state of one rendering.
pub(crate) struct Machine<'t> {
    pub budget: Budget,
    objects: Vec<Object<'t>>,
    /// Where output goes: the last one is written to.
    out: Vec<TextBuilder>,
    /// The line of the statement that runs.
    pub line: u32,
    pub now: CivilTime,
    /// Bytes of output at most.
    pub max_output: usize,
}

/// Values that have a state of their own. They live here and not in the values, so that none can hold itself.
pub(crate) enum Object<'t> {
    Namespace(IndexMap<Name, Value>),
    Macro(MacroObject<'t>),
    Loop(Box<Loop<'t>>),
    /// Can be gone through once.
    Stream(std::vec::IntoIter<Value>),
    Cycler {
        items: Vec<Value>,
        at: usize,
    },
    Joiner {
        separator: Value,
        used: bool,
    },
}

impl Object<'_> {
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::Namespace(_) => "Namespace",
            Object::Macro(_) => "Macro",
            Object::Loop(_) => "LoopContext",
            Object::Stream(_) => "generator",
            Object::Cycler { .. } => "Cycler",
            Object::Joiner { .. } => "Joiner",
        }
    }
}

/// An error if transformers lets no namespace have an attribute of this name.
pub(crate) fn may_be_set(attribute: &str) -> Result<()> {
    if attribute.starts_with('_') {
        return fail(
            Kind::Security,
            format!("'{attribute}': attributes of a namespace begin with no underscore"),
        );
    }
    Ok(())
}

/// A macro and the scope that it was written in.
#[derive(Clone)]
pub(crate) struct MacroObject<'t> {
    pub def: &'t Macro,
    pub scope: Scope,
}

/// Variables, and those around them.
#[derive(Clone)]
pub(crate) struct Scope(Rc<ScopeData>);

struct ScopeData {
    vars: RefCell<HashMap<Name, Value>>,
    around: Option<Scope>,
}

impl Scope {
    pub fn root() -> Self {
        Scope(Rc::new(ScopeData { vars: RefCell::default(), around: None }))
    }

    pub fn inside(&self) -> Self {
        Scope(Rc::new(ScopeData { vars: RefCell::default(), around: Some(self.clone()) }))
    }

    pub fn set(&self, name: &Name, value: Value) {
        self.0.vars.borrow_mut().insert(name.clone(), value);
    }

    /// What is called `name`, and in how many scopes it was looked for.
    fn get(&self, name: &str) -> (Option<Value>, usize) {
        let (mut scope, mut scopes) = (Some(self), 0);
        while let Some(Scope(data)) = scope {
            scopes += 1;
            if let Some(value) = data.vars.borrow().get(name) {
                return (Some(value.clone()), scopes);
            }
            scope = data.around.as_ref();
        }
        (None, scopes)
    }
}

/// Where a list of statements ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> Machine<'t> {
    pub fn new(budget: Budget, now: CivilTime, max_output: usize) -> Self {
        Self { budget, objects: Vec::new(), out: Vec::new(), line: 1, now, max_output }
    }

    pub fn object(&self, id: ObjectId) -> &Object<'t> {
        &self.objects[id.0]
    }

    pub fn object_mut(&mut self, id: ObjectId) -> &mut Object<'t> {
        &mut self.objects[id.0]
    }

    /// Keeps an object; objects stay until the rendering ends.
    pub fn keep(&mut self, object: Object<'t>) -> Result<ObjectId> {
        self.budget.bytes(size_of::<Object<'_>>())?;
        self.objects.push(object);
        Ok(ObjectId(self.objects.len() - 1))
    }

    /// What Python calls a generator.
    pub fn stream(&mut self, items: Vec<Value>) -> Result<Value> {
        self.budget.items(items.len())?;
        Ok(Value::Object(self.keep(Object::Stream(items.into_iter()))?))
    }

    pub fn lookup(&mut self, scope: &Scope, name: &str) -> Result<Value> {
        let (found, scopes) = scope.get(name);
        self.budget.reads(scopes * name.len())?;
        Ok(found.unwrap_or_else(|| match name {
            "range" => Value::Function(Function::Range),
            "dict" => Value::Function(Function::Dict),
            "namespace" => Value::Function(Function::Namespace),
            "cycler" => Value::Function(Function::Cycler),
            "joiner" => Value::Function(Function::Joiner),
            "raise_exception" => Value::Function(Function::RaiseException),
            "strftime_now" => Value::Function(Function::StrftimeNow),
            _ => Value::undefined(format!("'{name}' is undefined")),
        }))
    }

    /// Prints a value.
    pub fn print(&mut self, value: &Value) -> Result<()> {
        let Some(mut out) = self.out.pop() else { return fail(Kind::Runtime, "there is no output") };
        let written = self.write(value, &mut out);
        let len = out.len();
        self.out.push(out);
        written?;
        match len <= self.max_output {
            true => Ok(()),
            false => fail(Kind::Limit, format!("more than {} bytes of output", self.max_output)),
        }
    }

    /// What `body` prints.
    pub fn capture(&mut self, scope: &Scope, body: &'t [Stmt]) -> Result<Text> {
        self.captured(|m| m.run(body, scope).map(drop))
    }

    /// What `work` prints.
    pub fn captured(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Text> {
        self.out.push(TextBuilder::default());
        let done = work(self);
        let out = self.out.pop().unwrap_or_default();
        done.map(|()| out.finish())
    }

    /// The items of something that can be gone through; a generator is used up by it.
    pub fn iterate(&mut self, value: &Value) -> Result<Vec<Value>> {
        let items = match value {
            Value::Undefined(_) => Vec::new(),
            Value::Str(text) => {
                self.budget.items(text.len())?;
                let chars = text.as_str().char_indices();
                chars.map(|(at, c)| Value::Str(text.slice(at..at + c.len_utf8()))).collect()
            }
            Value::Seq(seq) => {
                self.budget.items(seq.items.len())?;
                seq.items.clone()
            }
            Value::Dict(dict) => {
                self.budget.items(dict.len())?;
                dict.keys().cloned().collect()
            }
            Value::Object(id) => match self.object_mut(*id) {
                Object::Stream(items) => std::mem::take(items).collect(),
                Object::Loop(_) => return fail(Kind::Runtime, "going through loop itself is not supported"),
                other => return type_error(format!("'{}' object is not iterable", other.type_name())),
            },
            other => return type_error(format!("'{}' object is not iterable", other.type_name())),
        };
        self.budget.steps(items.len())?;
        Ok(items)
    }

    /// Whether [`Machine::iterate`] would work.
    pub fn is_iterable(&self, value: &Value) -> bool {
        match value {
            Value::Undefined(_) | Value::Str(_) | Value::Seq(_) | Value::Dict(_) => true,
            Value::Object(id) => matches!(self.object(*id), Object::Stream(_) | Object::Loop(_)),
            _ => false,
        }
    }

    /// The characters of text, or the items of a list.
    pub fn len(&mut self, value: &Value) -> Result<usize> {
        match value {
            Value::Object(id) => match self.object(*id) {
                Object::Loop(_) => self.loop_length(*id),
                other => type_error(format!("object of type '{}' has no len()", other.type_name())),
            },
            Value::Str(text) => {
                self.budget.bytes(text.len() / 8)?;
                value.length()
            }
            other => other.length(),
        }
    }
}
