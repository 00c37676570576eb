//! Real vocabularies for both sides: the project's tokenizers and those of the crate `tokenizers`.
//!
//! They lie in the folder that the environment variable `TORCHLESS_FIXTURES` names, and are no part of the
//! project. Where a vocabulary comes as GGUF, the peer gets a tokenizer.json that is written here from its lists.

#[path = "../../../crates/tokenizer/tests/support/mod.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{bytes, with_gguf};
use tokenizers::Tokenizer as Peer;
use torchless_tokenizer::{GgufVocab, Tokenizer};

pub use support::fixtures;

/// A vocabulary on both sides.
pub struct Both {
    pub name: String,
    pub kind: &'static str,
    pub ours: Tokenizer,
    pub peer: Peer,
    /// Names of added tokens, for hostile text.
    pub added: Vec<String>,
}

/// All vocabularies of the fixtures that the peer can be given.
pub fn all(fixtures: &Path) -> Vec<Both> {
    let folder = fixtures.join("tokenizers");
    let mut all = Vec::new();
    for name in [
        "deberta_v3",
        "hf_ortext/falcon-tokenizer",
        "hf_ortext/phi-2",
        "hf_ortext/phi-3-mini",
        "hf_ortext/tokenizer/t5-small",
        "npm/qwen2_5",
    ] {
        all.push(both(name, bytes(&folder.join(name).join("tokenizer.json.gz")), None));
    }
    for name in ["bert-bge", "deepseek-coder", "gpt-2", "llama-bpe"] {
        let path = folder.join(format!("llamacpp_vocab/ggml-vocab-{name}.gguf.gz"));
        let (json, ours) = with_gguf(&path, |vocab| {
            (json_of(name, &vocab).to_string().into_bytes(), Tokenizer::from_gguf(vocab).expect(name))
        });
        // The file as it is, and what was made of it.
        all.push(both(&format!("{name} (tokenizer.json)"), json.clone(), None));
        all.push(both(&format!("{name} (GGUF)"), json, Some(ours)));
    }
    all
}

fn both(name: &str, json: Vec<u8>, ours: Option<Tokenizer>) -> Both {
    let peer = Peer::from_bytes(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
    let ours = ours.unwrap_or_else(|| Tokenizer::from_tokenizer_json(&json, None).expect(name));
    let added = peer.get_added_tokens_decoder().values().map(|token| token.content.clone()).collect();
    Both { name: name.to_owned(), kind: ours.describe().kind, ours, peer, added }
}

/// The pre-tokeniser of each byte-level vocabulary, as its own tokenizer.json has it.
fn splits(name: &str) -> Value {
    let isolated = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let steps = match name {
        "gpt-2" => {
            return json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        }
        "llama-bpe" => vec![isolated(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        _ => vec![
            isolated("[\r\n]"),
            isolated(r"\s?\p{L}+"),
            isolated(r"\s?\p{P}+"),
            isolated("[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+"),
            json!({"type": "Digits", "individual_digits": true}),
        ],
    };
    json!({"type": "Sequence", "pretokenizers": steps.into_iter().chain([bytes]).collect::<Vec<_>>()})
}

fn json_of(name: &str, file: &GgufVocab<'_>) -> Value {
    let types = file.types.as_deref().unwrap_or_default();
    let texts = || file.tokens.iter().map(|text| String::from_utf8_lossy(text).into_owned());
    let is_added = |id: usize| matches!(types.get(id), Some(2..=4));
    let added: Vec<Value> = texts()
        .enumerate()
        .filter(|(id, _)| is_added(*id))
        .map(|(id, text)| {
            json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": types[id] != 4})
        })
        .collect();
    if name == "bert-bge" {
        let piece = |(id, text): (usize, String)| match text.strip_prefix('▁') {
            _ if is_added(id) || text.starts_with("[unused") || text == "[PAD]" => (text, id),
            Some(word) => (word.to_owned(), id),
            None => (format!("##{text}"), id),
        };
        let vocab: serde_json::Map<String, Value> =
            texts().enumerate().map(piece).map(|(text, id)| (text, id.into())).collect();
        return json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab}});
    }
    let vocab: serde_json::Map<String, Value> =
        texts().enumerate().map(|(id, text)| (text, id.into())).collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": splits(name), "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": name == "llama-bpe", "vocab": vocab, "merges": file.merges}})
}
