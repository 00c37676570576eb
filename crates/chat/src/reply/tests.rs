//! Replies in the forms of several families, in pieces of every size.

use super::*;
use crate::{Conversation, Data};
use serde_json::json;

/// `f` takes anything, `w` two texts.
fn tools() -> Tools {
    let text = json!({"type": "string"});
    let schema = json!({"type": "object", "properties": {"a": text, "b": text}, "required": ["a", "b"]});
    let list = json!([
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}},
        {"name": "w", "input_schema": schema},
    ]);
    let mut conversation = Conversation::new();
    conversation.set_tools(Data::parse(&list.to_string()).unwrap()).unwrap();
    conversation.callable().unwrap()
}

fn format(template: &str) -> ReplyFormat {
    ReplyFormat::detect(template, &|_| false).with_calls(template, &|_| false, tools())
}

/// Text, thinking and calls of a reply that comes in pieces of `step` characters.
fn parse(format: &ReplyFormat, prompt: &str, reply: &str, step: usize) -> (String, String, Vec<ToolCall>) {
    let mut parser = ReplyParser::new(format.clone(), prompt);
    let chars: Vec<_> = reply.chars().collect();
    let mut pieces = Vec::new();
    for piece in chars.chunks(step) {
        pieces.extend(parser.push(&piece.iter().collect::<String>()));
    }
    pieces.extend(parser.finish());
    let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(t) => text += &t,
            Piece::Reasoning(t) => thought += &t,
            Piece::Call(call) => calls.push(call),
        }
    }
    (text, thought, calls)
}

fn check(template: &str, reply: &str, (text, thought): (&str, &str), calls: &[(&str, Value)]) {
    let format = format(template);
    for step in [1, 2, 3, 5, 8, 1000] {
        let (got, thinking, found) = parse(&format, "", reply, step);
        assert_eq!((got.as_str(), thinking.as_str()), (text, thought), "{reply:?} in pieces of {step}");
        let found: Vec<_> = found.iter().map(|call| (call.name.as_str(), call.arguments.clone())).collect();
        assert_eq!(found, calls, "{reply:?} in pieces of {step}");
    }
}

use serde_json::Value;

#[test]
fn thinking_is_told_from_text() {
    check("<think></think>", "<think>\nhm <b>\n</think>\n\nYes.", ("Yes.", "hm <b>"), &[]);
    check("<think></think>", "\n<think></think>Yes", ("Yes", ""), &[]);
    check("<think></think>", "No <think>tag</think> here", ("No <think>tag</think> here", ""), &[]);
    check("<think></think>", "<think>never ends", ("", "never ends"), &[]);
    check("<think></think>", "<thin", ("<thin", ""), &[]);
    check("[THINK][/THINK]", "[THINK]a[/b][/THINK]c", ("c", "a[/b]"), &[]);
    check("no tags", "<think>a</think>b", ("<think>a</think>b", ""), &[]);
    check(
        "Here is my thought process: Here is my response:",
        "Here is my thought process: a b Here is my response: c",
        ("c", "a b"),
        &[],
    );
}

#[test]
fn a_prompt_may_have_begun_to_think() {
    for step in [1, 3, 100] {
        let got = parse(&format("<think></think>"), "<|assistant|><think>\n", "hm\n</think>\n\nYes", step);
        assert_eq!(got, ("Yes".to_owned(), "hm".to_owned(), vec![]));
    }
}

#[test]
fn control_tokens_end_thinking_too() {
    let format = ReplyFormat::detect("", &|t| ["[THINK]", "[/THINK]"].contains(&t));
    let mut parser = ReplyParser::new(format, "");
    let mut pieces = parser.control("[THINK]");
    pieces.extend(parser.push("a"));
    pieces.extend(parser.control("[/THINK]"));
    pieces.extend(parser.push("\nb"));
    pieces.extend(parser.control("<unknown>"));
    pieces.extend(parser.finish());
    assert_eq!(pieces, [Piece::Reasoning("a".into()), Piece::Text("b".into())]);
}

