//! What is said in a conversation, for whoever has to look at every text of it: a firewall, not a template.

use crate::conversation::ROLES;
use crate::jinja::{Dict, Value};
use std::cmp::Ordering;
use std::collections::HashSet;

/// The texts of a message, or of what a tool says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Who says it.
    pub role: String,
    /// The content, in the parts that it came in.
    pub parts: Vec<String>,
    /// Calls of tools: the name, and the arguments in JSON or as they were written.
    pub calls: Vec<(String, String)>,
    /// All other texts, each behind the place where it stands: values, and then the keys that are no words of chat.
    pub fields: Vec<(String, String)>,
}

/// Words of the interfaces of chat that stand as keys beside the content: they name a place, and say nothing.
const KNOWN_KEYS: [&str; 32] = [
    "annotations",
    "arguments",
    "audio",
    "cache_control",
    "content",
    "created",
    "detail",
    "file",
    "finish_reason",
    "format",
    "function",
    "function_call",
    "id",
    "image",
    "image_url",
    "index",
    "input",
    "logprobs",
    "metadata",
    "model",
    "name",
    "reasoning_content",
    "refusal",
    "role",
    "text",
    "timestamp",
    "title",
    "tool_call_id",
    "tool_calls",
    "type",
    "url",
    "usage",
];

/// Keys that servers give a model's thoughts under.
const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// How the place of a key ends, as that of `{"metadata": {"note": ""}}` is `metadata.{key}`.
const KEY: &str = "{key}";
/// Longest key that places have as it is: names of settings reach so far.
const LONGEST_KEY: usize = 40;
/// Places that are told apart: what comes beyond them has one.
const MOST_PLACES: usize = 10_000;

/// Texts beside the content of a message, keys and numbers among them, each behind the place where it stands.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    values: Vec<(String, String)>,
    keys: Vec<(String, String)>,
    /// Each key is told once.
    told: HashSet<String>,
}

impl Beside {
    /// Adds a value.
    pub fn value(&mut self, place: &str, text: String) {
        if !text.is_empty() {
            add(&mut self.values, place, text);
        }
    }

    /// Adds a key of the object at `place`, and gives the place of its value.
    pub fn key(&mut self, place: &str, key: &str) -> String {
        let says_something = !key.is_empty() && !KNOWN_KEYS.contains(&key);
        if says_something && self.told.insert(key.to_owned()) {
            let dot = if place.is_empty() { "" } else { "." };
            add(&mut self.keys, &format!("{place}{dot}{KEY}"), key.to_owned());
        }
        place_within(place, place_of_key(key))
    }

    /// Values in their order, and then keys.
    pub fn into_fields(mut self) -> Vec<(String, String)> {
        self.values.append(&mut self.keys);
        self.values
    }
}

fn add(fields: &mut Vec<(String, String)>, place: &str, text: String) {
    match fields.len().cmp(&MOST_PLACES) {
        Ordering::Less => fields.push((place.to_owned(), text)),
        Ordering::Equal => {
            let place = if place.ends_with(KEY) { format!("*.{KEY}") } else { "*".to_owned() };
            fields.push((place, text));
        }
        Ordering::Greater => {
            let last = &mut fields[MOST_PLACES].1;
            last.push('\n');
            last.push_str(&text);
        }
    }
}

/// What a key is called in the names of places: a plain word as it is, and `*` for one that could say something itself.
fn place_of_key(key: &str) -> &str {
    let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    if is_plain && key.len() <= LONGEST_KEY && digits <= 4 { key } else { "*" }
}

/// The name of a place inside another. Deep inside it is that of the other: names of many places take no memory without bound.
pub fn place_within(place: &str, name: &str) -> String {
    match (place, name) {
        ("", name) => name.to_owned(),
        (place, _) if place.len() > 96 => place.to_owned(),
        (place, name) if name.starts_with('[') => format!("{place}{name}"),
        (place, name) => format!("{place}.{name}"),
    }
}

/// What was thought, of texts beside a content with their places: one behind the other, what two keys say alike once.
pub fn thought<'a>(beside: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let thoughts = beside.into_iter().filter(|(place, _)| is_thought(place)).map(|(_, text)| text);
    let mut thoughts: Vec<&str> = thoughts.collect();
    thoughts.dedup();
    thoughts.concat()
}

/// Whether a place is one for thoughts: of a message, or of a part of its content.
fn is_thought(place: &str) -> bool {
    let part = place.strip_prefix("content[").and_then(|part| part.split_once("]."));
    THOUGHTS.contains(&part.map_or(place, |(_, key)| key))
}

