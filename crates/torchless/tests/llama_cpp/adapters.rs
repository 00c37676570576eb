//! Adapters in GGUF, in llama.cpp: for matrices and for stacked experts, its logits are ours.

use super::place::{fixtures, loaded, max_distance, noise, our_logits, their_logits, theirs};
use std::path::Path;
use torchless::formats::gguf::Header;
use torchless::{FileType, Source, TensorType, convert_to_gguf};

const RANK: usize = 3;
const IDS: [u32; 8] = [1, 7, 30, 2, 90, 41, 5, 66];

/// Writes an adapter with a pair for each of these tensors of a model: noise.
fn write(model: &Path, architecture: &str, names: &[&str], at: &Path) {
    let checkpoint = Source::Path(model.to_owned()).checkpoint().unwrap();
    let mut header = Header::new();
    for (key, value) in
        [("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", architecture)]
    {
        header.put(key, value).unwrap();
    }
    header.put("adapter.lora.alpha", 6.0f32).unwrap();
    let mut values = Vec::new();
    for (name, seed) in names.iter().zip(1..) {
        let shape = &checkpoint.tensors.get(name).unwrap().shape;
        let (out, cols) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let stack = &shape[..shape.len() - 2];
        for (half, [rows, cols]) in [("lora_a", [RANK, cols]), ("lora_b", [out, RANK])] {
            let shape: Vec<usize> = stack.iter().copied().chain([rows, cols]).collect();
            header.tensor(&format!("{name}.{half}"), TensorType::F32, &shape).unwrap();
            let seed = seed * 10 + u64::from(half == "lora_b");
            values.push(noise(shape.iter().product(), seed));
        }
    }
    let mut writer = header.start(Vec::new()).unwrap();
    for values in values {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.write(&bytes).unwrap();
    }
    std::fs::write(at, writer.finish().unwrap()).unwrap();
}

#[test]
fn adapters_add_the_same_there() {
    let (Some(library), Some(fixtures)) = (loaded(), fixtures()) else { return };
    for (case, architecture, names) in [
        (
            "llama_plain",
            "llama",
            &["blk.0.attn_q", "blk.1.attn_k", "blk.0.ffn_gate", "blk.1.ffn_down", "output"][..],
        ),
        (
            "qwen3_moe",
            "qwen3moe",
            &["blk.0.ffn_gate_exps", "blk.1.ffn_up_exps", "blk.1.ffn_down_exps", "blk.0.attn_v"],
        ),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let (model, adapter) = (scratch.path().join("model.gguf"), scratch.path().join("adapter.gguf"));
        let source = Source::Path(fixtures.join("goldens").join(case));
        convert_to_gguf(&source, &model, FileType::from_name("F32").unwrap(), &mut |_, _| {}).unwrap();
        let names: Vec<String> = names.iter().map(|name| format!("{name}.weight")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        write(&model, architecture, &names, &adapter);
        let loaded = theirs(library, &model).unwrap();
        let plain = their_logits(&loaded, &IDS, &[]).unwrap();
        let adapters = [(adapter, 0.05)];
        let there = their_logits(&loaded, &IDS, &adapters).unwrap();
        assert!(max_distance(&plain, &there) > 0.01, "{case}: the adapter changes nothing");
        let distance = max_distance(&there, &our_logits(&model, &IDS, &adapters));
        assert!(distance < 2e-3, "{case}: {distance}");
    }
}
