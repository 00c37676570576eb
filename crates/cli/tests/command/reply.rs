//! What a reply is: text, talk, JSON, and what options change about it.

use super::remake::Remake;
use super::support::{NATIVE, STORY, assert_refused, command, finish, json, output, run, run_with, text};
use serde_json::Value;

const GREEDY: &[&str] = &["--temperature", "0", "--max-tokens", "40"];

fn greedy(model: &str, prompt: &str, more: &[&str]) -> String {
    output(&[&[model, prompt, "--quiet"], GREEDY, more].concat())
}

#[test]
fn text_and_talk_are_kept_apart() {
    let ran = run(&["--max-tokens", "12", "--seed", "7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.ends_with('\n') && ran.out.trim().len() > 10 && !ran.out.contains("tok/s"),
        "{}",
        ran.out
    );
    let last = ran.err.lines().last().unwrap();
    for word in ["[1 + 12 tokens", "tok/s", "seed 7", "length]"] {
        assert!(last.contains(word), "{word:?} is not in {last:?}");
    }
    let quiet = run(&["--max-tokens", "12", "--seed", "7", "--quiet"]);
    assert_eq!((quiet.out, quiet.err), (ran.out, String::new()));
}

#[test]
fn a_seed_gives_the_same_text_again_and_is_said() {
    let words = &["--prompt", "One day", "--max-tokens", "30", "--temperature", "1"];
    let first = run(words);
    let seed = first.err.split("seed ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(output(&[&words[..], &["--seed", &seed]].concat()), first.out);
    let other: u64 = seed.parse::<u64>().unwrap() + 1;
    assert_ne!(output(&[&words[..], &["--seed", &other.to_string()]].concat()), first.out);
}

#[test]
fn json_has_the_text_and_the_numbers() {
    let words = &["--prompt", "One day", "--max-tokens", "9", "--seed", "3"];
    let report = json(words);
    let keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut want = vec![
        "event",
        "prompt_tokens",
        "prompt_tokens_per_second",
        "reason",
        "reply_tokens",
        "seed",
        "text",
        "token_ids",
        "tokens_per_second",
    ];
    want.sort_unstable();
    assert_eq!(keys, want);
    assert_eq!(
        (&report["seed"], &report["reply_tokens"], &report["reason"]),
        (&3.into(), &9.into(), &"length".into())
    );
    assert_eq!(report["token_ids"].as_array().unwrap().len(), 9);
    for speed in ["prompt_tokens_per_second", "tokens_per_second"] {
        assert!(report[speed].as_f64().is_some_and(|speed| speed > 0.0), "{report}");
    }
    assert_eq!(report["text"].as_str().unwrap(), output(words).trim_end_matches('\n'));
}

#[test]
fn a_speed_is_told_where_there_was_one() {
    let words = &["--prompt", "One day", "--max-tokens", "1", "--seed", "3"];
    let report = json(words);
    assert!(report["prompt_tokens_per_second"].is_f64() && report["tokens_per_second"].is_null(), "{report}");
    let told = run(words).err;
    assert!(told.matches("tok/s").count() == 1 && told.contains("tokens, prompt "), "{told}");
}

#[test]
fn jsonl_tells_events_as_they_happen() {
    let words = &["--prompt", "One day", "--max-tokens", "9", "--seed", "3"];
    let lines = output(&[&words[..], &["--jsonl"]].concat());
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|e| e["event"] == name).collect::<Vec<_>>();
    let joined: String = of("text").iter().map(|e| e["text"].as_str().unwrap()).collect();
    assert_eq!(joined, json(words)["text"].as_str().unwrap());
    assert!(of("text").len() > 2, "{lines}");
    let prompt = of("prompt");
    let last = prompt.last().unwrap();
    assert_eq!(last["done"], last["total"]);
    assert_eq!(of("done").len(), 1);
    assert_eq!(events.last().unwrap()["event"], "done");
    assert!(events.last().unwrap().get("text").is_none());
}

#[test]
fn a_stop_text_ends_the_reply_before_it() {
    let whole = greedy(STORY, "Once upon a time", &[]);
    let words: Vec<_> = whole.split_whitespace().collect();
    let stop = words[words.len() / 2];
    let cut = greedy(STORY, "Once upon a time", &["--stop", stop, "--stop", "never told"]);
    assert_eq!(cut.trim_end_matches('\n'), &whole[..whole.find(stop).unwrap()]);
    let report = json(&[&[STORY, "Once upon a time", "--stop", stop], GREEDY].concat());
    assert_eq!(report["reason"], "stop");
}

#[test]
fn every_end_of_text_ends_the_reply() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |model: &str| {
        let report = json(&[&[model, "Once upon a time"], GREEDY].concat());
        let ids = report["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32);
        (report["reason"].as_str().unwrap().to_owned(), ids.collect::<Vec<_>>())
    };
    let (reason, whole) = ids(STORY);
    assert_eq!(reason, "length");
    // Two tokens in the order of their first places, each to be an end of its own kind.
    let first = whole[10];
    let start = whole.iter().position(|&id| id == first).unwrap();
    let second = *whole[start + 1..].iter().find(|id| !whole[..=start].contains(id)).unwrap();
    let second_start = whole.iter().position(|&id| id == second).unwrap();
    let end = |eos: u32, eot: u32| {
        let remade = Remake::story()
            .with("tokenizer.ggml.eos_token_id", eos)
            .with("tokenizer.ggml.eot_token_id", eot)
            .write(&folder.path().join("ends.gguf"));
        ids(text(&remade))
    };
    for (eos, eot, at) in
        [(first, second, start), (second, first, start), (second, 2, second_start), (2, second, second_start)]
    {
        let (reason, cut) = end(eos, eot);
        assert_eq!((reason.as_str(), cut.as_slice()), ("stop", &whole[..at]), "{eos} {eot}");
    }
}

#[test]
fn messages_need_a_template() {
    for words in [&["--chat", "--prompt", "hi"][..], &["--system", "Be kind", "--prompt", "hi"]] {
        assert_refused(&run(words), 2, &["no chat template"]);
    }
}

#[test]
fn messages_go_through_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}\
        {% if add_generation_prompt %}[assistant]{% endif %}";
    let model =
        Remake::story().with("tokenizer.chat_template", template).write(&folder.path().join("chat.gguf"));
    let model = text(&model);
    let tokens = |words: &[&str]| {
        let ran = run(&[&[model], words, &["--max-tokens", "1", "--debug"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let line = ran.err.lines().find_map(|l| l.strip_prefix("Tokens: ")).unwrap().to_owned();
        line.trim_matches(['[', ']']).replace(' ', "")
    };
    let want = |rendered: &str| output(&["tokenize", "--ids", model, rendered]).trim().to_owned();
    assert_eq!(tokens(&["hello", "--chat"]), want("[user] hello\n[assistant]"));
    assert_eq!(
        tokens(&["hello", "--system", "Be kind"]),
        want("[system] Be kind\n[user] hello\n[assistant]")
    );
    assert_eq!(tokens(&["hello"]), want("hello"));
}

#[test]
fn tools_go_into_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{% for t in tools %}{{ t.function.name }} {% endfor %}{{ messages[0].content }}";
    let model =
        Remake::story().with("tokenizer.chat_template", template).write(&folder.path().join("chat.gguf"));
    let (model, path) = (text(&model), folder.path().join("tools.json"));
    let tools = r#"[{"type": "function", "function": {"name": "run"}}, {"type": "function", "function": {"name": "sit"}}]"#;
    std::fs::write(&path, tools).unwrap();
    let ran = run(&[model, "hello", "--tools", text(&path), "--max-tokens", "1", "--debug"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line = ran.err.lines().find_map(|l| l.strip_prefix("Tokens: ")).unwrap().to_owned();
    let want = output(&["tokenize", "--ids", model, "run sit hello"]).trim().to_owned();
    assert_eq!(line.trim_matches(['[', ']']).replace(' ', ""), want);
    let piped = [model, "hello", "--tools", "-", "--max-tokens", "1", "--debug"];
    let ran = run_with(&piped, tools.as_bytes());
    assert!(ran.err.contains(&format!("Tokens: {line}\n")), "{}", ran.err);
    assert_refused(&run_with(&[model, "--tools", "-"], tools.as_bytes()), 2, &["--tools -", "prompt"]);
    std::fs::write(&path, "{}").unwrap();
    assert_refused(
        &run(&[model, "hello", "--tools", text(&path)]),
        2,
        &["tools have to be a list of objects"],
    );
    std::fs::write(&path, tools).unwrap();
    let template = folder.path().join("talk.jinja");
    std::fs::write(&template, "{{ messages[0].content }}").unwrap();
    let deaf = [model, "hello", "--tools", text(&path), "--chat-template", text(&template)];
    assert_refused(&run(&deaf), 2, &["the chat template has no place for tools", "--chat-template"]);
    std::fs::write(&template, "{{ xml_tools[0].function.name }}").unwrap();
    assert_eq!(run(&[&deaf[..], &["--max-tokens", "1"]].concat()).code, Some(0));
}

#[test]
fn a_broken_template_is_the_models_fault() {
    let folder = tempfile::tempdir().unwrap();
    for template in
        ["{% for %}", "{{ raise_exception('no') }}", "{% for i in range(1000000000) %}x{% endfor %}"]
    {
        let model = Remake::story()
            .with("tokenizer.chat_template", template)
            .write(&folder.path().join("broken.gguf"));
        assert_refused(&run(&[text(&model), "hi", "--chat"]), 3, &["chat template"]);
        assert_eq!(run(&[text(&model), "hi", "--max-tokens", "1"]).code, Some(0), "{template}");
    }
}

#[test]
fn where_weights_live_changes_no_letter() {
    let eager = greedy(STORY, "One day", &[]);
    for more in [&["--lazy"][..], &["--memory-limit", "200M"], &["--threads", "3"]] {
        assert_eq!(greedy(STORY, "One day", more), eager, "{more:?}");
    }
}

#[test]
fn a_memory_limit_that_nothing_fits_into_is_refused() {
    let ran = run(&[STORY, "One day", "--memory-limit", "1M"]);
    assert_refused(&ran, 4, &["1048576 bytes", "too low"]);
}

#[test]
fn precision_and_kernels_can_be_chosen() {
    let exact = greedy(STORY, "One day", &["--exact"]);
    assert_eq!(greedy(STORY, "One day", &["--exact", "--kv-dtype", "f32"]), exact);
    assert!(greedy(STORY, "One day", &["--kv-dtype", "f32"]).len() > 20);
    let mut scalar = command(&[&[STORY, "One day", "--exact", "--debug"], GREEDY].concat());
    scalar.env("TORCHLESS_KERNELS", "scalar");
    let scalar = finish(scalar);
    assert_eq!(scalar.out, exact);
    assert!(scalar.err.contains("cpu (scalar"), "{}", scalar.err);
    let mut wrong = command(&[STORY, "One day"]);
    wrong.env("TORCHLESS_KERNELS", "nonsense");
    assert_refused(&finish(wrong), 2, &["nonsense"]);
}

#[test]
fn debug_tells_what_happens() {
    let ran = run(&[STORY, "One day a dog", "--max-tokens", "2", "--debug"]);
    let ids = output(&["tokenize", "--ids", STORY, "One day a dog"]);
    let count = ids.split(',').count();
    for line in [
        format!("Loading model from: {STORY}"),
        format!("Tokens: [{}]", ids.trim().replace(',', ", ")),
        format!("Processing {count} prompt tokens..."),
        format!("Prompt token {count}/{count}"),
    ] {
        assert!(ran.err.lines().any(|l| l == line), "{line:?} is not in {}", ran.err);
    }
}

#[test]
fn options_of_sampling_reach_the_sampler() {
    let report = json(&[&[STORY, "One day"], GREEDY].concat());
    let first = report["token_ids"][0].to_string();
    let banned = json(&[&[STORY, "One day", "--logit-bias", &format!("{first}=-100")], GREEDY].concat());
    assert_ne!(banned["token_ids"][0].to_string(), first);
    let forced = json(&[STORY, "One day", "--logit-bias", "300=100", "--max-tokens", "4", "--seed", "1"]);
    assert_eq!(forced["token_ids"], serde_json::json!([300, 300, 300, 300]));
    let only = json(&[STORY, "One day", "--top-k", "1", "--temperature", "5", "--max-tokens", "40"]);
    assert_eq!(only["token_ids"], report["token_ids"]);
    let narrow = json(&[STORY, "One day", "--top-p", "0.000001", "--temperature", "1", "--max-tokens", "40"]);
    assert_eq!(narrow["token_ids"], report["token_ids"]);
    let likely = json(&[STORY, "One day", "--min-p", "1", "--temperature", "1", "--max-tokens", "40"]);
    assert_eq!(likely["token_ids"], report["token_ids"]);
}

#[test]
fn a_full_context_ends_the_reply() {
    let report = json(&[NATIVE, "The dog", "--max-seq-len", "24", "--logit-bias", "2=-100", "--seed", "5"]);
    assert_eq!(report["reason"], "context_full");
    let tokens = |key: &str| report[key].as_u64().unwrap();
    // The last token of a reply need not be computed, so that it lies beyond the context.
    assert!((24..=25).contains(&(tokens("prompt_tokens") + tokens("reply_tokens"))), "{report}");
}

#[test]
fn stop_texts_do_not_reach_over_calls() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{{ messages[0].content }}{{ tools[0].name }}{# <tool_call> #}";
    let model =
        Remake::story().with("tokenizer.chat_template", template).write(&folder.path().join("calls.gguf"));
    let tools = folder.path().join("tools.json");
    std::fs::write(&tools, "[{\"name\": \"f\"}]").unwrap();
    let events = |reply: &str, stop: &str| {
        let grammar = format!("root ::= {}", Value::from(reply));
        let words = ["--tools", text(&tools), "--grammar", &grammar, "--stop", stop, "--jsonl", "--quiet"];
        let lines = output(&[&[text(&model), "hi"], &words[..]].concat());
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut told = String::new();
        for event in events {
            told += event["text"].as_str().unwrap_or(if event["event"] == "tool_call" { "|" } else { "" });
        }
        told
    };
    let call = r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#;
    for (before, after, stop) in [("xy", "zz", "y zq"), ("abcSTO", "P zz", "STOP")] {
        let told = events(&format!("{before}{call}{after}"), stop);
        assert_eq!(told, format!("{before}|{after}"));
    }
}

#[test]
fn all_tokens_are_told_those_of_what_is_not_shown_among_them() {
    let words = [STORY, "Once upon a time", "--temperature", "0", "--max-tokens", "8"];
    let whole = json(&words);
    let stop = whole["text"].as_str().unwrap().split_whitespace().nth(2).unwrap();
    let cut = json(&[&words[..], &["--stop", stop]].concat());
    let ids = |report: &Value| report["token_ids"].as_array().unwrap().clone();
    assert_eq!(ids(&cut), ids(&whole)[..ids(&cut).len()]);
    assert_eq!(cut["reply_tokens"], ids(&cut).len());
    let shown = output(&["detokenize", STORY, &words_of(&ids(&cut))]);
    assert!(shown.contains(stop) && !cut["text"].as_str().unwrap().contains(stop), "{shown}");
}

fn words_of(ids: &[Value]) -> String {
    ids.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn a_text_that_is_far_too_long_is_not_counted_to_the_end() {
    let long = vec![b'a'; 4 << 20];
    let ran = run_with(&[STORY, "-", "--debug"], &long);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(
        ran.err.ends_with(
            "the prompt has 32769 tokens or more, the context holds 512: shorten it, or raise --max-seq-len\n"
        ),
        "{}",
        ran.err
    );
    let ran = run_with(&["embed", "tests/fixtures/test_encoder", "-"], &long);
    assert_refused(&ran, 2, &["text 0 has 32769 tokens or more, the model holds 64"]);
}
