//! Checkpoints of transformers after conversion to GGUF: the same logits, and which of them no other reader of GGUF would read.

use super::goldens::{cases, prompts, tolerance};
use super::made::{Written, folder, tensors_of};
use super::support::{Session, exact, fixtures, max_distance, ways};
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use torchless::formats::Metadata;
use torchless::{
    Around, EncodeOptions, FileType, Source, Special, TensorType, convert_to_folder, convert_to_gguf,
};

/// What GGUF has no place for, and what a file then says in keys that are no one else's.
const OWN_WORDS: &[(&str, &str)] = &[
    ("deepseek_v2", "torchless.attention.latent_norm_epsilon"),
    ("deepseek_v2", "torchless.expert.group_score"),
    ("deepseek_v2_lite", "torchless.attention.latent_norm_epsilon"),
    ("deepseek_v3", "torchless.attention.latent_norm_epsilon"),
    ("deepseek_v3_noqlora", "torchless.attention.latent_norm_epsilon"),
    ("exaone4", "torchless.attention.windows"),
    ("exaone4", "torchless.attention.rotates"),
    ("gemma2", "torchless.activation"),
    ("gemma2", "torchless.attention.scales"),
    ("gpt_oss", "torchless.rope.yarn_truncate"),
    ("mistral_sliding", "torchless.attention.windows"),
    ("phimoe", "torchless.expert.sparse_mixer_jitter"),
    ("phimoe", "torchless.rope.long_magnitude"),
    ("olmoe, clipped", "torchless.attention.clip"),
    ("phi3_sliding", "torchless.attention.windows"),
    ("qwen2_sliding", "torchless.attention.windows"),
];

/// Converts a checkpoint, with such keys as are listed and no others.
fn converted(source: &Path, name: &str, file: &Path) {
    let whole = FileType::from_name("F32").unwrap();
    let done = convert_to_gguf(&Source::Path(source.to_owned()), file, whole, &mut |_, _| {});
    let own: Vec<_> = OWN_WORDS.iter().filter(|(of, _)| *of == name).map(|(_, key)| *key).collect();
    assert_eq!(done.unwrap_or_else(|e| panic!("{name}: {e}")).own_words, own, "{name}");
}

#[test]
fn converted_models_compute_the_same() {
    for case in &cases() {
        let name = case.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        converted(case, name, &file);
        for options in ways(&exact()) {
            let mut session = Session::open(&file, &options);
            for prompt in prompts(case) {
                let distance = max_distance(&session.prefill(&prompt.ids, 512), &prompt.logits);
                assert!(distance < tolerance(case), "{name}: {distance} with {options:?}");
            }
        }
    }
}

/// The function that a file with the words of llama.cpp names for its feed-forward units.
#[test]
fn files_say_where_gelu_is_exact() {
    let Some(fixtures) = fixtures() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, function) in [
        ("gemma", Some("gelu_pytorch_tanh")),
        ("gpt_neox", Some("gelu")),
        ("phi", Some("gelu_pytorch_tanh")),
        ("llama_plain", None),
    ] {
        let file = folder.path().join(format!("{name}.gguf"));
        converted(&fixtures.join("goldens").join(name), name, &file);
        let checkpoint = Source::Path(file).checkpoint().unwrap();
        let Metadata::Gguf(metadata) = &checkpoint.metadata else { panic!("it is GGUF") };
        assert_eq!(metadata.opt::<&str>("torchless.activation").unwrap(), function, "{name}");
        assert_ne!(metadata.get::<&str>("general.architecture").unwrap(), "torchless", "{name}");
    }
}

/// GGUF has one number where these have two; with one number, as models that were released have it, its own words are enough.
const NEARLY: &[(&str, &str, f64)] = &[
    ("deepseek_v2_lite", "rms_norm_eps", 1e-6),
    ("deepseek_v3", "rms_norm_eps", 1e-6),
    ("deepseek_v3_noqlora", "rms_norm_eps", 1e-6),
    ("gemma2", "query_pre_attn_scalar", 16.0),
];

#[test]
fn what_only_a_made_up_number_keeps_from_gguf_needs_no_words_without_it() {
    let Some(fixtures) = fixtures() else { return };
    for (name, key, value) in NEARLY {
        let base = fixtures.join("goldens").join(name);
        let model = folder(&base, &tensors_of(&base), |config| config[*key] = json!(value));
        let file = model.path().join("model.gguf");
        converted(model.path(), "", &file);
        for prompt in prompts(&base) {
            let [a, b] =
                [model.path(), &file].map(|path| Session::open(path, &exact()).prefill(&prompt.ids, 512));
            let distance = max_distance(&a, &b);
            assert!(distance < tolerance(&base), "{name}: {distance}");
        }
    }
}

