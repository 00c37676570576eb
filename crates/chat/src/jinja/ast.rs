//! What a template says, as a tree. No behaviour.

use super::value::Value;
use std::sync::Arc;

/// A name as the template spells it.
pub(crate) type Name = Arc<str>;

#[derive(Debug)]
pub(crate) enum Expr {
    Const(Value),
    Name(Name),
    /// Adjacent parts of a tuple, list or dict.
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Unary(UnaryOp, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    IfElse(Box<IfElse>),
    Attribute(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Args),
    /// The subject is missing in `{% filter %}` and `{% set %}` blocks, which bring their own.
    Filter(Option<Box<Expr>>, Name, Args),
    Test(Box<Expr>, Name, Args),
}

#[derive(Debug)]
pub(crate) struct IfElse {
    pub test: Expr,
    pub then: Expr,
    pub otherwise: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Not,
    Neg,
    Pos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// Arguments of a call, a filter or a test.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub positional: Vec<Expr>,
    pub named: Vec<(Name, Expr)>,
    /// `*list`
    pub rest: Option<Box<Expr>>,
    /// `**dict`
    pub named_rest: Option<Box<Expr>>,
}

#[derive(Debug)]
pub(crate) struct Stmt {
    pub line: u32,
    pub what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Text(Arc<str>),
    Print(Expr),
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    For(Box<For>),
    Set(Target, Expr),
    SetBlock(Target, Option<Expr>, Vec<Stmt>),
    Macro(Box<Macro>),
    Call(Box<CallBlock>),
    Filter(Expr, Vec<Stmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    /// A block that has a scope and nothing else.
    Scope(Vec<Stmt>),
    /// `{% generation %}` and `{% autoescape %}`: what is inside, as it is.
    Plain(Vec<Stmt>),
    /// `include`, `import`, `from`, `extends`: there is nothing to load from.
    Load(&'static str),
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) enum Target {
    Name(Name),
    /// `ns.x`
    Attribute(Name, Name),
    Tuple(Vec<Target>),
}

impl Target {
    /// Whether a variable called `name` is among what is set.
    pub fn sets(&self, name: &str) -> bool {
        match self {
            Target::Name(own) => &**own == name,
            Target::Attribute(..) => false,
            Target::Tuple(targets) => targets.iter().any(|target| target.sets(name)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct For {
    pub target: Target,
    pub list: Expr,
    pub test: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(crate) struct Macro {
    pub name: Name,
    pub params: Vec<(Name, Option<Expr>)>,
    pub body: Vec<Stmt>,
    pub mentions: Mentions,
}

/// Names that a macro is given only if it speaks of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mentions {
    pub caller: bool,
    pub varargs: bool,
    pub kwargs: bool,
}

#[derive(Debug)]
pub(crate) struct CallBlock {
    pub call: Expr,
    pub caller: Macro,
}
