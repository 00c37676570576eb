//! Tokenizers that came along into GGUF, in llama.cpp: its tokens are ours.

use super::place::{fixtures, loaded, noise};
use model_loader::{Model, ModelConfig};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use torchless::{Around, EncodeOptions, FileType, Source, Special, convert_to_gguf};

/// Vocabularies, each of another kind, and their folders.
const VOCABULARIES: &[&str] = &["hf_ortext/phi-2", "hf_ortext/phi-3-mini", "npm/qwen2_5"];
const DIM: usize = 32;

fn unpacked(path: &Path) -> Vec<u8> {
    let output = std::process::Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", path.display());
    output.stdout
}

/// A model of one layer with the tokenizer of a folder.
fn model(tokenizer: &Path, at: &Path) {
    let json = unpacked(&tokenizer.join("tokenizer.json.gz"));
    let parsed: Value = serde_json::from_slice(&json).unwrap();
    let ids = parsed["model"]["vocab"].as_object().unwrap().values();
    let added = parsed["added_tokens"].as_array().unwrap().iter().map(|token| &token["id"]);
    let vocab = 1 + ids.chain(added).map(|id| id.as_u64().unwrap()).max().unwrap() as usize;
    std::fs::write(at.join("tokenizer.json"), &json).unwrap();
    let config = tokenizer.join("tokenizer_config.json");
    if config.is_file() {
        std::fs::copy(config, at.join("tokenizer_config.json")).unwrap();
    }
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": DIM,
        "intermediate_size": DIM, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
        "vocab_size": vocab, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": true,
    });
    std::fs::write(at.join("config.json"), config.to_string()).unwrap();
    let mut shapes =
        vec![("model.embed_tokens".to_owned(), vec![vocab, DIM]), ("model.norm".to_owned(), vec![DIM])];
    for name in ["input_layernorm", "post_attention_layernorm"] {
        shapes.push((format!("model.layers.0.{name}"), vec![DIM]));
    }
    for name in [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ] {
        shapes.push((format!("model.layers.0.{name}"), vec![DIM, DIM]));
    }
    write(&at.join("model.safetensors"), &shapes);
}

/// Tensors of one value in half precision.
fn write(path: &Path, shapes: &[(String, Vec<usize>)]) {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in shapes {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        header.insert(
            format!("{name}.weight"),
            json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(std::iter::repeat_n(0x2c00u16.to_le_bytes(), end / 2).flatten());
    std::fs::write(path, bytes).unwrap();
}

/// Texts that llama.cpp tests itself with, and made ones. Characters are composed: GGUF has no normaliser.
fn texts(fixtures: &Path) -> Vec<String> {
    let mut file =
        std::fs::File::open(fixtures.join("tokenizers/llamacpp_vocab/ggml-vocab-gpt-2.gguf.inp")).unwrap();
    let mut all = String::new();
    file.read_to_string(&mut all).unwrap();
    let mut texts: Vec<String> = all.split("\n__ggml_vocab_test__\n").map(str::to_owned).collect();
    let pieces = [
        "a", "The", " ", "  ", "\n", "é", "ß", "漢", "字", "😀", "123", "4", ".", ",", "'s", "\t", "def ",
        "{", "}", "Ω",
    ];
    for seed in 0..200 {
        let picks = noise(12, seed + 1);
        texts.push(
            picks
                .iter()
                .map(|x| pieces[((x + 1.0) / 2.0 * pieces.len() as f32) as usize % pieces.len()])
                .collect(),
        );
    }
    texts.retain(|text| !text.is_empty());
    texts
}

#[test]
fn tokens_of_converted_models_are_the_same_there() {
    let (Some(library), Some(fixtures)) = (loaded(), fixtures()) else { return };
    let texts = texts(&fixtures);
    for name in VOCABULARIES {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        model(&fixtures.join("tokenizers").join(name), folder.path());
        let source = Source::Path(folder.path().to_owned());
        convert_to_gguf(&source, &file, FileType::from_name("F16").unwrap(), &mut |_, _| {}).unwrap();
        let there = Model::load_with(library, ModelConfig::new(&file).unwrap().with_vocab_only()).unwrap();
        let ours = torchless::tokenizer(&source.checkpoint().unwrap()).unwrap().unwrap();
        let options = EncodeOptions { special: Special::Text, around: Around::Nothing };
        for text in &texts {
            let want = ours.encode(text, options);
            assert_eq!(there.tokenize(text, false).unwrap(), want, "{name}: {text:?}");
        }
    }
}
