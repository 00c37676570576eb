//! What the kinds and fields of each grammar mean, in words that all of them share.

use std::sync::OnceLock;

/// A grammar that is linked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// C++, which reads C too.
    Cpp,
    CSharp,
    Java,
    /// JavaScript with JSX.
    JavaScript,
    Python,
    /// TypeScript with JSX, but without assertions in angle brackets; it reads JavaScript too.
    Tsx,
    TypeScript,
}

/// What a node is to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Argument,
    Arguments,
    Array,
    Assign,
    Attribute,
    Augment,
    Binary,
    Block,
    Boolean,
    Call,
    Cast,
    Class,
    Comment,
    Conditional,
    Declaration,
    Declarator,
    ForEach,
    Function,
    If,
    Import,
    Initializer,
    Interpolation,
    JsxAttribute,
    JsxText,
    Lambda,
    Member,
    Name,
    New,
    Number,
    Object,
    Pair,
    Parameter,
    Paren,
    Pointer,
    Regex,
    Return,
    Str,
    Subscript,
    Template,
    Other,
}

/// How a node hangs on its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Arguments,
    Body,
    Condition,
    Consequence,
    Declarator,
    Function,
    Initializer,
    Key,
    Name,
    Object,
    Left,
    Operator,
    Parameters,
    Right,
    Source,
    Type,
    Value,
    Alternative,
    None,
}

/// Roles and names of kinds, and meanings of fields, by the numbers that the grammar gives them.
pub(crate) struct Vocabulary {
    pub language: tree_sitter::Language,
    pub roles: Vec<Role>,
    pub names: Vec<String>,
    pub fields: Vec<Field>,
}

impl Grammar {
    /// Whether it is one of JavaScript's or TypeScript's.
    pub(crate) fn reads_scripts(self) -> bool {
        matches!(self, Self::JavaScript | Self::Tsx | Self::TypeScript)
    }

    /// The grammar's vocabulary, made once.
    pub(crate) fn vocabulary(self) -> &'static Vocabulary {
        static MADE: [OnceLock<Vocabulary>; 7] = [const { OnceLock::new() }; 7];
        MADE[self as usize].get_or_init(|| self.read_vocabulary())
    }

    fn read_vocabulary(self) -> Vocabulary {
        let language: tree_sitter::Language = match self {
            Self::Cpp => tree_sitter_cpp::LANGUAGE.into(),
            Self::CSharp => tree_sitter_c_sharp::LANGUAGE.into(),
            Self::Java => tree_sitter_java::LANGUAGE.into(),
            Self::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Self::Python => tree_sitter_python::LANGUAGE.into(),
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        };
        let kinds = u16::try_from(language.node_kind_count()).unwrap_or(u16::MAX);
        let name = |id| language.node_kind_for_id(id).unwrap_or_default().to_owned();
        let names: Vec<String> = (0..kinds).map(name).collect();
        let roles = names.iter().map(|name| self.role(name)).collect();
        let fields = u16::try_from(language.field_count()).unwrap_or(u16::MAX);
        let fields =
            (0..=fields).map(|id| language.field_name_for_id(id).map_or(Field::None, field)).collect();
        Vocabulary { language, roles, names, fields }
    }

    /// The same word means different things in two grammars: `attribute` is a member in Python and an annotation
    /// in C#.
    fn role(self, kind: &str) -> Role {
        match (self, kind) {
            (Self::Python, "attribute") => Role::Member,
            (Self::CSharp, "argument") | (Self::Python, "keyword_argument") => Role::Argument,
            (Self::CSharp, "tuple_expression") => Role::Other,
            (Self::CSharp, "attribute_list") => Role::Other,
            _ => role(kind),
        }
    }
}

