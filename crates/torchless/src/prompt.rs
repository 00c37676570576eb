//! What a model is asked to continue.

use llamafirewall_core::{Content, Message, Role};

/// Text to complete, or a conversation to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Completed as it is, without a template.
    Text(String),
    /// Rendered by the model's chat template.
    Chat(Vec<Message>),
}

impl Content for Prompt {
    fn visit(&self, visit: &mut dyn FnMut(Role, &str)) {
        match self {
            Prompt::Text(text) => text.visit(visit),
            Prompt::Chat(messages) => messages.visit(visit),
        }
    }
}
