//! What a model is asked to continue.

use llamafirewall_core::{Content, Field, Message, Role, ToolCall};
use torchless_chat::{Conversation, Said, thought};

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
    fn visit(&self, visit: &mut dyn FnMut(Message)) {
        match self {
            Prompt::Text(text) => text.visit(visit),
            Prompt::Chat(messages) => messages.visit(visit),
            Prompt::Conversation(conversation) => conversation.visit(&mut |said| visit(message(said))),
        }
    }
}

fn message(said: Said) -> Message {
    let thought = thought(said.fields.iter().map(|(place, text)| (&place[..], &text[..])));
    let calls = said.calls.into_iter().map(|(name, arguments)| ToolCall { name, arguments });
    let fields = said.fields.into_iter().map(|(place, text)| Field { place, text });
    Message::of_parts(role_named(&said.role), said.parts)
        .with_tool_calls(calls.collect())
        .with_fields(fields.collect())
        .after_thought(thought)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_its_messages_and_nothing_stands_before_what_they_say() {
        let json = r#"[{"role": "user", "name": "bob", "content": [{"type": "text", "text": "Book"}, {"type": "text", "text": "a table."}]},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "tool_call_id": "1", "content": "done"}]"#;
        let mut seen = Vec::new();
        let prompt = Prompt::Conversation(Conversation::from_json(json).expect("a conversation"));
        prompt.visit(&mut |message| seen.push(message));
        let field = |place: &str, text: &str| vec![Field { place: place.to_owned(), text: text.to_owned() }];
        let call = ToolCall { name: "f".to_owned(), arguments: "{}".to_owned() };
        let want = [
            Message::of_parts(Role::User, ["Book", "a table."]).with_fields(field("name", "bob")),
            Message::assistant("").with_tool_calls(vec![call]).with_fields(field("tool_calls[0].id", "1")),
            Message::tool("done").with_fields(field("tool_call_id", "1")),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn what_was_thought_stands_among_the_fields_and_before_the_content() {
        for (message, thought) in [
            (r#"{"role": "assistant", "content": "a", "reasoning_content": "b", "thinking": "b"}"#, "b"),
            (
                r#"{"role": "assistant", "content": [{"type": "thinking", "thinking": "b"}, {"text": "a"}], "reasoning": "c"}"#,
                "bc",
            ),
            (r#"{"role": "assistant", "content": "a", "x": {"thinking": "b"}}"#, ""),
        ] {
            let conversation = Conversation::from_json(&format!("[{message}]")).expect("a conversation");
            let mut seen = Vec::new();
            Prompt::Conversation(conversation).visit(&mut |message| seen.push(message));
            assert_eq!((&seen[0].thought[..], seen[0].fields.is_empty()), (thought, false), "{message}");
        }
    }
}
