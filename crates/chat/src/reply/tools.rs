//! The tools that a model was given, as far as its calls have to fit them.

use super::ToolCall;
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

    /// Whether this call is one of a tool that was given.
    pub(super) fn know(&self, call: &ToolCall) -> bool {
        self.get(&call.name).is_some()
    }

    /// Whether a call of the tool may leave its arguments out.
    pub(super) fn need_nothing(&self, name: &str) -> bool {
        let required = self.get(name).and_then(|tool| tool.schema["required"].as_array());
        required.is_none_or(Vec::is_empty)
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
