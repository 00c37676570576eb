//! Checkpoints of transformers that went to GGUF and back: the same tensors and the same logits, or a refusal that is listed here.

use super::goldens::{cases, prompts, tolerance};
use super::made::{folder, tensors_of};
use super::support::{Session, exact, fixtures, max_distance};
use serde_json::{Value, json};
use std::path::Path;
use torchless::{FileType, Source, TensorType, convert_to_folder, convert_to_gguf};

/// What does not come back, by a part of the message.
const REFUSED: &[(&str, &str)] = &[
    ("gemma3n_text", "num_kv_shared_layers"),
    ("gemma4_moe", "ffn_gate_exps"),
    ("gemma4_text", "width: 8 would become width: 256"),
    ("gpt2", "output by output"),
    ("gpt_neox", "output by output"),
    ("gpt_neox_seq", "output by output"),
    ("gpt_oss", "ffn_gate_exps.bias"),
    // Divisors are all that GGUF has of a rule, and these are of no released model.
    ("llama_rope_llama3", "rotary embedding"),
    ("granite_moe", "ffn_gate_exps"),
    ("qwen3_5_moe_text", "key_heads"),
    ("qwen3_5_text", "key_heads"),
    ("qwen3_next", "key_heads"),
];

/// What comes back as another family that computes the same.
const ALIKE: &[&str] = &["mistral_full_headdim as \"llama\""];

/// Every tensor of the first folder is in the second, with the same values but for the rounding of a 1 that came and went.
fn assert_same_tensors(name: &str, a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|path| Source::Path(path.to_owned()).checkpoint().unwrap());
    for tensor in a.tensors.iter() {
        let Ok(other) = b.tensors.get(&tensor.name) else { continue };
        assert_eq!(tensor.shape, other.shape, "{name}: {}", tensor.name);
        let (mut x, mut y) = (vec![0.0; tensor.cols()], vec![0.0; tensor.cols()]);
        for row in 0..tensor.rows() {
            tensor.decode_row(row, &mut x);
            other.decode_row(row, &mut y);
            let near = x.iter().zip(&y).all(|(x, y)| (x - y).abs() <= 5e-7);
            assert!(near, "{name}: {} row {row}", tensor.name);
        }
    }
}

#[test]
fn what_went_to_gguf_comes_back() {
    let mut others = Vec::new();
    for case in &cases() {
        let name = case.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (file, back) = (folder.path().join("model.gguf"), folder.path().join("back"));
        let whole = FileType::from_name("F32").unwrap();
        convert_to_gguf(&Source::Path(case.clone()), &file, whole, &mut |_, _| {}).unwrap();
        let returned = convert_to_folder(&Source::Path(file), &back, TensorType::F32);
        match (returned, REFUSED.iter().find(|(refused, _)| *refused == name)) {
            (Ok(_), None) => {}
            (Err(e), Some((_, why))) => {
                assert!(e.to_string().contains(why), "{name}: {e}");
                assert!(!back.exists(), "{name} left something behind");
                continue;
            }
            (Ok(_), Some(_)) => panic!("{name} came back, and is listed as refused"),
            (Err(e), None) => panic!("{name}: {e}"),
        }
        assert_same_tensors(name, case, &back);
        let [before, after] = [case, &back].map(|folder| {
            let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
            serde_json::from_str::<Value>(&config).unwrap()
        });
        if before["model_type"] != after["model_type"] {
            others.push(format!("{name} as {}", after["model_type"]));
        }
        // Classes that know one width look for it under its own name.
        let has_own = |config: &Value| config.get("moe_intermediate_size").is_some();
        assert!(has_own(&before) || !has_own(&after), "{name}");
        let mut session = Session::open(&back, &exact());
        for prompt in prompts(case) {
            let distance = max_distance(&session.prefill(&prompt.ids, 512), &prompt.logits);
            assert!(distance < tolerance(case), "{name}: {distance}");
        }
    }
    assert!(others.is_empty() || others == ALIKE, "{others:?}"); // Without fixtures there are none.
}

/// What equals nothing is said too: a `config.json` that left it out would mean something else.
fn check_returns(name: &str, change: impl FnOnce(&mut Value)) {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens").join(name);
    let model = folder(&base, &tensors_of(&base), change);
    let (file, back) = (model.path().join("model.gguf"), model.path().join("back"));
    let whole = FileType::from_name("F32").unwrap();
    convert_to_gguf(&Source::Path(model.path().to_owned()), &file, whole, &mut |_, _| {}).unwrap();
    convert_to_folder(&Source::Path(file), &back, TensorType::F32).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_same_tensors(name, model.path(), &back);
    let ids = &prompts(&base)[0].ids;
    let [a, b] = [model.path(), &back].map(|path| Session::open(path, &exact()).prefill(ids, 512));
    assert!(max_distance(&a, &b) < 1e-4, "{name}");
}

#[test]
fn logits_that_are_not_scaled_come_back() {
    check_returns("cohere", |config| config["logit_scale"] = json!(1.0));
}

#[test]
fn layers_without_a_window_come_back() {
    check_returns("exaone4", |config| {
        let layers = config["num_hidden_layers"].as_u64().unwrap() as usize;
        config["sliding_window"] = Value::Null;
        config["layer_types"] = json!(vec!["full_attention"; layers]);
    });
}
