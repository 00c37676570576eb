//! Why a template could not be compiled or rendered.

/// What kind of trouble a template met, in the classes that Jinja and Python have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is no template.
    Syntax,
    /// It used something that does not exist.
    Undefined,
    /// An operation does not fit its operands.
    Type,
    /// A value is of the right type and still wrong.
    Value,
    /// It asked for what templates may not have.
    Security,
    /// It called `raise_exception`.
    Raised,
    /// It needs more steps, memory or depth than a template gets.
    Limit,
    /// Anything else.
    Runtime,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Syntax => "syntax error",
            Kind::Undefined => "undefined",
            Kind::Type => "wrong type",
            Kind::Value => "wrong value",
            Kind::Security => "not allowed",
            Kind::Raised => "the template refuses",
            Kind::Limit => "limit",
            Kind::Runtime => "error",
        }
    }
}

/// An error of a template, with the line where it happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}: {message}", kind.words())]
pub struct TemplateError {
    /// Which class.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// Line of the template, counted from 1.
    pub line: u32,
}

/// Bytes of a message at most; what a template says may be long and hostile.
const MAX_MESSAGE: usize = 500;

impl TemplateError {
    /// An error on a line that is filled in later.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: clipped(message.into()), line: 0 }
    }

    pub(crate) fn at(mut self, line: u32) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }
}

/// `message`, or its beginning where it is long.
pub(crate) fn clipped(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let cut = (0..=MAX_MESSAGE).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(cut);
        message.push_str("...");
    }
    message
}

pub(crate) type Result<T> = std::result::Result<T, TemplateError>;

pub(crate) fn fail<T>(kind: Kind, message: impl Into<String>) -> Result<T> {
    Err(TemplateError::new(kind, message))
}

pub(crate) fn type_error<T>(message: impl Into<String>) -> Result<T> {
    fail(Kind::Type, message)
}

pub(crate) fn value_error<T>(message: impl Into<String>) -> Result<T> {
    fail(Kind::Value, message)
}
