//! DeBERTa against implementations in numpy and PyTorch: hidden states and logits of two tiny models.

use super::support::{exact, fixtures, floats_of, max_distance};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use torchless::{Encoder, EncoderText, Source, TokenId};

const TOLERANCE: f32 = 2e-4;

fn open(folder: &Path) -> Encoder {
    Encoder::open(&Source::Path(folder.to_owned()), &exact(), &mut |_, _| {}).unwrap()
}

/// A safetensors file of F32 and I64 as shapes and values.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let numbers =
        |v: &Value| v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect::<Vec<_>>();
    let mut all = BTreeMap::new();
    for (name, entry) in header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__") {
        let (shape, at) = (numbers(&entry["shape"]), numbers(&entry["data_offsets"]));
        let data = &bytes[start + at[0]..start + at[1]];
        let values = match entry["dtype"].as_str().unwrap() {
            "F32" => floats_of(data),
            "I64" => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect(),
            other => panic!("{other}"),
        };
        all.insert(name.clone(), (shape, values));
    }
    all
}

#[test]
fn hidden_states_and_logits_of_padded_batches_equal_pytorch() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("guard/deberta-tiny-hidden-states");
    let encoder = open(&folder);
    let cases = tensors(&folder.join("tiny_cases.safetensors"));
    let layers = encoder.spec().layers.len();
    for case in 0.. {
        let Some((shape, ids)) = cases.get(&format!("{case}.input_ids")) else {
            assert!(case >= 5, "{case} cases");
            break;
        };
        let get = |name: &str| &cases[&format!("{case}.{name}")].1;
        let (mask, hidden, logits) = (get("mask"), get(&format!("hidden{layers}")), get("logits"));
        let (length, dim, labels) = (shape[1], encoder.spec().dim, encoder.labels().len());
        for row in 0..shape[0] {
            let seen = mask[row * length..][..length].iter().filter(|m| **m == 1.0).count();
            let tokens: Vec<_> = ids[row * length..][..seen].iter().map(|&id| TokenId(id as u32)).collect();
            let text = [EncoderText { ids: &tokens, types: &[] }];
            let found = &encoder.hidden_ids(&text).unwrap()[0];
            let distance = max_distance(found, &hidden[row * length * dim..][..seen * dim]);
            assert!(distance < TOLERANCE, "case {case} row {row}: hidden states {distance}");
            let found = &encoder.logits_ids(&text).unwrap()[0];
            let distance = max_distance(found, &logits[row * labels..][..labels]);
            assert!(distance < TOLERANCE, "case {case} row {row}: logits {distance}");
        }
    }
}

#[test]
fn logits_equal_exact_arithmetic() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("models/deberta-v2-tiny-random");
    let encoder = open(&folder);
    assert_eq!(encoder.labels(), ["SAFE", "INJECTION"]);
    let golden: Value =
        serde_json::from_slice(&std::fs::read(folder.join("golden_numpy.json")).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for (i, case) in cases.iter().enumerate() {
        let list =
            |key: &str| case[key].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<_>>();
        let seen = list("attention_mask").iter().filter(|m| **m == 1.0).count();
        let tokens: Vec<_> = list("input_ids")[..seen].iter().map(|&id| TokenId(id as u32)).collect();
        let text = [EncoderText { ids: &tokens, types: &[] }];
        let near = |found: &[f32], want: Vec<f64>, what: &str| {
            let want: Vec<f32> = want.into_iter().map(|x| x as f32).collect();
            let distance = max_distance(&found[..want.len()], &want);
            assert!(distance < TOLERANCE, "case {i} {what}: {distance}");
        };
        near(&encoder.logits_ids(&text).unwrap()[0], list("logits"), "logits");
        near(&encoder.hidden_ids(&text).unwrap()[0], list("last_hidden_first_token"), "first token");
    }
}
