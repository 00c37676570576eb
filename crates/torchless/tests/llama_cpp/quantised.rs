//! Quantised files against those that llama.cpp makes of the same model: the same types everywhere, the same bytes where encoders are exact, and
//! nowhere a larger error. What needs an importance matrix gets one that was made here.

use super::place::{loaded, max_distance, noise, our_logits, their_logits, theirs};
use model_loader::{ColumnWeights, Library, Quantization, TokenId};
use std::path::Path;
use torchless::formats::Checkpoint;
use torchless::formats::gguf::Header;
use torchless::{
    Calibration, FileType, Importance, ModelOptions, Overrides, Quantize, RunPrecision, Source, TensorType,
    quantize, write_importance,
};

const DIM: usize = 256;
const HIDDEN: usize = 256;
const VOCAB: usize = 64;
const LAYERS: usize = 2;

/// Kinds whose types are encoded in one way only.
const SAME_BYTES: &[TensorType] = &[
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::F16,
    TensorType::BF16,
];
const KINDS: &[&str] = &[
    "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0",
    "IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "Q2_K", "TQ2_0", "TQ1_0",
];
/// Kinds that llama.cpp makes with an importance matrix alone.
const WEIGHED: &[&str] = &[
    "Q4_K_M", "IQ4_XS", "IQ3_XS", "IQ3_XXS", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M",
    "IQ1_S",
];

/// A model of noise with rows long enough for every type.
fn model(path: &Path) {
    let mut header = Header::new();
    header.put("general.architecture", "llama").unwrap();
    header.put("general.file_type", 0u32).unwrap();
    for (key, value) in [
        ("block_count", LAYERS),
        ("context_length", 512),
        ("embedding_length", DIM),
        ("feed_forward_length", HIDDEN),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("rope.dimension_count", DIM / 4),
        ("vocab_size", VOCAB),
    ] {
        header.put(&format!("llama.{key}"), value as u32).unwrap();
    }
    header.put("llama.attention.layer_norm_rms_epsilon", 1e-5f32).unwrap();
    header.put("tokenizer.ggml.model", "no_vocab").unwrap();
    let mut shapes =
        vec![("token_embd".to_owned(), vec![VOCAB, DIM]), ("output".to_owned(), vec![VOCAB, DIM])];
    shapes.push(("output_norm".to_owned(), vec![DIM]));
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("attn_norm", vec![DIM]),
            ("attn_q", vec![DIM, DIM]),
            ("attn_k", vec![DIM / 2, DIM]),
            ("attn_v", vec![DIM / 2, DIM]),
            ("attn_output", vec![DIM, DIM]),
            ("ffn_norm", vec![DIM]),
            ("ffn_gate", vec![HIDDEN, DIM]),
            ("ffn_up", vec![HIDDEN, DIM]),
            ("ffn_down", vec![DIM, HIDDEN]),
        ] {
            shapes.push((format!("blk.{layer}.{name}"), shape));
        }
    }
    for (name, shape) in &shapes {
        header.tensor(&format!("{name}.weight"), TensorType::F32, shape).unwrap();
    }
    let mut writer = header.start(Vec::new()).unwrap();
    for ((_, shape), seed) in shapes.iter().zip(1..) {
        let len = shape.iter().product();
        let values = (0..len).zip(noise(len, seed)).zip(noise(len, seed + 100));
        for ((_, a), b) in values {
            // Weights have a peak at 0; norms are near 1.
            let value = if shape.len() == 1 { 1.0 + 0.1 * a } else { 0.1 * a * b };
            writer.write(&value.to_le_bytes()).unwrap();
        }
    }
    std::fs::write(path, writer.finish().unwrap()).unwrap();
}

fn checkpoint(path: &Path) -> Checkpoint {
    Source::Path(path.to_owned()).checkpoint().unwrap()
}

/// The sum of squared errors, each times the weight of its column.
fn error(of: &Checkpoint, original: &Checkpoint, name: &str, weights: Option<&[f32]>) -> f64 {
    let [a, b] = [of, original].map(|checkpoint| checkpoint.tensors.get(name).unwrap());
    let (mut x, mut y) = (vec![0.0; a.cols()], vec![0.0; a.cols()]);
    let mut sum = 0.0;
    for row in 0..a.rows() {
        a.decode_row(row, &mut x);
        b.decode_row(row, &mut y);
        for (col, (x, y)) in x.iter().zip(&y).enumerate() {
            sum += f64::from(x - y).powi(2) * weights.map_or(1.0, |weights| f64::from(weights[col]));
        }
    }
    sum
}

