//! Languages that rules exist for, and the names that code fences give them.

use crate::rules::{self, TreeRule};
use crate::syntax::Grammar;

/// A language that rules exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// C.
    C,
    /// C++; the rules of C hold for it too.
    Cpp,
    /// C#.
    CSharp,
    /// Java.
    Java,
    /// JavaScript, JSX and, as far as the grammar reads it, TypeScript.
    JavaScript,
    /// PHP: patterns only.
    Php,
    /// Python.
    Python,
}

/// Names of fences, lower case.
const FENCES: &[(&str, Language)] = &[
    ("c", Language::C),
    ("h", Language::C),
    ("c++", Language::Cpp),
    ("cc", Language::Cpp),
    ("cpp", Language::Cpp),
    ("cxx", Language::Cpp),
    ("hpp", Language::Cpp),
    ("c#", Language::CSharp),
    ("cs", Language::CSharp),
    ("csharp", Language::CSharp),
    ("java", Language::Java),
    ("javascript", Language::JavaScript),
    ("js", Language::JavaScript),
    ("jsx", Language::JavaScript),
    ("mjs", Language::JavaScript),
    ("node", Language::JavaScript),
    ("ts", Language::JavaScript),
    ("tsx", Language::JavaScript),
    ("typescript", Language::JavaScript),
    ("php", Language::Php),
    ("py", Language::Python),
    ("py3", Language::Python),
    ("pycon", Language::Python),
    ("python", Language::Python),
    ("python3", Language::Python),
];

impl Language {
    /// All languages.
    pub const ALL: [Self; 7] =
        [Self::C, Self::Cpp, Self::CSharp, Self::Java, Self::JavaScript, Self::Php, Self::Python];

    /// Its name in reports, which is the one in the Python CodeShield.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::CSharp => "csharp",
            Self::Java => "java",
            Self::JavaScript => "javascript",
            Self::Php => "php",
            Self::Python => "python",
        }
    }

    /// The language that the first word after a fence names, whatever its case: `python`, `c++`, `tsx`.
    #[must_use]
    pub fn of_fence(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        FENCES.iter().find(|(known, _)| *known == name).map(|(_, language)| *language)
    }

    /// Whether rules for `rule` hold for code of this language.
    pub(crate) fn is_ruled_by(self, rule: Self) -> bool {
        self == rule || (self == Self::Cpp && rule == Self::C)
    }

    pub(crate) fn grammar(self) -> Option<Grammar> {
        match self {
            Self::C | Self::Cpp => Some(Grammar::Cpp),
            Self::CSharp => Some(Grammar::CSharp),
            Self::Java => Some(Grammar::Java),
            Self::JavaScript => Some(Grammar::JavaScript),
            Self::Php => None,
            Self::Python => Some(Grammar::Python),
        }
    }

    /// The rules over syntax trees that are written for this language; those of C++ are C's.
    pub(crate) fn tree_rules(self) -> &'static [TreeRule] {
        match self {
            Self::C => rules::C,
            Self::CSharp => rules::CSHARP,
            Self::Java => rules::JAVA,
            Self::JavaScript => rules::JAVASCRIPT,
            Self::Python => rules::PYTHON,
            Self::Cpp | Self::Php => &[],
        }
    }
}
