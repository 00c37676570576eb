//! Checkpoints of transformers after conversion to GGUF: the same logits, and which of them no other reader of GGUF would read.

use super::goldens::{cases, prompts, tolerance};
use super::made::{folder, tensors_of};
use super::support::{Session, exact, fixtures, max_distance, ways};
use serde_json::json;
use std::path::Path;
use torchless::{FileType, Source, convert_to_gguf};

/// What GGUF has no place for, and what a file then says in keys that are no one else's.
const OWN_WORDS: &[(&str, &str)] = &[
    ("deepseek_v2", "torchless.attention.latent_norm_epsilon"),
    ("deepseek_v2_lite", "torchless.attention.latent_norm_epsilon"),
    ("deepseek_v3", "torchless.attention.latent_norm_epsilon"),
    ("deepseek_v3_noqlora", "torchless.attention.latent_norm_epsilon"),
    ("gemma2", "torchless.attention.scales"),
    ("gpt_oss", "torchless.rope.yarn_truncate"),
    ("phimoe", "torchless.expert.sparse_mixer_jitter"),
    ("phi3_sliding", "torchless.attention.windows"),
    ("qwen2_sliding", "torchless.attention.windows"),
];

/// Converts a checkpoint, with such keys as are listed and no others.
fn converted(source: &Path, name: &str, file: &Path) {
    let whole = FileType::from_name("F32").unwrap();
    let done = convert_to_gguf(&Source::Path(source.to_owned()), file, whole, &mut |_, _| {});
    let own: Vec<_> = OWN_WORDS.iter().filter(|(of, _)| *of == name).map(|(_, key)| *key).collect();
    assert_eq!(done.unwrap_or_else(|e| panic!("{name}: {e}")).own_words, own, "{name}");
}

#[test]
fn converted_models_compute_the_same() {
    for case in &cases() {
        let name = case.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        converted(case, name, &file);
        for options in ways(&exact()) {
            let mut session = Session::open(&file, &options);
            for prompt in prompts(case) {
                let distance = max_distance(&session.prefill(&prompt.ids, 512), &prompt.logits);
                assert!(distance < tolerance(case), "{name}: {distance} with {options:?}");
            }
        }
    }
}

/// GGUF has one number where these have two; with one number, as models that were released have it, its own words are enough.
const NEARLY: &[(&str, &str, f64)] = &[
    ("deepseek_v2_lite", "rms_norm_eps", 1e-6),
    ("deepseek_v3", "rms_norm_eps", 1e-6),
    ("deepseek_v3_noqlora", "rms_norm_eps", 1e-6),
    ("gemma2", "query_pre_attn_scalar", 16.0),
];

#[test]
fn what_only_a_made_up_number_keeps_from_gguf_needs_no_words_without_it() {
    let Some(fixtures) = fixtures() else { return };
    for (name, key, value) in NEARLY {
        let base = fixtures.join("goldens").join(name);
        let model = folder(&base, &tensors_of(&base), |config| config[*key] = json!(value));
        let file = model.path().join("model.gguf");
        converted(model.path(), "", &file);
        for prompt in prompts(&base) {
            let [a, b] =
                [model.path(), &file].map(|path| Session::open(path, &exact()).prefill(&prompt.ids, 512));
            let distance = max_distance(&a, &b);
            assert!(distance < tolerance(&base), "{name}: {distance}");
        }
    }
}
