//! Checkpoints of transformers that were converted to GGUF, in llama.cpp: its logits are ours for the same file.

use super::place::{fixtures, loaded, max_distance, our_logits, their_logits, theirs};
use serde_json::Value;
use std::path::{Path, PathBuf};
use torchless::{FileType, Source, convert_to_gguf};

/// What llama.cpp does not run, each with why.
const NOT_THERE: &[(&str, &str)] = &[
    ("bitnet", "its architecture is called by the name that Microsoft's fork has"),
    ("cohere_qknorm", "norms of queries are read from models of 64 layers and more alone"),
    ("gemma3n_text", "it knows one width of inputs from tokens, 256"),
    ("olmo3", "a tied head is not looked for"),
    ("olmoe", "it has as many heads of keys as of queries there"),
    ("qwen2_moe_mlponly", "a tied head is not looked for"),
    ("qwen3_yarn", "the bias of the output matrix is not looked for"),
    ("qwen3_moe_sparse_step", "experts are looked for in every layer"),
    ("stablelm_qknorm_parallel", "a tied head is not looked for"),
];

/// The largest difference of two logits: sums in another order. Where GELU is looked up by the half that a value is nearest to, such a sum may
/// fall to the next half: of gemma4_text by less than 5e-3 on AVX-512, by 7e-3 on AVX2.
const TOLERANCE: f32 = 1e-3;
const TOLERANCE_OF_HALVES: f32 = 1e-2;

/// Linear attention: llama.cpp keeps the norm of a key from falling below the epsilon, transformers adds it to the square, and so do we. Keys of
/// these tiny models are so short that it shows.
const WITH_SHORT_KEYS: &[&str] = &["qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"];
const TOLERANCE_OF_SHORT_KEYS: f32 = 0.15;

/// Files whose function of feed-forward units is exact here and is not there.
const GELU: &str = "torchless.activation";
/// As long, and nobody's.
const NOBODYS: &str = "somebody.activation!";

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Folders of decoders.
fn cases() -> Vec<PathBuf> {
    let Some(fixtures) = fixtures() else { return Vec::new() };
    let decodes = |folder: &PathBuf| {
        folder.is_dir() && read(&folder.join("expected.json"))["prompts"][0].get("greedy").is_some()
    };
    let entries = std::fs::read_dir(fixtures.join("goldens")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.filter(decodes).collect();
    all.sort();
    assert!(all.len() >= 60, "{} decoders", all.len());
    all
}

/// The longest prompt: a longrope is chosen by the context there, which is never small, and by the prompt here.
fn prompt(case: &Path) -> Vec<u32> {
    let expected = read(&case.join("expected.json"));
    let prompts = expected["prompts"].as_array().unwrap().iter();
    let ids = |prompt: &Value| -> Vec<u32> {
        prompt["input_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    prompts.map(ids).max_by_key(Vec::len).unwrap()
}

/// Takes away what llama.cpp passes over, so that the file means the same to both; whether there was anything.
fn without_own_gelu(file: &Path) -> bool {
    let mut bytes = std::fs::read(file).unwrap();
    let there = bytes.windows(GELU.len()).position(|window| window == GELU.as_bytes());
    if let Some(at) = there {
        bytes[at..at + GELU.len()].copy_from_slice(NOBODYS.as_bytes());
        std::fs::write(file, bytes).unwrap();
    }
    there.is_some()
}

#[test]
fn converted_models_have_the_same_logits_there() {
    let Some(library) = loaded() else { return };
    assert_eq!(GELU.len(), NOBODYS.len());
    let mut compared = 0;
    for case in cases() {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some((_, why)) = NOT_THERE.iter().find(|(other, _)| *other == name) {
            eprintln!("skipped: {name}: {why}");
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        let whole = FileType::from_name("F32").unwrap();
        let done = convert_to_gguf(&Source::Path(case.clone()), &file, whole, &mut |_, _| {}).unwrap();
        let model = theirs(library, &file);
        if !done.own_words.is_empty() {
            let error = model.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains("unknown model architecture"), "{name} is not for llama.cpp: {error}");
            continue;
        }
        let tolerance = match without_own_gelu(&file) {
            _ if WITH_SHORT_KEYS.contains(&&*name) => TOLERANCE_OF_SHORT_KEYS,
            true => TOLERANCE_OF_HALVES,
            false => TOLERANCE,
        };
        let ids = prompt(&case);
        let there = their_logits(&model.unwrap(), &ids, &[]).unwrap();
        let distance = max_distance(&there, &our_logits(&file, &ids, &[]));
        eprintln!("{name}: {distance:.1e}");
        assert!(distance < tolerance, "{name}: {distance}");
        compared += 1;
    }
    assert!(compared == 0 || compared > 35, "{compared} models");
}