impl Said {
    /// Every text of a tool, keys among them, a line each.
    pub(crate) fn of_tool(tool: &Value) -> Self {
        let mut lines = Vec::new();
        lines_of(tool, &mut lines);
        Self { role: "tool".to_owned(), parts: vec![lines.join("\n")], ..Self::default() }
    }

    pub(crate) fn of_message(message: &Dict) -> Self {
        let role = message.get_str("role").and_then(Value::as_str).unwrap_or_default();
        let mut said =
            Reader { said: Self { role: role.to_owned(), ..Self::default() }, beside: Beside::default() };
        for (key, value) in message.iter() {
            match key.as_str() {
                // A role that templates know is a word of theirs; any other is a text that somebody wrote.
                Some("role") if ROLES.contains(&role) => {}
                Some("content") => said.content(value),
                Some("tool_calls") => said.each("tool_calls", value, Reader::call),
                Some("function_call") => said.function("function_call", value),
                _ => said.entry("", key, value),
            }
        }
        Self { fields: said.beside.into_fields(), ..said.said }
    }
}

/// A message while it is read.
struct Reader {
    said: Said,
    beside: Beside,
}

impl Reader {
    fn content(&mut self, value: &Value) {
        match value {
            Value::Seq(_) => self.each("content", value, Self::part),
            value => self.part("content", value),
        }
    }

    fn part(&mut self, place: &str, value: &Value) {
        match value {
            Value::Str(text) => self.said.parts.push(text.as_str().to_owned()),
            Value::Dict(part) => self.entries(place, part, |said, key, value| match (key, value) {
                ("text", Value::Str(text)) => {
                    said.said.parts.push(text.as_str().to_owned());
                    true
                }
                ("type", value) => value.as_str() == Some("text"),
                _ => false,
            }),
            value => self.field(place, value),
        }
    }

    fn call(&mut self, place: &str, value: &Value) {
        let Value::Dict(call) = value else { return self.field(place, value) };
        self.named(call);
        self.entries(place, call, |said, key, value| match key {
            "function" => {
                said.function(&place_within(place, "function"), value);
                true
            }
            "type" => value.as_str() == Some("function"),
            "name" | "arguments" => call.get_str("name").is_some_and(|name| name.as_str().is_some()),
            _ => false,
        });
    }

    fn function(&mut self, place: &str, value: &Value) {
        let Value::Dict(function) = value else { return self.field(place, value) };
        self.named(function);
        let is_call = function.get_str("name").is_some_and(|name| name.as_str().is_some());
        self.entries(place, function, |_, key, _| is_call && ["name", "arguments"].contains(&key));
    }

    /// A call, where there is a name.
    fn named(&mut self, call: &Dict) {
        let Some(name) = call.get_str("name").and_then(Value::as_str) else { return };
        let mut arguments = String::new();
        match call.get_str("arguments") {
            Some(Value::Str(text)) => arguments.push_str(text.as_str()),
            Some(value) => write_json(value, &mut arguments),
            None => {}
        }
        self.said.calls.push((name.to_owned(), arguments));
    }

    /// The items of a list, or the one thing that stands in its place.
    fn each(&mut self, place: &str, value: &Value, read: fn(&mut Self, &str, &Value)) {
        match value {
            Value::Seq(list) => {
                for (at, item) in list.items.iter().enumerate() {
                    read(self, &place_within(place, &format!("[{at}]")), item);
                }
            }
            value => self.field(place, value),
        }
    }

    /// The entries of an object that `is_read` does not take.
    fn entries(
        &mut self,
        place: &str,
        dict: &Dict,
        mut is_read: impl FnMut(&mut Self, &str, &Value) -> bool,
    ) {
        for (key, value) in dict.iter() {
            if !is_read(self, key.as_str().unwrap_or_default(), value) {
                self.entry(place, key, value);
            }
        }
    }

    fn entry(&mut self, place: &str, key: &Value, value: &Value) {
        let place = self.beside.key(place, key.as_str().unwrap_or_default());
        self.field(&place, value);
    }

    /// Every text and number of a value. Values come from JSON and nest as little as it may.
    fn field(&mut self, place: &str, value: &Value) {
        match value {
            Value::Str(text) => self.beside.value(place, text.as_str().to_owned()),
            Value::Int(number) => self.beside.value(place, number.to_string()),
            Value::Float(number) => self.beside.value(place, number.to_string()),
            Value::Seq(_) => self.each(place, value, Self::field),
            Value::Dict(dict) => self.entries(place, dict, |_, _, _| false),
            _ => {}
        }
    }
}

