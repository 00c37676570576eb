//! Patterns that one text has to match all at once. Following them side by side may take as many steps for a single byte as the
//! product of their lengths, of which llguidance has no limit, so that the product is limited before.

use super::schema;
use serde_json::{Deserializer, Map, Value};
use std::collections::{HashMap, HashSet};

/// The largest product of the lengths of patterns that hold together.
const MAX_PRODUCT: u64 = 1_000_000;
/// Different patterns for names of properties in a schema. Each is held against each.
const MAX_NAMES: usize = 100;
/// What the pattern of a `format` weighs.
const FORMAT: u64 = 100;

/// Refuses a schema with more patterns for one text than can be followed.
pub(super) fn check_schema(root: &Value) -> Result<(), String> {
    Weights { root, of_targets: HashMap::new(), names: HashSet::new() }.check(root)
}

/// The same for the terminals of Lark, which are joined by `&`.
pub(super) fn check_lark(source: &str) -> Result<(), String> {
    let (mut joins, mut length, mut rest) = (0u32, 0u64, source);
    while let Some(c) = rest.chars().next() {
        let at = rest;
        rest = &rest[c.len_utf8()..];
        match c {
            '&' => joins += 1,
            '#' => rest = from(rest, rest.find('\n')),
            '/' if rest.starts_with('/') => rest = from(rest, rest.find('\n')),
            '"' | '/' => rest = from(rest, literal_end(rest, c)),
            '%' if rest.starts_with("json") => {
                let mut values = Deserializer::from_str(&at["%json".len()..]).into_iter::<Value>();
                if let Some(Ok(value)) = values.next() {
                    schema::check(&value.to_string())?;
                    rest = &at["%json".len() + values.byte_offset()..];
                }
            }
            _ => {}
        }
        length += (at.len() - rest.len()) as u64;
    }
    // The product of so many lengths is at most that of equal ones.
    let parts = u64::from(joins) + 1;
    let product = (length / parts).saturating_pow(joins + 1);
    if joins > 0 && product > 100 * MAX_PRODUCT {
        return Err(format!("{parts} patterns joined by `&` in {length} bytes: join fewer or shorter ones"));
    }
    Ok(())
}

fn from(text: &str, at: Option<usize>) -> &str {
    at.map_or("", |at| &text[at..])
}

/// Where a literal has ended.
fn literal_end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let end = text.char_indices().find(|&(_, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map(|(at, _)| at + 1)
}

struct Weights<'a> {
    root: &'a Value,
    /// Of what references name; 1 while it is being found.
    of_targets: HashMap<&'a str, u64>,
    names: HashSet<&'a str>,
}

impl<'a> Weights<'a> {
    /// Checks a schema and all in it, which nest as little as JSON may.
    fn check(&mut self, value: &'a Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.check(item)),
            Value::Object(map) => {
                let factors = self.factors(map);
                let product = factors.iter().copied().fold(1, u64::saturating_mul);
                if product > MAX_PRODUCT && factors.iter().filter(|factor| **factor > 1).count() > 1 {
                    let how = "join fewer or shorter ones";
                    return Err(format!(
                        "patterns for one value whose lengths multiply to more than {MAX_PRODUCT}: {how}"
                    ));
                }
                if let Some(Value::Object(patterns)) = map.get("patternProperties") {
                    self.names.extend(patterns.keys().map(String::as_str));
                }
                if self.names.len() > MAX_NAMES {
                    return Err(format!("more than {MAX_NAMES} patterns under `patternProperties`"));
                }
                map.values().try_for_each(|child| self.check(child))
            }
            _ => Ok(()),
        }
    }

    /// What multiplies in a schema: its own pattern, all that it is joined with, and of alternatives their sum.
    fn factors(&mut self, map: &'a Map<String, Value>) -> Vec<u64> {
        let mut factors = Vec::new();
        for (key, value) in map {
            match (key.as_str(), value) {
                ("pattern", Value::String(pattern)) => factors.push(pattern.len() as u64),
                ("format", Value::String(_)) => factors.push(FORMAT),
                ("$ref", Value::String(target)) => factors.push(self.of_target(target)),
                ("allOf", Value::Array(all)) => factors.extend(all.iter().map(|one| self.weight(one))),
                ("anyOf" | "oneOf", Value::Array(any)) => {
                    factors.push(any.iter().map(|one| self.weight(one)).fold(0, u64::saturating_add));
                }
                _ => {}
            }
        }
        factors
    }

    fn weight(&mut self, schema: &'a Value) -> u64 {
        let Value::Object(map) = schema else { return 1 };
        self.factors(map).into_iter().fold(1, |product, factor| product.saturating_mul(factor.max(1)))
    }

    fn of_target(&mut self, target: &'a str) -> u64 {
        if let Some(weight) = self.of_targets.get(target) {
            return *weight;
        }
        self.of_targets.insert(target, 1);
        let schema = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let weight = schema.map_or(1, |schema| self.weight(schema));
        self.of_targets.insert(target, weight);
        weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_that_hold_together_are_bounded() {
        let pattern = |n: usize| json!({"pattern": "x".repeat(n)});
        let names = |n: usize| (0..n).map(|i| (format!("^x{i}"), json!(true))).collect::<Map<_, _>>();
        let far = json!({"allOf": [pattern(1000), {"$ref": "#/$defs/A"}], "$defs": {"A": pattern(1001)}});
        let round = json!({"allOf": [pattern(10), {"$ref": "#"}]});
        let many = json!([pattern(300), pattern(300), pattern(300), pattern(101)]);
        for (schema, fits) in [
            (json!({"allOf": [pattern(1000), pattern(1000)]}), true),
            (json!({"allOf": [pattern(1000), pattern(1001)]}), false),
            (json!({"allOf": vec![pattern(17); 20]}), false),
            (pattern(2_000_000), true),
            (json!({"properties": {"a": pattern(1001), "b": pattern(1001)}}), true),
            (
                json!({"properties": {"a": {"format": "email", "allOf": [{"pattern": "x".repeat(10_001)}]}}}),
                false,
            ),
            (json!({"allOf": [{"anyOf": many}, pattern(1000)]}), false),
            (far, false),
            (round, true),
            (json!({"patternProperties": names(100)}), true),
            (json!({"items": {"patternProperties": names(101)}}), false),
        ] {
            assert_eq!(check_schema(&schema).is_ok(), fits, "{schema}");
        }
    }

    #[test]
    fn so_are_terminals_of_lark() {
        let long = "x".repeat(20_000);
        for (source, fits) in [
            (format!("start: A\nA: /{long}/ & /b/"), false),
            (format!("start: A\nA: /{long}/ | \"&\" | /[&]\\/&/ // &\n# &\n"), true),
            (format!("start: A\nA: {}", ["/(a|b)*a(a|b){5}/"; 12].join(" & ")), false),
            ("start: A\nA: /(a|b)*a(a|b){5}/ & /(a|b)*b(a|b){5}/".to_owned(), true),
            (
                format!("start: %json {}", json!({"allOf": vec![json!({"pattern": "x".repeat(17)}); 20]})),
                false,
            ),
            ("start: \"a\" & ".to_owned(), true),
            ("start: %json {\"pattern\": \"^[^']$\"}".to_owned(), true),
            ("start: %json {\"pattern\": \"^[^\\\"]$\"}".to_owned(), false),
        ] {
            assert_eq!(check_lark(&source).is_ok(), fits, "{}", &source[..source.len().min(60)]);
        }
    }
}
