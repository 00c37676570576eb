//! What a rule found.

use std::ops::Range;

use crate::language::Language;

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Advice,
    /// Worth a look by a person.
    Warning,
    /// Not to be used as it is.
    Error,
}

/// What should happen to code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// Nothing was found.
    Ignore,
    /// Tell the user.
    Warn,
    /// Do not pass it on.
    Block,
}

impl Severity {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// What code with an issue of this severity should get: an error blocks, everything else warns.
    #[must_use]
    pub fn treatment(self) -> Treatment {
        match self {
            Self::Error => Treatment::Block,
            Self::Advice | Self::Warning => Treatment::Warn,
        }
    }
}

/// One place at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The rule, by its name in the Python CodeShield.
    pub rule: &'static str,
    /// The weakness, such as `CWE-78`.
    pub cwe: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in words that do not repeat the code.
    pub message: &'static str,
    /// The language of the rule; `None` for secrets, which no language has to itself.
    pub language: Option<Language>,
    /// Where, in bytes of the text that was scanned.
    pub span: Range<usize>,
    /// Line in that text, from 1.
    pub line: usize,
}

impl Issue {
    /// What should happen because of this issue.
    #[must_use]
    pub fn treatment(&self) -> Treatment {
        self.severity.treatment()
    }
}
