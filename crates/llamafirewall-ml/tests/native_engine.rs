//! The native engine on tiny Prompt Guards: logits as transformers computed them, text of any length, and models that
//! must not load. Needs the fixtures; visibly skipped without.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use llamafirewall_core::{InferenceEngine, Role};
use llamafirewall_ml::{AttackClassifier, EnginePlace, LoadError, NativeEngine, NativeOptions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use torchless_device_gpu::Backend;
use torchless_device_gpu::driver::{Driver, Limits, Opened};
use torchless_gpu_emulator::drivers_of_every_overlay;

fn golden(name: &str) -> Option<PathBuf> {
    let Some(fixtures) = std::env::var_os("TORCHLESS_FIXTURES") else {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
        return None;
    };
    Some(Path::new(&fixtures).join("goldens").join(name))
}

/// The model in a folder of its own with a tokenizer whose words are the numbers of its tokens.
fn folder(golden: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer().to_string()).unwrap();
    folder
}

fn tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> = (0..256).map(|id| (format!("t{id}x"), json!(id))).collect();
    let token = |id: u32| {
        json!({ "id": id, "content": format!("t{id}x"), "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false })
    };
    let special = |id: u32| json!({ "id": format!("t{id}x"), "ids": [id], "tokens": [format!("t{id}x")] });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [token(1), token(2), token(3)],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": { "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "t1x", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
                       { "SpecialToken": { "id": "t2x", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "t1x": special(1), "t2x": special(2) } },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "t3x" },
    })
}

const PLAIN: fn() -> NativeOptions =
    || NativeOptions { threads: 1, squeeze: false, cached: 16, ..NativeOptions::default() };

/// Texts and logits of the cases that are one text between the tokens 1 and 2.
fn cases(golden: &Path) -> Vec<(String, Vec<f32>)> {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap();
    let bytes = std::fs::read(golden.join("logits.f32")).unwrap();
    let logits: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let labels = usize::try_from(expected["num_labels"].as_u64().unwrap()).unwrap();
    let mut rows = logits.chunks_exact(labels);
    let mut out = Vec::new();
    for input in expected["inputs"].as_array().unwrap() {
        let batch =
            input["input_ids"].as_array().unwrap().iter().zip(input["attention_mask"].as_array().unwrap());
        for (ids, mask) in batch {
            let number = |value: &Value| value.as_u64().unwrap();
            let live = ids.as_array().unwrap().iter().zip(mask.as_array().unwrap());
            let ids: Vec<u64> = live.filter(|(_, m)| number(m) == 1).map(|(id, _)| number(id)).collect();
            let row = rows.next().unwrap().to_vec();
            if let [1, inner @ .., 2] = &ids[..]
                && !inner.iter().any(|id| *id < 4)
            {
                out.push((inner.iter().map(|id| format!("t{id}x")).collect::<Vec<_>>().join(" "), row));
            }
        }
    }
    out
}

fn check_golden(name: &str) {
    let Some(golden) = golden(name) else { return };
    let folder = folder(&golden);
    let engine = NativeEngine::open(folder.path(), PLAIN()).unwrap();
    let cases = cases(&golden);
    assert!(!cases.is_empty());
    let texts: Vec<&str> = cases.iter().map(|(text, _)| &text[..]).collect();
    let together = engine.infer_batch(&texts).unwrap();
    for ((text, wanted), found) in cases.iter().zip(&together) {
        let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{name}: {found:?} {wanted:?}");
        assert_eq!(&engine.infer(text).unwrap(), found, "from the cache");
        let fresh = NativeEngine::open(folder.path(), PLAIN()).unwrap();
        assert_eq!(&fresh.infer(text).unwrap(), found, "alone as in company");
    }
}

#[test]
fn two_labels_are_those_of_transformers() {
    check_golden("deberta_v3_cls2");
}

#[test]
fn three_labels_are_those_of_transformers() {
    check_golden("deberta_v3_cls3");
}

/// On the first device of every interface that is there.
#[test]
fn gpus_give_the_same_logits() {
    let Some(golden) = golden("deberta_v3_cls3") else { return };
    let folder = folder(&golden);
    let cases = cases(&golden);
    let texts: Vec<&str> = cases.iter().map(|(text, _)| &text[..]).collect();
    for backend in Backend::ALL {
        let options = NativeOptions { place: EnginePlace::Gpu(backend, 0), ..PLAIN() };
        let engine = match NativeEngine::open(folder.path(), options) {
            Ok(engine) => engine,
            Err(e @ LoadError::Gpu(_)) => {
                eprintln!("skipped on {backend}: {e}");
                continue;
            }
            Err(e) => panic!("{backend}: {e}"),
        };
        compare(&backend.to_string(), &cases, &engine.infer_batch(&texts).unwrap());
    }
}

fn compare(device: &str, cases: &[(String, Vec<f32>)], all: &[Vec<f32>]) {
    assert_eq!(all.len(), cases.len());
    for ((_, wanted), found) in cases.iter().zip(all) {
        let most = wanted.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Activations are halves on some.
        assert!(worst < 1e-2 * most, "{device}: {found:?} {wanted:?}");
    }
}

