//! Calls: arguments, macros, and the functions that every template has.

use super::ast::{Args, Name};
use super::error::{Kind, Result, fail, type_error, value_error};
use super::machine::{Machine, MacroObject, Object, Scope, may_be_set};
use super::text::Text;
use super::time;
use super::value::{Function, SeqKind, Value};
use indexmap::IndexMap;
use std::collections::VecDeque;

/// The longest range, as in Jinja's sandbox.
const MAX_RANGE: usize = 100_000;

/// Arguments with their values.
#[derive(Default)]
pub(crate) struct CallArgs {
    pub positional: Vec<Value>,
    pub named: Vec<(Text, Value)>,
}

/// Arguments that are handed out by name.
pub(crate) struct Bound {
    who: Box<str>,
    positional: VecDeque<Value>,
    named: Vec<(Text, Value)>,
}

impl CallArgs {
    pub fn bind(self, who: &str) -> Bound {
        Bound { who: who.into(), positional: self.positional.into(), named: self.named }
    }
}

impl Bound {
    /// The next argument, by position or by name.
    pub fn next(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.positional.pop_front() {
            return Some(value);
        }
        self.named(name)
    }

    pub fn named(&mut self, name: &str) -> Option<Value> {
        let at = self.named.iter().position(|(n, _)| n.as_str() == name)?;
        Some(self.named.remove(at).1)
    }

    /// As [`Bound::next`], for what must be there.
    pub fn need(&mut self, name: &str) -> Result<Value> {
        match self.next(name) {
            Some(value) => Ok(value),
            None => type_error(format!("{}() needs the argument '{name}'", self.who)),
        }
    }

    /// A whole number, or `default`.
    pub fn int(&mut self, name: &str, default: i128) -> Result<i128> {
        match self.next(name) {
            None => Ok(default),
            Some(value) => match value.defined()?.index() {
                Some(i) => Ok(i),
                None => type_error(format!("{}(): '{name}' has to be an integer", self.who)),
            },
        }
    }

    /// `None` where it is not given or none.
    pub fn optional_int(&mut self, name: &str) -> Result<Option<i128>> {
        match self.next(name) {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.defined()?.index() {
                Some(i) => Ok(Some(i)),
                None => type_error(format!("{}(): '{name}' has to be an integer", self.who)),
            },
        }
    }

    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        self.next(name).map_or(default, |value| value.is_true())
    }

    /// What is left by position.
    pub fn rest(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.positional).into()
    }

    /// What is left by name.
    pub fn named_rest(&mut self) -> Vec<(Text, Value)> {
        std::mem::take(&mut self.named)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<()> {
        if !self.positional.is_empty() {
            return type_error(format!("{}() was given too many arguments", self.who));
        }
        match self.named.first() {
            Some((name, _)) => type_error(format!("{}() has no argument '{}'", self.who, name.as_str())),
            None => Ok(()),
        }
    }
}

impl<'t> Machine<'t> {
    /// Pays for what a filter, a method or a test looks at in its arguments.
    pub fn read_args(&mut self, args: &CallArgs) -> Result<()> {
        let values = args.positional.iter().chain(args.named.iter().map(|(_, value)| value));
        let texts = values.map(|value| value.as_str().map_or(0, str::len));
        self.budget.reads(texts.sum())
    }

    pub fn call_args(&mut self, args: &'t Args, scope: &Scope) -> Result<CallArgs> {
        let mut given = CallArgs::default();
        for arg in &args.positional {
            given.positional.push(self.eval(arg, scope)?);
        }
        for (name, arg) in &args.named {
            given.named.push((Text::template(name.clone()), self.eval(arg, scope)?));
        }
        if let Some(rest) = &args.rest {
            let rest = self.eval(rest, scope)?;
            given.positional.extend(self.iterate(&rest)?);
        }
        if let Some(rest) = &args.named_rest {
            match self.eval(rest, scope)? {
                Value::Dict(dict) => {
                    self.budget.items(2 * dict.len())?;
                    for (key, value) in dict.iter() {
                        let Value::Str(name) = key else { return type_error("keywords must be strings") };
                        given.named.push((name.clone(), value.clone()));
                    }
                }
                other => return type_error(format!("** needs a dict, not '{}'", other.type_name())),
            }
        }
        Ok(given)
    }

    pub fn call(&mut self, callee: &Value, args: CallArgs) -> Result<Value> {
        match callee {
            Value::Undefined(what) => fail(Kind::Undefined, &**what),
            Value::Function(function) => self.function(*function, args),
            Value::Method(bound) => self.method(&bound.0, &bound.1, args),
            Value::Object(id) => match self.object(*id) {
                Object::Macro(object) => {
                    let object = object.clone();
                    self.macro_call(&object, args)
                }
                Object::Loop(_) => self.loop_again(*id, args),
                Object::Joiner { .. } => {
                    args.bind("joiner").end()?;
                    Ok(match self.object_mut(*id) {
                        Object::Joiner { separator, used } if *used => separator.clone(),
                        Object::Joiner { used, .. } => {
                            *used = true;
                            Value::str("")
                        }
                        _ => Value::None,
                    })
                }
                other => type_error(format!("'{}' object is not callable", other.type_name())),
            },
            other => type_error(format!("'{}' object is not callable", other.type_name())),
        }
    }

