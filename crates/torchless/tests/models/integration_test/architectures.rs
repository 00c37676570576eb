//! GGUF files of several architectures against llama.cpp's logits.

use super::support::{Session, exact, fixtures, floats, max_distance, ways};
use serde_json::Value;

/// llama.cpp is the only oracle of these.
const TOLERANCE: f32 = 2e-3;

/// Files that no family here can run yet.
const NOT_YET: &[&str] = &[];

#[test]
fn gguf_files_give_the_logits_of_llama_cpp() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("models").join("archs");
    let mut seen = 0;
    for model in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
        let Some(name) = model.file_name().unwrap().to_str().unwrap().strip_suffix(".gguf") else { continue };
        seen += 1;
        if NOT_YET.contains(&name) {
            eprintln!("skipped: {name} is not supported yet");
            continue;
        }
        let golden = |suffix: &str| folder.join("golden").join(format!("{name}.{suffix}"));
        let json: Value = serde_json::from_slice(&std::fs::read(golden("json")).unwrap()).unwrap();
        let ids: Vec<u32> =
            json["prompt_ids"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
        let expected = floats(&golden("logits.f32"));
        for options in ways(&exact()) {
            let distance = max_distance(&Session::open(&model, &options).prefill(&ids, 512), &expected);
            assert!(distance < TOLERANCE, "{name}: {distance} with {options:?}");
        }
    }
    assert!(seen >= 8, "{seen} files");
}