#[test]
fn a_limit_that_llama_cpp_passes_over_is_said_in_other_words() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/olmoe");
    let model = folder(&base, &tensors_of(&base), |config| config["clip_qkv"] = json!(0.5));
    let file = model.path().join("model.gguf");
    converted(model.path(), "olmoe, clipped", &file);
    let prompt = &prompts(&base)[0];
    let [a, b] = [model.path(), &file].map(|path| Session::open(path, &exact()).prefill(&prompt.ids, 512));
    assert!(max_distance(&a, &b) < tolerance(&base));
    assert!(max_distance(&a, &prompt.logits) > tolerance(&base), "it clips nothing");
}

/// Layers that guess at tokens further on are counted in the configuration, and may not be in the weights.
#[test]
fn layers_that_are_counted_and_not_there_are_left_out() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/deepseek_v3");
    let model = folder(&base, &tensors_of(&base), |config| config["num_nextn_predict_layers"] = json!(1));
    let file = model.path().join("model.gguf");
    converted(model.path(), "deepseek_v3", &file);
    let prompt = &prompts(&base)[0];
    let distance = max_distance(&Session::open(&file, &exact()).prefill(&prompt.ids, 512), &prompt.logits);
    assert!(distance < tolerance(&base), "{distance}");
}

/// What a folder and the GGUF file made of it compute.
fn check_alike(model: &Path, name: &str, ids: &[u32]) {
    let file = model.join("model.gguf");
    converted(model, name, &file);
    let [a, b] = [model, &file].map(|path| Session::open(path, &exact()).prefill(ids, 512));
    assert!(max_distance(&a, &b) < 1e-5, "{name}");
}

/// And where they are there too: all released ones of these families have one.
#[test]
fn layers_that_guess_at_tokens_further_on_stay_behind() {
    let Some(fixtures) = fixtures() else { return };
    for name in ["deepseek_v3", "glm4_moe"] {
        let base = fixtures.join("goldens").join(name);
        let mut tensors = tensors_of(&base);
        let config: Json = serde_json::from_slice(&std::fs::read(base.join("config.json")).unwrap()).unwrap();
        let guessing = format!("model.layers.{}.", config["num_hidden_layers"]);
        for part in ["eh_proj", "enorm", "input_layernorm", "shared_head.head"] {
            tensors.insert(format!("{guessing}{part}.weight"), Written::floats(&[8, 8], &[0.5; 64]));
        }
        let model = folder(&base, &tensors, |config| config["num_nextn_predict_layers"] = json!(1));
        check_alike(model.path(), name, &prompts(&base)[0].ids);
        let mut tensors = tensors_of(&base);
        tensors.insert(format!("{guessing}enorm.weight"), Written::floats(&[8], &[0.5; 8]));
        let model = folder(&base, &tensors, |config| config["num_nextn_predict_layers"] = json!(0));
        let file = model.path().join("model.gguf");
        let whole = FileType::from_name("F32").unwrap();
        let error = convert_to_gguf(&Source::Path(model.path().to_owned()), &file, whole, &mut |_, _| {});
        assert!(error.unwrap_err().to_string().contains("enorm"), "{name}");
    }
}

/// GGUF has an input for every token; the table of released models ends before the last ones.
#[test]
fn inputs_of_tokens_become_as_many_as_tokens() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/gemma3n_text");
    let mut tensors = tensors_of(&base);
    let table = tensors.get_mut("model.embed_tokens_per_layer.weight").unwrap();
    let (rows, cols) = (table.shape[0], table.shape[1]);
    *table = Written::floats(&[rows - 3, cols], &table.values()[..(rows - 3) * cols]);
    let model = folder(&base, &tensors, |config| config["vocab_size_per_layer_input"] = json!(rows - 3));
    check_alike(model.path(), "gemma3n_text", &[5, rows as u32 - 1, 7, rows as u32 - 4, rows as u32 - 3]);
}

#[test]
fn what_gguf_cannot_say_is_told_of_the_model_and_not_of_the_file() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/deepseek_v3");
    let mut tensors = tensors_of(&base);
    let layers =
        1 + tensors.keys().filter_map(|name| name.split('.').nth(2)?.parse::<usize>().ok()).max().unwrap();
    tensors.retain(|name, _| !name.contains(".mlp."));
    for layer in 0..layers {
        let down = tensors[&format!("model.layers.{layer}.input_layernorm.weight")].shape[0];
        for (part, shape) in [("gate", [16, down]), ("up", [16, down]), ("down", [down, 16])] {
            let values = vec![0.1; 16 * down];
            tensors.insert(
                format!("model.layers.{layer}.mlp.{part}_proj.weight"),
                Written::floats(&shape, &values),
            );
        }
    }
    let model = folder(&base, &tensors, |config| {
        config["first_k_dense_replace"] = json!(layers);
        config["intermediate_size"] = json!(16);
    });
    let (file, whole) = (model.path().join("model.gguf"), FileType::from_name("F32").unwrap());
    let error = convert_to_gguf(&Source::Path(model.path().to_owned()), &file, whole, &mut |_, _| {});
    let said = error.unwrap_err().to_string();
    assert!(said.starts_with("deepseek_v3 is not converted") && said.contains("expert_count"), "{said}");
    assert!(!said.contains("model.gguf"), "{said}");
}

