//! Suites of texts that grammars have to accept and to reject.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use serde_json::Value;
use std::path::PathBuf;
use torchless_base::TokenId;
use torchless_chat::{Grammar, GrammarVocabulary};
use torchless_sampler::{Constraint, TokenMask};

fn suite(name: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from) else {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
        return None;
    };
    let text = std::fs::read_to_string(folder.join("chat").join(name)).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    Some(file["cases"].as_array().unwrap().clone())
}

/// Every byte is a token, and 256 ends the reply.
fn bytes() -> GrammarVocabulary {
    let tokens = (0..=255u8).map(|b| vec![b]).chain([Vec::new()]).collect();
    GrammarVocabulary::new(tokens, &[TokenId(256)]).unwrap()
}

fn grammar(kind: &str, source: &str) -> Grammar {
    match kind {
        "json_schema" => Grammar::JsonSchema(source.to_owned()),
        _ => Grammar::Gbnf(source.to_owned()),
    }
}

/// Whether every byte of `text` is in its mask, and the end is in the last.
fn accepts(vocabulary: &GrammarVocabulary, grammar: &Grammar, text: &str) -> Result<bool, String> {
    let mut constraint = vocabulary.constraint(grammar).map_err(|e| e.to_string())?;
    let mut mask = TokenMask::new(257);
    for token in text.bytes().map(u32::from).chain([256]).map(TokenId) {
        mask.clear();
        constraint.allow(&mut mask);
        if let Some(e) = constraint.error() {
            return Err(e);
        }
        if !mask.contains(token) {
            return Ok(false);
        }
        constraint.accept(token);
    }
    Ok(true)
}

