//! Conversations: a message in each line, in the words of chat endpoints.

use super::fields::{Content, Others, Part};
use super::inputs::{Entry, Unseen};
use crate::input;
use crate::speaker::Speaker;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use torchless::conversation::thought;
use torchless::firewall::{Field, ToolCall};
use torchless::{Message, Role};

/// A line of a conversation.
#[derive(Deserialize)]
struct Row {
    role: Option<Role>,
    /// `Some(None)` where it is said to be none, as in a refusal.
    #[serde(default, deserialize_with = "given")]
    content: Option<Option<Content>>,
    text: Option<Content>,
    /// What a model thought; some servers give it under two names.
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<CallRow>>,
    /// The call, as endpoints gave it before there were several.
    function_call: Option<FunctionRow>,
    /// Where LangChain keeps the calls as an endpoint gave them, and Gemini all that is said.
    additional_kwargs: Option<Box<RawValue>>,
    parts: Option<Box<RawValue>>,
    #[serde(flatten)]
    others: Others,
}

fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Content>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A call, as the endpoints of chat give it or without its wrapping.
#[derive(Deserialize)]
struct CallRow {
    #[serde(alias = "custom")]
    function: Option<FunctionRow>,
    name: Option<String>,
    arguments: Option<Box<RawValue>>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct FunctionRow {
    name: String,
    #[serde(alias = "input")]
    arguments: Box<RawValue>,
    #[serde(flatten)]
    others: Others,
}

/// What an endpoint gave beside the text.
#[derive(Deserialize)]
struct Beside {
    tool_calls: Option<Vec<CallRow>>,
    function_call: Option<FunctionRow>,
}

/// A part of what Gemini says, in the words of its interface and of its library.
#[derive(Deserialize)]
struct GeminiPart {
    #[serde(rename = "functionCall", alias = "function_call")]
    call: Option<GeminiCall>,
}

#[derive(Deserialize)]
struct GeminiCall {
    name: String,
    args: Option<Box<RawValue>>,
}

/// The role alone, of a line that is no message otherwise.
#[derive(Deserialize)]
struct Named {
    role: Option<Role>,
}

/// What a line comes to.
#[derive(Debug, Default, PartialEq)]
struct Line {
    /// What was thought before the message was said.
    thoughts: Vec<Message>,
    said: Vec<Message>,
    /// The first part of the content that is something else than text, which nothing here can scan.
    unread: Option<String>,
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
    let entries = lines
        .by_ref()
        .take(most)
        .flat_map(|(at, line)| entries_of(line, speaker).into_iter().map(move |entry| (entry, Some(at + 1))));
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

fn entries_of(line: &str, speaker: Speaker) -> Vec<Entry> {
    let unseen = |reason: String| {
        let named = serde_json::from_str(line).ok().and_then(|Named { role }| role);
        Entry::Unseen(Unseen::error(reason).of(speaker.of(named)))
    };
    match messages(line, speaker) {
        Ok(Line { thoughts, said, unread }) => {
            let entries =
                thoughts.into_iter().map(Entry::Thought).chain(said.into_iter().map(Entry::Message));
            let unread = unread.map(|place| unseen(format!("{place} is no text, and was not scanned")));
            entries.chain(unread).collect()
        }
        Err(reason) => vec![unseen(format!("not a message: {reason}"))],
    }
}

/// What a line says, after what was thought before it was said.
fn messages(line: &str, speaker: Speaker) -> Result<Line, String> {
    let row: Row = input::row(line)?;
    let mut fields = row.others.at("");
    let mut calls = Vec::new();
    for (at, call) in row.tool_calls.unwrap_or_default().into_iter().enumerate() {
        call.read(&format!("tool_calls[{at}]"), &mut calls, &mut fields)?;
    }
    if let Some(function) = row.function_call {
        function.read("function_call", &mut calls, &mut fields)?;
    }
    beside(row.additional_kwargs.as_deref(), row.parts.as_deref(), &mut calls, &mut fields)?;
    let mut thoughts: Vec<String> =
        [row.reasoning_content, row.reasoning, row.thinking].into_iter().flatten().collect();
    thoughts.dedup();
    let before = thoughts.concat();
    let is_none = matches!(row.content, Some(None));
    let (content, beside) = match row.content.flatten() {
        Some(content) => (Some(content), row.text),
        None => (row.text, None),
    };
    if content.is_none() && calls.is_empty() && thoughts.is_empty() && (!is_none || fields.is_empty()) {
        return Err("neither content nor tool_calls".to_owned());
    }
    let mut unread = None;
    let mut parts = |content: Option<Content>, place: &str| -> Result<Vec<String>, String> {
        let mut parts = Vec::new();
        for (at, part) in content.unwrap_or_default().0.into_iter().enumerate() {
            let read = part.read(&format!("{place}[{at}]"), &mut fields)?;
            parts.extend(read.text);
            calls.extend(read.call);
            unread = unread.take().or(read.unread);
        }
        Ok(parts)
    };
    let said = parts(content, "content")?;
    let beside = parts(beside, "text")?;
    fields.extend(beside.into_iter().map(|text| Field { place: "text".to_owned(), text }));
    let role = speaker.of(row.role);
    let before = before + &thought(fields.iter().map(|field| (&field.place[..], &field.text[..])));
    let said = Message::of_parts(role, said).with_tool_calls(calls).with_fields(fields).after_thought(before);
    let thoughts = thoughts.into_iter().map(|thought| Message::new(role, thought)).collect();
    Ok(Line { thoughts, said: vec![said], unread })
}

/// Adds calls that stand beside those of a message, and all of what they stand in as fields.
fn beside(
    kwargs: Option<&RawValue>,
    parts: Option<&RawValue>,
    calls: &mut Vec<ToolCall>,
    fields: &mut Vec<Field>,
) -> Result<(), String> {
    let invalid = |place: &str, e: serde_json::Error| format!("{place}: {e}");
    for (place, value) in [("additional_kwargs", kwargs), ("parts", parts)] {
        let texts = value.map(|value| Others::within(place, value)).transpose();
        fields.extend(texts.map_err(|e| invalid(place, e))?.unwrap_or_default());
    }
    if let Some(kwargs) = kwargs.filter(|value| value.get().starts_with('{')) {
        let beside: Beside =
            serde_json::from_str(kwargs.get()).map_err(|e| invalid("additional_kwargs", e))?;
        // Its texts are among the fields.
        let mut known = Vec::new();
        for call in beside.tool_calls.unwrap_or_default() {
            call.read("additional_kwargs.tool_calls", calls, &mut known)?;
        }
        if let Some(function) = beside.function_call {
            function.read("additional_kwargs.function_call", calls, &mut known)?;
        }
    }
    if let Some(parts) = parts.filter(|value| value.get().starts_with('[')) {
        let parts: Vec<&RawValue> = serde_json::from_str(parts.get()).map_err(|e| invalid("parts", e))?;
        for part in parts.into_iter().filter(|part| part.get().starts_with('{')) {
            let part: GeminiPart = serde_json::from_str(part.get()).map_err(|e| invalid("parts", e))?;
            if let Some(call) = part.call {
                calls.push(called(call.name, call.args.as_deref())?);
            }
        }
    }
    Ok(())
}

/// A part of a content.
#[derive(Default)]
struct ReadPart {
    text: Option<String>,
    call: Option<ToolCall>,
    unread: Option<String>,
}

/// Parts that are no text themselves, whose texts say all that there is.
const OF_TEXTS: [&str; 4] = ["tool_result", "thinking", "redacted_thinking", "refusal"];
/// What says in a part, or in the result of a tool, that it is something to see or to hear.
const NO_TEXTS: [&str; 10] = [
    "image",
    "image_url",
    "input_image",
    "audio",
    "input_audio",
    "video",
    "video_url",
    "file",
    "input_file",
    "document",
];

impl Part {
    fn read(self, place: &str, fields: &mut Vec<Field>) -> Result<ReadPart, String> {
        let mut read = ReadPart { text: self.text, ..ReadPart::default() };
        let field = |key: &str, value: &RawValue| Field {
            place: format!("{place}.{key}"),
            text: serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned()),
        };
        let name = self.name.as_deref().and_then(|name| serde_json::from_str(name.get()).ok());
        match (name, self.input.as_deref()) {
            (Some(name), Some(input)) if read.text.is_none() => read.call = Some(called(name, Some(input))?),
            (_, input) => {
                fields.extend(self.name.as_deref().map(|name| field("name", name)));
                fields.extend(input.map(|input| field("input", input)));
            }
        }
        let beside = self.others.at(place);
        let is_said = |field: &Field, kinds: &[&str]| kinds.contains(&&field.text[..]);
        let kind = format!("{place}.type");
        let is_read = read.text.is_some()
            || read.call.is_some()
            || beside.iter().any(|field| field.place == kind && is_said(field, &OF_TEXTS));
        let is_other = |field: &Field| field.place.ends_with(".type") && is_said(field, &NO_TEXTS);
        read.unread = (!is_read || beside.iter().any(is_other)).then(|| place.to_owned());
        fields.extend(beside);
        Ok(read)
    }
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

