//! From tokens to expressions, with Jinja's precedence.

use super::ast::{Args, BinaryOp, CompareOp, Expr, IfElse, UnaryOp};
use super::error::Result;
use super::lexer::Token;
use super::parser::{Parser, syntax};
use super::value::Value;

impl Parser {
    /// An expression, or several with commas between them; `conditions` allows `a if b`.
    pub fn tuple(&mut self, conditions: bool) -> Result<Expr> {
        self.tuple_or_empty(conditions, false)
    }

    fn tuple_or_empty(&mut self, conditions: bool, empty: bool) -> Result<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let ends = matches!(self.peek(), Token::VariableEnd | Token::BlockEnd) || self.is_op(")");
            if ends {
                break;
            }
            items.push(if conditions { self.expression()? } else { self.nested(Parser::or)? });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                items.push(last);
                Ok(Expr::Tuple(items))
            }
            None if empty => Ok(Expr::Tuple(items)),
            None => self.unexpected("an expression"),
        }
    }

    /// One expression, `a if b else c` included.
    pub fn expression(&mut self) -> Result<Expr> {
        self.nested(|p| {
            let mut value = p.or()?;
            while p.skip_name("if") {
                p.deeper()?;
                let test = p.or()?;
                let otherwise = if p.skip_name("else") { Some(p.expression()?) } else { None };
                value = Expr::IfElse(Box::new(IfElse { test, then: value, otherwise }));
            }
            Ok(value)
        })
    }

    fn or(&mut self) -> Result<Expr> {
        let (mut left, depth) = (self.and()?, self.depth);
        while self.skip_name("or") {
            self.deeper()?;
            left = Expr::Or(left.into(), self.and()?.into());
        }
        self.depth = depth;
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let (mut left, depth) = (self.not()?, self.depth);
        while self.skip_name("and") {
            self.deeper()?;
            left = Expr::And(left.into(), self.not()?.into());
        }
        self.depth = depth;
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        if self.skip_name("not") {
            return self.nested(|p| Ok(Expr::Unary(UnaryOp::Not, p.not()?.into())));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr> {
        let left = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let op = match self.peek() {
                Token::Op("==") => CompareOp::Eq,
                Token::Op("!=") => CompareOp::Ne,
                Token::Op("<") => CompareOp::Lt,
                Token::Op("<=") => CompareOp::Le,
                Token::Op(">") => CompareOp::Gt,
                Token::Op(">=") => CompareOp::Ge,
                Token::Name(name) if name == "in" => CompareOp::In,
                Token::Name(name) if name == "not" => match self.look(1) {
                    Token::Name(name) if name == "in" => {
                        self.next();
                        CompareOp::NotIn
                    }
                    _ => break,
                },
                _ => break,
            };
            self.next();
            rest.push((op, self.sum()?));
        }
        Ok(if rest.is_empty() { left } else { Expr::Compare(left.into(), rest) })
    }

    fn sum(&mut self) -> Result<Expr> {
        let (mut left, depth) = (self.concat()?, self.depth);
        loop {
            let op = match self.peek() {
                Token::Op("+") => BinaryOp::Add,
                Token::Op("-") => BinaryOp::Sub,
                _ => break,
            };
            self.next();
            self.deeper()?;
            left = Expr::Binary(op, left.into(), self.concat()?.into());
        }
        self.depth = depth;
        Ok(left)
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        Ok(Expr::Concat(parts))
    }

    fn product(&mut self) -> Result<Expr> {
        let (mut left, depth) = (self.power()?, self.depth);
        loop {
            let op = match self.peek() {
                Token::Op("*") => BinaryOp::Mul,
                Token::Op("/") => BinaryOp::Div,
                Token::Op("//") => BinaryOp::FloorDiv,
                Token::Op("%") => BinaryOp::Rem,
                _ => break,
            };
            self.next();
            self.deeper()?;
            left = Expr::Binary(op, left.into(), self.power()?.into());
        }
        self.depth = depth;
        Ok(left)
    }

    fn power(&mut self) -> Result<Expr> {
        let (mut left, depth) = (self.unary(true)?, self.depth);
        while self.skip_op("**") {
            self.deeper()?;
            left = Expr::Binary(BinaryOp::Pow, left.into(), self.unary(true)?.into());
        }
        self.depth = depth;
        Ok(left)
    }

    fn unary(&mut self, with_filters: bool) -> Result<Expr> {
        let op = match self.peek() {
            Token::Op("-") => Some(UnaryOp::Neg),
            Token::Op("+") => Some(UnaryOp::Pos),
            _ => None,
        };
        let depth = self.depth;
        let value = match op {
            Some(op) => {
                self.next();
                self.nested(|p| Ok(Expr::Unary(op, p.unary(false)?.into())))?
            }
            None => self.primary()?,
        };
        let mut value = self.postfix(value)?;
        if with_filters {
            value = self.filtered(value)?;
        }
        self.depth = depth;
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expr> {
        Ok(match self.peek() {
            Token::Name(_) => {
                let name = self.expect_name()?;
                self.mentions.caller |= name == "caller";
                self.mentions.varargs |= name == "varargs";
                self.mentions.kwargs |= name == "kwargs";
                match name.as_str() {
                    "true" | "True" => Expr::Const(Value::Bool(true)),
                    "false" | "False" => Expr::Const(Value::Bool(false)),
                    "none" | "None" => Expr::Const(Value::None),
                    _ => Expr::Name(name.into()),
                }
            }
            Token::Str(_) => {
                let mut text = String::new();
                while let Token::Str(more) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                Expr::Const(Value::str(text))
            }
            Token::Int(i) => {
                let i = *i;
                self.next();
                Expr::Const(Value::Int(i))
            }
            Token::Float(f) => {
                let f = *f;
                self.next();
                Expr::Const(Value::Float(f))
            }
            Token::Op("(") => {
                self.next();
                let inner = self.tuple_or_empty(true, true)?;
                self.expect_op(")")?;
                inner
            }
            Token::Op("[") => {
                self.next();
                Expr::List(self.items("]", Parser::expression)?)
            }
            Token::Op("{") => {
                self.next();
                Expr::Dict(self.items("}", |p| {
                    let key = p.expression()?;
                    p.expect_op(":")?;
                    Ok((key, p.expression()?))
                })?)
            }
            _ => return self.unexpected("an expression"),
        })
    }

    /// Items with commas between them, and `end`, before which a comma may stand.
    fn items<T>(&mut self, end: &str, one: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while !self.skip_op(end) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(end) {
                    break;
                }
            }
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn postfix(&mut self, mut value: Expr) -> Result<Expr> {
        loop {
            value = match self.peek() {
                Token::Op(".") => {
                    self.next();
                    match self.next() {
                        Token::Name(name) => Expr::Attribute(value.into(), name.into()),
                        Token::Int(index) => Expr::Item(value.into(), Expr::Const(Value::Int(index)).into()),
                        _ => return syntax("expected a name or a number after '.'"),
                    }
                }
                Token::Op("[") => {
                    self.next();
                    self.subscript(value)?
                }
                Token::Op("(") => Expr::Call(value.into(), self.args()?),
                _ => return Ok(value),
            };
            self.deeper()?;
        }
    }

    fn subscript(&mut self, value: Expr) -> Result<Expr> {
        let mut parts = [None, None, None];
        let mut colons = 0;
        loop {
            if self.skip_op("]") {
                break;
            }
            if self.skip_op(":") {
                colons += 1;
                if colons > 2 {
                    return self.unexpected("']'");
                }
                continue;
            }
            if parts[colons].is_some() {
                return self.unexpected("']'");
            }
            parts[colons] = Some(self.expression()?);
        }
        match parts {
            [Some(index), None, None] if colons == 0 => Ok(Expr::Item(value.into(), index.into())),
            _ if colons == 0 => syntax("an index is missing"),
            parts => Ok(Expr::Slice(value.into(), parts.into())),
        }
    }

    pub fn args(&mut self) -> Result<Args> {
        self.expect_op("(")?;
        let mut args = Args::default();
        let mut first = true;
        while !self.skip_op(")") {
            if !std::mem::take(&mut first) {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            if self.skip_op("*") {
                args.rest = Some(self.expression()?.into());
            } else if self.skip_op("**") {
                args.named_rest = Some(self.expression()?.into());
            } else if matches!((self.peek(), self.look(1)), (Token::Name(_), Token::Op("="))) {
                let name = self.expect_name()?;
                self.next();
                args.named.push((name.into(), self.expression()?));
            } else {
                if !args.named.is_empty() || args.named_rest.is_some() {
                    return syntax("an argument without a name follows one with a name");
                }
                args.positional.push(self.expression()?);
            }
        }
        Ok(args)
    }

    fn filtered(&mut self, mut value: Expr) -> Result<Expr> {
        loop {
            value = if self.is_op("|") {
                self.filters(Some(value), false)?
            } else if self.is_name("is") {
                self.test(value)?
            } else if self.is_op("(") {
                Expr::Call(value.into(), self.args()?)
            } else {
                return Ok(value);
            };
            self.deeper()?;
        }
    }

    /// Filters in a row; `bare` has the first one without its bar.
    pub fn filters(&mut self, mut value: Option<Expr>, bare: bool) -> Result<Expr> {
        let mut bare = bare;
        while std::mem::take(&mut bare) || self.skip_op("|") {
            self.deeper()?;
            let name = self.dotted()?;
            let args = if self.is_op("(") { self.args()? } else { Args::default() };
            value = Some(Expr::Filter(value.map(Box::new), name.into(), args));
        }
        value.map_or_else(|| syntax("expected a filter"), Ok)
    }

    fn dotted(&mut self) -> Result<String> {
        let mut name = self.expect_name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        Ok(name)
    }

    fn test(&mut self, value: Expr) -> Result<Expr> {
        self.next();
        let negated = self.skip_name("not");
        let name = self.dotted()?;
        let mut args = Args::default();
        let takes_one = match self.peek() {
            Token::Name(name) => !["else", "or", "and"].contains(&name.as_str()),
            Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{") => true,
            _ => false,
        };
        if self.is_op("(") {
            args = self.args()?;
        } else if takes_one {
            if self.is_name("is") {
                return syntax("tests cannot be chained with is");
            }
            let argument = self.primary()?;
            args.positional.push(self.postfix(argument)?);
        }
        let test = Expr::Test(value.into(), name.into(), args);
        Ok(if negated { Expr::Unary(UnaryOp::Not, test.into()) } else { test })
    }
}
