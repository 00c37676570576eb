//! Tiny checkpoints of transformers: logits and greedy continuations of every decoder.
//!
//! `TORCHLESS_GOLDENS=NAME,NAME` narrows a run to some cases.

use super::support::{Session, exact, fixtures, floats, max_distance, on_gpus, ways};
use serde_json::Value;
use std::path::{Path, PathBuf};
use torchless::ModelOptions;

pub struct Prompt {
    pub ids: Vec<u32>,
    pub greedy: Vec<u32>,
    pub logits: Vec<f32>,
}

/// Cases that no family here can run yet, each with why: the list has to shrink to none.
const NOT_YET: &[(&str, &str)] = &[
    ("bert_cls2", "an encoder"),
    ("bert_embed", "an encoder"),
    ("bert_token_cls5", "an encoder"),
    ("deberta_v2_conv_cls2", "an encoder"),
    ("deberta_v2_conv_noshare_cls3", "an encoder"),
    ("deberta_v3_cls2", "an encoder"),
    ("deberta_v3_cls3", "an encoder"),
    ("distilbert_cls2", "an encoder"),
    ("electra_cls2", "an encoder"),
    ("modernbert_cls2", "an encoder"),
    ("modernbert_mean_cls3", "an encoder"),
    ("mpnet_embed", "an encoder"),
    ("nomic_bert_embed", "an encoder"),
    ("roberta_cls3", "an encoder"),
    ("xlmr_cls1_reranker", "an encoder"),
    ("xlmr_embed", "an encoder"),
];

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// All decoders of the index but those that are not supported yet.
pub fn cases() -> Vec<PathBuf> {
    let Some(fixtures) = fixtures() else { return Vec::new() };
    let folder = fixtures.join("goldens");
    let index = read(&folder.join("index.json"));
    let names = index["cases"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned());
    let all: Vec<String> = names.collect();
    for (name, why) in NOT_YET {
        assert!(all.iter().any(|n| n == name), "{name} is not in the index");
        eprintln!("skipped: {name}: {why}");
    }
    let wanted = std::env::var("TORCHLESS_GOLDENS").unwrap_or_default();
    let supported = |name: &String| {
        NOT_YET.iter().all(|(n, _)| n != name) && (wanted.is_empty() || wanted.split(',').any(|w| w == name))
    };
    let mut cases: Vec<_> = all.into_iter().filter(supported).map(|name| folder.join(name)).collect();
    cases.sort();
    assert!(!wanted.is_empty() || cases.len() + NOT_YET.len() >= 82, "{} cases", cases.len());
    cases
}

/// What the fixtures allow: the reference itself is that far from exact arithmetic.
pub fn tolerance(case: &Path) -> f32 {
    let model_type = read(&case.join("config.json"))["model_type"].as_str().unwrap().to_owned();
    if model_type.starts_with("gemma4") || model_type.starts_with("qwen3_5") { 1e-3 } else { 5e-4 }
}

pub fn prompts(case: &Path) -> Vec<Prompt> {
    let expected = read(&case.join("expected.json"));
    let logits = floats(&case.join("logits.f32"));
    let vocab = expected["vocab_size"].as_u64().unwrap() as usize;
    let ids =
        |v: &Value| v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect::<Vec<_>>();
    let prompt = |p: &Value| {
        let (row, n) = (p["row_offset"].as_u64().unwrap() as usize, p["n_tokens"].as_u64().unwrap() as usize);
        Prompt {
            ids: ids(&p["input_ids"]),
            greedy: ids(&p["greedy"]),
            logits: logits[row * vocab..(row + n) * vocab].to_vec(),
        }
    };
    expected["prompts"].as_array().unwrap().iter().map(prompt).collect()
}

/// The greedy tokens beyond what a dynamic rotary embedding is defined for cannot be asked for.
fn room(session: &Session, prompt: &Prompt) -> usize {
    let limit = torchless_base::Runner::info(&session.runner).max_seq_len;
    prompt.greedy.len().min(limit + 1 - prompt.ids.len())
}

#[test]
fn every_way_to_run_gives_the_logits_and_the_greedy_text() {
    for case in cases() {
        let fast = ModelOptions { threads: Some(2), ..ModelOptions::default() };
        for options in ways(&exact()).into_iter().chain(ways(&fast)) {
            let mut session = Session::open(&case, &options);
            for prompt in prompts(&case) {
                let distance = max_distance(&session.prefill(&prompt.ids, 512), &prompt.logits);
                assert!(distance < tolerance(&case), "{}: {distance} with {options:?}", case.display());
                let n = room(&session, &prompt);
                assert_eq!(
                    session.greedy(&prompt.ids, n),
                    prompt.greedy[..n],
                    "{}: {options:?}",
                    case.display()
                );
            }
        }
    }
}

/// Where activations and caches are rounded to halves, logits are further off, and the text is the same.
#[test]
fn default_runs_on_gpus_choose_the_same_tokens() {
    let mut others = Vec::new();
    for case in cases() {
        for options in on_gpus(&ModelOptions { threads: Some(1), ..ModelOptions::default() }) {
            let mut session = Session::open(&case, &options);
            for prompt in prompts(&case) {
                let n = room(&session, &prompt);
                let got = session.greedy(&prompt.ids, n);
                if got != prompt.greedy[..n] {
                    let same = got.iter().zip(&prompt.greedy).take_while(|(a, b)| a == b).count();
                    others.push(format!("{}: {same} of {n}", case.display()));
                }
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn the_older_spelling_of_the_configuration_gives_the_same() {
    for case in cases() {
        let legacy = case.join("config_legacy.json");
        if !legacy.exists() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&case).unwrap().map(|e| e.unwrap().path()) {
            let name = entry.file_name().unwrap();
            if name.to_string_lossy().contains("safetensors") {
                std::fs::copy(&entry, folder.path().join(name)).unwrap();
            }
        }
        std::fs::copy(legacy, folder.path().join("config.json")).unwrap();
        for prompt in prompts(&case) {
            let mut old = Session::open(folder.path(), &exact());
            let mut new = Session::open(&case, &exact());
            assert_eq!(old.prefill(&prompt.ids, 512), new.prefill(&prompt.ids, 512), "{}", case.display());
        }
    }
}

#[test]
fn chunks_company_and_threads_change_no_bit() {
    for case in cases() {
        let fast = ModelOptions { threads: Some(1), sequences: 3, ..ModelOptions::default() };
        for options in ways(&fast) {
            for prompt in prompts(&case) {
                let ids = &prompt.ids[..];
                let mut session = Session::open(&case, &options);
                let whole = session.prefill(ids, 512);
                for chunk in [1, 3, 16] {
                    assert_eq!(session.prefill(ids, chunk), whole, "{} in chunks of {chunk}", case.display());
                }
                let other: Vec<u32> = ids.iter().rev().copied().collect();
                let company = session.step(&[(1, 0, &other), (0, 0, ids), (2, 0, &other[..other.len() / 2])]);
                let at = other.len() * whole.len() / ids.len();
                assert_eq!(company[at..at + whole.len()], whole, "{} in company", case.display());
                let mut threaded =
                    Session::open(&case, &ModelOptions { threads: Some(3), ..options.clone() });
                assert_eq!(threaded.prefill(ids, 512), whole, "{} on three threads", case.display());
            }
        }
    }
}
