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
    /// JavaScript and JSX.
    JavaScript,
    /// PHP: patterns only.
    Php,
    /// Python.
    Python,
    /// TypeScript and TSX; the rules of JavaScript hold for it.
    TypeScript,
}

/// What a name says code is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    Known(Language),
    /// A language that no rules exist for.
    Other,
    /// Nothing, or a name that is nobody's.
    Nothing,
}

/// Names of fences and endings of files, lower case.
const FENCES: &[(&str, Language)] = &[
    ("c", Language::C),
    ("h", Language::C),
    ("c++", Language::Cpp),
    ("cc", Language::Cpp),
    ("cpp", Language::Cpp),
    ("cxx", Language::Cpp),
    ("hh", Language::Cpp),
    ("hpp", Language::Cpp),
    ("hxx", Language::Cpp),
    ("c#", Language::CSharp),
    ("cs", Language::CSharp),
    ("csharp", Language::CSharp),
    ("java", Language::Java),
    ("javascript", Language::JavaScript),
    ("js", Language::JavaScript),
    ("jsx", Language::JavaScript),
    ("mjs", Language::JavaScript),
    ("cjs", Language::JavaScript),
    ("node", Language::JavaScript),
    ("ts", Language::TypeScript),
    ("mts", Language::TypeScript),
    ("cts", Language::TypeScript),
    ("tsx", Language::TypeScript),
    ("typescript", Language::TypeScript),
    ("php", Language::Php),
    ("py", Language::Python),
    ("py3", Language::Python),
    ("pyi", Language::Python),
    ("pyw", Language::Python),
    ("pycon", Language::Python),
    ("python", Language::Python),
    ("python3", Language::Python),
];

/// The same for languages that no rules exist for. Names of what carries code of others, such as `sh`, `html` and `md`, are left out.
const OTHERS: &[&str] = &[
    "ada",
    "asm",
    "awk",
    "clj",
    "clojure",
    "cobol",
    "css",
    "d",
    "dart",
    "ebnf",
    "elixir",
    "elm",
    "erl",
    "erlang",
    "ex",
    "exs",
    "f90",
    "fortran",
    "fs",
    "fsharp",
    "gleam",
    "go",
    "golang",
    "graphql",
    "haskell",
    "hcl",
    "hs",
    "ini",
    "jl",
    "julia",
    "kotlin",
    "kt",
    "kts",
    "latex",
    "less",
    "lisp",
    "lua",
    "matlab",
    "mojo",
    "mysql",
    "nim",
    "nix",
    "octave",
    "ocaml",
    "pascal",
    "perl",
    "pgsql",
    "pl",
    "plsql",
    "postgres",
    "postgresql",
    "powershell",
    "prolog",
    "proto",
    "protobuf",
    "ps1",
    "purescript",
    "pwsh",
    "r",
    "racket",
    "raku",
    "rb",
    "rs",
    "ruby",
    "rust",
    "sass",
    "scala",
    "scheme",
    "scss",
    "solidity",
    "sql",
    "sqlite",
    "swift",
    "terraform",
    "tex",
    "tf",
    "toml",
    "tsql",
    "vb",
    "vbnet",
    "verilog",
    "vhdl",
    "wgsl",
    "yaml",
    "yml",
    "zig",
];

/// How lines of a language begin that hardly begin so in another: what tells code of it under a name of another language.
const BEGINNINGS: &[(Language, &[&str])] = &[
    (Language::Cpp, &["#include "]),
    (Language::CSharp, &["using System"]),
    (Language::Java, &["import java", "public class "]),
    (Language::JavaScript, &["import ", "function "]),
    (Language::Php, &["<?php"]),
    (Language::Python, &["import ", "from ", "def "]),
];

impl Named {
    /// What the first word after a fence, or the ending of a file, says, whatever its case.
    pub(crate) fn by(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match FENCES.iter().find(|(known, _)| *known == name) {
            Some((_, language)) => Self::Known(*language),
            None if OTHERS.contains(&&name[..]) => Self::Other,
            None => Self::Nothing,
        }
    }

    pub(crate) fn language(self) -> Option<Language> {
        match self {
            Self::Known(language) => Some(language),
            Self::Other | Self::Nothing => None,
        }
    }
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 8] = [
        Self::C,
        Self::Cpp,
        Self::CSharp,
        Self::Java,
        Self::JavaScript,
        Self::Php,
        Self::Python,
        Self::TypeScript,
    ];

    /// Its name in reports, which is the one in the Python CodeShield where that knows it.
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
            Self::TypeScript => "typescript",
        }
    }

    /// The language that the first word after a fence names, whatever its case: `python`, `c++`, `tsx`.
    #[must_use]
    pub fn of_fence(name: &str) -> Option<Self> {
        Named::by(name).language()
    }

    /// Languages that a line of the code begins like.
    pub(crate) fn suggested_by(code: &str) -> impl Iterator<Item = Self> + '_ {
        let begins = |line: &str, beginnings: &[&str]| beginnings.iter().any(|start| line.starts_with(start));
        BEGINNINGS.iter().filter_map(move |(language, beginnings)| {
            code.lines().any(|line| begins(line.trim_start(), beginnings)).then_some(*language)
        })
    }

    /// Whether rules for `rule` hold for code of this language.
    pub(crate) fn is_ruled_by(self, rule: Self) -> bool {
        self == rule || matches!((self, rule), (Self::Cpp, Self::C) | (Self::TypeScript, Self::JavaScript))
    }

    /// The grammars that may read its code. The first that reads it from end to end is right: assertions of TypeScript (`<string>x`) look
    /// like JSX, so that each has a grammar, and TypeScript is often called JavaScript, which both read. The last has the fewest words of its
    /// own, and is the one for code among prose.
    pub(crate) fn grammars(self) -> &'static [Grammar] {
        match self {
            Self::C | Self::Cpp => &[Grammar::Cpp],
            Self::CSharp => &[Grammar::CSharp],
            Self::Java => &[Grammar::Java],
            Self::JavaScript => &[Grammar::Tsx, Grammar::TypeScript, Grammar::JavaScript],
            Self::Php => &[],
            Self::Python => &[Grammar::Python],
            Self::TypeScript => &[Grammar::TypeScript, Grammar::Tsx],
        }
    }

    /// The rules over syntax trees that are written for this language; those of C++ are C's, those of TypeScript JavaScript's.
    pub(crate) fn tree_rules(self) -> &'static [TreeRule] {
        match self {
            Self::C => rules::C,
            Self::CSharp => rules::CSHARP,
            Self::Java => rules::JAVA,
            Self::JavaScript => rules::JAVASCRIPT,
            Self::Python => rules::PYTHON,
            Self::Cpp | Self::Php | Self::TypeScript => &[],
        }
    }
}
