//! Who said what.

use std::fmt;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, or whatever calls in a person's name.
    User,
    /// Instructions of the application.
    System,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
    /// What was remembered from earlier conversations.
    Memory,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::User, Role::System, Role::Assistant, Role::Tool, Role::Memory];

    /// The word that templates and policies use.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::Memory => "memory",
        }
    }

    /// The role of that name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// By its name, `developer` and `function` being the system's and the tool's. Written out because serde's own says of a
/// number only that it expected a value.
impl<'de> serde::Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(RoleName)
    }
}

struct RoleName;

impl serde::de::Visitor<'_> for RoleName {
    type Value = Role;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a role: user, system (or developer), assistant, tool (or function) or memory")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Role, E> {
        let found = match name {
            "developer" => Some(Role::System),
            "function" => Some(Role::Tool),
            _ => Role::named(name),
        };
        found.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call of a tool that a message asks for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ToolCall {
    /// Which tool.
    pub name: String,
    /// Its arguments, as the model wrote them (JSON as a rule).
    pub arguments: String,
}

/// Strings of several lines in the arguments of a call that are each scanned alone; the others are scanned together.
const MOST_ALONE: usize = 16;

impl ToolCall {
    /// What there is to scan: the arguments as they are written, and where they are JSON, the strings in them as the
    /// tool gets them, so that a program is read with its line breaks.
    pub(crate) fn readings(&self) -> Vec<String> {
        let mut strings = Vec::new();
        if let Ok(value) = serde_json::from_str(&self.arguments) {
            collect(value, &mut strings);
        }
        let (mut alone, mut together): (Vec<_>, Vec<_>) =
            strings.into_iter().partition(|text| text.contains('\n'));
        together.extend(alone.split_off(alone.len().min(MOST_ALONE)));
        let together = together.join("\n");
        let parts = [self.arguments.clone(), together].into_iter().chain(alone);
        parts.enumerate().filter(|(at, text)| *at == 0 || !text.is_empty()).map(|(_, text)| text).collect()
    }
}

/// The strings of a value. Its depth is bounded by the parser.
fn collect(value: serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => into.push(text),
        serde_json::Value::Array(values) => values.into_iter().for_each(|value| collect(value, into)),
        serde_json::Value::Object(fields) => fields.into_iter().for_each(|(_, value)| collect(value, into)),
        _ => {}
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Tools that are to be called.
    pub tool_calls: Vec<ToolCall>,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new() }
    }

    /// The same message with calls of tools.
    #[must_use]
    pub fn with_tool_calls(mut self, calls: Vec<ToolCall>) -> Self {
        self.tool_calls = calls;
        self
    }

    /// A user's message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// The application's instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A model's message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of a tool.
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new(Role::Tool, content)
    }

    /// Something remembered.
    pub fn memory(content: impl Into<String>) -> Self {
        Self::new(Role::Memory, content)
    }
}

/// Messages in the order in which they were said.
pub type Trace = Vec<Message>;
