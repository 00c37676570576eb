//! Calls of tools in the forms that families of models have for them.

use super::tools::Tools;
use super::{exact, markup, python};
use serde_json::{Map, Value};

/// A call that a model asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// What the model calls this call, where it does.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Arguments by name.
    pub arguments: Value,
}

/// The calls in a text; `None` if it holds something else.
pub(super) type CallParser = fn(&str, &Tools) -> Option<Vec<ToolCall>>;

/// A form of calls.
#[derive(Debug)]
pub(super) struct CallFormat {
    pub begin: &'static str,
    /// Empty: the end of the reply.
    pub end: &'static str,
    pub parse: CallParser,
    /// What templates have instead of `begin`, which such models learnt all the same.
    pub sign: Option<&'static str>,
}

impl PartialEq for CallFormat {
    fn eq(&self, other: &Self) -> bool {
        self.begin == other.begin
    }
}

/// What stands between two tags.
pub(super) enum Found {
    /// Calls of tools that were given, at least one.
    Calls(Vec<ToolCall>),
    /// It may become one: the end tag belongs to an argument.
    Open,
    Text,
}

impl CallFormat {
    pub fn found(&self, text: &str, tools: &Tools) -> Found {
        match (self.parse)(text.trim(), tools) {
            Some(calls) => given(calls, tools).map_or(Found::Text, Found::Calls),
            None if is_open(text) => Found::Open,
            None => Found::Text,
        }
    }
}

/// Whether JSON or markup ends in the midst of a value.
fn is_open(text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = depth > 0 && !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    let markup = [markup::QWEN, markup::MINIMAX, markup::GLM, markup::DSML];
    depth > 0 || python::is_begun(text) || markup.iter().any(|markup| markup.is_begun(text))
}

const fn form(begin: &'static str, end: &'static str, parse: CallParser) -> CallFormat {
    CallFormat { begin, end, parse, sign: None }
}

/// What templates put together the tags of DeepSeek V3.2 from.
const DSML: &str = "'｜DSML｜'";
/// As it stands in the text of a template.
const COMMAND_R: &str = r"Action:\n```json";

/// Hermes, Qwen, GLM, SmolLM3 and Granite 4; Llama; Mistral; DeepSeek; Command R7B and R; Granite 3 and Phi-4-mini; Gemma 4;
/// Seed-OSS; MiniMax-M2; DeepSeek V3.2; Kimi-K2; Solar Open; LFM2; Nemotron Nano; Apriel; Apertus; GigaChat 3.1 and 3; functionary v3.1.
pub(super) const FORMATS: &[CallFormat] = &[
    form("<tool_call>", "</tool_call>", tagged),
    form("<|python_tag|>", "", python_tag),
    form("[TOOL_CALLS]", "", mistral),
    form("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", deepseek),
    form("<|START_ACTION|>", "<|END_ACTION|>", json_calls),
    CallFormat { sign: Some(COMMAND_R), ..form("Action: ```json", "```", json_calls) },
    CallFormat { sign: Some(COMMAND_R), ..form("Action:\n```json", "```", json_calls) },
    form("<|tool_call|>", "<|/tool_call|>", json_calls),
    form("functools", "", json_calls),
    form("<|tool_call>", "<tool_call|>", gemma),
    form("<seed:tool_call>", "</seed:tool_call>", |text, tools| markup::SEED.calls(text, tools)),
    form("<minimax:tool_call>", "</minimax:tool_call>", |text, tools| markup::MINIMAX.calls(text, tools)),
    CallFormat {
        sign: Some(DSML), ..form("<｜DSML｜function_calls>", "</｜DSML｜function_calls>", dsml)
    },
    form("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", kimi),
    form("<|tool_calls|>", "", solar),
    CallFormat {
        sign: Some("List of tools: "),
        ..form("<|tool_call_start|>", "<|tool_call_end|>", |text, _| python::calls(text))
    },
    form("<TOOLCALL>", "</TOOLCALL>", json_calls),
    form("<tool_calls>", "</tool_calls>", json_calls),
    form("<|tools_prefix|>", "<|tools_suffix|>", apertus),
    form("<|function_call|>", "<|message_sep|>", json_calls),
    CallFormat {
        sign: Some("'role': 'function call'"),
        ..form("function call<|role_sep|>", "<|message_sep|>", json_calls)
    },
    form("<function=", "</function>", function),
];

