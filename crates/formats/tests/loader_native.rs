//! The native format: the committed test model, conversion from safetensors, and agreement with the script.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use torchless_formats::native::{NativeFile, Quant};
use torchless_formats::{Format, Metadata, TokenizerSource};
use torchless_quant::TensorType;

mod places;
use places::{Folder, open_ok, root};

#[test]
fn loader_opens_the_test_model() {
    let checkpoint = open_ok(&root().join("tests/fixtures/test_model.bin"));
    assert_eq!(checkpoint.format, Format::Native);
    assert_eq!(checkpoint.tensors.len(), 3 + 2 * 9);
    let Metadata::Native(metadata) = &checkpoint.metadata else { panic!("not native metadata") };
    assert_eq!((&metadata["hidden_size"], &metadata["n_kv_heads"]), (&json!("32"), &json!("2")));
    let TokenizerSource::Native(tokenizer) = &checkpoint.tokenizer else { panic!("no native tokenizer") };
    let vocab: Vec<_> = tokenizer.iter().collect();
    assert_eq!((vocab[0], vocab[3]), (("<unk>", 0), ("<0x00>", 3)));
    assert!(vocab.iter().any(|(token, _)| *token == "\u{2581}the"));
    assert_eq!(tokenizer.merge_pairs().count(), tokenizer.merges.len());
    let down = checkpoint.tensors.get("model.layers.1.mlp.down_proj.weight").unwrap();
    assert_eq!((down.ty, down.shape.as_slice()), (TensorType::F32, [32, 56].as_slice()));
    let mut row = [0.0; 56];
    down.decode_row(31, &mut row);
    assert!(row.iter().all(|value| value.abs() <= 0.375) && row[0] != row[1]);
}

/// A safetensors file of the given tensors: name, dtype, shape, data.
fn safetensors(tensors: &[(&str, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut payload) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, data) in tensors {
        let start = payload.len();
        payload.extend(data);
        header.insert(
            (*name).to_owned(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [start, payload.len()]}),
        );
    }
    let header = serde_json::to_vec(&header).expect("a map is JSON");
    [&(header.len() as u64).to_le_bytes()[..], &header, &payload].concat()
}

fn f32s(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

/// A folder with every float type, an int8 candidate with an all-zero group, and awkward JSON.
fn hugging_face_folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let wave = |i: usize| (i as f32 * 0.37).sin() * 3.0;
    let gate = f32s((0..4 * 128).map(|i| if i < 64 { 0.0 } else { wave(i) }));
    let half = (0..6).flat_map(|i| half::f16::from_f32(wave(i)).to_le_bytes()).collect();
    let brain = (0..128).flat_map(|i| half::bf16::from_f32(wave(i)).to_le_bytes()).collect();
    let file = safetensors(&[
        ("model.layers.0.mlp.gate_proj.weight", "F32", vec![4, 128], gate),
        ("model.layers.0.mlp.up_proj.bias", "F32", vec![3], f32s((0..3).map(wave))),
        ("model.layers.0.mlp.up_proj.weight", "BF16", vec![2, 64], brain),
        ("model.norm.weight", "F16", vec![6], half),
    ]);
    folder.write("model.safetensors", file);
    folder.write(
        "config.json",
        r#"{"model_type": "llama", "hidden_size": 64, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
            "sliding_window": null, "rope_scaling": {"factor": 32.0, "low": 0.1234567, "rope_type": "llama3"},
            "eos_token_id": [1, 2], "quantization_config": {"quant_method": "fp8"}, "tie_word_embeddings": true, "note": "caf\u00e9 \"q\" \t\u0007", "big": 1e22}"#,
    );
    folder.write("generation_config.json", r#"{"eos_token_id": [2, 7]}"#);
    folder
}

fn convert(folder: &Path, quant: Quant) -> Vec<u8> {
    let mut out = Vec::new();
    let checkpoint = open_ok(folder);
    let made = NativeFile::new(&checkpoint, quant, None).and_then(|file| file.write(&mut out));
    made.unwrap_or_else(|error| panic!("{error}"));
    out
}

#[test]
fn loader_converts_and_reads_back() {
    let folder = hugging_face_folder("convert");
    let original = open_ok(&folder.0);
    for quant in [Quant::F32, Quant::Int8] {
        let path = folder.write("out.bin", convert(&folder.0, quant));
        let back = open_ok(&path);
        let Metadata::Native(metadata) = &back.metadata else { panic!("not native metadata") };
        assert_eq!((&metadata["norm_eps"], &metadata["rope_theta"]), (&json!("1e-5"), &json!("500000")));
        assert_eq!((&metadata["sliding_window"], &metadata["quant"]), (&json!("0"), &json!(quant.name())));
        assert_eq!(metadata["rope_scaling"]["low"], json!(0.1234567));
        assert_eq!(metadata["eos_token_id"], json!([1, 2, 7]), "those of generation_config.json too");
        assert_eq!(metadata.get("quantization_config"), None, "the values are decoded");
        for tensor in original.tensors.iter() {
            let other = back.tensors.get(&tensor.name).unwrap();
            assert_eq!(other.shape, tensor.shape);
            let int8 = quant == Quant::Int8 && tensor.name.ends_with("proj.weight");
            assert_eq!(other.ty, if int8 { TensorType::Int8G64 } else { TensorType::F32 }, "{}", tensor.name);
            let (mut a, mut b) = (vec![0.0; tensor.cols()], vec![0.0; tensor.cols()]);
            for row in 0..tensor.rows() {
                tensor.decode_row(row, &mut a);
                other.decode_row(row, &mut b);
                let bound = if int8 { 3.0 * 0.5 / 127.0 + 1e-6 } else { 0.0 };
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= bound), "{} row {row}", tensor.name);
            }
        }
    }
}