#[test]
fn a_control_token_may_end_a_tag_of_text() {
    let mut parser = ReplyParser::new(format("'role': 'function call'"), "");
    let mut pieces = parser.push("Well.");
    pieces.extend(parser.control("<|role_sep|>"));
    pieces.extend(parser.push("\n\nfunction call"));
    pieces.extend(parser.control("<|role_sep|>"));
    pieces.extend(parser.push("\n{\"name\": \"f\", \"arguments\": {}}"));
    pieces.extend(parser.control("<|message_sep|>"));
    pieces.extend(parser.finish());
    let call = ToolCall { id: None, name: "f".into(), arguments: json!({}) };
    let last = pieces.pop();
    assert_eq!(last, Some(Piece::Call(call)), "{pieces:?}");
    assert!(
        pieces.iter().all(|piece| matches!(piece, Piece::Text(text) if !text.contains('|'))),
        "{pieces:?}"
    );
}

#[test]
fn calls_are_found_in_the_forms_of_the_families() {
    let call = ("f", json!({"a": 1, "b": "x"}));
    for (template, reply) in [
        (
            "<tool_call>",
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}\n</tool_call>",
        ),
        (
            "<tool_call>",
            "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nx\n</parameter>\n</function>\n\
             </tool_call>",
        ),
        (
            "<tool_call>",
            "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n<arg_value>x\
             </arg_value>\n</tool_call>",
        ),
        ("<|python_tag|>", "{\"name\": \"f\", \"parameters\": {\"a\": 1, \"b\": \"x\"}}"),
        ("<|python_tag|>", "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": 1, \"b\": \"x\"}}"),
        ("[TOOL_CALLS]", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}]"),
        ("[TOOL_CALLS]", "[TOOL_CALLS]f[CALL_ID]123[ARGS]{\"a\": 1, \"b\": \"x\"}"),
        (
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1, \"b\": \"x\"}\n```\
             <｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        (
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1, \"b\": \"x\"}<｜tool▁call▁end｜>\
             <｜tool▁calls▁end｜>",
        ),
        (
            "<|START_ACTION|>",
            "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"a\": 1, \"b\": \"x\"}}]\
             <|END_ACTION|>",
        ),
        ("<|tool_call|>", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}]"),
        (
            "Action:\\n```json",
            "Action:\n```json\n[{\"tool_name\": \"f\", \"parameters\": {\"a\": 1, \"b\": \"x\"}}]```",
        ),
        (
            "'｜DSML｜'",
            "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"false\">1\
             </｜DSML｜parameter>\n<｜DSML｜parameter name=\"b\" string=\"true\">x</｜DSML｜parameter>\n</｜DSML｜invoke>\n\
             </｜DSML｜function_calls>",
        ),
        (
            "<|tool_calls|>",
            "<|tool_calls|><|tool_call:begin|>7<|tool_call:name|>f<|tool_call:args|>{\"a\": 1, \"b\": \"x\"}\
             <|tool_call:end|><|calls|>",
        ),
        ("<|tools_prefix|>", "<|tools_prefix|>[{\"f\": {\"a\": 1, \"b\": \"x\"}}]<|tools_suffix|>"),
        (
            "<|function_call|>",
            "<|function_call|>{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}<|message_sep|>\n\n",
        ),
        (
            "'role': 'function call'",
            "function call<|role_sep|>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}",
        ),
        ("functools", "functools[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}]"),
        ("<|tool_call>", "<|tool_call>call:f{a:1,b:<|\"|>x<|\"|>}<tool_call|>"),
        (
            "<seed:tool_call>",
            "<seed:tool_call>\n<function=f>\n<parameter=a>1</parameter>\n<parameter=b>x</parameter>\n</function>\n\
             </seed:tool_call>",
        ),
        (
            "<minimax:tool_call>",
            "<minimax:tool_call>\n<invoke name=\"f\"><parameter name=\"a\">1</parameter>\n<parameter name=\"b\">x\
             </parameter>\n</invoke>\n</minimax:tool_call>",
        ),
        (
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": 1, \
             \"b\": \"x\"}<|tool_call_end|><|tool_calls_section_end|>",
        ),
        ("List of tools: [", "<|tool_call_start|>[f(a=1, b=\"x\")]<|tool_call_end|>"),
        ("<TOOLCALL>", "<TOOLCALL>[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}]</TOOLCALL>"),
        (
            "<tool_calls>",
            "<tool_calls>[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"x\"}}]</tool_calls>",
        ),
        ("<function=", "<function=f>{\"a\": 1, \"b\": \"x\"}</function>"),
        (
            "<function=",
            "<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nx\n</parameter>\n</function>",
        ),
        (">>>${recipient}", ">>>f\n{\"a\": 1, \"b\": \"x\"}"),
    ] {
        check(template, reply, ("", ""), std::slice::from_ref(&call));
    }
}

