//! Encoders in fewer bits, and several threads on one encoder: a BERT that is wide enough to have whole blocks in its rows.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use serde_json::{Value, json};
use std::sync::Arc;
use torchless_base::TokenId;
use torchless_device::{CpuDevice, CpuOptions};
use torchless_formats::{Checkpoint, Metadata, open_bytes};
use torchless_kernels::{Kernels, Precision, available, best};
use torchless_model::encoder::{Encoder, EncoderOptions, EncoderPrecision, EncoderText, Want, load_encoder};

const DIM: usize = 64;
const HIDDEN: usize = 128;
const LAYERS: usize = 2;

fn config() -> Value {
    json!({
        "model_type": "deberta-v2", "architectures": ["DebertaV2ForSequenceClassification"], "vocab_size": 50,
        "hidden_size": DIM, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": HIDDEN,
        "max_position_embeddings": 80, "relative_attention": true, "position_buckets": 16,
        "norm_rel_ebd": "layer_norm", "share_att_key": true, "pos_att_type": "c2p|p2c",
        "position_biased_input": false, "type_vocab_size": 0,
    })
}

fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("deberta.embeddings.word_embeddings.weight".to_owned(), vec![50, DIM]),
        ("deberta.encoder.rel_embeddings.weight".to_owned(), vec![32, DIM]),
    ];
    let mut linear = |name: String, rows: usize, cols: usize| {
        all.push((format!("{name}.bias"), vec![rows]));
        if cols > 0 {
            all.push((format!("{name}.weight"), vec![rows, cols]));
        } else {
            all.push((format!("{name}.weight"), vec![rows]));
        }
    };
    linear("deberta.embeddings.LayerNorm".to_owned(), DIM, 0);
    linear("deberta.encoder.LayerNorm".to_owned(), DIM, 0);
    for i in 0..LAYERS {
        let layer = format!("deberta.encoder.layer.{i}");
        for name in ["query_proj", "key_proj", "value_proj"] {
            linear(format!("{layer}.attention.self.{name}"), DIM, DIM);
        }
        linear(format!("{layer}.attention.output.dense"), DIM, DIM);
        linear(format!("{layer}.attention.output.LayerNorm"), DIM, 0);
        linear(format!("{layer}.intermediate.dense"), HIDDEN, DIM);
        linear(format!("{layer}.output.dense"), DIM, HIDDEN);
        linear(format!("{layer}.output.LayerNorm"), DIM, 0);
    }
    linear("pooler.dense".to_owned(), DIM, DIM);
    linear("classifier".to_owned(), 2, DIM);
    all
}

fn checkpoint() -> Checkpoint {
    let (mut header, mut data, mut state) = (serde_json::Map::new(), Vec::new(), 1u32);
    for (name, shape) in shapes() {
        let start = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let x = if name.ends_with("LayerNorm.weight") { 1.0 + 0.2 * x } else { 0.2 * x };
            data.extend(x.to_le_bytes());
        }
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name, entry);
    }
    let header = Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let mut checkpoint = open_bytes(Arc::new(bytes)).unwrap();
    checkpoint.metadata = Metadata::HuggingFace { config: config(), generation_config: None };
    checkpoint
}

fn load(kernels: &'static Kernels, threads: usize, precision: EncoderPrecision) -> Encoder {
    let device = Box::new(CpuDevice::new(CpuOptions { kernels, threads, precision: Precision::Fast }));
    let options = EncoderOptions { precision, ..EncoderOptions::default() };
    load_encoder(&checkpoint(), device, &options, &mut |_, _| {}).unwrap()
}

fn texts() -> Vec<Vec<TokenId>> {
    [1usize, 7, 33, 80, 16, 64]
        .iter()
        .map(|&n| (0..n).map(|i| TokenId((i * 7 + n) as u32 % 50)).collect())
        .collect()
}

fn run(encoder: &Encoder, texts: &[Vec<TokenId>], want: Want) -> Vec<Vec<f32>> {
    let texts: Vec<_> = texts.iter().map(|ids| EncoderText { ids, types: &[] }).collect();
    encoder.encode(&texts, want).unwrap()
}

fn furthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

#[test]
fn fewer_bits_stay_near_all_of_them() {
    let exact = run(&load(best(), 1, EncoderPrecision::F32), &texts(), Want::Hidden);
    for kernels in available() {
        for (precision, limit) in [(EncoderPrecision::Bf16, 0.06), (EncoderPrecision::Int8, 0.15)] {
            let found = run(&load(kernels, 1, precision), &texts(), Want::Hidden);
            let off = furthest(&found, &exact);
            assert!(off < limit, "{} in {}: {off}", precision.name(), kernels.name);
            assert!(off > 0.0, "{} in {} rounds nothing", precision.name(), kernels.name);
        }
    }
}

#[test]
fn company_and_threads_change_no_bit() {
    for precision in EncoderPrecision::ALL {
        let encoder = load(best(), 1, precision);
        let together = run(&encoder, &texts(), Want::Hidden);
        assert_eq!(run(&load(best(), 3, precision), &texts(), Want::Hidden), together, "{precision:?}");
        for (text, found) in texts().iter().zip(&together) {
            let alone = run(&encoder, std::slice::from_ref(text), Want::Hidden);
            assert_eq!(&alone[0], found, "{precision:?}, {} tokens", text.len());
        }
    }
}

#[test]
fn threads_share_an_encoder() {
    for precision in EncoderPrecision::ALL {
        let encoder = load(best(), 2, precision);
        let want = run(&encoder, &texts(), Want::Logits);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert_eq!(run(&encoder, &texts(), Want::Logits), want);
                    }
                });
            }
        });
    }
}
