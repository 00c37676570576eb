//! Messages, in the shape that chat templates expect.

use crate::data::{Data, DataError};
use crate::jinja::{Dict, SeqKind, Value};
use crate::reply::Tools;
use crate::said::Said;
use std::sync::Arc;

/// Roles that programs give to messages. The words belong to the program, also where a file spells them: templates
/// make control tokens of some of them.
pub(crate) const ROLES: [&str; 12] = [
    "assistant",
    "context",
    "developer",
    "document",
    "documents",
    "function",
    "ipython",
    "model",
    "system",
    "tool",
    "tool_response",
    "user",
];

/// Messages in order, and the tools that the model may call.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    messages: Vec<Value>,
    tools: Option<Data>,
    size: usize,
}

/// Why JSON is no conversation.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// It is no JSON.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It is JSON of another shape.
    #[error("{0}")]
    Shape(String),
}

impl Conversation {
    /// No messages yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a list of messages, or an object with `messages` and perhaps `tools`.
    ///
    /// # Errors
    /// It is no JSON, or of another shape; the message says where.
    pub fn from_json(json: &str) -> Result<Self, ConversationError> {
        let data = Data::parse(json)?;
        let mut conversation = Self { size: data.size, ..Self::default() };
        let list = match &data.value {
            Value::Dict(dict) => {
                if let Some(tools) = dict.get_str("tools").filter(|tools| !matches!(tools, Value::None)) {
                    conversation.tools = Some(tool_list(Data { value: tools.clone(), size: 0 })?);
                }
                dict.get_str("messages").cloned()
            }
            list => Some(list.clone()),
        };
        let Some(Value::Seq(list)) = list else {
            return Err(shape("expected a list of messages, or an object with 'messages'"));
        };
        for (i, message) in list.items.iter().enumerate() {
            conversation.messages.push(checked(message, i)?);
        }
        Ok(conversation)
    }

    /// Adds a message of text.
    pub fn push(&mut self, role: &str, content: &str) {
        self.push_fields(role, [("content", Data::text(content))]);
    }

    /// Adds a message with more than text: `tool_calls`, `reasoning_content`, `tool_call_id`.
    pub fn push_fields<'f>(&mut self, role: &str, fields: impl IntoIterator<Item = (&'f str, Data)>) {
        let mut dict = Dict::default();
        let role = ("role", Data { value: role_value(role), size: role.len() });
        for (key, data) in std::iter::once(role).chain(fields) {
            self.size += key.len() + data.size;
            // A field whose value nests too deep is checked where the value is made.
            if dict.set_foreign(key, data.value).is_err() {
                unreachable!("values of JSON nest less deep than dictionaries may");
            }
        }
        self.messages.push(Value::Dict(Arc::new(dict)));
    }

    /// Gives the model tools: a list of JSON objects, each with a name and a schema of its arguments.
    ///
    /// # Errors
    /// It is no such list.
    pub fn set_tools(&mut self, tools: Data) -> Result<(), ConversationError> {
        self.size += tools.size;
        self.tools = Some(tool_list(tools)?);
        Ok(())
    }

    /// Whether the model has tools.
    pub fn has_tools(&self) -> bool {
        self.tools.is_some()
    }

    /// The tools as they were given.
    pub fn tool_list(&self) -> Option<&Data> {
        self.tools.as_ref()
    }

    /// What a reply has to call tools by; nothing without tools.
    pub fn callable(&self) -> Option<Tools> {
        self.tools.as_ref().map(|tools| Tools::of(&tools.value))
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What the tools say of themselves, each as a message of the role `tool`, for whoever wrote them may be a stranger; and then
    /// every message, with all texts in it.
    pub fn visit(&self, visit: &mut dyn FnMut(Said)) {
        if let Some(Data { value: Value::Seq(tools), .. }) = &self.tools {
            tools.items.iter().for_each(|tool| visit(Said::of_tool(tool)));
        }
        for message in &self.messages {
            if let Value::Dict(dict) = message {
                visit(Said::of_message(dict));
            }
        }
    }

    /// Bytes of messages and tools, about.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What templates see of the messages.
    pub(crate) fn messages(&self) -> Result<Value, crate::TemplateError> {
        let messages = self.messages.iter().map(as_in_transformers).collect::<Result<_, _>>()?;
        Value::seq_unpaid(SeqKind::List, messages)
    }

    pub(crate) fn tools(&self) -> Value {
        self.tools.as_ref().map_or(Value::None, |tools| tools.value.clone())
    }
}

/// What a message's thinking may be called; templates know one name or another.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A message as transformers gives it to templates: what is null is not there, and thinking has the names that templates know.
fn as_in_transformers(message: &Value) -> Result<Value, crate::TemplateError> {
    let Value::Dict(dict) = message else { return Ok(message.clone()) };
    let given = |key: &str| dict.get_str(key).filter(|value| !matches!(value, Value::None));
    let reasoning = REASONING.iter().find_map(|name| given(name));
    if reasoning.is_none() && dict.iter().all(|(_, value)| !matches!(value, Value::None)) {
        return Ok(message.clone());
    }
    let mut seen = Dict::default();
    if let Some(reasoning) = reasoning {
        seen.set_foreign("thinking", reasoning.clone())?;
    }
    for (key, value) in dict.iter().filter(|(_, value)| !matches!(value, Value::None)) {
        seen.set_foreign(key.as_str().unwrap_or_default(), value.clone())?;
    }
    if let Some(reasoning) = reasoning {
        seen.set_foreign("reasoning_content", reasoning.clone())?;
    }
    Ok(Value::Dict(Arc::new(seen)))
}

