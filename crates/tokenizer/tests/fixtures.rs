//! Ids against outside oracles, on real vocabularies. Skipped where the fixtures are not at hand.
//!
//! Run with `--nocapture` to see how many cases of each vocabulary pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{bytes, fixtures, from_gguf, with_gguf};
use torchless_base::TokenId;
use torchless_tokenizer::{Around, Beside, Controls, EncodeOptions, Special, Tokenizer};

const BARE: EncodeOptions = EncodeOptions { special: Special::Text, around: Around::Nothing };
const PARSE: EncodeOptions = EncodeOptions { special: Special::Parse, around: Around::Nothing };
const WHOLE: EncodeOptions = EncodeOptions { special: Special::Parse, around: Around::ModelDefault };

fn raw(ids: &[TokenId]) -> Vec<u32> {
    ids.iter().map(|id| id.0).collect()
}

fn ids_of(line: &str) -> Vec<u32> {
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// A vocabulary of the fixtures: `gguf:` and a name of llama.cpp's, or the path of a file.
fn vocabulary(root: &Path, name: &str) -> Tokenizer {
    let folder = root.join("tokenizers");
    if let Some(name) = name.strip_prefix("gguf:") {
        return from_gguf(&folder.join(format!("llamacpp_vocab/ggml-vocab-{name}.gguf.gz"))).unwrap();
    }
    let path = folder.join(name);
    let config = path.with_file_name("tokenizer_config.json");
    let config = config.exists().then(|| bytes(&config));
    let beside = Beside { tokenizer_config: config.as_deref(), ..Beside::default() };
    Tokenizer::from_bytes(&bytes(&path), beside).unwrap()
}

/// Counts what passes and says so.
#[derive(Default)]
struct Score {
    cases: usize,
    failed: usize,
}

impl Score {
    fn count(&mut self, text: &str, got: &[u32], want: &[u32]) {
        self.cases += 1;
        if got != want {
            self.failed += 1;
            eprintln!("{text:?}\n  got  {got:?}\n  want {want:?}");
        }
    }

    fn report(&self, what: &str) {
        eprintln!("{what}: {} of {} pass", self.cases - self.failed, self.cases);
        assert!(self.cases > 0 && self.failed == 0, "{what}: {} of {} fail", self.failed, self.cases);
    }
}

/// Vocabularies of llama.cpp that it has texts and ids for.
const WITH_PAIRS: &[&str] =
    &["bert-bge", "deepseek-coder", "falcon", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"];

/// Pairs of llama.cpp: texts with a separator line between them, a line of ids for each.
fn pairs(root: &Path, name: &str) -> Vec<(String, Vec<u32>)> {
    let folder = root.join("tokenizers/llamacpp_vocab");
    let read = |ending| bytes(&folder.join(format!("ggml-vocab-{name}.gguf.{ending}")));
    let texts = String::from_utf8(read("inp")).unwrap();
    let wanted = String::from_utf8(read("out")).unwrap();
    let texts = texts.strip_suffix("\n__ggml_vocab_test__\n").unwrap_or(&texts);
    let texts: Vec<_> = texts.split("\n__ggml_vocab_test__\n").map(str::to_owned).collect();
    let wanted: Vec<Vec<u32>> = wanted.lines().map(ids_of).collect();
    assert_eq!(texts.len(), wanted.len(), "{name}");
    texts.into_iter().zip(wanted).collect()
}

#[test]
fn tokenizer_pairs_of_llama_cpp() {
    let Some(root) = fixtures() else { return };
    for name in WITH_PAIRS {
        let tokenizer = vocabulary(&root, &format!("gguf:{name}"));
        let mut score = Score::default();
        for (text, wanted) in pairs(&root, name) {
            score.count(&text, &raw(&tokenizer.encode(&text, BARE)), &wanted);
            let ids: Vec<TokenId> = wanted.iter().copied().map(TokenId).collect();
            // BERT lowers, strips and splits: its ids do not hold the text.
            if *name != "bert-bge" {
                assert_eq!(tokenizer.decode(&ids), text, "{name}");
            }
        }
        score.report(&format!("llama.cpp {name}"));
    }
}

/// The tokenizer.json that is made of each gives the ids of llama.cpp too, and those of the vocabulary for texts that were no part of the
/// search.
#[test]
fn vocabularies_of_gguf_have_words_in_json() {
    let Some(root) = fixtures() else { return };
    let lines = bytes(&root.join("tokenizers/expected_ids_transformersjs.dev.jsonl"));
    let more = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    let mut more: Vec<String> = String::from_utf8(lines).unwrap().lines().map(more).collect();
    more.sort();
    more.dedup();
    for name in WITH_PAIRS {
        let path = root.join(format!("tokenizers/llamacpp_vocab/ggml-vocab-{name}.gguf.gz"));
        let own = from_gguf(&path).unwrap();
        let words = with_gguf(&path, |vocab| vocab.in_json()).unwrap();
        let words = words.unwrap_or_else(|| panic!("{name} has no words in JSON"));
        let (file, config) = (words.tokenizer.to_string(), words.config.to_string());
        let other = Tokenizer::from_tokenizer_json(file.as_bytes(), Some(config.as_bytes())).unwrap();
        assert_eq!((own.bos(), own.end_ids()), (other.bos(), other.end_ids()), "{name}");
        let mut score = Score::default();
        for (text, wanted) in pairs(&root, name) {
            score.count(&text, &raw(&other.encode(&text, BARE)), &wanted);
        }
        for text in &more {
            score.count(text, &raw(&other.encode(text, WHOLE)), &raw(&own.encode(text, WHOLE)));
        }
        score.report(&format!("tokenizer.json of {name}"));
    }
}

/// Vocabularies and the models of transformers.js whose cases they must give.
const MODELS: &[(&str, &[&str])] = &[
    (
        "gguf:bert-bge",
        &["Xenova/bert-base-uncased", "Xenova/distilbert-base-uncased-finetuned-sst-2-english"],
    ),
    ("gguf:deepseek-coder", &["Xenova/deepseek-coder-1.3b-instruct"]),
    ("gguf:falcon", &["tiiuae/falcon-7b"]),
    ("gguf:gpt-2", &["openai-community/gpt2", "Xenova/gpt2", "tiiuae/falcon-rw-1b"]),
    ("gguf:llama-bpe", &["Xenova/llama3-tokenizer", "Xenova/llama3-tokenizer-new"]),
    ("gguf:llama-spm", &["Xenova/llama-tokenizer"]),
    ("gguf:phi-3", &["Xenova/llama-tokenizer"]),
    ("gguf:qwen2", &["Xenova/Qwen1.5-0.5B-Chat"]),
    ("deberta_v3/tokenizer.json.gz", &["Xenova/nli-deberta-v3-small"]),
    ("hf_ortext/falcon-tokenizer/tokenizer.json.gz", &["tiiuae/falcon-7b"]),
    ("hf_ortext/phi-3-mini/tokenizer.json.gz", &["Xenova/llama-tokenizer"]),
    ("hf_ortext/tokenizer/t5-small/tokenizer.json.gz", &["Xenova/t5-small", "google-t5/t5-small"]),
    ("npm/qwen2_5/tokenizer.json.gz", &["Xenova/Qwen1.5-0.5B-Chat"]),
];

#[test]
fn tokenizer_cases_of_transformers_js() {
    let Some(root) = fixtures() else { return };
    let lines =
        String::from_utf8(bytes(&root.join("tokenizers/expected_ids_transformersjs.dev.jsonl"))).unwrap();
    let cases: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (name, models) in MODELS {
        let tokenizer = vocabulary(&root, name);
        for model in *models {
            let mut score = Score::default();
            for case in cases.iter().filter(|case| case["model"] == *model) {
                let text = case["text"].as_str().unwrap();
                let want = numbers(&case["ids"]);
                let mut got = match case["text_pair"].as_str() {
                    Some(pair) => raw(&tokenizer.encode_pair(text, pair, WHOLE).unwrap().ids),
                    None => raw(&tokenizer.encode(text, WHOLE)),
                };
                // Some files add BOS and some do not; which one is no matter of the vocabulary.
                if let Some(TokenId(bos)) = tokenizer.bos() {
                    let (first, wants) = (got.first() == Some(&bos), want.first() == Some(&bos));
                    if first && !wants {
                        got.remove(0);
                    } else if wants && !first {
                        got.insert(0, bos);
                    }
                }
                score.count(text, &got, &want);
            }
            score.report(&format!("transformers.js {model} with {name}"));
        }
    }
}

#[test]
fn tokenizer_cases_of_swift_transformers() {
    let Some(root) = fixtures() else { return };
    let folder = root.join("tokenizers/swift_transformers_tests/TokenizersTests/Resources");
    let tests: Value = serde_json::from_slice(&bytes(&folder.join("tokenizer_tests.json"))).unwrap();
    let t5 = "hf_ortext/tokenizer/t5-small/tokenizer.json.gz";
    for (model, name) in [
        ("bert-base-uncased", "gguf:bert-bge"),
        ("google-bert/bert-base-uncased", "gguf:bert-bge"),
        ("distilgpt2", "gguf:gpt-2"),
        ("coreml-projects/Llama-2-7b-chat-coreml", "gguf:llama-spm"),
        ("tiiuae/falcon-7b", "gguf:falcon"),
        ("pcuenq/Llama-3.2-1B-Instruct-tokenizer", "gguf:llama-bpe"),
        ("t5-base", t5),
    ] {
        let tokenizer = vocabulary(&root, name);
        let mut score = Score::default();
        for case in tests[model].as_array().unwrap() {
            let text = case["input"].as_str().unwrap();
            let encoded = tokenizer.encode_typed(text, WHOLE);
            score.count(text, &raw(&encoded.ids), &numbers(&case["encoded"]["input_ids"]));
            if let Some(types) = case["encoded"].get("token_type_ids") {
                assert_eq!(encoded.type_ids, numbers(types), "{text:?}");
            }
        }
        score.report(&format!("swift-transformers {model} with {name}"));
    }
    for (file, name) in [
        ("bert_uncased", "gguf:bert-bge"),
        ("falcon", "gguf:falcon"),
        ("gpt2", "gguf:gpt-2"),
        ("llama", "gguf:llama-spm"),
        ("llama_3.2", "gguf:llama-bpe"),
        ("t5_base", t5),
    ] {
        let path = folder.join(format!("{file}_encoded.json"));
        let path = if path.exists() { path } else { folder.join(format!("{file}_encoded_tokens.json")) };
        let case: Value = serde_json::from_slice(&bytes(&path)).unwrap();
        let text = case["text"].as_str().unwrap();
        let mut score = Score::default();
        let got = raw(&vocabulary(&root, name).encode(text, WHOLE));
        score.count(text, &got, &numbers(&case["token_ids"]));
        score.report(&format!("swift-transformers text of {file} with {name}"));
    }
}

/// The model of SentencePiece alone gives most of the ids that its tokenizer.json gives: the two differ in what
/// they do to spaces and signs.
#[test]
fn tokenizer_of_a_sentencepiece_model_mostly_agrees_with_its_tokenizer_json() {
    let Some(root) = fixtures() else { return };
    let model = vocabulary(&root, "deberta_v3/spm.model");
    let lines =
        String::from_utf8(bytes(&root.join("tokenizers/expected_ids_transformersjs.dev.jsonl"))).unwrap();
    let (mut cases, mut equal) = (0, 0);
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case["model"] == "Xenova/nli-deberta-v3-small" {
            let want = numbers(&case["ids"]);
            cases += 1;
            let got = raw(&model.encode(case["text"].as_str().unwrap(), PARSE));
            equal += usize::from(got == want[1..want.len() - 1]);
        }
    }
    eprintln!("deberta_v3/spm.model: {equal} of {cases} as tokenizer.json");
    assert!(cases > 0 && equal * 5 >= cases * 4, "{equal} of {cases}");
}

/// The ranks of Llama 3, written as a tiktoken file, give the ids that its merges give.
#[test]
fn tokenizer_of_ranks_agrees_with_that_of_merges() {
    let Some(root) = fixtures() else { return };
    let merges = vocabulary(&root, "gguf:llama-bpe");
    let mut file = String::new();
    for id in 0..128_000 {
        let token = merges.token_bytes(TokenId(id)).unwrap();
        file += &format!("{} {id}\n", support::base64(token));
    }
    let ranks = Tokenizer::from_bytes(file.as_bytes(), Beside::default()).unwrap();
    assert_eq!((ranks.vocab_size(), ranks.bos()), (merges.vocab_size(), merges.bos()));
    let lines =
        String::from_utf8(bytes(&root.join("tokenizers/expected_ids_transformersjs.dev.jsonl"))).unwrap();
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = case["text"].as_str().unwrap();
        assert_eq!(ranks.encode(text, WHOLE), merges.encode(text, WHOLE), "{text:?}");
    }
    assert_eq!(ranks.describe().pre_split.as_deref(), Some("Llama 3"));
}

