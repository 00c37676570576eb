//! What a model is asked to continue.

use llamafirewall_core::{Content, Message, Role};
use torchless_chat::Conversation;

/// Text to complete, or a conversation to answer.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// Completed as it is, without a template.
    Text(String),
    /// Rendered by the model's chat template.
    Chat(Vec<Message>),
    /// The same for messages with more than text: tool calls, reasoning, tools to call.
    Conversation(Conversation),
}

impl Content for Prompt {
    fn visit(&self, visit: &mut dyn FnMut(Role, &str)) {
        match self {
            Prompt::Text(text) => text.visit(visit),
            Prompt::Chat(messages) => messages.visit(visit),
            Prompt::Conversation(conversation) => {
                conversation.visit_texts(&mut |role, text| visit(role_named(role), text));
            }
        }
    }
}

/// Who a message is from, for the firewall; whatever is not known is as little trusted as the result of a tool.
fn role_named(name: &str) -> Role {
    match name {
        "user" => Role::User,
        "system" | "developer" => Role::System,
        "assistant" | "model" => Role::Assistant,
        _ => Role::Tool,
    }
}