/// What `parse` finds in a text, if these are calls of tools that were given and nothing else.
pub(super) fn calls_in(parse: CallParser, text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    given(parse(text.trim(), tools)?, tools)
}

fn given(calls: Vec<ToolCall>, tools: &Tools) -> Option<Vec<ToolCall>> {
    (!calls.is_empty() && calls.iter().all(|call| tools.know(&call.name))).then_some(calls)
}

/// One JSON object, or a list of them, each with a name and arguments.
pub(super) fn json_calls(text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    match exact::parse(text)? {
        Value::Array(list) => list.into_iter().map(|value| json_call(value, tools)).collect(),
        one => Some(vec![json_call(one, tools)?]),
    }
}

/// An object with other keys than those of a call is some other JSON.
fn json_call(value: Value, tools: &Tools) -> Option<ToolCall> {
    let Value::Object(mut object) = value else { return None };
    let mut id = take(&mut object, &["id", "tool_call_id"]);
    object.remove("type");
    if let Some(function) = object.remove("function") {
        let (Value::Object(function), true) = (function, object.is_empty()) else { return None };
        object = function;
        id = id.or_else(|| take(&mut object, &["id"]));
    }
    let Value::String(name) = take(&mut object, &["name", "tool_name"])? else { return None };
    let arguments = match take(&mut object, &["arguments", "parameters"]) {
        Some(Value::String(text)) => exact::parse(&text)?,
        Some(arguments) => arguments,
        None if tools.need_nothing(&name) => Value::Object(Map::new()),
        None => return None,
    };
    let id = match id {
        Some(Value::String(id)) => Some(id),
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(Value::Null) | None => None,
        Some(_) => return None,
    };
    (object.is_empty() && arguments.is_object()).then_some(ToolCall { id, name, arguments })
}

fn take(object: &mut Map<String, Value>, keys: &[&str]) -> Option<Value> {
    keys.iter().find_map(|key| object.shift_remove(*key))
}

/// `<tool_call>` of Hermes (JSON), Qwen3-Coder (`<function=name>`) and GLM (`<arg_key>`).
fn tagged(text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    if text.starts_with(['{', '[']) {
        return json_calls(text, tools);
    }
    let markup = if text.starts_with("<function=") { markup::QWEN } else { markup::GLM };
    markup.calls(text, tools)
}

fn named(name: &str, arguments: Map<String, Value>) -> Option<Vec<ToolCall>> {
    let word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.:/".contains(c));
    let arguments = Value::Object(arguments);
    word.then(|| vec![ToolCall { id: None, name: name.to_owned(), arguments }])
}

/// JSON, or code for a Python interpreter.
fn python_tag(text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    if let Some(calls) = json_calls(text, tools) {
        return Some(calls);
    }
    if text.is_empty() || text.starts_with('{') {
        return None;
    }
    let arguments = Map::from_iter([("code".to_owned(), Value::String(text.to_owned()))]);
    named("python", arguments)
}

/// Old: a JSON list. New: `name[CALL_ID]id[ARGS]{...}`, again and again.
fn mistral(text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    if text.starts_with(['[', '{']) {
        return json_calls(text, tools);
    }
    let mut calls = Vec::new();
    for part in text.split("[TOOL_CALLS]") {
        let (head, arguments) = part.split_once("[ARGS]").or_else(|| {
            let at = part.find('{')?;
            Some(part.split_at(at))
        })?;
        let (name, id) = head.split_once("[CALL_ID]").map_or((head, None), |(name, id)| (name, Some(id)));
        let Value::Object(arguments) = exact::parse(arguments)? else { return None };
        for mut call in named(name.trim(), arguments)? {
            call.id = id.map(|id| id.trim().to_owned());
            calls.push(call);
        }
    }
    Some(calls)
}

/// V3 and R1: `function<sep>name`, then JSON in a fence; V3.1: `name<sep>{...}`.
fn deepseek(text: &str, _: &Tools) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    for part in text.split("<｜tool▁call▁begin｜>").filter(|part| !part.trim().is_empty()) {
        let part = part.trim().strip_suffix("<｜tool▁call▁end｜>")?;
        let (head, body) = part.split_once("<｜tool▁sep｜>")?;
        let (name, arguments) = match body.split_once("```json") {
            Some((name, rest)) => (name, rest.trim().strip_suffix("```")?),
            None => (head, body),
        };
        let Value::Object(arguments) = exact::parse(arguments)? else { return None };
        calls.extend(named(name.trim(), arguments)?);
    }
    Some(calls)
}