/// Ranks, and pieces of SentencePiece, in the words of GGUF.
#[test]
fn vocabularies_of_other_files_have_words_in_gguf() {
    let Some(root) = fixtures() else { return };
    let merges = vocabulary(&root, "gguf:llama-bpe");
    let mut ranks = String::new();
    for id in 0..128_000 {
        ranks += &format!("{} {id}\n", support::base64(merges.token_bytes(TokenId(id)).unwrap()));
    }
    let pieces = bytes(&root.join("tokenizers/mistral_common/tokenizer.model.v1"));
    let texts: Vec<_> = pairs(&root, "gpt-2").into_iter().map(|(text, _)| text).collect();
    for (file, wanted) in
        [(ranks.into_bytes(), ("gpt2", Some("llama3"))), (pieces, ("llama", Some("default")))]
    {
        let tokenizer = Tokenizer::from_bytes(&file, Beside::default()).unwrap();
        let words = tokenizer.in_gguf(&file, tokenizer.vocab_size()).unwrap();
        assert_eq!((words.vocab.model, words.vocab.pre), wanted);
        let other = Tokenizer::from_gguf(words.vocab).unwrap();
        for text in &texts {
            let (a, b) = (tokenizer.encode(text, WHOLE), other.encode(text, WHOLE));
            assert_eq!(a, b, "{wanted:?}: {text:?}");
            assert_eq!(tokenizer.decode(&a), other.decode(&b), "{wanted:?}: {text:?}");
        }
    }
}

