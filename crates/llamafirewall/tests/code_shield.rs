//! The scanner for insecure code within a firewall, and its verdicts beside those of the Python original.

use std::path::PathBuf;
use std::sync::Arc;

use llamafirewall::{
    CodeShieldScanner, Configuration, ConfigurationError, Firewall, Message, Released, Role, ScanDecision,
    ScanResult, ScanStatus, Scanner, ScannerOptions, ToolCall, registry,
};

fn firewall(scanner: Arc<dyn Scanner>) -> Firewall {
    Firewall::new(Configuration::new().add_scanner(Role::Assistant, scanner)).expect("a valid configuration")
}

fn scan(text: &str) -> ScanResult {
    firewall(Arc::new(CodeShieldScanner::new())).scan_blocking(&Message::assistant(text), None)
}

fn built(options: &str) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    let values = options.parse().expect("valid TOML");
    registry().build("code_shield", &ScannerOptions::new("code_shield", values, None))
}

#[test]
fn insecure_code_blocks_and_is_named() {
    let text = "Try this:\n```python\nimport os\nos.system('ls ' + folder)\n```\n";
    let result = scan(text);
    assert_eq!(
        (result.decision, result.score, result.status),
        (ScanDecision::Block, 1.0, ScanStatus::Success)
    );
    assert_eq!(
        result.reason,
        "insecure code in 1 place: line 4, insecure-os-system-use: os.system hands a built command to a shell; pass \
         a list to subprocess.run (CWE-78)"
    );
    assert_eq!(&text[result.findings[0].span.clone()], "os.system('ls ' + folder)");
    assert_eq!(result.findings[0].scanner, "code_shield");
}

