//! `for`, and what it calls `loop`.

use super::ast::{Expr, For, Name, Target};
use super::call::CallArgs;
use super::error::{Kind, Result, fail, type_error, value_error};
use super::machine::{Flow, Machine, Object, Scope, may_be_set};
use super::value::{ObjectId, Value};
use std::collections::VecDeque;

/// A loop that runs.
pub(crate) struct Loop<'t> {
    what: &'t For,
    /// Around the loop.
    scope: Scope,
    /// Not looked at yet; the loop's condition has not been asked about them.
    source: std::vec::IntoIter<Value>,
    /// Looked at, and to come.
    ahead: VecDeque<Value>,
    current: Option<Value>,
    previous: Option<Value>,
    /// Counted from 0.
    index: usize,
    depth: usize,
    /// What `changed` saw last.
    seen: Option<Vec<Value>>,
}

impl<'t> Machine<'t> {
    pub fn for_loop(&mut self, what: &'t For, scope: &Scope) -> Result<Flow> {
        let list = self.eval(&what.list, scope)?;
        self.for_items(what, &list, (scope, 0))?;
        Ok(Flow::Next)
    }

    fn for_items(&mut self, what: &'t For, list: &Value, (scope, depth): (&Scope, usize)) -> Result<()> {
        let source = self.iterate(list)?.into_iter();
        let id = self.keep(Object::Loop(Box::new(Loop {
            what,
            scope: scope.clone(),
            source,
            ahead: VecDeque::new(),
            current: None,
            previous: None,
            index: 0,
            depth,
            seen: None,
        })))?;
        let name: Name = "loop".into();
        let mut passes = 0;
        while let Some(item) = self.advance(id)? {
            self.budget.step()?;
            let inner = scope.inside();
            inner.set(&name, Value::Object(id));
            self.assign(&what.target, item, &inner)?;
            passes += 1;
            if self.run(&what.body, &inner)? == Flow::Break {
                break;
            }
        }
        if passes == 0 {
            self.run(&what.otherwise, &scope.inside())?;
        }
        // What is left is not needed any more, and neither is its memory.
        let state = self.looping(id)?;
        (state.source, state.ahead) = (Vec::new().into_iter(), VecDeque::new());
        Ok(())
    }