    fn macro_call(&mut self, object: &MacroObject<'t>, args: CallArgs) -> Result<Value> {
        let MacroObject { def, scope } = object;
        self.budget.enter()?;
        // Each parameter is looked for among the named arguments.
        self.budget.steps(def.params.len() * (1 + args.named.len() / 4) / 4)?;
        let scope = scope.inside();
        let mut args = args.bind(&def.name);
        for (name, default) in &def.params {
            let value = match (args.next(name), default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.eval(default, &scope)?,
                (None, None) => Value::undefined(format!("parameter '{name}' was not provided")),
            };
            scope.set(name, value);
        }
        if def.mentions.caller {
            let caller = args.named("caller");
            let caller = caller.unwrap_or_else(|| Value::undefined("No caller defined"));
            scope.set(&"caller".into(), caller);
        }
        if def.mentions.varargs {
            let rest = args.rest();
            scope.set(&"varargs".into(), Value::tuple(rest, &mut self.budget)?);
        }
        if def.mentions.kwargs {
            let named = args.named_rest();
            let pairs = named.into_iter().map(|(name, value)| (Value::Str(name), value)).collect();
            scope.set(&"kwargs".into(), Value::dict(pairs, &mut self.budget)?);
        }
        args.end()?;
        let text = self.capture(&scope, &def.body)?;
        self.budget.leave();
        Ok(Value::Str(text))
    }

    fn function(&mut self, function: Function, args: CallArgs) -> Result<Value> {
        match function {
            Function::Range => self.range(args),
            Function::Dict => self.dict_function(args),
            Function::Namespace => {
                let dict = self.dict_function(args)?;
                let mut vars: IndexMap<Name, Value> = IndexMap::new();
                if let Value::Dict(dict) = dict {
                    for (key, value) in dict.iter() {
                        let name = key.as_str().unwrap_or_default();
                        may_be_set(name)?;
                        vars.insert(name.into(), value.clone());
                    }
                }
                Ok(Value::Object(self.keep(Object::Namespace(vars))?))
            }
            Function::Cycler => match args.positional {
                items if items.is_empty() => fail(Kind::Runtime, "at least one item has to be provided"),
                items => Ok(Value::Object(self.keep(Object::Cycler { items, at: 0 })?)),
            },
            Function::Joiner => {
                let mut args = args.bind("joiner");
                let separator = args.next("sep").unwrap_or_else(|| Value::str(", "));
                args.end()?;
                Ok(Value::Object(self.keep(Object::Joiner { separator, used: false })?))
            }
            Function::RaiseException => {
                let mut args = args.bind("raise_exception");
                let message = args.need("message")?;
                fail(Kind::Raised, self.text(&message)?.as_str())
            }
            Function::StrftimeNow => {
                let mut args = args.bind("strftime_now");
                let format = args.need("format")?;
                let Value::Str(format) = format else { return type_error("strftime_now needs a format") };
                self.budget.bytes(format.len())?;
                time::strftime(&format, &self.now).map(Value::Str)
            }
        }
    }

    fn range(&mut self, args: CallArgs) -> Result<Value> {
        let mut bounds = Vec::new();
        for value in &args.positional {
            match value.defined()?.index() {
                Some(i) => bounds.push(i),
                None => {
                    let name = value.type_name();
                    return type_error(format!("'{name}' object cannot be interpreted as an integer"));
                }
            }
        }
        let (start, stop, step) = match (&bounds[..], args.named.is_empty()) {
            ([stop], true) => (0, *stop, 1),
            ([start, stop], true) => (*start, *stop, 1),
            ([start, stop, step], true) => (*start, *stop, *step),
            _ => return type_error("range() takes one to three integers"),
        };
        if step == 0 {
            return value_error("range() arg 3 must not be zero");
        }
        let span = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
        let step_size = step.unsigned_abs();
        let n = (span.max(0) as u128).div_ceil(step_size);
        if n > MAX_RANGE as u128 {
            return fail(Kind::Limit, format!("a range of {n} numbers; {MAX_RANGE} are the most"));
        }
        self.budget.steps(n as usize)?;
        let items = (0..n as i128).map(|i| Value::Int(start + i * step)).collect();
        Value::seq(SeqKind::Range, items, &mut self.budget)
    }

    /// `dict(other, key=value)`
    fn dict_function(&mut self, args: CallArgs) -> Result<Value> {
        let mut args = args.bind("dict");
        let mut pairs = Vec::new();
        if !args.positional.is_empty() {
            match args.need("mapping")? {
                Value::Dict(dict) => pairs.extend(dict.iter().map(|(k, v)| (k.clone(), v.clone()))),
                other => {
                    for pair in self.iterate(&other)? {
                        match &self.iterate(&pair)?[..] {
                            [key, value] => pairs.push((key.clone(), value.clone())),
                            _ => return value_error("dict() needs pairs"),
                        }
                    }
                }
            }
        }
        for (name, value) in args.named_rest() {
            pairs.push((Value::Str(name), value));
        }
        args.end()?;
        Value::dict(pairs, &mut self.budget)
    }
}