    fn all(line: &str, speaker: Speaker) -> Result<Vec<Message>, String> {
        messages(line, speaker).map(|line| line.thoughts.into_iter().chain(line.said).collect())
    }

    #[test]
    fn lines_are_messages_in_the_forms_of_endpoints() {
        let said = |line: &str| all(line, Speaker::default());
        let texts = |line: &str| said(line).map(|m| m.into_iter().map(|m| m.content).collect::<Vec<_>>());
        let both = r#"{"role": "assistant", "content": "yes", "reasoning": "hm", "reasoning_content": "hm", "thinking": "so"}"#;
        assert_eq!(texts(both), Ok(vec!["hm".into(), "so".into(), "yes".into()]));
        assert_eq!(
            texts(r#"{"content": [{"type": "text", "text": "a"}, {"text": "b"}]}"#),
            Ok(vec!["a\nb".into()])
        );
        assert_eq!(texts(r#"{"reasoning": "hm", "content": "yes"}"#), Ok(vec!["hm".into(), "yes".into()]));
        assert_eq!(said(both).map(|m| m[2].thought.clone()), Ok("hmso".into()));
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
            r#"{"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "{}"}}]}"#,
            r#"{"content": [{"type": "tool_use", "name": "f", "input": {}}]}"#,
            r#"{"content": null, "tool_calls": null, "function_call": {"name": "f", "arguments": "{}"}}"#,
            r#"{"content": "", "additional_kwargs": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}"#,
            r#"{"content": "", "additional_kwargs": {"function_call": {"name": "f", "arguments": "{}"}}}"#,
            r#"{"content": "", "parts": ["a", {"text": "b"}, {"functionCall": {"name": "f", "args": {}}}]}"#,
            r#"{"parts": [{"function_call": {"name": "f", "args": {}}}]}"#,
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
            let said = all(&line(arguments), Speaker::default());
            assert_eq!(said.map(|m| m[0].tool_calls.clone()), Ok(vec![call("f", twice)]));
        }
        assert!(messages(&line(r#""\ud800""#), Speaker::default()).is_err());
    }

    #[test]
    fn a_role_that_was_named_is_that_of_every_line() {
        let role = |line: &str, speaker| all(line, speaker).map(|m| m[0].role);
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
        let message = all(line, Speaker::default()).unwrap().remove(0);
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
    fn what_stands_in_the_place_of_content_is_scanned() {
        for (line, field) in [
            (r#"{"role": "assistant", "content": null, "refusal": "no"}"#, ("refusal", "no")),
            (r#"{"content": null, "audio": {"transcript": "hi"}}"#, ("audio.transcript", "hi")),
            (r#"{"content": "a", "text": "b"}"#, ("text", "b")),
            (r#"{"content": [{"type": "thinking", "thinking": "hm"}]}"#, ("content[0].thinking", "hm")),
        ] {
            let line = messages(line, Speaker::default()).unwrap();
            let mut fields = line.said[0].fields.iter();
            assert!(fields.any(|at| (&at.place[..], &at.text[..]) == field), "{:?}", line.said);
            assert_eq!(line.unread, None);
        }
    }

    #[test]
    fn parts_that_are_no_text_are_told_beside_those_that_are() {
        for part in [
            r#"{"type": "image_url", "image_url": {"url": "x"}}"#,
            r#"{"functionCall": {"name": "f"}}"#,
            r#"{"type": "tool_result", "content": [{"type": "image", "source": {}}]}"#,
        ] {
            let line = format!(r#"{{"role": "tool", "content": [{{"type": "text", "text": "a"}}, {part}]}}"#);
            let [Entry::Message(message), Entry::Unseen(unseen)] = &entries_of(&line, Speaker::default())[..]
            else {
                panic!("{part}")
            };
            assert_eq!((&message.content[..], unseen.role), ("a", Some(Role::Tool)));
            assert!(unseen.reason.contains("content[1] is no text"), "{}", unseen.reason);
        }
        let none = &entries_of(r#"{"role": "assistant", "tool_calls": [{}]}"#, Speaker::default())[0];
        assert!(matches!(none, Entry::Unseen(unseen) if unseen.role == Some(Role::Assistant)));
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
            (r#"{"content": null}"#, "neither content"),
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
