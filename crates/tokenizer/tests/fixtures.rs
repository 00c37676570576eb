//! Ids against outside oracles, on real vocabularies. Skipped where the fixtures are not at hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{bytes, fixtures, from_gguf};
use torchless_base::TokenId;
use torchless_tokenizer::{Around, Controls, EncodeOptions, Special, Tokenizer};

const BARE: EncodeOptions = EncodeOptions { special: Special::Text, around: Around::Nothing };

fn raw(ids: &[TokenId]) -> Vec<u32> {
    ids.iter().map(|id| id.0).collect()
}

fn ids_of(line: &str) -> Vec<u32> {
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Pairs of llama.cpp: texts with a separator line between them, a line of ids for each.
fn check_pairs(name: &str) {
    let Some(root) = fixtures() else { return };
    let folder = root.join("tokenizers/llamacpp_vocab");
    let tokenizer = from_gguf(&folder.join(format!("{name}.gguf.gz"))).unwrap();
    let texts = String::from_utf8(bytes(&folder.join(format!("{name}.gguf.inp")))).unwrap();
    let wanted = String::from_utf8(bytes(&folder.join(format!("{name}.gguf.out")))).unwrap();
    let texts = texts.strip_suffix("\n__ggml_vocab_test__\n").unwrap_or(&texts);
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let wanted: Vec<Vec<u32>> = wanted.lines().map(ids_of).collect();
    assert_eq!(texts.len(), wanted.len(), "{name}");
    let mut failed = 0;
    for (text, wanted) in texts.iter().zip(&wanted) {
        let got = raw(&tokenizer.encode(text, BARE));
        if got != *wanted {
            failed += 1;
            eprintln!("{name}: {text:?}\n  got  {got:?}\n  want {wanted:?}");
        }
        let ids: Vec<TokenId> = wanted.iter().copied().map(TokenId).collect();
        assert_eq!(tokenizer.decode(&ids), *text, "{name}");
    }
    eprintln!("{name}: {} of {} pass", texts.len() - failed, texts.len());
    assert_eq!(failed, 0, "{name}");
}

#[test]
fn tokenizer_pairs_of_llama_spm() {
    check_pairs("ggml-vocab-llama-spm");
}

#[test]
fn tokenizer_pairs_of_phi_3() {
    check_pairs("ggml-vocab-phi-3");
}

#[test]
fn tokenizer_pairs_of_llama_bpe() {
    check_pairs("ggml-vocab-llama-bpe");
}

#[test]
fn tokenizer_pairs_of_qwen2() {
    check_pairs("ggml-vocab-qwen2");
}

#[test]
fn tokenizer_pairs_of_gpt_2() {
    check_pairs("ggml-vocab-gpt-2");
}

#[test]
fn tokenizer_pairs_of_falcon() {
    check_pairs("ggml-vocab-falcon");
}

#[test]
fn tokenizer_pairs_of_deepseek_coder() {
    check_pairs("ggml-vocab-deepseek-coder");
}

/// Cases of transformers.js for `models`, whose ids `tokenizer` must give.
fn check_cases(root: &Path, models: &[&str], tokenizer: &Tokenizer) {
    let lines =
        String::from_utf8(bytes(&root.join("tokenizers/expected_ids_transformersjs.dev.jsonl"))).unwrap();
    let (mut cases, mut failed, mut undecoded) = (0, 0, 0);
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if !models.contains(&case["model"].as_str().unwrap()) {
            continue;
        }
        cases += 1;
        let text = case["text"].as_str().unwrap();
        let want: Vec<u32> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let mut got =
            raw(&tokenizer.encode(text, EncodeOptions { special: Special::Parse, around: Around::Nothing }));
        // Some files add BOS and some do not; which one is no matter of the vocabulary.
        if want.first() == tokenizer.bos().map(|id| id.0).as_ref() && got.first() != want.first() {
            got.insert(0, want[0]);
        }
        if got != want {
            failed += 1;
            eprintln!("{models:?} {text:?}\n  got  {got:?}\n  want {want:?}");
        }
        let ids: Vec<TokenId> = want.iter().copied().map(TokenId).collect();
        let decoded = String::from_utf8_lossy(&tokenizer.decode_bytes(&ids, Controls::Show)).into_owned();
        undecoded += usize::from(decoded != case["decoded"].as_str().unwrap());
    }
    eprintln!("{models:?}: {} of {cases} pass; {undecoded} decoded otherwise", cases - failed);
    assert!(cases > 0 && failed == 0, "{models:?}: {failed} of {cases} fail");
}