/// Devices that are emulated on the CPU, with this much memory; none where there is no C++ compiler.
fn emulated(memory: u64) -> Vec<Box<dyn Driver>> {
    let limits = Limits { memory: Some(memory), programs: None };
    let mut drivers = drivers_of_every_overlay(&limits);
    drivers.retain(|driver| driver.info().name.starts_with("emulated"));
    if drivers.is_empty() {
        eprintln!("skipped: no emulated device");
    }
    drivers
}

#[test]
fn emulated_gpus_give_the_same_logits() {
    let Some(golden) = golden("deberta_v3_cls3") else { return };
    let folder = folder(&golden);
    let cases = cases(&golden);
    let texts: Vec<&str> = cases.iter().map(|(text, _)| &text[..]).collect();
    for driver in emulated(1 << 30) {
        let name = driver.info().name.clone();
        let engine = NativeEngine::open_on(folder.path(), Opened::new(driver), PLAIN()).unwrap();
        compare(&name, &cases, &engine.infer_batch(&texts).unwrap());
    }
}

#[test]
fn a_model_larger_than_a_gpus_memory_is_refused_with_both_sizes() {
    let Some(golden) = golden("deberta_v3_cls2") else { return };
    let folder = folder(&golden);
    for driver in emulated(1 << 12) {
        let name = driver.info().label();
        let error = NativeEngine::open_on(folder.path(), Opened::new(driver), PLAIN()).err().unwrap();
        let LoadError::DoesNotFit { device, needed, free, .. } = &error else { panic!("{error}") };
        assert_eq!((&name, *free), (device, 1 << 12));
        let file = std::fs::metadata(folder.path().join("model.safetensors")).unwrap().len();
        assert!(*needed > file / 2 && *needed <= file, "{needed} bytes of a file of {file}");
        let words = [name, format!("needs {needed} bytes"), "4096 are free".into(), "such as cpu".into()];
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let Some(golden) = golden("deberta_v3_cls2") else { return };
    let folder = folder(&golden);
    let options = NativeOptions { place: EnginePlace::Gpu(Backend::OpenCl, 999), ..PLAIN() };
    let error = NativeEngine::open(folder.path(), options).map(|_| ()).unwrap_err();
    assert!(matches!(error, LoadError::Gpu(_)), "{error}");
    let options = NativeOptions { place: EnginePlace::Auto(Some(999)), ..PLAIN() };
    let error = NativeEngine::open(folder.path(), options).map(|_| ()).unwrap_err();
    assert!(matches!(error, LoadError::Gpu(_) | LoadError::NoGpu { ordinal: 999 }), "{error}");
    assert_eq!(EnginePlace::named("cuda", Some(2)), Some(EnginePlace::Gpu(Backend::Cuda, 2)));
    assert!(EnginePlace::NAMES.iter().all(|name| EnginePlace::named(name, None).is_some()));
    assert_eq!(EnginePlace::named("gpu", None), None);
}

#[test]
fn a_text_of_any_length_is_seen_whole() {
    let Some(golden) = golden("deberta_v3_cls2") else { return };
    let folder = folder(&golden);
    let engine = NativeEngine::open(folder.path(), PLAIN()).unwrap();
    let text: String = (0..1000).map(|i| format!("t{}x ", 4 + i * 7 % 250)).collect();
    let windows = engine.windows(&text).unwrap();
    assert!(windows.len() > 10);
    assert_eq!((windows[0].start, windows[windows.len() - 1].end), (0, text.len()));
    assert!(windows.windows(2).all(|pair| pair[1].start < pair[0].end), "neighbours overlap");
    assert!(engine.infer(&text).unwrap_err().to_string().contains("96"), "the limit is named");
    let classifier = AttackClassifier::open(folder.path(), PLAIN()).unwrap();
    let whole = classifier.judge(Role::User, &text).unwrap();
    let scores = windows.iter().map(|w| classifier.judge(Role::User, &text[w.clone()]).unwrap().score);
    assert_eq!(whole.score, scores.fold(0.0, f32::max));
}

#[test]
fn whitespace_between_tokens_does_not_change_the_score() {
    let Some(golden) = golden("deberta_v3_cls2") else { return };
    let folder = folder(&golden);
    let engine = NativeEngine::open(folder.path(), NativeOptions { squeeze: true, ..PLAIN() }).unwrap();
    // One token of the squeezed text is unknown to this vocabulary of whole words, so the text stays as it is.
    let plain = engine.infer("t50x t60x").unwrap();
    assert_eq!(engine.infer("t50x \n\t t60x").unwrap(), plain);
}

#[test]
fn a_model_without_head_or_with_a_tensor_too_many_does_not_load() {
    let Some(golden) = golden("deberta_v3_cls2") else { return };
    let error =
        |folder: &Path| NativeEngine::open(folder, PLAIN()).err().map(|e| e.to_string()).unwrap_or_default();
    let renamed = |from: &str, to: &str| {
        let folder = folder(&golden);
        let path = folder.path().join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, bytes).unwrap();
        folder
    };
    let without_head = renamed("classifier.weight", "classifiex.weight");
    assert!(error(without_head.path()).contains("classifier.weight"), "{}", error(without_head.path()));
    let folder = folder(&golden);
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert!(error(folder.path()).contains("tokenizer"), "{}", error(folder.path()));
}

#[test]
fn a_model_that_only_embeds_does_not_load() {
    let Some(golden) = golden("bert_embed") else { return };
    let error = NativeEngine::open(folder(&golden).path(), PLAIN()).err().unwrap().to_string();
    assert!(error.contains("head"), "{error}");
}