fn shape(message: impl Into<String>) -> ConversationError {
    ConversationError::Shape(message.into())
}

fn role_value(role: &str) -> Value {
    if ROLES.contains(&role) { Value::str(role) } else { Value::foreign(role) }
}

/// A message whose role is known to be text.
fn checked(message: &Value, i: usize) -> Result<Value, ConversationError> {
    let Value::Dict(dict) = message else {
        return Err(shape(format!("message {i} is no object: expected {{\"role\": ..., \"content\": ...}}")));
    };
    let Some(role) = dict.get_str("role").and_then(Value::as_str) else {
        return Err(shape(format!("message {i} has no role: expected user, system, assistant, tool, ...")));
    };
    let mut with_role = Dict::default();
    for (key, value) in dict.iter() {
        let value = if key.as_str() == Some("role") { role_value(role) } else { value.clone() };
        with_role.set_foreign(key.as_str().unwrap_or_default(), value).map_err(|e| shape(e.message))?;
    }
    Ok(Value::Dict(Arc::new(with_role)))
}

fn tool_list(tools: Data) -> Result<Data, ConversationError> {
    let list = match &tools.value {
        Value::Seq(list) if list.items.iter().all(|tool| matches!(tool, Value::Dict(_))) => list,
        _ => return Err(shape("tools have to be a list of objects")),
    };
    match list.items.iter().position(|tool| !Tools::is_one(tool)) {
        Some(i) => Err(shape(format!(
            "tool {i} has no name: expected {{\"name\": ..., \"parameters\": ...}}, or such an object under 'function'"
        ))),
        None => Ok(tools),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_templates_do_not_know_is_a_text_of_the_message() {
        let json = r#"[{"role": "user", "content": "a"}, {"role": "[INST] now", "content": "b"}]"#;
        let mut seen = Vec::new();
        Conversation::from_json(json).unwrap().visit(&mut |said| seen.push(said));
        assert_eq!([&seen[0].parts, &seen[1].parts], [&["a"], &["b"]]);
        assert!(seen[0].fields.is_empty(), "{seen:?}");
        assert_eq!(seen[1].fields, [("role".to_owned(), "[INST] now".to_owned())]);
    }

    #[test]
    fn templates_see_messages_as_in_transformers() {
        for (message, want) in [
            (r#""content": null, "tool_calls": []"#, "role tool_calls"),
            (
                r#""reasoning": "r", "content": "a""#,
                "thinking=r role reasoning=r content=a reasoning_content=r",
            ),
            (r#""thinking": "t", "reasoning": "r""#, "thinking=t role reasoning=r reasoning_content=t"),
            (r#""reasoning_content": "c", "thinking": "t""#, "thinking=t role reasoning_content=c"),
            (r#""reasoning_content": null, "thinking": "t""#, "thinking=t role reasoning_content=t"),
            (r#""reasoning_content": "", "reasoning": "r""#, "thinking= role reasoning_content= reasoning=r"),
        ] {
            let json = format!("[{{\"role\": \"assistant\", {message}}}]");
            let source = "{% for key, value in messages[0].items() %}{{ ' ' ~ key }}\
                          {% if value is string and key != 'role' %}={{ value }}{% endif %}{% endfor %}";
            let template = crate::ChatTemplate::new(source).unwrap();
            let conversation = Conversation::from_json(&json).unwrap();
            let prompt = template.render(&conversation, &crate::RenderOptions::default()).unwrap();
            assert_eq!(prompt.text().trim_start(), want, "{message}");
        }
    }

    #[test]
    fn other_shapes_are_refused_with_their_place() {
        for (json, word) in [
            ("{}", "a list of messages"),
            ("7", "a list of messages"),
            ("[7]", "message 0"),
            (r#"[{"role": "user"}, {"content": ""}]"#, "message 1 has no role"),
            (r#"[{"role": 5}]"#, "message 0 has no role"),
            (r#"{"messages": [], "tools": {}}"#, "tools have to be"),
            (
                r#"{"messages": [], "tools": [{"name": "f"}, {"role": "user", "content": ""}]}"#,
                "tool 1 has no name",
            ),
            (
                r#"{"messages": [], "tools": [{"type": "function", "function": {"nam": "f"}}]}"#,
                "tool 0 has no name",
            ),
            (r#"{"messages": [], "tools": [{"name": 5}]}"#, "tool 0 has no name"),
            (r#"{"messages": [], "tools": [{"name": ""}]}"#, "tool 0 has no name"),
            ("[", "not usable JSON"),
            (&"[".repeat(100_000), "not usable JSON"),
        ] {
            let error = Conversation::from_json(json).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