#[test]
fn grammars_accept_and_reject_what_they_should() {
    let Some(cases) = suite("grammar_accept_reject.json") else { return };
    let vocabulary = bytes();
    let (mut passed, mut faults) = (0, Vec::new());
    for case in &cases {
        let grammar = grammar(case["kind"].as_str().unwrap(), case["grammar"].as_str().unwrap());
        for (key, want) in [("accept", true), ("reject", false)] {
            for text in case[key].as_array().unwrap() {
                match accepts(&vocabulary, &grammar, text.as_str().unwrap()) {
                    Ok(got) if got == want => passed += 1,
                    got => faults.push(format!("{}: {key} {text} gave {got:?}", case["name"])),
                }
            }
        }
    }
    eprintln!("{passed} passed, {} failed", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn schemas_are_taken_or_refused_as_they_should_be() {
    let Some(cases) = suite("schema_to_grammar.json") else { return };
    let vocabulary = bytes();
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            // The one case without a schema stands for the empty one.
            let source =
                Some(case["schema"].as_str().unwrap()).filter(|s| !s.trim().is_empty()).unwrap_or("{}");
            let taken = vocabulary.constraint(&Grammar::JsonSchema(source.to_owned()));
            let wanted = case["status"] == "SUCCESS";
            (taken.is_ok() != wanted).then(|| format!("{}: {:?}", case["name"], taken.err()))
        })
        .collect();
    eprintln!("{} passed, {} failed", cases.len() - faults.len(), faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_schema_is_followed_with_tokens_of_several_bytes() {
    let words = ["{", "\"", "a", "\":", "{\"a\":", " ", "1", "12", "}", "1}", "tr", "ue", "<end>"];
    let tokens = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let vocabulary = GrammarVocabulary::new(tokens, &[TokenId(12)]).unwrap();
    let schema = r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#;
    let mut constraint = vocabulary.constraint(&Grammar::JsonSchema(schema.to_owned())).unwrap();
    let allowed = |constraint: &mut dyn Constraint| {
        let mut mask = TokenMask::new(words.len());
        constraint.allow(&mut mask);
        let ids = (0..words.len()).filter(|&id| mask.contains(TokenId(id as u32)));
        ids.map(|id| words[id]).collect::<Vec<_>>()
    };
    assert_eq!(allowed(&mut constraint), ["{", "{\"a\":"]);
    constraint.accept(TokenId(4));
    assert_eq!(allowed(&mut constraint), [" ", "1", "12", "1}"]);
    let mut fork = constraint.fork();
    constraint.accept(TokenId(9));
    assert_eq!(allowed(&mut constraint), ["<end>"]);
    assert_eq!(allowed(fork.as_mut()), [" ", "1", "12", "1}"]);
}

#[test]
fn schemas_that_hold_together_have_the_properties_of_all() {
    let base =
        r##""$defs": {"B": {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}}"##;
    let inherits = format!(
        r##"{{"allOf": [{{"$ref": "#/$defs/B"}}], "properties": {{"y": {{"const": 2}}}}, "required": ["y"], {base}}}"##
    );
    let twice = format!(
        r##"{{"properties": {{"all": {{"allOf": [{{"$ref": "#/$defs/B"}}, {{"properties": {{"y": {{"const": 2}}}}}}]}}, "one": {{"$ref": "#/$defs/B"}}}}, {base}}}"##
    );
    let chosen = r#"{"type": "object", "properties": {"kind": {"const": "k"}}, "required": ["kind"],
        "anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 1}}, "required": ["b"]}]}"#;
    let either = r#"{"type": "object", "properties": {"email": {"const": "e"}, "phone": {"const": "p"}},
        "anyOf": [{"required": ["email"]}, {"required": ["phone"]}]}"#;
    let vocabulary = bytes();
    for (schema, text, want) in [
        (&*inherits, r#"{"x":1,"y":2}"#, true),
        (&*inherits, r#"{"y":2,"x":1}"#, false),
        (&*inherits, r#"{"x":1,"y":2,"z":3}"#, false),
        (&*twice, r#"{"all":{"x":1,"y":2},"one":{"x":1}}"#, true),
        (&*twice, r#"{"one":{"x":1,"y":2}}"#, false),
        (chosen, r#"{"kind":"k","a":1}"#, true),
        (chosen, r#"{"kind":"k","b":1}"#, true),
        (chosen, r#"{"kind":"k"}"#, false),
        (chosen, r#"{"kind":"k","a":1,"c":1}"#, false),
        (either, r#"{"phone":"p"}"#, true),
        (either, r#"{"email":"e","other":1}"#, false),
    ] {
        let got = accepts(&vocabulary, &grammar("json_schema", schema), text);
        assert_eq!(got, Ok(want), "{schema} and {text}");
    }
}

/// What each schema accepts, and what it does not.
#[test]
fn schemas_hold_to_what_they_say() {
    let draft = |n: &str, rest: &str| {
        format!(r#"{{"$schema": "http://json-schema.org/draft-{n}/schema#", "type": "array", {rest}}}"#)
    };
    let tuple = draft("07", r#""items": [{"const": 1}], "additionalItems": {"const": 3}, "minItems": 2"#);
    let short = draft("04", r#""items": [{"const": 1}, {"const": 2}, {"const": 3}], "maxItems": 2"#);
    let vocabulary = bytes();
    for (schema, accepted, refused) in [
        (
            r#"{"type": "string", "pattern": "^[^\"\\\\]$"}"#,
            &[r#""'""#, r#""\n""#, r#""\u001f""#][..],
            &[r#""\"""#, r#""\\""#][..],
        ),
        (r#"{"type": "string", "pattern": "^([^\"]|-)$"}"#, &[r#""a""#, r#""\\""#], &[r#""\"""#]),
        (r#"{"type": "string", "pattern": "^[\\x00-\\x1f]$"}"#, &[r#""\t""#], &[r#""\"""#, r#""\\""#]),
        (
            r##"{"$ref": "#/components/schemas/A", "components": {"schemas": {"A": {"pattern": "^[^\"]$"}}}}"##,
            &[r#""a""#],
            &[r#""\"""#],
        ),
        (&tuple, &["[1,3]"], &["[3,3]", "[1]"]),
        (&short, &["[1,2]"], &["[1]", "[1,2,3]"]),
        (r#"{"$schema": "http://json-schema.org/draft-04/schema#", "const": 5}"#, &["5"], &["true"]),
        (
            r#"{"type": "number", "allOf": [{"exclusiveMinimum": 0}, {"maximum": 0.5}]}"#,
            &["0.01", "0.5"],
            &["0", "0.0"],
        ),
        (
            r#"{"type": "number", "anyOf": [{"exclusiveMaximum": 0}], "minimum": -0.5}"#,
            &["-0.1"],
            &["0", "-0", "-0.0"],
        ),
        (
            r##"{"type": "number", "exclusiveMinimum": 0, "$ref": "#/$defs/x", "$defs": {"x": {"maximum": 0.5}}}"##,
            &["0.1"],
            &["0"],
        ),
        (r#"{"type": "number", "minimum": 0, "exclusiveMinimum": true, "maximum": 0.5}"#, &["0.1"], &["0"]),
        (
            r#"{"type": "number", "exclusiveMinimum": 100000000, "maximum": 100000000.5}"#,
            &["100000000.1"],
            &["100000000"],
        ),
        (
            r#"{"type": "number", "exclusiveMaximum": 100000000, "minimum": 99999999.5}"#,
            &["99999999.9"],
            &["100000000"],
        ),
        (r#"{"type": "number", "exclusiveMinimum": 0, "maximum": 1e-10}"#, &["0.00000000001"], &["0"]),
        (r#"{"type": "number", "exclusiveMinimum": 0, "maximum": 1}"#, &["0.50", "1"], &["0", "1.1"]),
        (
            r#"{"allOf": [{"type": "integer"}, {"exclusiveMinimum": 0, "exclusiveMaximum": 3}]}"#,
            &["1", "2"],
            &["0", "3"],
        ),
        (r#"{"type": "number", "exclusiveMinimum": 3}"#, &["3.1", "4"], &["3", "3.0"]),
    ] {
        for (texts, want) in [(accepted, true), (refused, false)] {
            for text in texts {
                assert_eq!(
                    accepts(&vocabulary, &grammar("json_schema", schema), text),
                    Ok(want),
                    "{schema} and {text}"
                );
            }
        }
    }
    for (schema, word) in [
        (r#"{"patternProperties": {"^[^\"]$": true}}"#, "exclude \\x00"),
        (r#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#, "use `anyOf`"),
        (r#"{"$ref": "http://example.org/x"}"#, "begins with `#/`"),
        (r#"{"type": "number", "exclusiveMinimum": 5, "maximum": 5}"#, "exclusiveMinimum (5)"),
    ] {
        let error = vocabulary.constraint(&grammar("json_schema", schema)).err().unwrap().to_string();
        assert!(error.contains(word), "{schema}: {error}");
    }
}
