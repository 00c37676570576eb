//! Conversations: a message in each line, in the words of chat endpoints.

use super::fields::{Content, Others, Part};
use super::inputs::{Entry, Unseen};
use crate::input;
use crate::speaker::Speaker;
use serde::Deserialize;
use serde_json::value::RawValue;
use torchless::firewall::{Field, ToolCall};
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
    #[serde(flatten)]
    others: Others,
}

/// A call, as the endpoints of chat give it or without its wrapping.
#[derive(Deserialize)]
struct CallRow {
    function: Option<FunctionRow>,
    name: Option<String>,
    arguments: Option<Box<RawValue>>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct FunctionRow {
    name: String,
    arguments: Box<RawValue>,
    #[serde(flatten)]
    others: Others,
}

/// Lines of a conversation at most: each message is kept as the past of those after it.
const MOST_LINES: usize = 1 << 20;

/// The messages of a conversation with their lines, and which lines are none.
pub fn conversation(text: &str, speaker: Speaker) -> Vec<(Entry, Option<usize>)> {
    lines_of(text, speaker, MOST_LINES)
}

fn lines_of(text: &str, speaker: Speaker, most: usize) -> Vec<(Entry, Option<usize>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let entries = lines.by_ref().take(most).flat_map(|(at, line)| {
        let entries = match messages(line, speaker) {
            Ok(messages) => messages.into_iter().map(Entry::Message).collect(),
            Err(reason) => vec![Entry::Unseen(Unseen::error(format!("not a message: {reason}")))],
        };
        entries.into_iter().map(move |entry| (entry, Some(at + 1)))
    });
    let mut entries: Vec<_> = entries.collect();
    if let Some((at, _)) = lines.next() {
        let reason = format!("more than {most} lines, the most that is read: divide the file");
        entries.push((Entry::Unseen(Unseen::error(reason)), Some(at + 1)));
    }
    if entries.is_empty() {
        entries.push((Entry::Unseen(Unseen::skipped("a conversation without messages")), None));
    }
    entries
}

/// What a line says, after what was thought before it was said.
fn messages(line: &str, speaker: Speaker) -> Result<Vec<Message>, String> {
    let row: Row = input::row(line)?;
    let mut fields = row.others.at("");
    let mut calls = Vec::new();
    for (at, call) in row.tool_calls.unwrap_or_default().into_iter().enumerate() {
        call.read(&format!("tool_calls[{at}]"), &mut calls, &mut fields)?;
    }
    if let Some(function) = row.function_call {
        function.read("function_call", &mut calls, &mut fields)?;
    }
    if row.content.is_none() && calls.is_empty() && row.reasoning_content.is_none() {
        return Err("neither content nor tool_calls".to_owned());
    }
    let parts = parts(row.content.unwrap_or_default(), &mut fields)?;
    let role = speaker.of(row.role);
    let thought = row.reasoning_content.map(|thought| Message::new(role, thought));
    let said = Message::of_parts(role, parts).with_tool_calls(calls).with_fields(fields);
    Ok(thought.into_iter().chain([said]).collect())
}

fn parts(content: Content, fields: &mut Vec<Field>) -> Result<Vec<String>, String> {
    let parts = content.0.into_iter().enumerate().map(|(at, Part { text, others })| {
        fields.extend(others.at(&format!("content[{at}]")));
        text
    });
    parts.collect::<Option<Vec<_>>>().ok_or_else(|| "a part of content that is no text".to_owned())
}

impl CallRow {
    fn read(self, place: &str, calls: &mut Vec<ToolCall>, fields: &mut Vec<Field>) -> Result<(), String> {
        fields.extend(self.others.at(place));
        if self.function.is_none() && self.name.is_none() {
            return Err("a tool call without a name".to_owned());
        }
        if self.name.is_some() || self.arguments.is_some() {
            calls.push(called(self.name.unwrap_or_default(), self.arguments.as_deref())?);
        }
        if let Some(function) = self.function {
            function.read(&format!("{place}.function"), calls, fields)?;
        }
        Ok(())
    }
}

impl FunctionRow {
    fn read(self, place: &str, calls: &mut Vec<ToolCall>, fields: &mut Vec<Field>) -> Result<(), String> {
        fields.extend(self.others.at(place));
        calls.push(called(self.name, Some(&self.arguments))?);
        Ok(())
    }
}

/// Arguments in a string are what it says, all others as they are written: of a key that stands there twice both values count.
fn called(name: String, arguments: Option<&RawValue>) -> Result<ToolCall, String> {
    let written = arguments.map_or("null", RawValue::get);
    let arguments = match written.starts_with('"') {
        true => serde_json::from_str(written).map_err(|_| "arguments that are no text".to_owned())?,
        false => written.to_owned(),
    };
    Ok(ToolCall { name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn lines_are_messages_in_the_forms_of_endpoints() {
        let said = |line: &str| messages(line, Speaker::default());
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
            assert_eq!(calls, Ok(vec![call("f", "{}")]), "{line}");
        }
    }

    #[test]
    fn every_value_of_arguments_is_kept() {
        let twice = r#"{"to":"a","x": {"to":"b" , "to":1.0}, "to":"c"}"#;
        let line =
            |arguments: &str| format!(r#"{{"tool_calls": [{{"name": "f", "arguments": {arguments}}}]}}"#);
        let quoted = serde_json::Value::from(twice).to_string();
        for arguments in [twice, &quoted] {
            let said = messages(&line(arguments), Speaker::default());
            assert_eq!(said.map(|m| m[0].tool_calls.clone()), Ok(vec![call("f", twice)]));
        }
        assert!(messages(&line(r#""\ud800""#), Speaker::default()).is_err());
    }

    #[test]
    fn a_role_that_was_named_is_that_of_every_line() {
        let role = |line: &str, speaker| messages(line, speaker).map(|m| m[0].role);
        let line = r#"{"role": "assistant", "content": "hi"}"#;
        assert_eq!(role(line, Speaker::default()), Ok(Role::Assistant));
        assert_eq!(role(line, Speaker::named(Role::Tool)), Ok(Role::Tool));
        assert_eq!(role(r#"{"content": "hi"}"#, Speaker::named(Role::Tool)), Ok(Role::Tool));
    }

    #[test]
    fn texts_in_other_keys_are_fields_with_their_places() {
        let line = r#"{"content": [{"type": "text", "text": "hi", "note": "a"}, {"text": "", "content": "b"}], "n": 1,
            "x": {"y": ["c", {"z": "d"}], "y": "e"}, "say this": "f", "tool_calls": [{"id": "g", "type": "function",
            "function": {"name": "n", "arguments": {}, "k": "h"}, "name": "m", "arguments": "i"}]}"#;
        let message = messages(line, Speaker::default()).unwrap().remove(0);
        let fields: Vec<_> = message.fields.iter().map(|field| (&field.place[..], &field.text[..])).collect();
        let want = [
            ("n", "1"),
            ("x.y[0]", "c"),
            ("x.y[1].z", "d"),
            ("x.y", "e"),
            ("*", "f"),
            ("{key}", "n"),
            ("{key}", "x"),
            ("x.{key}", "y"),
            ("x.y[1].{key}", "z"),
            ("{key}", "say this"),
            ("tool_calls[0].id", "g"),
            ("tool_calls[0].function.k", "h"),
            ("tool_calls[0].function.{key}", "k"),
            ("content[0].note", "a"),
            ("content[0].{key}", "note"),
            ("content[1].content", "b"),
        ];
        assert_eq!(fields, want);
        let calls = [call("m", "i"), call("n", "{}")];
        assert_eq!(message.tool_calls, calls);
    }

    #[test]
    fn what_is_no_message_is_told_and_the_rest_is_read() {
        for (line, why) in [
            ("{", "object, column 1"),
            (r#"["user", "hi"]"#, "no JSON object"),
            ("{}", "neither content"),
            (r#"{"content": 5}"#, "found something else, expected a text, or a list of parts"),
            (r#"{"content": [7]}"#, "found something else, expected a part of content"),
            (r#"{"role": "nobody", "content": ""}"#, "found something else, expected a role: user,"),
            (r#"{"content": [{"type": "image_url"}]}"#, "no text"),
            (r#"{"tool_calls": [{"arguments": {}}]}"#, "without a name"),
        ] {
            let found = conversation(&format!("{{\"text\": \"hi\"}}\n\n{line}\n"), Speaker::default());
            let [(Entry::Message(_), Some(1)), (Entry::Unseen(unseen), Some(3))] = &found[..] else {
                panic!("{line}")
            };
            assert!(unseen.reason.contains(why), "{}", unseen.reason);
        }
        let long = lines_of("\n{}\n\n{}\n{}\n", Speaker::default(), 2);
        assert_eq!(long.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [Some(2), Some(4), Some(5)]);
        assert!(
            matches!(&long[2].0, Entry::Unseen(unseen) if unseen.reason.starts_with("more than 2 lines"))
        );
        assert!(matches!(&conversation("\n", Speaker::default())[..], [(Entry::Unseen(_), None)]));
    }
}