fn check_gguf_cases(name: &str, models: &[&str]) {
    let Some(root) = fixtures() else { return };
    let tokenizer =
        from_gguf(&root.join(format!("tokenizers/llamacpp_vocab/ggml-vocab-{name}.gguf.gz"))).unwrap();
    check_cases(&root, models, &tokenizer);
}

fn json(root: &Path, folder: &str) -> Tokenizer {
    let folder = root.join("tokenizers").join(folder);
    let config = folder.join("tokenizer_config.json");
    let config = config.exists().then(|| bytes(&config));
    Tokenizer::from_tokenizer_json(&bytes(&folder.join("tokenizer.json.gz")), config.as_deref()).unwrap()
}

#[test]
fn tokenizer_cases_of_llama() {
    check_gguf_cases("llama-spm", &["Xenova/llama-tokenizer"]);
}

#[test]
fn tokenizer_cases_of_llama_3() {
    check_gguf_cases("llama-bpe", &["Xenova/llama3-tokenizer", "Xenova/llama3-tokenizer-new"]);
}

#[test]
fn tokenizer_cases_of_gpt_2() {
    check_gguf_cases("gpt-2", &["openai-community/gpt2", "Xenova/gpt2"]);
}

#[test]
fn tokenizer_cases_of_deepseek_coder() {
    check_gguf_cases("deepseek-coder", &["Xenova/deepseek-coder-1.3b-instruct"]);
}

#[test]
fn tokenizer_cases_of_qwen() {
    check_gguf_cases("qwen2", &["Xenova/Qwen1.5-0.5B-Chat"]);
    if let Some(root) = fixtures() {
        check_cases(&root, &["Xenova/Qwen1.5-0.5B-Chat"], &json(&root, "npm/qwen2_5"));
    }
}

#[test]
fn tokenizer_cases_of_falcon() {
    check_gguf_cases("falcon", &["tiiuae/falcon-7b"]);
    if let Some(root) = fixtures() {
        check_cases(&root, &["tiiuae/falcon-7b"], &json(&root, "hf_ortext/falcon-tokenizer"));
    }
}

#[test]
fn tokenizer_files_of_other_models_are_named_in_the_error() {
    let Some(root) = fixtures() else { return };
    for (path, named) in [
        ("deberta_v3/tokenizer.json.gz", "Unigram"),
        ("hf_ortext/tokenizer/t5-small/tokenizer.json.gz", "Unigram"),
    ] {
        let error =
            Tokenizer::from_tokenizer_json(&bytes(&root.join("tokenizers").join(path)), None).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let error = from_gguf(&root.join("tokenizers/llamacpp_vocab/ggml-vocab-bert-bge.gguf.gz")).unwrap_err();
    assert!(error.to_string().contains("bert") && error.to_string().contains("llama"), "{error}");
}

#[test]
fn tokenizer_metadata_that_contradict_themselves_are_refused() {
    let Some(root) = fixtures() else { return };
    let folder = root.join("malformed/gguf");
    for (name, named) in [
        ("tokens_missing", "list of tokens"),
        ("tokens_empty", "list of tokens"),
        ("scores_short", "scores has 3 entries for 24"),
        ("types_short", "token_type has 3 entries for 24"),
        ("types_bad", "type of token 0 is -7"),
        ("scores_nan", "score of token 0 is NaN"),
        ("bos_oob", "bos_token_id is 1000000"),
        ("eos_oob", "eos_token_id is 4294967295"),
        ("bad_byte_token", "<0x-1>"),
        ("merges_bad", "nospace"),
        ("merges_missing", "tokenizer.ggml.merges"),
    ] {
        let error = from_gguf(&folder.join(format!("tok_{name}.gguf"))).unwrap_err().to_string();
        assert!(error.contains(named), "{name}: {error}");
    }
    from_gguf(&folder.join("ok_minimal_v3.gguf")).unwrap();
    from_gguf(&folder.join("tok_empty_token.gguf")).unwrap();
}