#[test]
fn values_of_markup_are_of_the_types_of_the_schema() {
    let qwen = |a: &str, b: &str| {
        format!(
            "<tool_call>\n<function=w>\n<parameter=a>\n{a}\n</parameter>\n<parameter=b>\n{b}\n</parameter>\n\
             </function>\n</tool_call>"
        )
    };
    let glm = |a: &str, b: &str| {
        format!(
            "<tool_call>w<arg_key>a</arg_key><arg_value>{a}</arg_value><arg_key>b</arg_key><arg_value>{b}\
             </arg_value></tool_call>"
        )
    };
    for (a, b) in [
        ("2024", "{\"a\": 1}"),
        ("true", "\n x\n"),
        ("", "</parameter> <parameter=x>y</parameter>"),
        ("1", "<parameter=a>\n2\n</parameter>\n<parameter=b>\n3\n</parameter>\n</function>\n4"),
        ("1", "<arg_key>x</arg_key><arg_value></arg_value><arg_key>a</arg_key><arg_value>2</arg_value>"),
    ] {
        let call = ("w", json!({"a": a, "b": b}));
        for reply in [qwen(a, b), glm(a, b)] {
            check("<tool_call>", &reply, ("", ""), std::slice::from_ref(&call));
        }
    }
}

#[test]
fn text_around_calls_stays_and_several_calls_are_several() {
    let one = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
    let calls = [("f", json!({})), ("f", json!({}))];
    check(
        "<tool_call><think></think>",
        &format!("<think>t</think>Look: {one}\n{one}"),
        ("Look: ", "t"),
        &calls,
    );
}

#[test]
fn several_calls_may_stand_between_two_tags() {
    let calls = [("f", json!({"a": 1})), ("w", json!({"a": "1", "b": "</invoke>"})), ("f", json!({}))];
    check(
        "<minimax:tool_call>",
        "a<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">1</parameter>\n</invoke>\n<invoke name=\"w\">\n\
         <parameter name=\"a\">1</parameter>\n<parameter name=\"b\"></invoke></parameter>\n</invoke>\n\
         <invoke name=\"f\">\n</invoke>\n</minimax:tool_call>",
        ("a", ""),
        &calls,
    );
}

#[test]
fn functionary_says_to_whom() {
    let template = ">>>${recipient}";
    check(template, "a >>> b\n>>>x\n>>>f\n{}>>>all\nc", ("a >>> b\n>>>x\nc", ""), &[("f", json!({}))]);
    check(template, ">>>f\n1", (">>>f\n1", ""), &[]);
    for step in [1, 2, 100] {
        let got = parse(&format(template), "assistant\n\n>>>", "all\nhi\n>>>w\n{\"a\": 2}", step);
        assert_eq!(got.0, "hi\n");
        assert_eq!(got.2, [ToolCall { id: None, name: "w".into(), arguments: json!({"a": 2}) }]);
        assert_eq!(parse(&format(template), ">>>", "{\n}", step).0, "{\n}");
    }
}

