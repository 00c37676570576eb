//! Conversations: a message in each line, in the words of chat endpoints.

use super::inputs::{Entry, Unseen};
use crate::input;
use serde::Deserialize;
use torchless::firewall::ToolCall;
use torchless::{Message, Role};

/// A line of a conversation.
#[derive(Deserialize)]
struct Row {
    role: Option<Role>,
    #[serde(alias = "text")]
    content: Option<Content>,
    /// What a model thought.
    #[serde(alias = "reasoning", alias = "thinking")]
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<CallRow>>,
    /// The call, as endpoints gave it before there were several.
    function_call: Option<FunctionRow>,
}

/// A text, or pieces of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// A call, as the endpoints of chat give it or without its wrapping.
#[derive(Deserialize)]
struct CallRow {
    function: Option<FunctionRow>,
    name: Option<String>,
    arguments: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct FunctionRow {
    name: String,
    arguments: serde_json::Value,
}

/// The messages of a conversation with their lines, and which lines are none.
pub fn conversation(text: &str, role: Role) -> Vec<(Entry, Option<usize>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let entries = lines.flat_map(|(at, line)| {
        let entries = match messages(line, role) {
            Ok(messages) => messages.into_iter().map(Entry::Message).collect(),
            Err(reason) => vec![Entry::Unseen(Unseen::error(format!("not a message: {reason}")))],
        };
        entries.into_iter().map(move |entry| (entry, Some(at + 1)))
    });
    let mut entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        entries.push((Entry::Unseen(Unseen::skipped("a conversation without messages")), None));
    }
    entries
}

/// What a line says, after what was thought before it was said.
fn messages(line: &str, role: Role) -> Result<Vec<Message>, String> {
    let row: Row = input::row(line)?;
    let calls = row.tool_calls.unwrap_or_default().into_iter().map(call);
    let calls = calls.chain(row.function_call.map(|function| Ok(called(function.name, function.arguments))));
    let calls = calls.collect::<Result<Vec<_>, _>>()?;
    let content = row.content.map(text).transpose()?;
    if content.is_none() && calls.is_empty() && row.reasoning_content.is_none() {
        return Err("neither content nor tool_calls".to_owned());
    }
    let role = row.role.unwrap_or(role);
    let thought = row.reasoning_content.map(|thought| Message::new(role, thought));
    let said = Message::new(role, content.unwrap_or_default()).with_tool_calls(calls);
    Ok(thought.into_iter().chain([said]).collect())
}

fn text(content: Content) -> Result<String, String> {
    match content {
        Content::Text(text) => Ok(text),
        Content::Parts(parts) => {
            let texts = parts.into_iter().map(|part| part.text);
            let texts = texts.collect::<Option<Vec<_>>>().ok_or("a part of content that is no text")?;
            Ok(texts.join("\n"))
        }
    }
}

fn call(row: CallRow) -> Result<ToolCall, String> {
    match (row.function, row.name) {
        (Some(function), _) => Ok(called(function.name, function.arguments)),
        (None, Some(name)) => Ok(called(name, row.arguments.unwrap_or_default())),
        (None, None) => Err("a tool call without a name".to_owned()),
    }
}

fn called(name: String, arguments: serde_json::Value) -> ToolCall {
    let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
    ToolCall { name, arguments }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_in_the_forms_of_endpoints() {
        let said = |line: &str| messages(line, Role::User).map_err(|e| e.to_string());
        let texts = |line: &str| said(line).map(|m| m.into_iter().map(|m| m.content).collect::<Vec<_>>());
        assert_eq!(
            texts(r#"{"content": [{"type": "text", "text": "a"}, {"text": "b"}]}"#),
            Ok(vec!["a\nb".into()])
        );
        assert_eq!(texts(r#"{"reasoning": "hm", "content": "yes"}"#), Ok(vec!["hm".into(), "yes".into()]));
        for (line, role) in [
            (r#"{"role": "developer", "content": ""}"#, Role::System),
            (r#"{"role": "function", "content": ""}"#, Role::Tool),
            (r#"{"text": ""}"#, Role::User),
        ] {
            assert_eq!(said(line).map(|m| m[0].role), Ok(role), "{line}");
        }
        for line in [
            r#"{"content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}"#,
            r#"{"tool_calls": [{"name": "f", "arguments": {}}]}"#,
            r#"{"content": null, "tool_calls": null, "function_call": {"name": "f", "arguments": "{}"}}"#,
        ] {
            let calls = said(line).map(|m| m[0].tool_calls.clone());
            assert_eq!(calls, Ok(vec![called("f".into(), "{}".into())]), "{line}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_and_the_rest_is_read() {
        for (line, why) in [
            ("{", "object, column 1"),
            (r#"["user", "hi"]"#, "no JSON object"),
            ("{}", "neither content"),
            (r#"{"role": "nobody", "content": ""}"#, "found something else, expected a role: user,"),
            (r#"{"content": [{"type": "image_url"}]}"#, "no text"),
            (r#"{"tool_calls": [{"arguments": {}}]}"#, "without a name"),
        ] {
            let found = conversation(&format!("{{\"text\": \"hi\"}}\n\n{line}\n"), Role::User);
            let [(Entry::Message(_), Some(1)), (Entry::Unseen(unseen), Some(3))] = &found[..] else {
                panic!("{line}")
            };
            assert!(unseen.reason.contains(why), "{}", unseen.reason);
        }
        assert!(matches!(&conversation("\n", Role::User)[..], [(Entry::Unseen(_), None)]));
    }
}
