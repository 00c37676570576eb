//! Arithmetic, comparison and membership, as Python has them.

use super::ast::{BinaryOp, CompareOp, UnaryOp};
use super::error::{Kind, Result, fail, type_error, value_error};
use super::machine::Machine;
use super::text::TextBuilder;
use super::value::{SeqKind, Value};
use std::cmp::Ordering;

/// A number, where a value is one.
#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Float(f) => Number::Float(*f),
            other => Number::Int(other.index()?),
        })
    }

    fn float(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(f) => f,
        }
    }
}

fn int(value: Option<i128>) -> Result<Value> {
    value.map_or_else(|| fail(Kind::Limit, "an integer of more than 127 bits"), |i| Ok(Value::Int(i)))
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::FloorDiv => "//",
        BinaryOp::Rem => "%",
        BinaryOp::Pow => "** or pow()",
    }
}

pub(crate) fn unary(op: UnaryOp, value: &Value) -> Result<Value> {
    if op == UnaryOp::Not {
        return Ok(Value::Bool(!value.is_true()));
    }
    match Number::of(value.defined()?) {
        Some(Number::Int(i)) => int(if op == UnaryOp::Neg { i.checked_neg() } else { Some(i) }),
        Some(Number::Float(f)) => Ok(Value::Float(if op == UnaryOp::Neg { -f } else { f })),
        None => type_error(format!("bad operand type for unary operator: '{}'", value.type_name())),
    }
}

fn numbers(op: BinaryOp, left: Number, right: Number) -> Result<Value> {
    use BinaryOp::{Add, Div, FloorDiv, Mul, Pow, Rem, Sub};
    if matches!(op, Div | FloorDiv | Rem) && right.float() == 0.0 {
        return value_error("division by zero");
    }
    if let (Number::Int(a), Number::Int(b)) = (left, right) {
        return match op {
            Add => int(a.checked_add(b)),
            Sub => int(a.checked_sub(b)),
            Mul => int(a.checked_mul(b)),
            Div => Ok(Value::Float(a as f64 / b as f64)),
            FloorDiv => int(a.checked_div(b).map(|q| q - i128::from(a % b != 0 && (a < 0) != (b < 0)))),
            Rem => int(a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })),
            Pow if b < 0 => Ok(Value::Float((a as f64).powf(b as f64))),
            Pow => int(u32::try_from(b).ok().and_then(|b| a.checked_pow(b))),
        };
    }
    let (a, b) = (left.float(), right.float());
    Ok(Value::Float(match op {
        Add => a + b,
        Sub => a - b,
        Mul => a * b,
        Div => a / b,
        FloorDiv => (a / b).floor(),
        Rem => {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        Pow => a.powf(b),
    }))
}

/// `None` where the values have no order.
fn number_order(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        (a, b) => a.float().partial_cmp(&b.float()),
    }
}

