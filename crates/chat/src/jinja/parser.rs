//! From tokens to statements.

use super::ast::{CallBlock, Expr, For, Macro, Mentions, Stmt, Target, What};
use super::error::{Kind, Result, TemplateError};
use super::lexer::{Spanned, Token, tokenize};
use super::value::Value;

/// Nested expressions and blocks.
const MAX_DEPTH: usize = 200;

/// Reads a template.
pub(crate) fn parse(source: &str) -> Result<Vec<Stmt>> {
    let tokens = tokenize(source)?;
    let mut parser = Parser { tokens, at: 0, depth: 0, loops: 0, mentions: Mentions::default() };
    let line = |p: &Parser| p.line();
    let parsed = parser.statements(&[]).and_then(|body| match parser.peek() {
        Token::End => Ok(body),
        _ => parser.unexpected("a statement"),
    });
    parsed.map_err(|e| e.at(line(&parser)))
}

pub(crate) struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    pub depth: usize,
    loops: usize,
    pub mentions: Mentions,
}

pub(crate) fn syntax<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError::new(Kind::Syntax, message))
}

impl Parser {
    pub fn peek(&self) -> &Token {
        self.look(0)
    }

    pub fn look(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::End, |(token, _)| token)
    }

    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    pub fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    pub fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Token::Op(o) if *o == op)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(n) if n == name)
    }

    pub fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) { Ok(()) } else { self.unexpected(&format!("'{op}'")) }
    }

    pub fn expect_name(&mut self) -> Result<String> {
        match self.peek() {
            Token::Name(_) => match self.next() {
                Token::Name(name) => Ok(name),
                _ => syntax("expected a name"),
            },
            _ => self.unexpected("a name"),
        }
    }

    pub fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        let found = match self.peek() {
            Token::Name(name) => format!("'{name}'"),
            Token::Op(op) => format!("'{op}'"),
            Token::End => "the end of the template".to_owned(),
            Token::BlockEnd => "'%}'".to_owned(),
            Token::VariableEnd => "'}}'".to_owned(),
            Token::Str(_) | Token::Int(_) | Token::Float(_) => "a constant".to_owned(),
            _ => "text".to_owned(),
        };
        syntax(format!("expected {wanted}, found {found}"))
    }

    /// Runs `parse` one level deeper.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let depth = self.depth;
        self.deeper()?;
        let parsed = parse(self);
        self.depth = depth;
        parsed
    }

    /// One more level of the tree, whose depth bounds the stack of everything that walks it.
    pub fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth <= MAX_DEPTH {
            true => Ok(()),
            false => {
                let message = format!("expressions and blocks nest deeper than {MAX_DEPTH}");
                Err(TemplateError::new(Kind::Limit, message))
            }
        }
    }

    /// Statements up to a block that begins with one of `ends`, whose name is not taken yet, or the end.
    fn statements(&mut self, ends: &[&str]) -> Result<Vec<Stmt>> {
        self.nested(|p| {
            let mut body = Vec::new();
            let depth = p.depth;
            loop {
                p.depth = depth;
                let line = p.line();
                let what = match p.peek() {
                    Token::End => return Ok(body),
                    Token::Text(_) => match p.next() {
                        Token::Text(text) => What::Text(text.into()),
                        _ => return syntax("expected text"),
                    },
                    Token::VariableBegin => {
                        p.next();
                        let value = p.tuple(true)?;
                        p.end(&Token::VariableEnd)?;
                        What::Print(value)
                    }
                    Token::BlockBegin => {
                        if matches!(p.look(1), Token::Name(name) if ends.contains(&name.as_str())) {
                            p.next();
                            return Ok(body);
                        }
                        p.next();
                        p.statement()?
                    }
                    _ => return p.unexpected("a statement"),
                };
                body.push(Stmt { line, what });
            }
        })
    }

    fn end(&mut self, token: &Token) -> Result<()> {
        if self.peek() != token {
            return self.unexpected(if *token == Token::BlockEnd { "'%}'" } else { "'}}'" });
        }
        self.at += 1;
        Ok(())
    }

    fn block_end(&mut self) -> Result<()> {
        self.end(&Token::BlockEnd)
    }

    /// The rest of an opening block, statements, and the closing block `end`.
    fn body(&mut self, end: &str) -> Result<Vec<Stmt>> {
        self.block_end()?;
        let body = self.statements(&[end])?;
        self.closing(end)?;
        Ok(body)
    }

    fn closing(&mut self, end: &str) -> Result<()> {
        if !self.skip_name(end) {
            return self.unexpected(&format!("'{end}'"));
        }
        self.block_end()
    }

    fn statement(&mut self) -> Result<What> {
        let name = self.expect_name()?;
        Ok(match name.as_str() {
            "if" => self.if_block()?,
            "for" => self.for_block()?,
            "set" => self.set()?,
            "macro" => self.macro_block()?,
            "call" => self.call_block()?,
            "with" => self.with_block()?,
            "filter" => {
                let filter = self.filters(None, true)?;
                What::Filter(filter, self.body("endfilter")?)
            }
            "generation" => What::Plain(self.body("endgeneration")?),
            "autoescape" => {
                if !matches!(self.expression()?, Expr::Const(Value::Bool(false))) {
                    return syntax("only {% autoescape false %} is supported: escape texts by |e");
                }
                What::Plain(self.body("endautoescape")?)
            }
            "block" => self.named_block()?,
            "print" => {
                let value = self.tuple(true)?;
                self.block_end()?;
                What::Print(value)
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return syntax(format!("'{name}' outside of a loop"));
                }
                self.block_end()?;
                if name == "break" { What::Break } else { What::Continue }
            }
            "include" => self.load("include")?,
            "import" => self.load("import")?,
            "from" => self.load("from")?,
            "extends" => self.load("extends")?,
            other => return syntax(format!("unknown tag '{other}'")),
        })
    }

    fn if_block(&mut self) -> Result<What> {
        let mut arms = Vec::new();
        loop {
            let test = self.tuple(false)?;
            self.block_end()?;
            arms.push((test, self.statements(&["elif", "else", "endif"])?));
            if self.skip_name("elif") {
                continue;
            }
            let mut otherwise = Vec::new();
            if self.skip_name("else") {
                self.block_end()?;
                otherwise = self.statements(&["endif"])?;
            }
            self.closing("endif")?;
            return Ok(What::If(arms, otherwise));
        }
    }

    fn for_block(&mut self) -> Result<What> {
        let target = self.target(false)?;
        if target.sets("loop") {
            return syntax("can't assign to special loop variable in for-loop target");
        }
        if !self.skip_name("in") {
            return self.unexpected("'in'");
        }
        let list = self.tuple(false)?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.block_end()?;
        self.loops += 1;
        let body = self.statements(&["endfor", "else"])?;
        self.loops -= 1;
        let mut otherwise = Vec::new();
        if self.skip_name("else") {
            self.block_end()?;
            otherwise = self.statements(&["endfor"])?;
        }
        self.closing("endfor")?;
        Ok(What::For(Box::new(For { target, list, test, recursive, body, otherwise })))
    }

    fn set(&mut self) -> Result<What> {
        let target = self.target(true)?;
        if self.skip_op("=") {
            let value = self.tuple(true)?;
            self.block_end()?;
            return Ok(What::Set(target, value));
        }
        let filter = if self.is_op("|") { Some(self.filters(None, false)?) } else { None };
        Ok(What::SetBlock(target, filter, self.body("endset")?))
    }

    /// Names to assign to; `attributes` allows `ns.x`.
    fn target(&mut self, attributes: bool) -> Result<Target> {
        let first = self.one_target(attributes)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip_op(",") {
            if !matches!(self.peek(), Token::Name(name) if name != "in") && !self.is_op("(") {
                break;
            }
            targets.push(self.one_target(attributes)?);
        }
        Ok(Target::Tuple(targets))
    }

    fn one_target(&mut self, attributes: bool) -> Result<Target> {
        if self.skip_op("(") {
            let target = self.nested(|p| p.target(attributes))?;
            self.expect_op(")")?;
            return Ok(match target {
                Target::Tuple(_) => target,
                one => one,
            });
        }
        let name = self.expect_name()?;
        if ["true", "false", "none", "True", "False", "None"].contains(&name.as_str()) {
            return syntax(format!("can't assign to '{name}'"));
        }
        if attributes && self.skip_op(".") {
            return Ok(Target::Attribute(name.into(), self.expect_name()?.into()));
        }
        Ok(Target::Name(name.into()))
    }

    fn params(&mut self) -> Result<Vec<(std::sync::Arc<str>, Option<Expr>)>> {
        self.expect_op("(")?;
        let mut params: Vec<(std::sync::Arc<str>, Option<Expr>)> = Vec::new();
        while !self.skip_op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.expect_name()?;
            let default = if self.skip_op("=") { Some(self.expression()?) } else { None };
            if default.is_none() && params.last().is_some_and(|p| p.1.is_some()) {
                return syntax("a parameter without a default follows one with a default");
            }
            params.push((name.into(), default));
        }
        Ok(params)
    }

    fn macro_block(&mut self) -> Result<What> {
        let name = self.expect_name()?.into();
        let params = self.params()?;
        let (body, mentions) = self.macro_body("endmacro")?;
        Ok(What::Macro(Box::new(Macro { name, params, body, mentions })))
    }

    /// Loops around a macro are not loops of its body.
    fn macro_body(&mut self, end: &str) -> Result<(Vec<Stmt>, Mentions)> {
        let loops = std::mem::take(&mut self.loops);
        let around = std::mem::take(&mut self.mentions);
        let body = self.body(end)?;
        self.loops = loops;
        let mine = std::mem::replace(&mut self.mentions, around);
        self.mentions.caller |= mine.caller;
        self.mentions.varargs |= mine.varargs;
        self.mentions.kwargs |= mine.kwargs;
        Ok((body, mine))
    }

    fn call_block(&mut self) -> Result<What> {
        let params = if self.is_op("(") { self.params()? } else { Vec::new() };
        let call = self.expression()?;
        if !matches!(call, Expr::Call(..)) {
            return syntax("expected a call");
        }
        let (body, mentions) = self.macro_body("endcall")?;
        let caller = Macro { name: "caller".into(), params, body, mentions };
        Ok(What::Call(Box::new(CallBlock { call, caller })))
    }

    fn with_block(&mut self) -> Result<What> {
        let mut pairs = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !pairs.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.one_target(false)?;
            self.expect_op("=")?;
            pairs.push((target, self.expression()?));
        }
        Ok(What::With(pairs, self.body("endwith")?))
    }

    fn named_block(&mut self) -> Result<What> {
        let name = self.expect_name()?;
        while self.skip_name("scoped") || self.skip_name("required") {}
        self.block_end()?;
        let body = self.statements(&["endblock"])?;
        self.skip_name("endblock");
        self.skip_name(&name);
        self.block_end()?;
        Ok(What::Scope(body))
    }

    /// Tags that load other templates: taken as far as their end.
    fn load(&mut self, tag: &'static str) -> Result<What> {
        self.expression()?;
        while matches!(self.peek(), Token::Name(_)) || self.is_op(",") {
            self.next();
        }
        self.block_end()?;
        Ok(What::Load(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_line() {
        for (source, line, word) in [
            ("a\n{% for %}", 2, "expected a name"),
            ("{% if x %}\n\n", 2, "expected 'endif'"),
            ("{{ a b }}", 1, "expected '}}'"),
            ("{% nonsense %}", 1, "unknown tag"),
            ("{% break %}", 1, "outside of a loop"),
            ("{% endif %}", 1, "unknown tag 'endif'"),
            ("{% set true = 1 %}", 1, "can't assign"),
        ] {
            let error = parse(source).unwrap_err();
            assert!(error.message.contains(word), "{source}: {error}");
            assert_eq!(error.line, line, "{source}: {error}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        for source in [
            "(".repeat(5000),
            "[".repeat(5000),
            "-".repeat(5000),
            "not ".repeat(5000),
            "a if b else ".repeat(5000),
        ] {
            assert!(parse(&format!("{{{{ {source} }}}}")).is_err());
        }
        assert_eq!(parse(&"{% if a %}".repeat(5000)).unwrap_err().kind, Kind::Limit);
        assert!(parse(&format!("{{{{ a{} }}}}", ".b".repeat(5000))).is_err());
        assert!(parse(&format!("{{{{ a{} }}}}", "|b".repeat(5000))).is_err());
        assert!(parse(&format!("{{{{ a{} }}}}", "+b".repeat(5000))).is_err());
    }
}