#[test]
fn a_call_may_have_an_id() {
    for (template, reply, id) in [
        ("<tool_call>", r#"<tool_call>{"name": "f", "arguments": {}, "id": "ab"}</tool_call>"#, "ab"),
        (
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3<|tool_call_argument_begin|>{}<|tool_call_end|>\
             <|tool_calls_section_end|>",
            "functions.f:3",
        ),
    ] {
        assert_eq!(parse(&format(template), "", reply, 7).2[0].id.as_deref(), Some(id));
    }
}

#[test]
fn arguments_may_hold_the_end_tag() {
    let long = json!({"a": "use </tool_call> or\n```\n to end"});
    let call = json!({"name": "f", "arguments": long});
    for (template, begin, end) in
        [("<tool_call>", "<tool_call>", "</tool_call>"), ("Action: ```json", "Action: ```json", "```")]
    {
        check(template, &format!("{begin}\n{call}\n{end} x"), ("x", ""), &[("f", long.clone())]);
    }
    let broken = "<tool_call>{\"name\": \"f</tool_call>\n ";
    let whole = format!("{broken}<tool_call>{{\"name\": \"f\", \"arguments\": {{}}}}</tool_call>");
    check("<tool_call>", &whole, (broken.trim_end(), ""), &[("f", json!({}))]);
    let markup = "<tool_call>\n<function=w>\n<parameter=a>\n</tool_call>\n</parameter>\n<parameter=b>\n</function>\n\
                  </parameter>\n</function>\n</tool_call>";
    check("<tool_call>", markup, ("", ""), &[("w", json!({"a": "</tool_call>", "b": "</function>"}))]);
    for text in ["\n <tool_call>no</tool_call> \n go on", "a <tool_call>{\"name\": \"x\"}</tool_call> <b>"] {
        check("<tool_call>", text, (text, ""), &[]);
    }
}

#[test]
fn what_is_no_call_stays_text() {
    for reply in [
        "<tool_call>{\"name\": 5}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"argu",
        "<tool_call></tool_call>",
        "a <tool_call",
    ] {
        check("<tool_call>", reply, (reply, ""), &[]);
    }
    for reply in [
        r#"{"name": "Bob", "age": 42}"#,
        r#"{"name": "f", "age": 42}"#,
        r#"{"name": "f", "arguments": {}, "age": 42}"#,
        r#"[{"name": "f", "arguments": {}}, {"name": "Ada", "arguments": {}}]"#,
        r#"{"name": "w"}"#,
        r#"{"name": "f", "arguments": {}, "parameters": {}}"#,
        r#"{"name": "f", "function": {"name": "f", "arguments": {}}}"#,
    ] {
        check("<|python_tag|>", reply, (reply, ""), &[]);
        let tagged = format!("<tool_call>{reply}</tool_call>");
        check("<tool_call>", &tagged, (&tagged, ""), &[]);
    }
    let bad = "<tool_call>bad</tool_call>";
    check("<tool_call>", bad, (bad, ""), &[]);
    check("<|python_tag|>", r#"{"name": "f"}"#, ("", ""), &[("f", json!({}))]);
    check("<|python_tag|>", "{\"name\": 1}", ("{\"name\": 1}", ""), &[]);
    check("[TOOL_CALLS]", "[TOOL_CALLS]f[ARGS]{", ("[TOOL_CALLS]f[ARGS]{", ""), &[]);
}

#[test]
fn channels_of_gpt_oss() {
    let has_token = |token: &str| ["<|start|>", "<|channel|>", "<|message|>"].contains(&token);
    let format = ReplyFormat::detect("", &has_token).with_calls("", &has_token, tools());
    let mut parser = ReplyParser::new(format, "<|start|>assistant");
    assert_eq!(parser.beginning(), Some(Beginning::Channels));
    let mut pieces = Vec::new();
    let reply = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f \
                 <|constrain|>json<|message|>{\"a\":1}<|call|><|start|>assistant to=x<|channel|>commentary<|message|>{}\
                 <|call|><|start|>assistant<|channel|>final<|message|>Yes<|return|>";
    let mut rest = reply;
    while !rest.is_empty() {
        let end = if rest.starts_with("<|") { rest.find("|>").map(|e| e + 2) } else { rest.find("<|") };
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.extend(if piece.starts_with("<|") { parser.control(piece) } else { parser.push(piece) });
        rest = after;
    }
    pieces.extend(parser.finish());
    let call = ToolCall { id: None, name: "f".into(), arguments: json!({"a": 1}) };
    let texts = ["to=x {}", "Yes"].map(|text| Piece::Text(text.into()));
    assert_eq!(pieces[..2], [Piece::Reasoning("hm".into()), Piece::Call(call)]);
    assert_eq!(pieces[2..], texts);
}

#[test]
fn a_vocabulary_without_channels_writes_text() {
    check(
        "<|channel|><|message|>",
        "<|channel|>final<|message|>a",
        ("<|channel|>final<|message|>a", ""),
        &[],
    );
}
