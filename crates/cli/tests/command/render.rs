//! `torchless render`.

use super::support::{assert_refused, output, run, text};
use serde_json::{Value, json};

#[test]
fn a_conversation_is_shown_as_the_model_would_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let messages = folder.path().join("messages.json");
    let talk = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "a<|im_end|>b"}]);
    std::fs::write(&messages, talk.to_string()).unwrap();
    let words = ["render", "chatml", "--messages", text(&messages)];
    let want = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>b<|im_end|>\n";
    assert_eq!(output(&words), want);
    let with_prompt = [&words[..], &["--add-generation-prompt"]].concat();
    assert_eq!(output(&with_prompt), format!("{want}<|im_start|>assistant\n"));
    let report: Value = serde_json::from_str(&output(&[&words[..], &["--json"]].concat())).unwrap();
    assert_eq!(report["parts"][3], json!({"text": "a<|im_end|>b"}));
    assert_eq!(report["parts"][4], json!({"control": "<|im_end|>\n"}));
}

#[test]
fn a_template_file_gets_tools_variables_and_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let messages = file("messages.json", r#"{"messages": [{"role": "user", "content": "hi"}]}"#);
    let tools = file("tools.json", r#"[{"z": 1, "name": "f", "a": [true, null, 1.0]}]"#);
    let template = file(
        "talk.jinja",
        "{{ bos_token }}{{ tools | tojson }} {{ deep }} {{ strftime_now('%F') }} {{ messages[0].content }}",
    );
    let words = ["render", text(&template), "--messages", text(&messages), "--tools", text(&tools)];
    let more = ["--template-arg", "deep={\"k\": \"v\"}", "--now", "86400", "--bos-token", "B"];
    let want = "B[{\"z\": 1, \"name\": \"f\", \"a\": [true, null, 1.0]}] {'k': 'v'} 1970-01-02 hi";
    assert_eq!(output(&[&words[..], &more].concat()), want);
}

#[test]
fn what_cannot_be_rendered_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let messages = folder.path().join("messages.json");
    let template = folder.path().join("talk.jinja");
    std::fs::write(&messages, "[{}]").unwrap();
    std::fs::write(&template, "{{ raise_exception('only tools') }}").unwrap();
    let words = ["render", text(&template), "--messages", text(&messages)];
    assert_refused(&run(&words), 2, &["message 0 has no role"]);
    std::fs::write(&messages, "[]").unwrap();
    assert_refused(&run(&words), 3, &["chat template: line 1", "only tools"]);
    std::fs::write(&template, "{{ raise_exception('\x1b[2J\ntorchless: done') }}").unwrap();
    assert_refused(&run(&words), 3, &["\\u001b[2J\\ntorchless: done"]);
    std::fs::write(&template, "{{ messages | length }}").unwrap();
    let tools = folder.path().join("tools.json");
    std::fs::write(&tools, r#"[{"name": "f"}]"#).unwrap();
    let deaf = [&words[..], &["--tools", text(&tools)]].concat();
    assert_refused(&run(&deaf), 2, &["the chat template has no place for tools"]);
    let unknown = [&words[..], &["--chat-template", "nonsense"]].concat();
    assert_refused(&run(&unknown), 2, &["'nonsense' is neither a file nor a built-in", "chatml"]);
    let variable = [&words[..], &["--template-arg", "x"]].concat();
    let refused = run(&variable);
    assert!(refused.code == Some(2) && refused.err.contains("NAME=JSON"), "{}", refused.err);
}
