//! Who said what.

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}