impl Machine<'_> {
    pub fn binary(&mut self, op: BinaryOp, left: &Value, right: &Value) -> Result<Value> {
        let (left, right) = (left, right);
        if let (BinaryOp::Rem, Value::Str(format)) = (op, left) {
            return self.percent(&format.clone(), right);
        }
        left.defined()?;
        right.defined()?;
        if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
            return numbers(op, a, b);
        }
        match (op, left, right) {
            (BinaryOp::Add, Value::Str(a), Value::Str(b)) => {
                let markup = a.is_markup() || b.is_markup();
                let (a, b) = (self.as_markup(a, markup)?, self.as_markup(b, markup)?);
                self.budget.bytes(a.weight() + b.weight())?;
                let mut out = TextBuilder::default();
                out.push_text(&a);
                out.push_text(&b);
                Ok(Value::Str(out.finish().with_markup(markup)))
            }
            (BinaryOp::Add, Value::Str(_), other) => {
                type_error(format!("can only concatenate str (not \"{}\") to str", other.type_name()))
            }
            (BinaryOp::Add, Value::Seq(a), Value::Seq(b)) if a.kind == b.kind && a.kind.adds() => {
                self.budget.items(a.items.len() + b.items.len())?;
                Value::seq_unpaid(a.kind, a.items.iter().chain(&b.items).cloned().collect())
            }
            (BinaryOp::Mul, value, times) if times.index().is_some() => self.repeat(value, times),
            (BinaryOp::Mul, times, value) if times.index().is_some() => self.repeat(value, times),
            _ => type_error(format!(
                "unsupported operand type(s) for {}: '{}' and '{}'",
                symbol(op),
                left.type_name(),
                right.type_name()
            )),
        }
    }

    fn repeat(&mut self, value: &Value, times: &Value) -> Result<Value> {
        let times = usize::try_from(times.index().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
        match value {
            Value::Str(text) => {
                self.budget.bytes(text.weight().saturating_mul(times))?;
                let mut out = TextBuilder::default();
                if !text.is_empty() {
                    (0..times).for_each(|_| out.push_text(text));
                }
                Ok(Value::Str(out.finish().with_markup(text.is_markup())))
            }
            Value::Seq(seq) if seq.kind.adds() => {
                let n = seq.items.len().saturating_mul(times);
                self.budget.items(n)?;
                Value::seq_unpaid(seq.kind, seq.items.iter().cycle().take(n).cloned().collect())
            }
            other => type_error(format!("can't multiply a value of type '{}'", other.type_name())),
        }
    }

    pub fn compare(&mut self, op: CompareOp, left: &Value, right: &Value) -> Result<bool> {
        Ok(match op {
            CompareOp::Eq => self.equal(left, right)?,
            CompareOp::Ne => !self.equal(left, right)?,
            CompareOp::In => self.contains(right, left)?,
            CompareOp::NotIn => !self.contains(right, left)?,
            _ => {
                let order = self.order(left, right)?;
                match op {
                    CompareOp::Lt => order == Some(Ordering::Less),
                    CompareOp::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                    CompareOp::Gt => order == Some(Ordering::Greater),
                    _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
                }
            }
        })
    }

    pub fn equal(&mut self, left: &Value, right: &Value) -> Result<bool> {
        self.budget.step()?;
        if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
            return Ok(number_order(a, b) == Some(Ordering::Equal));
        }
        Ok(match (left, right) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(a), Value::Str(b)) => {
                self.budget.reads(if a.len() == b.len() { a.len() } else { 0 })?;
                a == b
            }
            (Value::Seq(a), Value::Seq(b)) => {
                if a.kind != b.kind || a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, value) in a.iter() {
                    match b.get(key, &mut self.budget)? {
                        Some(other) if self.equal(value, other)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Object(a), Value::Object(b)) => a == b,
            (Value::Function(a), Value::Function(b)) => a == b,
            _ => false,
        })
    }

    /// The order of two values; `None` if neither comes first nor are they equal (NaN).
    pub fn order(&mut self, left: &Value, right: &Value) -> Result<Option<Ordering>> {
        self.budget.step()?;
        left.defined()?;
        right.defined()?;
        if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
            return Ok(number_order(a, b));
        }
        match (left, right) {
            (Value::Str(a), Value::Str(b)) => {
                self.budget.bytes(a.len().min(b.len()))?;
                Ok(Some(a.as_str().cmp(b.as_str())))
            }
            (Value::Seq(a), Value::Seq(b)) if a.kind == b.kind && a.kind.adds() => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !self.equal(a, b)? {
                        return self.order(a, b);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => type_error(format!(
                "'<' not supported between instances of '{}' and '{}'",
                left.type_name(),
                right.type_name()
            )),
        }
    }

    /// `item in list`
    pub fn contains(&mut self, list: &Value, item: &Value) -> Result<bool> {
        match list {
            Value::Str(text) => match item {
                Value::Str(part) => {
                    self.budget.bytes(text.len())?;
                    Ok(text.as_str().contains(part.as_str()))
                }
                Value::Undefined(what) => fail(Kind::Undefined, &**what),
                other => type_error(format!(
                    "'in <string>' requires string as left operand, not {}",
                    other.type_name()
                )),
            },
            Value::Dict(dict) => Ok(dict.get(item, &mut self.budget)?.is_some()),
            other => {
                for one in self.iterate(other)? {
                    if self.equal(&one, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl SeqKind {
    /// Whether two of them can be added and ordered.
    pub fn adds(self) -> bool {
        matches!(self, SeqKind::List | SeqKind::Tuple)
    }
}