/// A byte-level tokenizer of a few letters; `normalizer` and `rstrip` are what GGUF has no words for.
fn letters(normalizer: Json, rstrip: bool) -> Json {
    let pieces = ["a", "b", "c", "d", "e", "Ġ", "Ċ", "1", "2", "ab", "Ġab", "abc", "de", "<s>", "<end>"];
    let vocab: Map<String, Json> =
        pieces.iter().zip(0..).map(|(piece, id)| ((*piece).to_owned(), id.into())).collect();
    let added = |id: usize| json!({"id": id, "content": pieces[id], "special": true, "rstrip": rstrip});
    json!({
        "added_tokens": [added(13), added(14)],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "decoder": {"type": "ByteLevel"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [13], "tokens": ["<s>"]}}},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b", "Ġ ab", "ab c", ["d", "e"]]},
    })
}

/// What a tokenizer and the same one after conversion make of texts, and whether the file has the original beside GGUF's words.
fn check_tokenizer(tokenizer: &Json, keeps_original: bool) {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/llama_plain");
    let model = folder(&base, &tensors_of(&base), |_| {});
    std::fs::write(model.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({"bos_token": "<s>", "eos_token": "<end>", "chat_template": "{{ bos_token }}"});
    std::fs::write(model.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    let file = model.path().join("model.gguf");
    let whole = FileType::from_name("F32").unwrap();
    let source = Source::Path(model.path().to_owned());
    let done = convert_to_gguf(&source, &file, whole, &mut |_, _| {}).unwrap();
    assert!(!done.without_tokenizer);
    let checkpoint = Source::Path(file).checkpoint().unwrap();
    let Metadata::Gguf(metadata) = &checkpoint.metadata else { panic!("it is GGUF") };
    assert_eq!(metadata.get::<&str>("tokenizer.ggml.pre").unwrap(), "gpt-2");
    assert_eq!(metadata.get::<u32>("tokenizer.ggml.bos_token_id").unwrap(), 13);
    assert_eq!(metadata.value("tokenizer.huggingface.json").is_some(), keeps_original);
    let tokenizers = [&source.checkpoint().unwrap(), &checkpoint].map(|checkpoint| {
        assert_eq!(torchless::chat_template(checkpoint).unwrap().as_deref(), Some("{{ bos_token }}"));
        torchless::tokenizer(checkpoint).unwrap().unwrap()
    });
    for text in ["abc de abab", "<s> ab<end>  \nabc", "a\u{301}b", "12 12ab"] {
        for special in [Special::Text, Special::Parse] {
            let options = EncodeOptions { special, around: Around::ModelDefault };
            let [a, b] = [0, 1].map(|i| tokenizers[i].encode(text, options));
            assert_eq!(a, b, "{text:?}");
        }
    }
    let [a, b] = [0, 1].map(|i| tokenizers[i].end_ids().to_vec());
    assert_eq!(a, b);
    comes_back(&source, &tokenizers[0], folder_of(&checkpoint));
}

fn folder_of(checkpoint: &torchless::formats::Checkpoint) -> &Path {
    &checkpoint.files[0].path
}

/// The tokenizer of a GGUF file as a folder.
fn comes_back(source: &Source, original: &torchless::Tokenizer, file: &Path) {
    let back = file.with_file_name("back");
    let done = convert_to_folder(&Source::Path(file.to_owned()), &back, TensorType::F32).unwrap();
    assert!(!done.without_tokenizer);
    assert!(back.join("tokenizer.json").is_file());
    let checkpoint = Source::Path(back).checkpoint().unwrap();
    let template = torchless::chat_template(&checkpoint).unwrap();
    assert_eq!(template, torchless::chat_template(&source.checkpoint().unwrap()).unwrap());
    let other = torchless::tokenizer(&checkpoint).unwrap().unwrap();
    assert_eq!(original.end_ids(), other.end_ids());
    for text in ["abc de abab", "<s> ab<end>  \nabc", "12 12ab"] {
        let options = EncodeOptions { special: Special::Parse, around: Around::ModelDefault };
        assert_eq!(original.encode(text, options), other.encode(text, options), "{text:?}");
    }
}

#[test]
fn a_tokenizer_comes_along_in_the_words_of_gguf() {
    check_tokenizer(&letters(Json::Null, false), false);
}

#[test]
fn a_tokenizer_that_gguf_has_no_words_for_comes_along_whole() {
    check_tokenizer(&letters(Json::Null, true), true);
    check_tokenizer(&letters(json!({"type": "NFC"}), false), true);
}