/// Makes both files and compares them tensor by tensor.
fn compare(library: Library, input: &Path, kind: &str, importance: Option<&Importance>) {
    let folder = input.parent().unwrap();
    let [ours, other] = ["ours.gguf", "theirs.gguf"].map(|name| folder.join(name));
    let file = FileType::from_name(kind).unwrap();
    let how = Quantize {
        file,
        overrides: Overrides::default(),
        requantize: false,
        leave_output: false,
        importance,
        threads: Some(2),
    };
    quantize(&Source::Path(input.to_owned()), &ours, &how, &mut |_, _| {}).unwrap();
    let original = checkpoint(input);
    let weights: Vec<ColumnWeights> = original
        .tensors
        .names()
        .filter_map(|name| {
            let values = importance?.of(name)?.to_vec();
            Some(ColumnWeights { tensor: name.to_owned(), values })
        })
        .collect();
    let mut theirs = Quantization::new(file.number);
    (theirs.threads, theirs.importance) = (Some(2), &weights);
    library.quantize(input, &other, &theirs).unwrap();
    let [a, b] = [&ours, &other].map(|path| checkpoint(path));
    let mut worst = 0.0f64;
    for theirs in b.tensors.iter() {
        let own = a.tensors.get(&theirs.name).unwrap();
        assert_eq!(own.ty, theirs.ty, "{kind}: {}", own.name);
        let weighed = importance.and_then(|importance| importance.of(&own.name));
        if weighed.is_none() && SAME_BYTES.contains(&own.ty) {
            assert!(own.data[..] == theirs.data[..], "{kind}: bytes of {} ({})", own.name, own.ty);
            continue;
        }
        let [ours, other] = [&a, &b].map(|made| error(made, &original, &own.name, weighed));
        if other > 0.0 {
            worst = worst.max(ours / other);
        }
    }
    eprintln!("{kind}: at most {worst:.3} of its squared error");
    assert!(worst <= 1.01, "{kind}: {worst} times the squared error");
}

#[test]
fn quantised_files_are_as_good_as_those_made_there() {
    let Some(library) = loaded() else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("model.gguf");
    model(&input);
    KINDS.iter().for_each(|kind| compare(library, &input, kind, None));
}

/// An importance matrix of a text of noise.
fn importance(model: &Path, output: &Path) -> Importance {
    let ids: Vec<_> = noise(256, 5).iter().map(|x| TokenId((x.abs() * VOCAB as f32) as u32)).collect();
    let from = Calibration { ids: &ids, dataset: "noise", context: 64, bos: None, with_output: false };
    let exact = ModelOptions { precision: RunPrecision::Exact, threads: Some(1), ..ModelOptions::default() };
    let source = Source::Path(model.to_owned());
    write_importance(&source, output, &from, &exact, &mut |_, _| {}).unwrap();
    Importance::open(output).unwrap()
}

#[test]
fn files_with_an_importance_matrix_are_as_good_as_those_made_there() {
    let Some(library) = loaded() else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("model.gguf");
    model(&input);
    let importance = importance(&input, &folder.path().join("importance.gguf"));
    WEIGHED.iter().for_each(|kind| compare(library, &input, kind, Some(&importance)));
}

#[test]
fn quantised_files_run_there() {
    let Some(library) = loaded() else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("model.gguf");
    model(&input);
    for kind in ["Q8_0", "Q4_K_M", "IQ3_S", "TQ2_0"] {
        let output = folder.path().join(format!("{kind}.gguf"));
        let how = Quantize {
            file: FileType::from_name(kind).unwrap(),
            overrides: Overrides::default(),
            requantize: false,
            leave_output: false,
            importance: None,
            threads: Some(2),
        };
        quantize(&Source::Path(input.clone()), &output, &how, &mut |_, _| {}).unwrap();
        let ids = [1, 60, 30, 7, 5];
        let there = their_logits(&theirs(library, &output).unwrap(), &ids, &[]).unwrap();
        let ours = our_logits(&output, &ids, &[]);
        let size = ours.iter().map(|v| v.abs()).fold(0.0, f32::max);
        let distance = max_distance(&there, &ours);
        // llama.cpp rounds what meets quantised weights to 8 bits.
        assert!(distance < 0.05 * size, "{kind}: {distance} of {size}");
    }
}