fn lines_of<'v>(value: &'v Value, lines: &mut Vec<&'v str>) {
    match value {
        Value::Str(text) => lines.push(text.as_str()),
        Value::Seq(list) => list.items.iter().for_each(|item| lines_of(item, lines)),
        Value::Dict(dict) => dict.iter().for_each(|(key, value)| {
            lines_of(key, lines);
            lines_of(value, lines);
        }),
        _ => {}
    }
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Str(text) => out.push_str(&serde_json::Value::from(text.as_str()).to_string()),
        Value::Seq(list) => write_items(["[", "]"], list.items.iter().map(|item| (None, item)), out),
        Value::Dict(dict) => write_items(["{", "}"], dict.iter().map(|(key, value)| (Some(key), value)), out),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&number.to_string()),
        _ => out.push_str("null"),
    }
}

fn write_items<'v>(
    ends: [&str; 2],
    items: impl Iterator<Item = (Option<&'v Value>, &'v Value)>,
    out: &mut String,
) {
    out.push_str(ends[0]);
    for (at, (key, item)) in items.enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        if let Some(key) = key {
            write_json(key, out);
            out.push(':');
        }
        write_json(item, out);
    }
    out.push_str(ends[1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conversation;

    fn said(json: &str) -> Vec<Said> {
        let mut seen = Vec::new();
        Conversation::from_json(json).unwrap().visit(&mut |said| seen.push(said));
        seen
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_message_is_one_with_its_parts_calls_and_fields() {
        let json = r#"[{"name": "bob", "role": "user", "content": [{"type": "text", "text": "a"}, "b",
            {"type": "image", "text": "", "url": {"x": ["c", 1]}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
            "function": {"name": "f", "arguments": {"k": "v\"", "n": [1, null, true, 0.5]}}}, {"name": "g", "arguments": "raw"}]}]"#;
        let [user, assistant] = &said(json)[..] else { panic!() };
        assert_eq!(user.parts, ["a", "b", ""]);
        let fields = [
            ("name", "bob"),
            ("content[2].type", "image"),
            ("content[2].url.x[0]", "c"),
            ("content[2].url.x[1]", "1"),
            ("content[2].url.{key}", "x"),
        ];
        assert_eq!(user.fields, pairs(&fields));
        let arguments = r#"{"k":"v\"","n":[1,null,true,0.5]}"#;
        assert_eq!(assistant.calls, pairs(&[("f", arguments), ("g", "raw")]));
        assert_eq!(assistant.fields, pairs(&[("tool_calls[0].id", "1")]));
    }

    #[test]
    fn what_is_no_call_and_what_stands_in_keys_is_seen() {
        let of = |message: &str| said(&format!("[{message}]")).remove(0);
        let odd =
            of(r#"{"role": "assistant", "tool_calls": [{"function": {"title": "t"}, "arguments": "a"}, "s"],
            "function_call": {"name": "f", "note": "n"}, "say this aloud": {"w": "x"}}"#);
        assert_eq!(odd.calls, pairs(&[("f", "")]));
        let fields = [
            ("tool_calls[0].function.title", "t"),
            ("tool_calls[0].arguments", "a"),
            ("tool_calls[1]", "s"),
            ("function_call.note", "n"),
            ("*.w", "x"),
            ("function_call.{key}", "note"),
            ("{key}", "say this aloud"),
            ("*.{key}", "w"),
        ];
        assert_eq!(odd.fields, pairs(&fields));
        let odd = of(r#"{"role": "user", "content": "", "4111111111111111": {"AKIA": 5}}"#);
        let fields = [("*.AKIA", "5"), ("{key}", "4111111111111111"), ("*.{key}", "AKIA")];
        assert_eq!(odd.fields, pairs(&fields));
    }

    #[test]
    fn many_values_have_few_places() {
        let mut beside = Beside::default();
        for number in 0..20_000 {
            beside.value("x", number.to_string());
        }
        let fields = beside.into_fields();
        assert_eq!(fields.len(), MOST_PLACES + 1);
        let texts: Vec<&str> = fields.iter().flat_map(|field| field.1.lines()).collect();
        assert_eq!((texts.len(), texts[19_999]), (20_000, "19999"));
    }

    #[test]
    fn tools_speak_as_tools_before_all_messages() {
        let json = r#"{"messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"p": {}}}}]}"#;
        let [tool, user] = &said(json)[..] else { panic!() };
        assert_eq!((&tool.role[..], &user.role[..]), ("tool", "user"));
        assert_eq!(tool.parts, ["type\nfunction\nfunction\nname\nf\ndescription\nd\nparameters\np"]);
    }
}