#[test]
fn a_message_may_say_what_it_is_written_in() {
    let scan = |name: &str| {
        let message = Message::assistant("h = hashlib.md5(data)\n").written_in(name);
        let result = firewall(Arc::new(CodeShieldScanner::new())).scan_blocking(&message, None);
        result.findings.into_iter().map(|finding| finding.rule.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(scan("py"), ["insecure-md5-hash-usage"]);
    assert_eq!(scan("sql"), Vec::<String>::new());
    assert_eq!(scan("txt").len(), 3);
}

#[test]
fn clean_code_passes() {
    let result = scan("```python\nimport subprocess\nsubprocess.run(['ls', folder])\n```");
    assert_eq!((result.decision, result.score, result.coverage), (ScanDecision::Allow, 0.0, 1.0));
    assert_eq!(result.reason, "no insecure code");
}

#[test]
fn a_policy_may_let_warnings_pass_but_no_errors() {
    let decide = |options: &str, text: &str| {
        let firewall = firewall(built(options).expect("valid options"));
        let result = firewall.scan_blocking(&Message::assistant(text), None);
        (result.decision, result.findings.len())
    };
    let (warning, error) = ("```py\neval(x)\n```", "```c\ngets(x);\n```");
    assert_eq!(decide("", warning), (ScanDecision::Block, 1));
    assert_eq!(decide("on_warning = \"allow\"", warning), (ScanDecision::Allow, 1));
    assert_eq!(
        decide("on_warning = \"human_in_the_loop_required\"", warning),
        (ScanDecision::HumanInTheLoopRequired, 1)
    );
    assert_eq!(decide("on_warning = \"allow\"", error), (ScanDecision::Block, 1));
}

#[test]
fn the_policy_of_the_guide_works() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/firewall/codeshield.md");
    let page = std::fs::read_to_string(page).expect("the page can be read");
    let (_, rest) = page.split_once("```toml\n").expect("a policy");
    let (policy, _) = rest.split_once("```").expect("its end");
    let configuration = Configuration::from_policy(policy, None, &registry()).expect("a valid policy");
    let firewall = Firewall::new(configuration).expect("a valid configuration");
    let result = firewall.scan_blocking(&Message::assistant("```py\neval(x)\n```"), None);
    assert_eq!(result.decision, ScanDecision::HumanInTheLoopRequired);
}

#[test]
fn a_misspelt_option_is_an_error() {
    let error = built("on_waring = \"allow\"").err().expect("an error").to_string();
    assert!(error.contains("code_shield") && error.contains("on_waring"), "{error}");
    assert!(built("on_warning = \"perhaps\"").is_err());
}

#[test]
fn code_that_cannot_be_analysed_does_not_pass() {
    let result = scan(&format!("```js\n{}eval(x)\n```", "a + ".repeat(100_000)));
    assert_eq!((result.decision, result.status), (ScanDecision::Block, ScanStatus::Error));
    assert!(result.reason.contains("% of the text was scanned"), "{}", result.reason);
}

/// Streams `text` in pieces of `size` bytes; gives what was released and the verdict.
fn stream(text: &str, size: usize) -> (String, ScanDecision) {
    let mut guard = firewall(Arc::new(CodeShieldScanner::new())).output_guard(Role::Assistant, None);
    let mut out = String::new();
    for piece in text.as_bytes().chunks(size) {
        match guard.push_bytes(piece) {
            Released::Text(released) => out.push_str(&released),
            Released::Stopped(result) => return (out, result.decision),
        }
    }
    let (last, result) = guard.finish();
    if let Released::Text(released) = last {
        out.push_str(&released);
    }
    (out, result.decision)
}

#[test]
fn a_stream_gets_the_verdict_of_the_whole_and_lets_nothing_out() {
    let texts = [
        "Sure:\n\n```python\nprint(1)\n```\n\nand\n\n```js\neval(x)\n```\nDone.",
        "```c\nint main(void) { return 0; }\n```\nthen os.system(cmd)\nand so on",
        "```\nimport os\nos.system(cmd)\n```\n",
        "one\n~~~py\nx = 1\n~~~\ntwo\n```py\nimport pickle\n\npickle.loads(x)",
        "no code at all, only ```fences``` in a line\n",
        "1. Do:\n   ```go\n   x\n\nos.system(cmd)\n\n```python\nprint(1)\n```\nand\n",
        "```python\ndef f():\n  \"\"\"\n  ```\n  x\n  ```\n  \"\"\"\n  eval(x)\n```\nand\n```js\n1\n```\n",
        "```python\nprint(1)\n```\n```python\nprint(2)\n```\n",
    ];
    for text in texts {
        let whole = scan(text);
        for size in 1..text.len() {
            let (out, decision) = stream(text, size);
            assert_eq!(decision, whole.decision, "{size}: {text}");
            let most = whole.findings.iter().map(|finding| finding.span.start).min().unwrap_or(text.len());
            assert!(text.starts_with(&out) && out.len() <= most, "{size}: {out}");
            assert!(most < text.len() || out == text, "{size}: {out}");
        }
    }
}

#[test]
fn code_in_the_arguments_of_a_tool_call_is_scanned() {
    let call = |arguments: &str| {
        let call = ToolCall { name: "run".to_owned(), arguments: arguments.to_owned() };
        let message = Message::assistant("").with_tool_calls(vec![call]);
        firewall(Arc::new(CodeShieldScanner::new())).scan_blocking(&message, None)
    };
    for insecure in [
        r#"{"code": "import os\n\nfor folder in folders:\n    os.system('ls ' + folder)\n"}"#,
        r#"{"language": "python", "code": "eval(input())"}"#,
        r#"{"files": [{"path": "a.c", "text": "int main(void) {\n  char s[9];\n  gets(s);\n}\n"}]}"#,
        "import os\nos.system(command)\n",
        r#"{"cmd": "{\"code\": \"import os\\nos.system('ls ' + d)\"}"}"#,
    ] {
        let result = call(insecure);
        assert_eq!(result.decision, ScanDecision::Block, "{insecure}");
        assert!(result.findings.iter().all(|finding| finding.seen_in == "arguments of a tool call"));
    }
    let clean =
        r#"{"code": "import subprocess\nsubprocess.run(['ls', folder])\n", "note": "lists a folder"}"#;
    assert_eq!(call(clean).decision, ScanDecision::Allow);
}

#[test]
fn text_before_code_is_not_held_back() {
    let firewall = firewall(Arc::new(CodeShieldScanner::new()));
    let mut guard = firewall.output_guard(Role::Assistant, None);
    assert_eq!(guard.push("Look:\n```py\n"), Released::Text("Look:\n".to_owned()));
    assert_eq!(guard.push("print(1)\n"), Released::Text(String::new()));
    assert_eq!(guard.push("```\n"), Released::Text("```py\nprint(1)\n```\n".to_owned()));
}

/// Texts that the original lets pass: it looks for these functions only beside others.
const DIFFERENT: [&str; 2] = [
    "#include <string.h>\nvoid f(char *s){ char b[8]; strcpy(b, s); }\n",
    "int main(){ char b[8]; sprintf(b, \"%s\", argv[1]); }\n",
];

#[test]
fn verdicts_are_those_of_the_original_with_semgrep_at_work() {
    let Some(folder) = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from) else {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
        return;
    };
    let file = folder.join("guard/python_llamafirewall_outputs.json");
    let text = std::fs::read_to_string(file).expect("the outputs of the original can be read");
    let outputs: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    let rows = outputs["code_shield_with_semgrep_repaired"]["results"].as_array().expect("rows");
    assert_eq!(rows.len(), 90);
    for row in rows {
        let input = row["input"].as_str().expect("text");
        let expected =
            if DIFFERENT.contains(&input) { "block" } else { row["decision"].as_str().expect("text") };
        assert_eq!(scan(input).decision.name(), expected, "{input}");
    }
    assert!(DIFFERENT.iter().all(|text| rows.iter().any(|row| row["input"] == *text)));
}