/// `functions.name:0`, which is the call's id, and JSON.
fn kimi(text: &str, _: &Tools) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    for part in text.split("<|tool_call_begin|>").filter(|part| !part.trim().is_empty()) {
        let part = part.trim().strip_suffix("<|tool_call_end|>")?;
        let (id, arguments) = part.split_once("<|tool_call_argument_begin|>")?;
        let name = id.trim().strip_prefix("functions.").unwrap_or(id.trim());
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        let Value::Object(arguments) = exact::parse(arguments)? else { return None };
        for mut call in named(name, arguments)? {
            call.id = Some(id.trim().to_owned());
            calls.push(call);
        }
    }
    Some(calls)
}

fn dsml(text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    markup::DSML.calls(text, tools)
}

/// The id, the tool and JSON between control tokens, again and again.
fn solar(text: &str, _: &Tools) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let text = text.strip_suffix("<|calls|>").unwrap_or(text);
    for part in text.split("<|tool_call:begin|>").filter(|part| !part.trim().is_empty()) {
        let part = part.trim().strip_suffix("<|tool_call:end|>")?;
        let (id, rest) = part.split_once("<|tool_call:name|>")?;
        let (name, arguments) = rest.split_once("<|tool_call:args|>")?;
        let Value::Object(arguments) = exact::parse(arguments)? else { return None };
        for mut call in named(name.trim(), arguments)? {
            call.id = Some(id.trim().to_owned()).filter(|id| !id.is_empty());
            calls.push(call);
        }
    }
    Some(calls)
}

/// A JSON list of objects, each with the tool as its one key and the arguments as its value.
fn apertus(text: &str, _: &Tools) -> Option<Vec<ToolCall>> {
    let Value::Array(list) = exact::parse(text)? else { return None };
    let mut calls = Vec::new();
    for value in list {
        let Value::Object(object) = value else { return None };
        let mut pairs = object.into_iter();
        let (Some((name, Value::Object(arguments))), None) = (pairs.next(), pairs.next()) else {
            return None;
        };
        calls.extend(named(&name, arguments)?);
    }
    Some(calls)
}

/// `name>` and JSON; models that write markup leave the tags around it out at times.
fn function(text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
    let (name, body) = text.split_once('>')?;
    if !body.trim_start().starts_with('{') {
        return markup::QWEN.calls(&format!("<function={text}\n</function>"), tools);
    }
    let Value::Object(arguments) = exact::parse(body)? else { return None };
    named(name.trim(), arguments)
}

/// `call:name{key:<|"|>text<|"|>,other:1}`
fn gemma(text: &str, _: &Tools) -> Option<Vec<ToolCall>> {
    let (name, body) = text.strip_prefix("call:")?.split_once('{')?;
    let body = body.trim_end().strip_suffix('}')?;
    named(name.trim(), gemma_pairs(body)?)
}

fn gemma_pairs(body: &str) -> Option<Map<String, Value>> {
    let mut pairs = Map::new();
    for part in top_level(body) {
        let (key, value) = part.split_once(':')?;
        pairs.insert(key.trim().to_owned(), gemma_value(value.trim(), 0)?);
    }
    Some(pairs)
}

/// Levels of lists and objects.
const MAX_NESTING: usize = 64;

fn gemma_value(text: &str, depth: usize) -> Option<Value> {
    const QUOTE: &str = "<|\"|>";
    if depth > MAX_NESTING {
        return None;
    }
    if let Some(inner) = text.strip_prefix(QUOTE) {
        return Some(Value::String(inner.strip_suffix(QUOTE)?.to_owned()));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let items = top_level(inner.strip_suffix(']')?);
        return items.into_iter().map(|item| gemma_value(item.trim(), depth + 1)).collect();
    }
    if let Some(inner) = text.strip_prefix('{') {
        let mut pairs = Map::new();
        for part in top_level(inner.strip_suffix('}')?) {
            let (key, value) = part.split_once(':')?;
            pairs.insert(key.trim().to_owned(), gemma_value(value.trim(), depth + 1)?);
        }
        return Some(Value::Object(pairs));
    }
    exact::parse(text)
}

/// What stands between commas that are in no quotes and no brackets.
fn top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if text[..at].ends_with("<|") && text[at..].starts_with("\"|>") => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() || !parts.is_empty() {
        parts.push(&text[start..]);
    }
    parts
}
