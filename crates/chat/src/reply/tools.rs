//! The tools that a model was given, as far as its calls have to fit them.

use super::exact;
use crate::jinja::Value as TemplateValue;
use serde_json::{Map, Value};

/// Names and arguments of the tools that a model may call.
#[derive(Clone, Debug, Default)]
pub struct Tools(Vec<Tool>);

#[derive(Clone, Debug)]
struct Tool {
    name: String,
    /// The schema of its arguments.
    schema: Value,
}

/// Keys that hold the schema of arguments.
const SCHEMAS: [&str; 2] = ["parameters", "input_schema"];

impl Tools {
    /// The tools of a list: each an object with a name, or one that has such an object under `function`.
    pub(crate) fn of(list: &TemplateValue) -> Self {
        let TemplateValue::Seq(list) = list else { return Self::default() };
        Self(list.items.iter().filter_map(tool).collect())
    }

    /// Whether an entry of a list is a tool, with a name that a call can have.
    pub(crate) fn is_one(entry: &TemplateValue) -> bool {
        tool(entry).is_some_and(|tool| !tool.name.is_empty())
    }

    /// Whether nothing may be called.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a tool of this name was given.
    pub(super) fn know(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a call of the tool may leave its arguments out.
    pub(super) fn need_nothing(&self, name: &str) -> bool {
        let required = self.get(name).and_then(|tool| tool.schema["required"].as_array());
        required.is_none_or(Vec::is_empty)
    }

    /// Whether the tool has an argument of this name, as far as its schema says.
    pub(super) fn declare(&self, name: &str, key: &str) -> bool {
        let properties = self.get(name).and_then(|tool| tool.schema["properties"].as_object());
        properties.is_none_or(|properties| properties.is_empty() || properties.contains_key(key))
    }

    /// The value of an argument that came as plain text: JSON, unless the schema says that it is a text.
    pub(super) fn argument(&self, name: &str, key: &str, text: &str) -> Value {
        let kinds = self.get(name).and_then(|tool| {
            let schema = &tool.schema;
            let property = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
            kinds(schema, property?, 0)
        });
        let fits = |value: &Value| match &kinds {
            Some(kinds) if kinds.contains(&"string") => kinds.iter().any(|kind| is_of(kind, value)),
            _ => true,
        };
        let parsed = exact::parse(text).filter(fits);
        parsed.unwrap_or_else(|| Value::String(text.to_owned()))
    }

    fn get(&self, name: &str) -> Option<&Tool> {
        self.0.iter().find(|tool| tool.name == name)
    }
}

fn tool(value: &TemplateValue) -> Option<Tool> {
    let value = json(value);
    let function = value.get("function").unwrap_or(&value);
    let name = match function["name"].as_str() {
        Some(name) => name,
        // It has no name of its own, and models call it so.
        None if value["type"] == "code_interpreter" => "python",
        None => return None,
    };
    let schema = SCHEMAS.iter().find_map(|key| function.get(key)).cloned().unwrap_or_default();
    Some(Tool { name: name.to_owned(), schema })
}

/// References to references that are followed.
const MAX_DEPTH: usize = 16;

/// The types that a schema names; `None` where it may be any.
fn kinds<'s>(root: &'s Value, schema: &'s Value, depth: usize) -> Option<Vec<&'s str>> {
    if depth > MAX_DEPTH {
        return None;
    }
    match &schema["type"] {
        Value::String(kind) => return Some(vec![kind]),
        Value::Array(kinds) => return Some(kinds.iter().filter_map(Value::as_str).collect()),
        _ => {}
    }
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().map(kind_of).collect());
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![kind_of(value)]);
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|target| root.pointer(target.strip_prefix('#')?)) {
        return kinds(root, target, depth + 1);
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all.iter().find_map(|part| kinds(root, part, depth + 1));
    }
    let any = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array())?;
    let any: Option<Vec<_>> = any.iter().map(|part| kinds(root, part, depth + 1)).collect();
    Some(any?.concat())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a value is of a type, and no text.
fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => false,
        "integer" => value.is_i64() || value.is_u64(),
        kind => kind == kind_of(value),
    }
}

/// Values of tools come from JSON and nest as little as it may.
fn json(value: &TemplateValue) -> Value {
    match value {
        TemplateValue::Bool(b) => Value::Bool(*b),
        TemplateValue::Int(i) => i64::try_from(*i).map_or(Value::Null, Value::from),
        TemplateValue::Float(f) => Value::from(*f),
        TemplateValue::Str(text) => Value::from(text.as_str()),
        TemplateValue::Seq(seq) => seq.items.iter().map(json).collect(),
        TemplateValue::Dict(dict) => {
            let pairs = dict.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), json(value))));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Conversation, Data};
    use serde_json::json;

    #[test]
    fn plain_text_is_of_the_type_that_the_schema_names() {
        let properties = json!({
            "text": {"type": "string"}, "number": {"type": "integer"}, "maybe": {"type": ["string", "null"]},
            "either": {"anyOf": [{"type": "string"}, {"type": "object"}]}, "word": {"enum": ["1", "2"]},
            "far": {"$ref": "#/$defs/T"}, "round": {"$ref": "#/$defs/R"}, "free": {},
        });
        let definitions = json!({"T": {"const": "7"}, "R": {"$ref": "#/$defs/R"}});
        let schema = json!({"properties": properties, "$defs": definitions});
        let mut conversation = Conversation::new();
        let list = json!([{"name": "f", "parameters": schema}]).to_string();
        conversation.set_tools(Data::parse(&list).unwrap()).unwrap();
        let tools = conversation.callable().unwrap();
        for (key, text, want) in [
            ("text", "1", json!("1")),
            ("text", "null", json!("null")),
            ("number", "1", json!(1)),
            ("number", "one", json!("one")),
            ("maybe", "null", json!(null)),
            ("maybe", "1", json!("1")),
            ("either", "{}", json!({})),
            ("either", "[]", json!("[]")),
            ("word", "1", json!("1")),
            ("far", "7", json!("7")),
            ("round", "7", json!(7)),
            ("free", "[1]", json!([1])),
            ("other", "x", json!("x")),
        ] {
            assert_eq!(tools.argument("f", key, text), want, "{key}: {text}");
        }
    }
}
