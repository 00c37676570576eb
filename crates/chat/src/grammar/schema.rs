//! JSON schemas as people write them for models, made explicit for llguidance.
//!
//! A schema often leaves unsaid what its author means, and llama.cpp takes it so: properties without a type are those of
//! an object, an object with properties has no others unless it says so, an empty schema is an object, an integer has at
//! most 16 digits.

use serde_json::{Map, Value, json};

/// Schemas in schemas.
const MAX_DEPTH: usize = 100;
/// The largest integer that is written without an explicit bound: 16 digits.
const MAX_INTEGER: i64 = 9_999_999_999_999_999;

/// The schema for llguidance, and the keys that it will not enforce.
pub(super) fn prepared(source: &str) -> Result<(Value, Vec<String>), String> {
    let mut schema: Value = serde_json::from_str(source).map_err(|e| format!("it is no JSON: {e}"))?;
    match &schema {
        Value::Object(map) if map.is_empty() => schema = json!({"type": "object"}),
        Value::Object(_) | Value::Bool(_) => {}
        _ => return Err("a schema is an object".to_owned()),
    }
    let mut dropped = Vec::new();
    prepare(&mut schema, (false, 0), &mut dropped)?;
    dropped.sort();
    dropped.dedup();
    Ok((schema, dropped))
}

/// `part`: it is one of several that hold together, so that what it does not name may be named by another.
fn prepare(
    schema: &mut Value,
    (part, depth): (bool, usize),
    dropped: &mut Vec<String>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("schemas nest deeper than {MAX_DEPTH}"));
    }
    let Value::Object(map) = schema else { return Ok(()) };
    if map.remove("uniqueItems").is_some_and(|unique| unique == true) {
        dropped.push("uniqueItems".to_owned());
    }
    tuples(map);
    infer_type(map);
    let composed = ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|key| map.contains_key(*key));
    let open = ["additionalProperties", "patternProperties"].iter().any(|key| map.contains_key(*key));
    if map.contains_key("properties") && !open && !composed && !part {
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    bound_integer(map);
    for (key, value) in map.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "patternProperties" | "definitions" | "$defs", Value::Object(children)) => {
                for child in children.values_mut() {
                    prepare(child, (false, depth + 1), dropped)?;
                }
            }
            ("allOf", Value::Array(children)) => {
                for child in children {
                    prepare(child, (true, depth + 1), dropped)?;
                }
            }
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(children)) => {
                for child in children {
                    prepare(child, (part, depth + 1), dropped)?;
                }
            }
            ("items" | "additionalProperties" | "additionalItems" | "contains" | "not", child) => {
                prepare(child, (false, depth + 1), dropped)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A list of items is a tuple of just these; a schema as `prefixItems` is that of all items.
fn tuples(map: &mut Map<String, Value>) {
    if let Some(Value::Array(items)) = map.get("items") {
        let (items, n) = (items.clone(), items.len());
        map.insert("prefixItems".to_owned(), Value::Array(items));
        map.insert("items".to_owned(), Value::Bool(false));
        map.entry("minItems").or_insert(json!(n));
    }
    if map.get("prefixItems").is_some_and(Value::is_object)
        && let Some(items) = map.remove("prefixItems")
    {
        map.insert("items".to_owned(), items);
    }
}

fn infer_type(map: &mut Map<String, Value>) {
    let says =
        ["type", "const", "enum", "$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| map.contains_key(*key));
    if says {
        return;
    }
    let has = |keys: &[&str]| keys.iter().any(|key| map.contains_key(*key));
    let kind = if has(&["properties", "additionalProperties", "required", "patternProperties"]) {
        "object"
    } else if has(&["items", "prefixItems", "minItems", "maxItems"]) {
        "array"
    } else if has(&["pattern", "minLength", "maxLength", "format"]) {
        "string"
    } else {
        return;
    };
    map.insert("type".to_owned(), json!(kind));
}

fn bound_integer(map: &mut Map<String, Value>) {
    if map.get("type").and_then(Value::as_str) != Some("integer") {
        return;
    }
    for (keys, bound) in
        [(["minimum", "exclusiveMinimum"], -MAX_INTEGER), (["maximum", "exclusiveMaximum"], MAX_INTEGER)]
    {
        if !keys.iter().any(|key| map.contains_key(*key)) {
            map.insert(keys[0].to_owned(), json!(bound));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unsaid_is_said() {
        for (source, want) in [
            ("{}", json!({"type": "object"})),
            (
                r#"{"properties": {"a": {"pattern": "x"}}}"#,
                json!({
                    "properties": {"a": {"pattern": "x", "type": "string"}},
                    "type": "object", "additionalProperties": false
                }),
            ),
            (
                r#"{"items": [{"const": 1}], "uniqueItems": false}"#,
                json!({"items": false, "prefixItems": [{"const": 1}], "minItems": 1, "type": "array"}),
            ),
            (r#"{"allOf": [{"properties": {}}]}"#, json!({"allOf": [{"properties": {}, "type": "object"}]})),
        ] {
            assert_eq!(prepared(source).unwrap(), (want, vec![]), "{source}");
        }
        assert_eq!(prepared(r#"{"items": {"uniqueItems": true}}"#).unwrap().1, ["uniqueItems"]);
        assert!(prepared("[]").is_err() && prepared(&"[".repeat(1000)).is_err());
    }
}
