//! JSON schemas as people write them for models, made explicit for llguidance.
//!
//! A schema often leaves unsaid what its author means, and llama.cpp takes it so: properties without a type are those of
//! an object, an object with properties has no others unless it says so, an empty schema is an object, an integer has at
//! most 16 digits.

use super::classes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashSet};

/// Schemas in schemas.
const MAX_DEPTH: usize = 100;
/// The largest integer that is written without an explicit bound: 16 digits.
const MAX_INTEGER: i64 = 9_999_999_999_999_999;

/// The largest integer up to which llguidance, which counts in doubles, tells each from the next.
const MAX_EXACT: u64 = 1 << 53;
/// Schemas, and bytes of names of properties, that are looked at to close what holds together, each time that it is.
const MAX_LOOKED_AT: usize = 8 << 20;
/// Keys whose values are schemas by name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "definitions", "$defs"];
/// Keys whose values are lists of schemas.
const LISTED: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keys whose value is a schema.
const ALONE: [&str; 5] = ["items", "additionalProperties", "additionalItems", "contains", "not"];
/// Keys whose values are no schemas, whatever stands in them.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];

/// The schema for llguidance, and the keys that it will not enforce.
pub(super) fn prepared(source: &str) -> Result<(Value, Vec<String>), String> {
    let (schema, mut dropped, _) = made_explicit(source)?;
    dropped.sort();
    dropped.dedup();
    Ok((schema, dropped))
}

/// Refuses a schema that llguidance, given it as it stands, does not hold to.
pub(super) fn check(source: &str) -> Result<(), String> {
    let (_, _, mended) = made_explicit(source)?;
    mended.map_or(Ok(()), |pattern| classes::check(&pattern))
}

/// The schema, the keys that are not enforced, and a pattern that had to be mended.
fn made_explicit(source: &str) -> Result<(Value, Vec<String>, Option<String>), String> {
    let mut schema: Value = serde_json::from_str(source).map_err(|e| format!("it is no JSON: {e}"))?;
    match &schema {
        Value::Object(map) if map.is_empty() => schema = json!({"type": "object"}),
        Value::Object(_) | Value::Bool(_) => {}
        _ => return Err("a schema is an object".to_owned()),
    }
    super::combined::check_schema(&schema)?;
    let root = schema.clone();
    let mut preparation = Preparation {
        root: &root,
        targets: BTreeSet::new(),
        parts: HashSet::new(),
        looked_at: 0,
        dropped: Vec::new(),
        mended: None,
    };
    preparation.find_parts(&root, (false, 0))?;
    preparation.prepare(&mut schema, (false, 0))?;
    preparation.prepare_elsewhere(&mut schema)?;
    // What is passed on is of the newest draft, whichever the schema names: under an older one keys of newer ones are passed over.
    schema.as_object_mut().and_then(|map| map.shift_remove("$schema"));
    Ok((schema, preparation.dropped, preparation.mended))
}

struct Preparation<'a> {
    /// The schema as it was given.
    root: &'a Value,
    /// References, those that begin others before them.
    targets: BTreeSet<&'a str>,
    /// References to definitions that hold together with other schemas somewhere.
    parts: HashSet<&'a str>,
    /// Counted up to MAX_LOOKED_AT.
    looked_at: usize,
    /// Keys that will not be enforced.
    dropped: Vec<String>,
    /// A pattern that was given and does not stand as it was.
    mended: Option<String>,
}

impl<'a> Preparation<'a> {
    /// Finds `targets` and `parts`. `part`: the schema holds together with others, so that what it does not name may be named by another.
    fn find_parts(&mut self, schema: &'a Value, (part, depth): (bool, usize)) -> Result<(), String> {
        too_deep(depth)?;
        let Value::Object(map) = schema else { return Ok(()) };
        let inner = part || is_joined(map);
        if let Some(Value::String(target)) = map.get("$ref") {
            self.targets.insert(target);
        }
        if let Some(Value::String(target)) = map.get("$ref").filter(|_| inner)
            && self.parts.insert(target)
            && let Some(target) = self.resolved(target)
        {
            self.find_parts(target, (true, depth + 1))?;
        }
        for (key, value) in map.iter().filter(|(key, _)| !VALUES.contains(&key.as_str())) {
            match value {
                Value::Object(children) if NAMED.contains(&key.as_str()) => {
                    children.values().try_for_each(|child| self.find_parts(child, (false, depth + 1)))?;
                }
                Value::Array(children) => {
                    let part = inner && joins(key);
                    children.iter().try_for_each(|child| self.find_parts(child, (part, depth + 1)))?;
                }
                child => self.find_parts(child, (false, depth + 1))?,
            }
        }
        Ok(())
    }

