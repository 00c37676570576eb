//! What stands behind `is`.

use super::ast::CompareOp;
use super::call::CallArgs;
use super::error::{Kind, Result, fail, type_error, value_error};
use super::machine::{Machine, Object};
use super::value::{Key, Value};

const FILTERS: [&str; 53] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
];
const TESTS: [&str; 36] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
];

impl Machine<'_> {
    /// `value is name(args)`
    pub fn test(&mut self, name: &str, value: &Value, args: CallArgs) -> Result<bool> {
        self.read_args(&args)?;
        let mut args = args.bind(name);
        let holds = match name {
            "defined" => !value.is_undefined(),
            "undefined" => value.is_undefined(),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Int(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
            "string" => matches!(value, Value::Str(_)),
            "mapping" => matches!(value, Value::Dict(_)),
            "iterable" => self.is_iterable(value),
            "sequence" => match value {
                Value::Undefined(_) | Value::Str(_) | Value::Dict(_) => true,
                Value::Seq(seq) => !seq.kind.is_view(),
                _ => false,
            },
            "callable" => match value {
                Value::Function(_) | Value::Method(_) | Value::Undefined(_) => true,
                Value::Object(id) => {
                    matches!(self.object(*id), Object::Macro(_) | Object::Loop(_) | Object::Joiner { .. })
                }
                _ => false,
            },
            "escaped" => false,
            "upper" | "lower" => {
                let text = self.text(value)?;
                let method = if name == "upper" { "isupper" } else { "islower" };
                self.str_method(&text, method, CallArgs::default())?.is_true()
            }
            "even" | "odd" => self.remainder(value, &Value::Int(2))? == i128::from(name == "odd"),
            "divisibleby" => {
                let divisor = args.need("num")?;
                self.remainder(value, &divisor)? == 0
            }
            "sameas" => {
                let other = args.need("other")?;
                value.type_name() == other.type_name() && self.equal(value, &other)?
            }
            "in" => {
                let list = args.need("seq")?;
                self.contains(&list, value)?
            }
            "filter" | "test" => {
                Key::of(value, &mut self.budget)?;
                let known: &[&str] = if name == "filter" { &FILTERS } else { &TESTS };
                value.as_str().is_some_and(|name| {
                    known.contains(&name) || ["true", "undefined", "upper"].contains(&name)
                })
            }
            other => match comparison(other) {
                Some(op) => {
                    let right = args.need("other")?;
                    self.compare(op, value, &right)?
                }
                None => return fail(Kind::Runtime, format!("no test named '{other}'")),
            },
        };
        args.end()?;
        Ok(holds)
    }

    fn remainder(&mut self, value: &Value, divisor: &Value) -> Result<i128> {
        let (Some(a), Some(b)) = (value.defined()?.index(), divisor.index()) else {
            return match value {
                Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => {
                    self.remainder(&Value::Int(*f as i128), divisor)
                }
                Value::Float(_) => Ok(-1),
                other => type_error(format!("'{}' is no whole number", other.type_name())),
            };
        };
        match a.checked_rem_euclid(b) {
            Some(r) => Ok(r),
            None => value_error("modulo by zero"),
        }
    }
}

fn comparison(name: &str) -> Option<CompareOp> {
    Some(match name {
        "eq" | "equalto" | "==" => CompareOp::Eq,
        "ne" | "!=" => CompareOp::Ne,
        "lt" | "lessthan" | "<" => CompareOp::Lt,
        "le" | "<=" => CompareOp::Le,
        "gt" | "greaterthan" | ">" => CompareOp::Gt,
        "ge" | ">=" => CompareOp::Ge,
        _ => return None,
    })
}