/// The interpreter for the project's scripts, where there is one with numpy.
fn python() -> Option<String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import numpy"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: no {python} with numpy");
    None
}

fn run(python: &str, script: &str, args: &[&Path]) {
    let output = Command::new(python).arg(root().join(script)).args(args).output().expect("python runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn loader_script_exports_the_same_bytes() {
    let Some(python) = python() else { return };
    let folder = hugging_face_folder("export");
    let plain = json!({"model": {"type": "BPE", "byte_fallback": true, "vocab": {"b": 1, "a": 0, "▁\"": 2},
        "merges": ["a b", ["▁", "b"]]}, "added_tokens": [{"id": 1, "content": "b"}]});
    let byte_level =
        json!({"model": {"type": "BPE", "vocab": {"Ġa": 0}, "merges": []}, "pre_tokenizer": {"é": "\u{7}"}});
    let tokenizers = [None, Some(plain), Some(byte_level)];
    for (tokenizer, (name, quant)) in
        tokenizers.iter().flat_map(|t| [(t, ("f32", Quant::F32)), (t, ("int8", Quant::Int8))])
    {
        if let Some(tokenizer) = tokenizer {
            folder.write("tokenizer.json", tokenizer.to_string());
            folder.write(
                "tokenizer_config.json",
                r#"{"chat_template": "{{ 'x' }}\n", "bos_token": null, "model_max_length": 1e30}"#,
            );
            folder.write("special_tokens_map.json", r#"{"bos_token": {"content": "b"}, "eos_token": "a"}"#);
        }
        let out = folder.0.join("script.bin");
        let args: Vec<&Path> = vec![
            Path::new("--model_dir"),
            &folder.0,
            Path::new("--out"),
            &out,
            Path::new("--quant"),
            Path::new(name),
        ];
        run(&python, "scripts/export_mistral.py", &args);
        let (script, own) = (std::fs::read(&out).unwrap(), convert(&folder.0, quant));
        let differ = script.iter().zip(&own).position(|(a, b)| a != b);
        assert!(
            script == own,
            "{name}: {} and {} bytes, first difference at {differ:?}",
            script.len(),
            own.len()
        );
    }
}

#[test]
fn loader_test_model_is_what_the_script_generates() {
    let Some(python) = python() else { return };
    let folder = Folder::new("generate");
    let out = folder.0.join("test_model.bin");
    run(&python, "tests/generate_test_model.py", &[&out]);
    let committed = std::fs::read(root().join("tests/fixtures/test_model.bin")).unwrap();
    assert!(std::fs::read(&out).unwrap() == committed, "the committed file is not what the script generates");
}

#[test]
fn loader_keeps_the_tokenizer_with_what_lies_beside_it() {
    let folder = hugging_face_folder("tokenizer");
    let tokenizer = r#"{"model": {"type": "BPE", "vocab": {"Ġa": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}}"#;
    folder.write("tokenizer.json", tokenizer);
    folder.write("chat_template.jinja", "{{ messages }}");
    folder.write("tokenizer_config.json", r#"{"add_bos_token": false, "chat_template": "another"}"#);
    let path = folder.write("out.bin", convert(&folder.0, Quant::F32));
    let TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, chat_template } =
        open_ok(&path).tokenizer
    else {
        panic!("the whole tokenizer.json is not there");
    };
    assert_eq!(tokenizer_config, Some(json!({"add_bos_token": false})));
    assert_eq!(&*tokenizer_json, tokenizer.as_bytes());
    assert_eq!(chat_template.as_deref(), Some("{{ messages }}"));
}

#[test]
fn loader_writes_the_window_that_the_config_leaves_out() {
    let window = |config: &str, window| {
        let folder = hugging_face_folder("window");
        folder.write("config.json", config);
        let checkpoint = open_ok(&folder.0);
        let read = NativeFile::new(&checkpoint, Quant::F32, window).unwrap().read_back().unwrap();
        let Metadata::Native(metadata) = read.metadata else { panic!("not native metadata") };
        metadata["sliding_window"].clone()
    };
    assert_eq!(window("{}", Some(4096)), "4096");
    assert_eq!(window("{}", None), "0");
    assert_eq!(window(r#"{"sliding_window": 16}"#, Some(4096)), "16");
    assert_eq!(window(r#"{"sliding_window": null}"#, Some(4096)), "0");
}