    fn resolved(&self, target: &str) -> Option<&'a Value> {
        self.root.pointer(target.strip_prefix('#')?)
    }

    /// Makes explicit what is meant, here and below; `part` as for `find_parts`.
    fn prepare(&mut self, schema: &mut Value, (part, depth): (bool, usize)) -> Result<(), String> {
        too_deep(depth)?;
        let Value::Object(map) = schema else { return Ok(()) };
        if map.shift_remove("uniqueItems").is_some_and(|unique| unique == true) {
            self.dropped.push("uniqueItems".to_owned());
        }
        self.patterns(map)?;
        tuples(map);
        infer_type(map);
        exclusive_flags(map);
        bound_integer(map)?;
        ["const", "enum"]
            .iter()
            .try_for_each(|key| map.get(*key).map_or(Ok(()), |value| exact(key, value)))?;
        for key in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"] {
            let ours = |bound: &Value| bound.as_i64().is_some_and(|bound| bound.abs() == MAX_INTEGER);
            let bound = map.get(key).filter(|bound| !bound.is_f64() && !ours(bound));
            bound.map_or(Ok(()), |bound| exact(key, bound))?;
        }
        include_bounds(map);
        if map.get("minProperties").and_then(Value::as_u64).is_some_and(|least| least > 1 + required(map)) {
            self.dropped.push("minProperties".to_owned());
        }
        let inner = part || is_joined(map);
        if map.contains_key("properties") && !is_open(map) && !inner {
            map.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        let refers_to_part = map.get("$ref").and_then(Value::as_str).is_some_and(|r| self.parts.contains(r));
        let closing = if !part && (inner || refers_to_part) { self.closing(map)? } else { None };
        for (key, value) in map.iter_mut() {
            match (key.as_str(), value) {
                (key, Value::Object(children)) if NAMED.contains(&key) => {
                    for (name, child) in children {
                        let part = depth == 0 && self.parts.contains(format!("#/{key}/{name}").as_str());
                        self.prepare(child, (part, depth + 1))?;
                    }
                }
                (key, Value::Array(children)) if LISTED.contains(&key) => {
                    for child in children {
                        self.prepare(child, (inner && joins(key), depth + 1))?;
                    }
                }
                (key, child) if ALONE.contains(&key) => self.prepare(child, (false, depth + 1))?,
                _ => {}
            }
        }
        if let Some(closing) = closing
            && let Value::Array(all) = map.entry("allOf").or_insert_with(|| json!([]))
        {
            all.push(closing);
        }
        Ok(())
    }

    /// The same for what references lead to and no key does, such as `#/components/schemas/A`.
    fn prepare_elsewhere(&mut self, schema: &mut Value) -> Result<(), String> {
        let mut prepared = HashSet::from(["#"]);
        for target in std::mem::take(&mut self.targets) {
            let found = target.strip_prefix('#').and_then(|pointer| schema.pointer_mut(pointer));
            let Some(found) = found else { continue };
            let mut ends = target.match_indices('/').map(|(at, _)| at).chain([target.len()]);
            let known = ends.any(|at| prepared.contains(&target[..at]) && is_within(&target[at..]));
            if !known && !target.split('/').any(|key| VALUES.contains(&key)) {
                self.prepare(found, (self.parts.contains(target), 1))?;
                prepared.insert(target);
            }
        }
        Ok(())
    }

    /// See `classes`. Names are refused what texts are given: one with U+0000 would be held to what holds for all others.
    fn patterns(&mut self, map: &mut Map<String, Value>) -> Result<(), String> {
        if let Some(Value::String(pattern)) = map.get_mut("pattern") {
            let mended = classes::mended(pattern)?;
            if mended != *pattern {
                self.mended = Some(std::mem::replace(pattern, mended));
            }
        }
        let names = map.get("patternProperties").and_then(Value::as_object);
        names.map_or(Ok(()), |names| names.keys().try_for_each(|name| classes::check(name)))
    }

    /// A schema that has no properties but those that this one and what it is joined with name; `None` where one of them allows others.
    fn closing(&mut self, map: &Map<String, Value>) -> Result<Option<Value>, String> {
        let (mut names, mut seen) = (Map::new(), HashSet::new());
        let closed = self.named(map, &mut names, &mut seen)? && !names.is_empty();
        Ok(closed.then(|| json!({"properties": names, "additionalProperties": false})))
    }

    /// Collects names of properties; `false` where others are allowed.
    fn named<'b>(
        &mut self,
        map: &'b Map<String, Value>,
        names: &mut Map<String, Value>,
        seen: &mut HashSet<&'b str>,
    ) -> Result<bool, String>
    where
        'a: 'b,
    {
        if is_open(map) {
            return Ok(false);
        }
        let own = map.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        self.looked_at += 1 + own.clone().map(|name| name.len() + 1).sum::<usize>();
        if self.looked_at > MAX_LOOKED_AT {
            return Err("too many properties in schemas that hold together".to_owned());
        }
        names.extend(own.map(|name| (name.clone(), Value::Bool(true))));
        let target = map.get("$ref").and_then(Value::as_str).filter(|target| seen.insert(target));
        if let Some(target) = target {
            let target = self.resolved(target).and_then(Value::as_object);
            if !target.map_or(Ok(false), |target| self.named(target, names, seen))? {
                return Ok(false);
            }
        }
        for (_, children) in map.iter().filter(|(key, _)| joins(key)) {
            for child in children.as_array().into_iter().flatten().filter_map(Value::as_object) {
                if !self.named(child, names, seen)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn too_deep(depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH { Err(format!("schemas nest deeper than {MAX_DEPTH}")) } else { Ok(()) }
}

/// Whether a schema leads to the place through keys of schemas alone.
fn is_within(place: &str) -> bool {
    let mut keys = place.split('/').skip(1);
    while let Some(key) = keys.next() {
        let by_name = NAMED.contains(&key) || LISTED.contains(&key);
        if !(ALONE.contains(&key) || by_name && keys.next().is_some()) {
            return false;
        }
    }
    true
}

/// Whether the schemas under this key are joined with the rest of theirs.
fn joins(key: &str) -> bool {
    ["allOf", "anyOf", "oneOf"].contains(&key)
}

/// Whether the schema says itself which other properties there may be.
fn is_open(map: &Map<String, Value>) -> bool {
    ["additionalProperties", "patternProperties"].iter().any(|key| map.contains_key(*key))
}

/// Whether several schemas hold together here.
fn is_joined(map: &Map<String, Value>) -> bool {
    let own = usize::from(is_open(map) || map.contains_key("properties"));
    let others = ["anyOf", "oneOf", "$ref"].iter().filter(|key| map.contains_key(**key)).count();
    own + others + map.get("allOf").and_then(Value::as_array).map_or(0, Vec::len) > 1
}

/// A list of items is a tuple of just these, unless `additionalItems` says what follows; a schema as `prefixItems` is that of all items.
fn tuples(map: &mut Map<String, Value>) {
    if let Some(Value::Array(items)) = map.get("items") {
        let (items, n) = (items.clone(), items.len() as u64);
        map.insert("prefixItems".to_owned(), Value::Array(items));
        let others = map.shift_remove("additionalItems").unwrap_or(Value::Bool(false));
        map.insert("items".to_owned(), others);
        let most = map.get("maxItems").and_then(Value::as_u64);
        map.entry("minItems").or_insert(json!(most.map_or(n, |most| most.min(n))));
    }
    // Without a list of items it says nothing, in any draft.
    map.shift_remove("additionalItems");
    if map.get("prefixItems").is_some_and(Value::is_object)
        && let Some(items) = map.shift_remove("prefixItems")
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

/// Integers without a bound, and those with one beyond it, end at MAX_INTEGER.
fn bound_integer(map: &mut Map<String, Value>) -> Result<(), String> {
    let kind = |kind: &Value| kind == "integer";
    match map.get("type") {
        Some(Value::Array(kinds)) if kinds.iter().any(kind) && !kinds.iter().any(|k| k == "number") => {}
        Some(one) if kind(one) => {}
        _ => return Ok(()),
    }
    let most = MAX_INTEGER as f64;
    for (keys, bound) in
        [(["minimum", "exclusiveMinimum"], -MAX_INTEGER), (["maximum", "exclusiveMaximum"], MAX_INTEGER)]
    {
        // How far a bound is inside: from the other end of the range it is this many.
        let inside = |value: f64| if bound < 0 { value + most } else { most - value };
        let given: Vec<f64> = keys.iter().filter_map(|key| map.get(*key)?.as_f64()).collect();
        if given.iter().any(|value| inside(*value) > 2.0 * most) {
            return Err("no integer of at most 16 digits lies within the bounds".to_owned());
        }
        if given.iter().all(|value| inside(*value) < 0.0) {
            keys.iter().for_each(|key| drop(map.shift_remove(*key)));
            map.insert(keys[0].to_owned(), json!(bound));
        } else {
            keys.iter().try_for_each(|key| map.get(*key).map_or(Ok(()), |value| exact(key, value)))?;
        }
    }
    Ok(())
}

/// Draft 4 says beside a bound that it is exclusive.
fn exclusive_flags(map: &mut Map<String, Value>) {
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(&Value::Bool(exclusive)) = map.get(flag) {
            map.shift_remove(flag);
            if exclusive && let Some(bound) = map.shift_remove(bound) {
                map.insert(flag.to_owned(), bound);
            }
        }
    }
}

/// llguidance takes a whole bound on the side of zero for one that belongs to the range where the other is less than 1 away, which
/// may be in another schema. So the range begins with what comes next: of 64-bit floats, and beside zero `NEXT`.
fn include_bounds(map: &mut Map<String, Value>) {
    /// As many digits as patterns of numbers may have, with some to spare.
    const NEXT: f64 = 1e-60;
    if map.get("type").is_some_and(|kind| kind == "integer") {
        return;
    }
    let (lower, upper) = (["minimum", "exclusiveMinimum"], ["maximum", "exclusiveMaximum"]);
    for ([included, excluded], others, sign) in [(lower, upper, 1.0), (upper, lower, -1.0)] {
        let away = |map: &Map<String, Value>, key| Some(sign * map.get(key)?.as_f64()?);
        let Some(bound) = away(map, excluded).filter(|bound| *bound >= 0.0 && bound.fract() == 0.0) else {
            continue;
        };
        // Where nothing is left, the error names the bound that was given.
        if others.iter().any(|other| away(map, *other).is_some_and(|other| other <= bound)) {
            continue;
        }
        let next = if bound == 0.0 { NEXT } else { bound.next_up() };
        let next = away(map, included).map_or(next, |given| given.max(next));
        map.shift_remove(excluded);
        map.insert(included.to_owned(), json!(sign * next));
    }
}

/// Names that there have to be. Of others, the same may come twice.
fn required(map: &Map<String, Value>) -> u64 {
    map.get("required").and_then(Value::as_array).map_or(0, |names| names.len() as u64)
}

/// Refuses what llguidance would round to another number, and what was rounded when it was read.
fn exact(key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Number(n)
            if n.is_f64() && n.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() > MAX_EXACT as f64) =>
        {
            Err(format!("`{key}`: {n} may have been rounded (integers are exact up to {MAX_EXACT})"))
        }
        Value::Number(n) if !n.is_f64() && n.as_i64().is_none_or(|n| n.unsigned_abs() > MAX_EXACT) => {
            Err(format!("`{key}`: {n} would be rounded (integers are exact up to {MAX_EXACT})"))
        }
        Value::Array(list) => list.iter().try_for_each(|child| exact(key, child)),
        Value::Object(map) => map.values().try_for_each(|child| exact(key, child)),
        _ => Ok(()),
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
            (
                r#"{"items": [{"const": 1}], "additionalItems": {"const": 2}}"#,
                json!({"items": {"const": 2}, "prefixItems": [{"const": 1}], "minItems": 1, "type": "array"}),
            ),
            (
                r#"{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}"#,
                json!({"type": "number", "exclusiveMaximum": 0.5, "minimum": 1e-60}),
            ),
            (
                r#"{"type": "number", "exclusiveMinimum": -0.5, "exclusiveMaximum": 0}"#,
                json!({"type": "number", "exclusiveMinimum": -0.5, "maximum": -1e-60}),
            ),
            (
                r#"{"minimum": -3, "exclusiveMinimum": true, "maximum": 5, "exclusiveMaximum": false}"#,
                json!({"exclusiveMinimum": -3, "maximum": 5}),
            ),
            (
                r#"{"type": "number", "exclusiveMinimum": 5, "maximum": 5}"#,
                json!({"type": "number", "exclusiveMinimum": 5, "maximum": 5}),
            ),
            (
                r#"{"$schema": "http://json-schema.org/draft-07/schema#", "items": [true, true], "maxItems": 1}"#,
                json!({"items": false, "prefixItems": [true, true], "maxItems": 1, "minItems": 1, "type": "array"}),
            ),
            (
                r#"{"prefixItems": [{"const": 1}], "items": {"const": 2}, "additionalItems": false}"#,
                json!({"items": {"const": 2}, "prefixItems": [{"const": 1}], "type": "array"}),
            ),
            (
                r#"{"allOf": [{"properties": {}}]}"#,
                json!({"allOf": [{"properties": {}, "type": "object", "additionalProperties": false}]}),
            ),
            (
                r#"{"allOf": [{"properties": {"a": true}}, {"required": ["a"]}]}"#,
                json!({"allOf": [
                    {"properties": {"a": true}, "type": "object"}, {"required": ["a"], "type": "object"},
                    {"properties": {"a": true}, "additionalProperties": false},
                ]}),
            ),
            (
                r#"{"type": ["integer", "null"], "maximum": 18446744073709551615}"#,
                json!({"type": ["integer", "null"], "maximum": MAX_INTEGER, "minimum": -MAX_INTEGER}),
            ),
        ] {
            assert_eq!(prepared(source).unwrap(), (want, vec![]), "{source}");
        }
        assert_eq!(prepared(r#"{"items": {"uniqueItems": true}}"#).unwrap().1, ["uniqueItems"]);
        let elsewhere = r##"{"properties": {"a": {"$ref": "#/components/schemas/A"}}, "components": {"schemas": {
            "A": {"properties": {"b": {"$ref": "#/components/schemas/A/properties/b"}}, "uniqueItems": true}}}}"##;
        let (schema, dropped) = prepared(elsewhere).unwrap();
        let closed = schema.pointer("/components/schemas/A/additionalProperties");
        assert_eq!((closed, &*dropped), (Some(&json!(false)), &["uniqueItems".to_owned()][..]));
        assert!(
            is_within("/properties/a/items/allOf/0") && is_within("") && !is_within("/components/schemas/A")
        );
        for (least, dropped) in [(2, 0), (3, 1)] {
            let schema = json!({"minProperties": least, "required": ["a"]}).to_string();
            assert_eq!(prepared(&schema).unwrap().1.len(), dropped);
        }
        for rounded in [
            r#"{"const": 9007199254740993}"#,
            r#"{"enum": [{"a": [-9007199254740993]}]}"#,
            r#"{"type": "integer", "minimum": 9007199254740993}"#,
            r#"{"type": "integer", "minimum": 1e20}"#,
        ] {
            assert!(prepared(rounded).is_err(), "{rounded}");
        }
        let wide = (0..2000).map(|i| format!("\"p{i}\": true")).collect::<Vec<_>>().join(",");
        let joined = vec![r##"{"allOf": [{"$ref": "#/$defs/W"}, {"required": []}]}"##; 2000].join(",");
        let many =
            format!(r#"{{"prefixItems": [{joined}], "$defs": {{"W": {{"properties": {{{wide}}}}}}}}}"#);
        assert!(prepared(&many).unwrap_err().contains("too many"));
        let chain =
            (0..300).map(|i| format!(r##""d{i}": {{"$ref": "#/$defs/d{}"}}"##, i + 1)).collect::<Vec<_>>();
        let long =
            format!(r##"{{"allOf": [{{"$ref": "#/$defs/d0"}}, {{}}], "$defs": {{{}}}}}"##, chain.join(","));
        assert!(prepared(&long).is_err());
        assert!(prepared("[]").is_err() && prepared(&"[".repeat(1000)).is_err());
    }
}
