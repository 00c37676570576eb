//! Replies held to grammars, and what a model thinks.

use super::remake::Remake;
use super::support::{assert_refused, output, run, text};

#[test]
fn a_grammar_decides_what_a_reply_may_be() {
    for seed in ["1", "2", "3"] {
        let words = ["--prompt", "Once", "--seed", seed, "--quiet", "--grammar"];
        let reply = output(&[&words[..], &["/ (the|a) (dog|cat)/"]].concat());
        let known = [" the dog\n", " the cat\n", " a dog\n", " a cat\n"];
        assert!(known.contains(&reply.as_str()), "{reply:?}");
        let gbnf = "root ::= \" \" ([a-c] \" \"){2,3} \"d\"";
        let reply = output(&[&words[..], &[gbnf]].concat());
        let letters: Vec<_> = reply.trim().split(' ').collect();
        assert!((3..=4).contains(&letters.len()) && letters.ends_with(&["d"]), "{reply:?}");
    }
}

#[test]
fn a_schema_decides_what_a_reply_may_be() {
    for seed in ["1", "2", "3"] {
        let words =
            ["--prompt", "Once", "--seed", seed, "--quiet", "--json-schema", r#"{"enum": ["dog", "cat"]}"#];
        let reply = output(&words);
        assert!(["\"dog\"\n", "\"cat\"\n"].contains(&reply.as_str()), "{reply:?}");
    }
}

#[test]
fn slashes_make_a_regular_expression_whatever_is_between() {
    let words = ["--prompt", "Once", "--quiet", "--grammar", "/a::=b/"];
    assert_eq!(output(&words), "a::=b\n");
}

#[test]
fn files_may_begin_with_a_mark_of_their_byte_order() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, tools) = (folder.path().join("schema.json"), folder.path().join("tools.json"));
    std::fs::write(&schema, "\u{feff}{\"const\": \"dog\"}").unwrap();
    assert_eq!(output(&["--prompt", "Once", "--quiet", "--json-schema", text(&schema)]), "\"dog\"\n");
    std::fs::write(&tools, "\u{feff}[{\"name\": \"f\"}]").unwrap();
    let messages = folder.path().join("messages.json");
    std::fs::write(&messages, "\u{feff}[{\"role\": \"user\", \"content\": \"hi\"}]").unwrap();
    let template = folder.path().join("talk.jinja");
    std::fs::write(&template, "{{ tools[0].name }} {{ messages[0].content }}").unwrap();
    let words = ["render", text(&template), "--messages", text(&messages), "--tools", text(&tools)];
    assert_eq!(output(&words), "f hi");
}

#[test]
fn what_is_no_grammar_is_wrong_usage() {
    for (option, source, word) in [
        ("--grammar", "root ::= nothing", "'nothing' is used and not defined"),
        ("--grammar", "/(/", "regular expression"),
        ("--grammar", "", "an empty text is no grammar"),
        ("--json-schema", "{", "JSON schema"),
        ("--json-schema", "5", "a schema is an object"),
        ("--json-schema", "", "an empty text is no JSON schema"),
        ("--json-schema", "{\"type\": \"kaboom\"}", "JSON schema"),
        ("--json-schema", "docs", "docs is a folder, and no JSON schema"),
    ] {
        assert_refused(&run(&["--prompt", "Once", option, source]), 2, &[word]);
    }
}

#[test]
fn thinking_is_hidden_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{{ messages[0].content }}{# </think> #}{% if add_generation_prompt %}<think>{% endif %}";
    let model =
        Remake::story().with("tokenizer.chat_template", template).write(&folder.path().join("thinks.gguf"));
    let words = [text(&model), "One day", "--chat", "--max-tokens", "8", "--temperature", "0", "--quiet"];
    assert_eq!(output(&words).trim(), "");
    let shown = output(&[&words[..], &["--show-thinking"]].concat());
    assert!(shown.starts_with("<think>\n") && shown.trim().len() > 10, "{shown:?}");
    let json = output(&[&words[..], &["--show-thinking", "--json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (report["text"].as_str(), report["thinking"].as_str().map(str::is_empty)),
        (Some(""), Some(false))
    );
}
