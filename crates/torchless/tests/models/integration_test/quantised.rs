//! Quantised GGUF models against exact arithmetic on their dequantised weights, and against llama.cpp's distance from it.

use super::support::{Session, exact, fixtures, floats, max_distance, rms_distance, ways};
use serde_json::Value;
use std::path::PathBuf;
use torchless::ModelOptions;

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

/// Both round activations to 8 bits. Those of attention are rounded a second time here, which llama.cpp does not do.
#[test]
fn fast_runs_are_no_further_off_than_llama_cpp() {
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    for options in ways(&ModelOptions { threads: Some(1), ..ModelOptions::default() }) {
        let mut logs = Vec::new();
        for case in &cases {
            let theirs = rms_distance(&case.reference, &case.exact);
            let logits = Session::open(&case.model, &options).prefill(&case.ids, 512);
            let ours = rms_distance(&logits, &case.exact);
            let (kernels, residency) = (&options.kernels, options.residency);
            eprintln!("{}: {ours:.6}, llama.cpp {theirs:.6} ({kernels:?} {residency:?})", case.name);
            if case.name.contains("F32") || case.name.contains("F16") {
                // In floating point nothing is rounded but sums.
                assert!(ours <= theirs.max(1e-5), "{}: {ours} against {theirs}", case.name);
            } else {
                assert!(ours <= theirs, "{}: {ours} against {theirs}", case.name);
                logs.push((ours / theirs).ln());
            }
        }
        let mean = (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
        assert!(mean <= 0.75, "{mean} times llama.cpp's distance with {options:?}");
    }
}