    fn looping(&mut self, id: ObjectId) -> Result<&mut Loop<'t>> {
        match self.object_mut(id) {
            Object::Loop(state) => Ok(state),
            _ => fail(Kind::Runtime, "not a loop"),
        }
    }

    /// The next item that the loop's condition lets through.
    fn pull(&mut self, id: ObjectId) -> Result<Option<Value>> {
        loop {
            let state = self.looping(id)?;
            let Some(item) = state.source.next() else { return Ok(None) };
            let Some(test) = &state.what.test else { return Ok(Some(item)) };
            let (target, scope) = (&state.what.target, state.scope.inside());
            if self.passes(test, target, (&item, &scope))? {
                return Ok(Some(item));
            }
        }
    }

    fn passes(
        &mut self,
        test: &'t Expr,
        target: &'t Target,
        (item, scope): (&Value, &Scope),
    ) -> Result<bool> {
        self.assign(target, item.clone(), scope)?;
        Ok(self.eval(test, scope)?.is_true())
    }

    fn advance(&mut self, id: ObjectId) -> Result<Option<Value>> {
        let item = match self.looping(id)?.ahead.pop_front() {
            Some(item) => Some(item),
            None => self.pull(id)?,
        };
        let state = self.looping(id)?;
        if item.is_some() {
            state.index += usize::from(state.current.is_some());
            state.previous = std::mem::replace(&mut state.current, item.clone());
        }
        Ok(item)
    }

    fn peek(&mut self, id: ObjectId) -> Result<Option<Value>> {
        if self.looping(id)?.ahead.is_empty()
            && let Some(item) = self.pull(id)?
        {
            self.looping(id)?.ahead.push_back(item);
        }
        Ok(self.looping(id)?.ahead.front().cloned())
    }

    pub fn loop_length(&mut self, id: ObjectId) -> Result<usize> {
        if self.looping(id)?.what.test.is_some() {
            while let Some(item) = self.pull(id)? {
                self.looping(id)?.ahead.push_back(item);
            }
        }
        let state = self.looping(id)?;
        Ok(state.index + usize::from(state.current.is_some()) + state.ahead.len() + state.source.len())
    }

    /// `loop.name`; `None` if there is no such thing.
    pub fn loop_attribute(&mut self, id: ObjectId, name: &str) -> Result<Option<Value>> {
        let index = self.looping(id)?.index;
        let depth = self.looping(id)?.depth;
        let int = |i: usize| Value::Int(i as i128);
        Ok(Some(match name {
            "index" => int(index + 1),
            "index0" => int(index),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(self.peek(id)?.is_none()),
            "length" => int(self.loop_length(id)?),
            "revindex" => int(self.loop_length(id)? - index),
            "revindex0" => int(self.loop_length(id)? - index - 1),
            "depth" => int(depth + 1),
            "depth0" => int(depth),
            "previtem" => {
                let previous = self.looping(id)?.previous.clone();
                previous.unwrap_or_else(|| Value::undefined("there is no previous item"))
            }
            "nextitem" => self.peek(id)?.unwrap_or_else(|| Value::undefined("there is no next item")),
            "cycle" | "changed" => Value::Method(std::sync::Arc::new((Value::Object(id), name.into()))),
            _ => return Ok(None),
        }))
    }

    /// `loop.cycle(...)` and `loop.changed(...)`
    pub fn loop_method(&mut self, id: ObjectId, name: &str, args: CallArgs) -> Result<Value> {
        let values = args.positional;
        let state = self.looping(id)?;
        if name == "cycle" {
            let index = state.index;
            return match values.len() {
                0 => type_error("no items for cycling given"),
                n => Ok(values[index % n].clone()),
            };
        }
        let seen = state.seen.take();
        let same = match &seen {
            Some(seen) if seen.len() == values.len() => {
                let mut same = true;
                for (a, b) in seen.iter().zip(&values) {
                    same = same && self.equal(a, b)?;
                }
                same
            }
            _ => false,
        };
        self.looping(id)?.seen = Some(values);
        Ok(Value::Bool(!same))
    }

    /// `loop(list)`: the body again, over what is inside of an item.
    pub fn loop_again(&mut self, id: ObjectId, args: CallArgs) -> Result<Value> {
        let state = self.looping(id)?;
        let (what, scope, depth) = (state.what, state.scope.clone(), state.depth + 1);
        if !what.recursive {
            return type_error("the loop is not recursive: 'recursive' has to stand behind its list");
        }
        let mut args = args.bind("loop");
        let list = args.need("iterable")?;
        args.end()?;
        self.budget.enter()?;
        let text = self.captured(|m| m.for_items(what, &list, (&scope, depth)))?;
        self.budget.leave();
        Ok(Value::Str(text))
    }

    /// `target = value`
    pub fn assign(&mut self, target: &Target, value: Value, scope: &Scope) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(name, value),
            Target::Attribute(name, attribute) => {
                may_be_set(attribute)?;
                let space = self.lookup(scope, name)?;
                match space.defined()? {
                    Value::Object(id) => match self.object_mut(*id) {
                        Object::Namespace(vars) => drop(vars.insert(attribute.clone(), value)),
                        _ => return fail(Kind::Runtime, "cannot assign attribute on non-namespace object"),
                    },
                    _ => return fail(Kind::Runtime, "cannot assign attribute on non-namespace object"),
                }
                self.budget.items(1)?;
            }
            Target::Tuple(targets) => {
                if value.is_undefined() {
                    value.defined()?;
                }
                let items = self.iterate(&value)?;
                if items.len() != targets.len() {
                    let (n, wanted) = (items.len(), targets.len());
                    return value_error(format!("{n} values where {wanted} are to be unpacked"));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, scope)?;
                }
            }
        }
        Ok(())
    }
}
