//! Runs statements.

use super::ast::{CallBlock, Expr, Stmt, Target, What};
use super::error::{Kind, Result, fail, type_error};
use super::machine::{Flow, Machine, MacroObject, Object, Scope};
use super::text::Text;
use super::value::Value;

impl<'t> Machine<'t> {
    /// Runs statements in `scope`.
    pub fn run(&mut self, body: &'t [Stmt], scope: &Scope) -> Result<Flow> {
        self.budget.enter()?;
        for stmt in body {
            self.budget.step()?;
            self.line = stmt.line;
            match self.statement(stmt, scope).map_err(|e| e.at(stmt.line))? {
                Flow::Next => {}
                other => {
                    self.budget.leave();
                    return Ok(other);
                }
            }
        }
        self.budget.leave();
        Ok(Flow::Next)
    }

    fn statement(&mut self, stmt: &'t Stmt, scope: &Scope) -> Result<Flow> {
        match &stmt.what {
            What::Text(text) => self.print(&Value::str(text.clone()))?,
            What::Print(expr) => {
                let value = self.eval(expr, scope)?;
                self.print(&value)?;
            }
            What::If(arms, otherwise) => {
                for (test, body) in arms {
                    if self.eval(test, scope)?.is_true() {
                        return self.run(body, scope);
                    }
                }
                return self.run(otherwise, scope);
            }
            What::For(what) => return self.for_loop(what, scope),
            What::Set(target, expr) => {
                let value = self.eval(expr, scope)?;
                self.assign(target, value, scope)?;
            }
            What::SetBlock(target, filter, body) => {
                let text = self.capture(&scope.inside(), body)?;
                let value = self.filtered_block(filter.as_ref(), text, scope)?;
                self.assign(target, value, scope)?;
            }
            What::Macro(def) => {
                let object = Object::Macro(MacroObject { def, scope: scope.clone() });
                let id = self.keep(object)?;
                scope.set(&def.name, Value::Object(id));
            }
            What::Call(block) => self.call_block(block, scope)?,
            What::Filter(filter, body) => {
                let text = self.capture(&scope.inside(), body)?;
                let value = self.filtered_block(Some(filter), text, scope)?;
                if value.as_str().is_none() {
                    return type_error(format!(
                        "a filter of a block has to give text, not '{}'",
                        value.type_name()
                    ));
                }
                self.print(&value)?;
            }
            What::With(pairs, body) => return self.with_block(pairs, body, scope),
            What::Scope(body) => return self.run(body, &scope.inside()),
            What::Plain(body) => return self.run(body, scope),
            What::Load(tag) => {
                return fail(Kind::Security, format!("'{tag}': chat templates cannot load others"));
            }
            What::Break => return Ok(Flow::Break),
            What::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn call_block(&mut self, block: &'t CallBlock, scope: &Scope) -> Result<()> {
        let object = Object::Macro(MacroObject { def: &block.caller, scope: scope.clone() });
        let caller = Value::Object(self.keep(object)?);
        let Expr::Call(callee, args) = &block.call else {
            return fail(Kind::Runtime, "nothing to call");
        };
        let callee = self.eval(callee, scope)?;
        let mut args = self.call_args(args, scope)?;
        args.named.push(("caller".into(), caller));
        let value = self.call(&callee, args)?;
        self.print(&value)
    }

    /// All values are computed before the first name is set.
    fn with_block(&mut self, pairs: &'t [(Target, Expr)], body: &'t [Stmt], scope: &Scope) -> Result<Flow> {
        let inner = scope.inside();
        let values = pairs.iter().map(|(_, expr)| self.eval(expr, scope)).collect::<Result<Vec<_>>>()?;
        for ((target, _), value) in pairs.iter().zip(values) {
            self.assign(target, value, &inner)?;
        }
        self.run(body, &inner)
    }

    fn filtered_block(&mut self, filter: Option<&'t Expr>, text: Text, scope: &Scope) -> Result<Value> {
        match filter {
            None => Ok(Value::Str(text)),
            Some(filter) => self.eval_filter_on(filter, Value::Str(text), scope),
        }
    }
}
