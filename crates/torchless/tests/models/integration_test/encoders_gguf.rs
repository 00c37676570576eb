//! Tiny encoders of transformers under the names that llama.cpp's converter gives them: the same hidden states, vectors and logits.

use super::encoders::{Case, TOLERANCE, cases, compare, open, read};
use super::support::{exact, ways};
use serde_json::Value;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use torchless::formats::gguf::Header;
use torchless::{Source, TensorType};

/// Beginnings and middles of names, in the order in which they are replaced.
const NAMES: &[(&str, &str)] = &[
    ("roberta.", ""),
    ("bert.", ""),
    ("embeddings.word_embeddings", "token_embd"),
    ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"),
    ("embeddings.LayerNorm", "token_embd_norm"),
    ("emb_ln", "token_embd_norm"),
    ("encoder.layers.", "blk."),
    ("encoder.layer.", "blk."),
    ("attention.self.query", "attn_q"),
    ("attention.self.key", "attn_k"),
    ("attention.self.value", "attn_v"),
    ("attention.output.dense", "attn_output"),
    ("attention.output.LayerNorm", "attn_output_norm"),
    ("intermediate.dense", "ffn_up"),
    ("output.LayerNorm", "layer_output_norm"),
    ("output.dense", "ffn_down"),
    ("attn.Wqkv", "attn_qkv"),
    ("attn.out_proj", "attn_output"),
    ("mlp.fc11", "ffn_up"),
    ("mlp.fc12", "ffn_gate"),
    ("mlp.fc2", "ffn_down"),
    ("norm1", "attn_output_norm"),
    ("norm2", "layer_output_norm"),
    ("pooler.dense", "cls"),
    ("classifier.dense", "cls"),
    ("classifier.out_proj", "cls.output"),
    ("classifier.", "cls.output."),
];

fn named(name: &str) -> String {
    NAMES.iter().fold(name.to_owned(), |name, (from, to)| {
        match (name.starts_with(from), from.ends_with("bert.")) {
            (false, true) => name,
            _ => name.replacen(from, to, 1),
        }
    })
}

/// The case as a GGUF file. RoBERTa's table of positions loses the rows that no token gets.
fn write(case: &Case, config: &Value, at: &Path) {
    let checkpoint = Source::Path(case.folder.clone()).checkpoint().unwrap();
    let arch = if config["model_type"] == "nomic_bert" { "nomic-bert" } else { "bert" };
    let mut header = Header::new();
    header.put("general.architecture", arch).unwrap();
    let number = |keys: &[&str]| keys.iter().find_map(|key| config[*key].as_f64()).unwrap();
    for (key, names) in [
        ("block_count", ["num_hidden_layers", "n_layer"]),
        ("embedding_length", ["hidden_size", "n_embd"]),
        ("feed_forward_length", ["intermediate_size", "n_inner"]),
        ("attention.head_count", ["num_attention_heads", "n_head"]),
        ("context_length", ["max_position_embeddings", "n_positions"]),
    ] {
        header.put(&format!("{arch}.{key}"), number(&names) as u32).unwrap();
    }
    let eps = number(&["layer_norm_eps", "layer_norm_epsilon"]) as f32;
    header.put(&format!("{arch}.attention.layer_norm_epsilon"), eps).unwrap();
    header.put(&format!("{arch}.attention.causal"), false).unwrap();
    header.put(&format!("{arch}.pooling_type"), 1u32).unwrap();
    if arch == "nomic-bert" {
        let theta = config["rope_parameters"]["rope_theta"].as_f64().or(config["rotary_emb_base"].as_f64());
        header.put("nomic-bert.rope.freq_base", theta.unwrap() as f32).unwrap();
    }
    let mut tensors = Vec::new();
    for tensor in checkpoint.tensors.iter() {
        let name = named(&tensor.name);
        if case.labels == 0 && name.starts_with("cls") {
            continue;
        }
        let skipped =
            if config["model_type"] == "roberta" && name.starts_with("position_embd") { 2 } else { 0 };
        let mut shape = tensor.shape.clone();
        shape[0] -= skipped;
        header.tensor(&name, TensorType::F32, &shape).unwrap();
        tensors.push((tensor, skipped * tensor.cols() * 4));
    }
    let mut data = header.start(BufWriter::new(File::create(at).unwrap())).unwrap();
    tensors.iter().for_each(|(tensor, skipped)| data.write(&tensor.data[*skipped..]).unwrap());
    data.finish().unwrap();
}

#[test]
fn encoders_in_gguf_compute_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for case in cases() {
        let name = case.folder.file_name().unwrap().to_str().unwrap().to_owned();
        let config = read(&case.folder.join("config.json"));
        if !["bert_embed", "bert_cls2", "roberta_cls3", "nomic_bert_embed"].contains(&&*name) {
            continue;
        }
        seen += 1;
        let file = folder.path().join(format!("{name}.gguf"));
        write(&case, &config, &file);
        let texts: Vec<_> = case.texts.iter().map(|text| text.given()).collect();
        for options in ways(&exact()) {
            let encoder = open(&file, &options);
            let check = |name_of: &str, width, rows: &[Vec<f32>]| {
                let distance = compare(&case, name_of, width, rows).unwrap_or(0.0);
                assert!(distance < TOLERANCE, "{name}, {name_of}: {distance} with {options:?}");
            };
            check("hidden.f32", case.dim, &encoder.hidden_ids(&texts).unwrap());
            check("mean_pool.f32", case.dim, &encoder.embed_ids(&texts).unwrap());
            if case.labels > 0 {
                check("logits.f32", case.labels, &encoder.logits_ids(&texts).unwrap());
            }
        }
    }
    assert!(seen == 4 || super::support::fixtures().is_none(), "{seen} cases");
}
