//! Jinja as chat templates need it: jinja2's immutable sandbox with transformers' settings and additions.
//!
//! An interpreter of its own, for three reasons: what a template prints has to be the same to the byte, Python's
//! errors included; every byte has to remember whether the template or a message wrote it; and steps, memory and
//! depth have to be bounded. It has no loader, no autoescape and no access to anything but its arguments.

mod ast;
mod budget;
mod call;
mod display;
mod error;
mod evaluate;
mod execute;
mod expressions;
mod filters;
mod format;
mod json;
mod lexer;
mod list_filters;
mod loops;
mod machine;
mod methods;
mod operators;
mod parser;
mod predicates;
mod str_methods;
mod text;
mod time;
mod value;

pub use error::{Kind, TemplateError};
pub use text::{Origin, Text};
pub use time::CivilTime;
pub(crate) use value::{Dict, SeqKind, Value};

use budget::Budget;
use machine::{Machine, Scope};

/// Bytes of output at most, beyond four times what went in.
const MAX_OUTPUT: usize = 4 << 20;

/// Bytes of a template at most: those that models come with have some thousands, and a tree takes fifty times its text.
const MAX_SOURCE: usize = 1 << 20;

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    body: Vec<ast::Stmt>,
}

/// What a rendering is given.
pub(crate) struct Given<'v> {
    pub variables: Vec<(&'v str, Value)>,
    /// Bytes of messages and tools.
    pub size: usize,
    pub now: CivilTime,
}

impl Template {
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_SOURCE {
            let message = format!("a template of {} bytes, of at most {MAX_SOURCE}", source.len());
            return Err(TemplateError::new(Kind::Limit, message).at(1));
        }
        Ok(Self { body: parser::parse(source)? })
    }

    pub fn render(&self, given: Given<'_>) -> Result<Text, TemplateError> {
        let max_output = MAX_OUTPUT.saturating_add(given.size.saturating_mul(4));
        let mut machine = Machine::new(Budget::new(given.size), given.now, max_output);
        let scope = Scope::root();
        for (name, value) in given.variables {
            scope.set(&name.into(), value);
        }
        let rendered = machine.capture(&scope, &self.body);
        rendered.map_err(|e| e.at(machine.line))
    }
}