#[test]
fn tokenizer_shows_what_it_decodes() {
    let Some(root) = fixtures() else { return };
    let bert = vocabulary(&root, "gguf:bert-bge");
    let ids = bert.encode("Hello, world! It isn't unaffable.", WHOLE);
    assert_eq!(bert.decode(&ids), "hello , world ! it isn ' t unaffable .");
    assert_eq!(String::from_utf8(bert.decode_bytes(&ids[..3], Controls::Show)).unwrap(), "[CLS] hello ,");
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

/// Real vocabularies in the words of GGUF: which splitting was found, and the same ids for texts that were no part of the search.
#[test]
fn vocabularies_of_json_have_words_in_gguf() {
    let Some(root) = fixtures() else { return };
    let found = [
        ("hf_ortext/falcon-tokenizer/tokenizer.json.gz", Some(("gpt2", Some("falcon"), true))),
        ("hf_ortext/phi-2/tokenizer.json.gz", Some(("gpt2", Some("gpt-2"), true))),
        // Added tokens swallow the space behind them, which GGUF cannot say.
        ("hf_ortext/phi-3-mini/tokenizer.json.gz", Some(("llama", Some("default"), false))),
        // Characters are composed, which GGUF cannot say.
        ("npm/qwen2_5/tokenizer.json.gz", Some(("gpt2", Some("qwen2"), false))),
        ("deberta_v3/tokenizer.json.gz", None),
    ];
    let texts = bytes(&root.join("tokenizers/llamacpp_vocab/ggml-vocab-gpt-2.gguf.inp"));
    let texts = String::from_utf8(texts).unwrap();
    for (name, wanted) in found {
        let (tokenizer, json) = (vocabulary(&root, name), bytes(&root.join("tokenizers").join(name)));
        let words = tokenizer.in_gguf(&json, tokenizer.vocab_size() + 5);
        let kind = words.as_ref().map(|words| (words.vocab.model, words.vocab.pre, words.exact));
        assert_eq!(kind, wanted, "{name}");
        let Some(words) = words else { continue };
        assert_eq!(words.vocab.tokens.len(), tokenizer.vocab_size() + 5);
        let other = Tokenizer::from_gguf(words.vocab).unwrap();
        for text in texts.split("\n__ggml_vocab_test__\n") {
            let (a, b) = (tokenizer.encode(text, WHOLE), other.encode(text, WHOLE));
            assert_eq!(a, b, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&a), other.decode(&b), "{name}: {text:?}");
        }
    }
}