/// Kinds that mean the same in every grammar that has them; any other means nothing to a rule.
const ROLES: &[(Role, &[&str])] = &[
    (Role::Arguments, &["argument_list", "arguments"]),
    (Role::Array, &["array", "list", "tuple", "array_creation_expression", "initializer_list"]),
    (Role::Assign, &["assignment", "assignment_expression"]),
    (Role::Attribute, &["attribute"]),
    (Role::Augment, &["augmented_assignment", "augmented_assignment_expression", "update_expression"]),
    (Role::Binary, &["binary_operator", "binary_expression"]),
    (
        Role::Block,
        &[
            "block",
            "statement_block",
            "compound_statement",
            "module",
            "program",
            "translation_unit",
            "compilation_unit",
            "class_body",
            "declaration_list",
            "field_declaration_list",
            "constructor_body",
            "switch_section",
            "switch_case",
            "switch_default",
            "switch_block_statement_group",
            "case_statement",
            "preproc_if",
            "preproc_ifdef",
            "preproc_else",
            "preproc_elif",
        ],
    ),
    (Role::Boolean, &["true", "false", "boolean_literal"]),
    (Role::Call, &["call", "call_expression", "method_invocation", "invocation_expression"]),
    (Role::Cast, &["cast_expression"]),
    (Role::Class, &["class_declaration", "class_definition", "class_specifier", "struct_specifier", "class"]),
    (Role::Conditional, &["conditional_expression", "ternary_expression"]),
    (Role::Comment, &["comment", "line_comment", "block_comment"]),
    (
        Role::Declaration,
        &[
            "declaration",
            "local_variable_declaration",
            "field_declaration",
            "variable_declaration",
            "lexical_declaration",
        ],
    ),
    (Role::Declarator, &["variable_declarator", "init_declarator"]),
    (
        Role::ForEach,
        &[
            "for_statement",
            "for_in_statement",
            "for_in_clause",
            "foreach_statement",
            "enhanced_for_statement",
            "for_range_loop",
        ],
    ),
    (
        Role::Function,
        &[
            "function_definition",
            "function_declaration",
            "function_expression",
            "generator_function",
            "generator_function_declaration",
            "method_definition",
            "method_declaration",
            "constructor_declaration",
            "local_function_statement",
        ],
    ),
    (Role::Lambda, &["lambda", "arrow_function", "lambda_expression", "anonymous_method_expression"]),
    (Role::If, &["if_statement"]),
    (Role::Import, &["import_statement", "import_from_statement", "import_declaration", "using_directive"]),
    (Role::Initializer, &["initializer_expression"]),
    (Role::Interpolation, &["interpolation", "template_substitution"]),
    (Role::JsxAttribute, &["jsx_attribute"]),
    (Role::JsxText, &["jsx_text"]),
    (
        Role::Member,
        &[
            "member_expression",
            "field_access",
            "field_expression",
            "member_access_expression",
            "qualified_name",
            "qualified_identifier",
            "scoped_identifier",
            "scoped_type_identifier",
        ],
    ),
    (
        Role::Name,
        &[
            "identifier",
            "property_identifier",
            "shorthand_property_identifier",
            "shorthand_property_identifier_pattern",
            "type_identifier",
            "field_identifier",
            "namespace_identifier",
            "dotted_name",
            "this",
            "generic_name",
        ],
    ),
    (Role::New, &["new_expression", "object_creation_expression"]),
    (
        Role::Number,
        &[
            "integer",
            "float",
            "number",
            "number_literal",
            "decimal_integer_literal",
            "integer_literal",
            "real_literal",
        ],
    ),
    (Role::Object, &["object", "object_pattern"]),
    (Role::Pair, &["pair", "pair_pattern"]),
    (
        Role::Parameter,
        &[
            "parameter",
            "formal_parameter",
            "typed_parameter",
            "default_parameter",
            "parameter_declaration",
            "required_parameter",
            "optional_parameter",
        ],
    ),
    (Role::Paren, &["parenthesized_expression", "condition_clause", "as_expression", "type_assertion"]),
    (Role::Pointer, &["pointer_expression"]),
    (Role::Regex, &["regex"]),
    (Role::Return, &["return_statement"]),
    (
        Role::Str,
        &["string", "string_literal", "concatenated_string", "verbatim_string_literal", "raw_string_literal"],
    ),
    (Role::Subscript, &["subscript", "subscript_expression", "element_access_expression"]),
    (Role::Template, &["template_string", "interpolated_string_expression"]),
];

fn role(kind: &str) -> Role {
    ROLES.iter().find(|(_, kinds)| kinds.contains(&kind)).map_or(Role::Other, |(role, _)| *role)
}

fn field(name: &str) -> Field {
    match name {
        "arguments" => Field::Arguments,
        "body" => Field::Body,
        "condition" => Field::Condition,
        "consequence" => Field::Consequence,
        "alternative" => Field::Alternative,
        "declarator" => Field::Declarator,
        "function" | "constructor" => Field::Function,
        "initializer" => Field::Initializer,
        "key" => Field::Key,
        "name" | "attribute" | "property" | "field" => Field::Name,
        "object" | "expression" | "argument" | "scope" | "qualifier" => Field::Object,
        "left" => Field::Left,
        "operator" => Field::Operator,
        "parameters" | "parameter" => Field::Parameters,
        "right" => Field::Right,
        "source" | "module_name" => Field::Source,
        "type" | "returns" => Field::Type,
        "value" => Field::Value,
        _ => Field::None,
    }
}
