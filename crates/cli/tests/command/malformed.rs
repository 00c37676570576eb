//! Files that are at fault: exit code 3 and one line, whatever is asked of them.

use super::remake::Remake;
use super::support::{Ran, fixtures, run, text};
use serde_json::Value;
use std::path::Path;
use torchless::formats::gguf::Value as Entry;

/// Whether code and words fit together: 0, or 3 with one line that says why.
fn fault(ran: &Ran) -> Option<String> {
    let one_line = ran.err.lines().count() == 1 && ran.err.starts_with("torchless: ");
    let right = match ran.code {
        Some(0) => true,
        Some(3) => one_line,
        _ => false,
    };
    (!right || ran.err.contains("panicked")).then(|| format!("{:?} {}", ran.code, ran.err))
}

#[test]
fn malformed_files_end_with_code_3_and_one_line() {
    let Some(fixtures) = fixtures() else { return };
    let mut wrong = Vec::new();
    let mut refused = 0;
    for folder in ["gguf", "safetensors", "llama2c_bin"] {
        let folder = fixtures.join("malformed").join(folder);
        let manifest = std::fs::read(folder.join("MANIFEST.json")).unwrap();
        let cases: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
        for case in &cases {
            let (file, expect) = (case["file"].as_str().unwrap(), case["expect"].as_str().unwrap());
            let path = folder.join(file);
            // Packed files are unpacked by the library's test of the same files.
            if !path.exists() {
                continue;
            }
            let inspected = run(&["inspect", text(&path)]);
            let told = run(&[text(&path), "a b", "--max-tokens", "4", "--quiet"]);
            let must_fail = expect == "reject" || expect == "reject_model";
            // Weights that are no numbers are found out while they are used.
            let no_numbers = expect == "load_generation_must_terminate" && told.code == Some(1);
            for (verb, ran) in [("inspect", &inspected), ("run", &told)] {
                if verb == "run" && no_numbers && ran.err.contains("NaN") {
                    continue;
                }
                let passed = must_fail && ran.code == Some(0);
                let fault = fault(ran).or_else(|| passed.then(|| "passed".to_owned()));
                wrong.extend(fault.map(|fault| format!("{verb} {file} [{expect}]: {fault}")));
            }
            refused += usize::from(told.code == Some(3));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(refused > 150, "{refused}");
}

/// One spoiled copy of the story model: both verbs refuse it and name what is wrong.
fn assert_spoiled(what: &str, model: &Remake, folder: &Path, word: &str) {
    let path = model.write(&folder.join("spoiled.gguf"));
    let told = run(&[text(&path), "One day", "--max-tokens", "2", "--quiet"]);
    assert_eq!((told.code, told.out.as_str()), (Some(3), ""), "{what}: {}", told.err);
    let inspected = run(&["inspect", text(&path)]);
    assert_eq!(inspected.code, Some(3), "{what}: {}", inspected.err);
    for ran in [told, inspected] {
        assert_eq!(fault(&ran), None, "{what}");
        assert!(ran.err.contains(word), "{what}: {word:?} is not in {}", ran.err);
    }
}

#[test]
fn numbers_that_cannot_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let cases: &[(&str, Entry)] = &[
        ("llama.attention.head_count", 0u32.into()),
        ("llama.attention.head_count", 3u32.into()),
        ("llama.attention.head_count", u32::MAX.into()),
        ("llama.attention.head_count_kv", 0u32.into()),
        ("llama.attention.head_count_kv", 3u32.into()),
        ("llama.block_count", 0u32.into()),
        ("llama.block_count", u32::MAX.into()),
        ("llama.embedding_length", 0u32.into()),
        ("llama.feed_forward_length", u64::MAX.into()),
        ("llama.context_length", 0u32.into()),
        ("llama.context_length", u64::MAX.into()),
        ("llama.attention.layer_norm_rms_epsilon", f32::NAN.into()),
        ("llama.attention.layer_norm_rms_epsilon", (-1e-5f32).into()),
        ("llama.rope.freq_base", 0.0f32.into()),
        ("llama.rope.freq_base", f32::INFINITY.into()),
        ("llama.rope.dimension_count", 7u32.into()),
        ("llama.rope.dimension_count", 4096u32.into()),
        ("llama.expert_count", u32::MAX.into()),
        ("llama.block_count", "five".into()),
        ("llama.rope.scaling.type", "sideways".into()),
        ("general.architecture", "nonsense".into()),
        ("general.architecture", 7u32.into()),
        ("tokenizer.ggml.model", "nonsense".into()),
        ("tokenizer.chat_template", 7u32.into()),
    ];
    for (key, value) in cases {
        let what = format!("{key} = {value:?}");
        let named = if key.starts_with("tokenizer.ggml") { "tokenizer" } else { key };
        let named = if *key == "general.architecture" { "architecture" } else { named };
        assert_spoiled(&what, &Remake::story().with(key, value.clone()), folder.path(), named);
    }
    for key in ["general.architecture", "llama.block_count", "llama.embedding_length", "tokenizer.ggml.model"]
    {
        assert_spoiled(&format!("no {key}"), &Remake::story().without(key), folder.path(), key);
    }
}

#[test]
fn vocabularies_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for id in ["bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id"] {
        for beyond in [1_000_000u32, u32::MAX] {
            let model = Remake::story().with(&format!("tokenizer.ggml.{id}"), beyond);
            assert_spoiled(&format!("{id} = {beyond}"), &model, folder.path(), &beyond.to_string());
        }
    }
    let short = [0.0f32; 3];
    let few = Remake::story().with("tokenizer.ggml.scores", short.as_slice());
    assert_spoiled("three scores", &few, folder.path(), "scores");
    let many: Vec<String> = (0..5000).map(|i| format!("w{i}")).collect();
    let more = Remake::story()
        .with_texts("tokenizer.ggml.tokens", many.iter().map(String::as_str))
        .with("tokenizer.ggml.scores", vec![0.0f32; 5000].as_slice())
        .with("tokenizer.ggml.token_type", vec![1i32; 5000].as_slice());
    assert_spoiled("more tokens than rows", &more, folder.path(), "5000 tokens");
    let none = Remake::story().with_texts("tokenizer.ggml.tokens", []);
    assert_spoiled("no token", &none, folder.path(), "token");
}

#[test]
fn a_huge_context_costs_nothing_until_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let model =
        Remake::story().with("llama.context_length", 1u32 << 28).write(&folder.path().join("long.gguf"));
    let ran = run(&[text(&model), "One day", "--max-tokens", "2", "--debug"]);
    // How much memory the system promises differs; what must not be is a crash.
    assert!(matches!(ran.code, Some(0 | 4)), "{ran:?}");
    assert!(ran.code == Some(4) || ran.err.contains("context 1048576"), "{}", ran.err);
    assert_eq!(run(&[text(&model), "One day", "--max-tokens", "2", "--max-seq-len", "64"]).code, Some(0));
}
