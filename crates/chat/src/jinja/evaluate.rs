//! Computes expressions: names, attributes, items, slices, filters, tests.

use super::ast::{CompareOp, Expr};
use super::call::CallArgs;
use super::error::{Kind, Result, fail, type_error, value_error};
use super::machine::{Machine, Object, Scope};
use super::methods;
use super::operators::unary;
use super::text::TextBuilder;
use super::value::Value;
use std::sync::Arc;

impl<'t> Machine<'t> {
    pub fn eval(&mut self, expr: &'t Expr, scope: &Scope) -> Result<Value> {
        self.budget.enter()?;
        let value = match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Name(name) => self.lookup(scope, name),
            Expr::Attribute(value, name) => {
                let value = self.eval(value, scope)?;
                self.attribute(&value, name)
            }
            Expr::Item(value, index) => {
                let (value, index) = (self.eval(value, scope)?, self.eval(index, scope)?);
                self.item(&value, &index)
            }
            Expr::Unary(op, value) => {
                let value = self.eval(value, scope)?;
                unary(*op, &value)
            }
            Expr::And(left, right) => self.eval(left, scope).and_then(|left| match left.is_true() {
                true => self.eval(right, scope),
                false => Ok(left),
            }),
            Expr::Or(left, right) => self.eval(left, scope).and_then(|left| match left.is_true() {
                true => Ok(left),
                false => self.eval(right, scope),
            }),
            Expr::Binary(op, left, right) => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                self.binary(*op, &left, &right)
            }
            Expr::Compare(left, rest) => self.comparison(left, rest, scope),
            other => self.composite(other, scope),
        };
        self.budget.leave();
        value
    }

    /// The rarer expressions, out of the way of the stack that the common ones need.
    fn composite(&mut self, expr: &'t Expr, scope: &Scope) -> Result<Value> {
        match expr {
            Expr::Tuple(items) => {
                let items = self.eval_all(items, scope)?;
                Value::tuple(items, &mut self.budget)
            }
            Expr::List(items) => {
                let items = self.eval_all(items, scope)?;
                Value::list(items, &mut self.budget)
            }
            Expr::Dict(pairs) => {
                let mut values = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    values.push((self.eval(key, scope)?, self.eval(value, scope)?));
                }
                Value::dict(values, &mut self.budget)
            }
            Expr::Concat(parts) => {
                let mut out = TextBuilder::default();
                for part in parts {
                    let part = self.eval(part, scope)?;
                    self.write(&part, &mut out)?;
                }
                Ok(Value::Str(out.finish()))
            }
            Expr::IfElse(choice) => match (self.eval(&choice.test, scope)?.is_true(), &choice.otherwise) {
                (true, _) => self.eval(&choice.then, scope),
                (false, Some(otherwise)) => self.eval(otherwise, scope),
                (false, None) => {
                    Ok(Value::undefined("an if without else was false, and its value was needed"))
                }
            },
            Expr::Slice(value, bounds) => {
                let value = self.eval(value, scope)?;
                let mut at = [const { None }; 3];
                for (at, bound) in at.iter_mut().zip(bounds.iter()) {
                    *at = bound.as_ref().map(|bound| self.eval(bound, scope)).transpose()?;
                }
                self.slice(&value, at)
            }
            Expr::Call(callee, args) => {
                let callee = self.eval(callee, scope)?;
                let args = self.call_args(args, scope)?;
                self.call(&callee, args)
            }
            Expr::Filter(value, name, args) => {
                let Some(value) = value else { return fail(Kind::Runtime, "a filter has nothing to filter") };
                let value = self.eval(value, scope)?;
                let args = self.call_args(args, scope)?;
                self.filter(name, value, args)
            }
            Expr::Test(value, name, args) => {
                let value = self.eval(value, scope)?;
                let args = self.call_args(args, scope)?;
                Ok(Value::Bool(self.test(name, &value, args)?))
            }
            _ => fail(Kind::Runtime, "an expression of an unknown kind"),
        }
    }

    fn eval_all(&mut self, items: &'t [Expr], scope: &Scope) -> Result<Vec<Value>> {
        items.iter().map(|item| self.eval(item, scope)).collect()
    }

    /// A filter of a block, whose text takes the place of the missing subject.
    pub fn eval_filter_on(&mut self, expr: &'t Expr, subject: Value, scope: &Scope) -> Result<Value> {
        let Expr::Filter(inner, name, args) = expr else {
            return fail(Kind::Runtime, "expected a filter");
        };
        let subject = match inner {
            Some(inner) => self.eval_filter_on(inner, subject, scope)?,
            None => subject,
        };
        let args = self.call_args(args, scope)?;
        self.filter(name, subject, args)
    }

    /// `a < b < c`: every neighbour, as far as it holds.
    fn comparison(&mut self, left: &'t Expr, rest: &'t [(CompareOp, Expr)], scope: &Scope) -> Result<Value> {
        let mut left = self.eval(left, scope)?;
        for (op, right) in rest {
            let right = self.eval(right, scope)?;
            if !self.compare(*op, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    /// `value.name`: a method if there is one, else an item.
    pub fn attribute(&mut self, value: &Value, name: &str) -> Result<Value> {
        if let Some(found) = self.own_attribute(value, name)? {
            return Ok(found);
        }
        match value {
            Value::Dict(dict) => {
                if let Some(found) = dict.get_str(name) {
                    return Ok(found.clone());
                }
            }
            Value::Undefined(what) => return fail(Kind::Undefined, &**what),
            _ => {}
        }
        Ok(self.missing(value, name))
    }

    fn missing(&self, value: &Value, name: &str) -> Value {
        match value {
            Value::Object(id) => {
                let object = self.object(*id).type_name();
                Value::undefined(format!("'{object} object' has no attribute '{name}'"))
            }
            Value::None => Value::undefined(format!("'None' has no attribute '{name}'")),
            other => Value::undefined(format!("'{}' has no attribute '{name}'", other.object_name())),
        }
    }

    /// What Python's `getattr` finds.
    fn own_attribute(&mut self, value: &Value, name: &str) -> Result<Option<Value>> {
        self.budget.reads(name.len())?;
        if let Value::Object(id) = value {
            return match self.object(*id) {
                Object::Namespace(vars) => Ok(vars.get(name).cloned()),
                Object::Loop(_) => self.loop_attribute(*id, name),
                Object::Macro(object) => match name {
                    "name" => Ok(Some(Value::str(object.def.name.clone()))),
                    "caller" => Ok(Some(Value::Bool(object.def.mentions.caller))),
                    "catch_kwargs" => Ok(Some(Value::Bool(object.def.mentions.kwargs))),
                    "catch_varargs" => Ok(Some(Value::Bool(object.def.mentions.varargs))),
                    "arguments" => {
                        let names = object.def.params.iter().map(|(name, _)| Value::str(name.clone()));
                        Ok(Some(Value::tuple(names.collect(), &mut self.budget)?))
                    }
                    _ => Ok(None),
                },
                Object::Cycler { items, at } => match name {
                    "current" => Ok(Some(items[at % items.len()].clone())),
                    "next" | "reset" => Ok(Some(Value::Method(Arc::new((value.clone(), name.into()))))),
                    _ => Ok(None),
                },
                Object::Stream(_) | Object::Joiner { .. } => Ok(None),
            };
        }
        if !value.is_undefined() && name.starts_with("__") && name.ends_with("__") {
            return Ok(Some(unsafe_attribute(value, name)));
        }
        if let Value::Seq(seq) = value
            && let Some(at) = seq.names.iter().position(|own| *own == name)
        {
            return Ok(seq.items.get(at).cloned());
        }
        Ok(match methods::of(value, name) {
            methods::Found::Nothing => None,
            methods::Found::Method => Some(Value::Method(Arc::new((value.clone(), name.into())))),
            methods::Found::Mutating => Some(unsafe_attribute(value, name)),
        })
    }

    /// `value[index]`: an item if there is one, else a method.
    pub fn item(&mut self, value: &Value, index: &Value) -> Result<Value> {
        let found = match value {
            Value::Undefined(what) => return fail(Kind::Undefined, &**what),
            Value::Dict(dict) => match index {
                Value::Seq(_) | Value::Dict(_) => None,
                index => dict.get(index, &mut self.budget)?.cloned(),
            },
            Value::Seq(seq) if !seq.kind.is_view() => {
                let at = index.index().and_then(|i| position(i, seq.items.len()));
                at.map(|at| seq.items[at].clone())
            }
            Value::Str(text) => {
                let at = match index.index() {
                    None => None,
                    Some(i) => position(i, self.len(value)?),
                };
                at.and_then(|at| {
                    let (start, c) = text.as_str().char_indices().nth(at)?;
                    Some(Value::Str(text.slice(start..start + c.len_utf8())))
                })
            }
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        match index {
            Value::Str(name) => {
                let name = name.as_str();
                Ok(self.own_attribute(value, name)?.unwrap_or_else(|| self.missing(value, name)))
            }
            other => {
                let other = self.text(other)?;
                Ok(Value::undefined(format!("{} has no element {}", value.object_name(), other.as_str())))
            }
        }
    }

    fn slice(&mut self, value: &Value, bounds: [Option<Value>; 3]) -> Result<Value> {
        value.defined()?;
        let mut at = [None; 3];
        for (at, bound) in at.iter_mut().zip(&bounds) {
            *at = match bound {
                None | Some(Value::None) => None,
                Some(bound) => match bound.index() {
                    Some(i) => Some(i),
                    None => return type_error("slice indices must be integers or None"),
                },
            };
        }
        if at[2] == Some(0) {
            return value_error("slice step cannot be zero");
        }
        match value {
            Value::Str(text) => {
                self.budget.bytes(text.len())?;
                let ends: Vec<usize> = text.as_str().char_indices().map(|(at, _)| at).collect();
                let places = places(at, ends.len());
                let end = |i: usize| ends.get(i + 1).copied().unwrap_or(text.len());
                let mut out = TextBuilder::default();
                if at[2].unwrap_or(1) == 1 {
                    if let (Some(&first), Some(&last)) = (places.first(), places.last()) {
                        out.push_slice(text, ends[first]..end(last));
                    }
                } else {
                    places.iter().for_each(|&i| out.push_slice(text, ends[i]..end(i)));
                }
                Ok(Value::Str(out.finish()))
            }
            Value::Seq(seq) if !seq.kind.is_view() => {
                let items = places(at, seq.items.len()).iter().map(|&i| seq.items[i].clone()).collect();
                Value::seq(seq.kind, items, &mut self.budget)
            }
            other => Ok(Value::undefined(format!("'{}' cannot be sliced", other.object_name()))),
        }
    }

    /// Calls a method of a value or an object.
    pub fn method(&mut self, value: &Value, name: &str, args: CallArgs) -> Result<Value> {
        let Value::Object(id) = value else { return self.value_method(value, name, args) };
        match self.object_mut(*id) {
            Object::Cycler { items, at } => {
                args.bind(name).end()?;
                let current = items[*at % items.len()].clone();
                *at = if name == "reset" { 0 } else { *at + 1 };
                Ok(if name == "reset" { Value::None } else { current })
            }
            _ => self.loop_method(*id, name, args),
        }
    }
}

fn unsafe_attribute(value: &Value, name: &str) -> Value {
    let type_name = value.type_name();
    Value::undefined(format!("access to attribute '{name}' of '{type_name}' object is unsafe."))
}

/// Where index `i`, perhaps counted from the end, is in a list of `len`.
pub(crate) fn position(i: i128, len: usize) -> Option<usize> {
    let at = if i < 0 { i + len as i128 } else { i };
    usize::try_from(at).ok().filter(|&at| at < len)
}

/// The indices that a slice of a list of `len` takes, in order.
fn places([start, stop, step]: [Option<i128>; 3], len: usize) -> Vec<usize> {
    let (len, step) = (len as i128, step.unwrap_or(1));
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |value: Option<i128>, default: i128| match value {
        None => default,
        Some(i) if i < 0 => i.saturating_add(len).clamp(low, high),
        Some(i) => i.clamp(low, high),
    };
    let (mut at, stop) = if step > 0 {
        (bound(start, low), bound(stop, high))
    } else {
        (bound(start, high), bound(stop, low))
    };
    let mut places = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn slices_are_pythons() {
        let p = |a, b, c| places([a, b, c], 5);
        assert_eq!(p(None, None, None), [0, 1, 2, 3, 4]);
        assert_eq!(p(Some(-2), None, None), [3, 4]);
        assert_eq!(p(None, Some(-1), Some(2)), [0, 2]);
        assert_eq!(p(None, None, Some(-1)), [4, 3, 2, 1, 0]);
        assert_eq!(p(Some(9), Some(0), Some(-2)), [4, 2]);
        assert!(p(Some(3), Some(1), None).is_empty());
        assert_eq!(p(Some(i128::MIN), Some(i128::MAX), Some(i128::MAX)), [0]);
    }
}
