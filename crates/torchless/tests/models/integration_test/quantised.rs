//! Quantised GGUF models against exact arithmetic on their dequantised weights, and against llama.cpp's distance from it.

use super::support::{Session, exact, fixtures, floats, max_distance, rms_distance, ways};
use serde_json::Value;
use std::path::PathBuf;
use torchless::{CacheType, ModelOptions};

struct Case {
    name: String,
    model: PathBuf,
    ids: Vec<u32>,
    exact: Vec<f32>,
    reference: Vec<f32>,
}

/// All GGUF files of three folders that have exact logits beside them.
fn cases() -> Vec<Case> {
    let Some(fixtures) = fixtures() else { return Vec::new() };
    let mut cases = Vec::new();
    for folder in ["stories260K", "babyllama-tok105", "rand256-kquants"] {
        let folder = fixtures.join("models").join(folder);
        for model in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            if model.extension().is_none_or(|e| e != "gguf") {
                continue;
            }
            let name = model.file_stem().unwrap().to_string_lossy().into_owned();
            let golden = |suffix: &str| folder.join("golden").join(format!("{name}.{suffix}"));
            let json: Value = serde_json::from_slice(&std::fs::read(golden("json")).unwrap()).unwrap();
            let ids =
                json["prompt_ids"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
            let (exact, reference) = (floats(&golden("dequant_exact.f32")), floats(&golden("logits.f32")));
            cases.push(Case { name, model, ids, exact, reference });
        }
    }
    assert!(cases.len() >= 10, "{} cases", cases.len());
    cases
}

#[test]
fn exact_runs_are_exact() {
    for case in cases() {
        let tolerance = if case.name.contains("F32") { 1e-4 } else { 1e-3 };
        for options in ways(&exact()) {
            let logits = Session::open(&case.model, &options).prefill(&case.ids, 512);
            let distance = max_distance(&logits, &case.exact);
            assert!(distance < tolerance, "{}: {distance} with {options:?}", case.name);
        }
    }
}

#[test]
fn fast_runs_are_no_further_off_than_llama_cpp() {
    for case in cases().into_iter().filter(|c| !c.name.contains("F32")) {
        let theirs = rms_distance(&case.reference, &case.exact);
        // llama.cpp's figures were taken with a cache in f32, which counts where weights are as precise as F16.
        let cache = case.name.contains("F16").then_some(CacheType::F32);
        for options in ways(&ModelOptions { threads: Some(1), cache, ..ModelOptions::default() }) {
            let logits = Session::open(&case.model, &options).prefill(&case.ids, 512);
            let ours = rms_distance(&logits, &case.exact);
            eprintln!(
                "{}: {ours:.6}, llama.cpp {theirs:.6} ({:?} {:?})",
                case.name, options.kernels, options.residency
            );
            assert!(ours <= theirs, "{}: {ours} against {theirs} with {options:?}", case.name);
        }
    }
}
