//! What a model is, and text to tokens and back.

use std::io::Read;

use model_loader::{Error, Model, ModelConfig, TokenId};

use crate::support::{fixtures, library, load};

#[test]
fn a_loaded_model_says_what_it_is() {
    let Some(model) = load(|config| config) else { return };
    assert_eq!((model.vocab_size(), model.embedding_dim(), model.layer_count()), (1280, 128, 5));
    assert!(model.context_train_size() > 0);
    assert!(model.size() > 1 << 20 && model.parameter_count() > 1 << 20);
    assert_eq!(model.metadata_value("general.architecture").as_deref(), Some("llama"));
    assert_eq!(model.metadata_value("no.such.key"), None);
    assert!(model.description().starts_with("llama"), "{}", model.description());
    let (bos, eos) = (model.token_bos().id().unwrap(), model.token_eos().id().unwrap());
    assert!(model.is_end(eos) && !model.is_end(bos) && !model.is_end(TokenId(u32::MAX)));
    assert_eq!(model.token_bos().to_string(), bos.to_string());
    assert_eq!(model.chat_template(None), None);
    assert!(model.library().takes_options(), "{:?}", model.library());
    assert_eq!(model.library().devices()[0], "CPU");
}

#[test]
fn text_comes_back_from_its_tokens() {
    let Some(model) = load(|config| config) else { return };
    for text in ["Once upon a time", "", "a\u{301} 🦀 \0 end", "   many  spaces\n\n", &"long ".repeat(20_000)]
    {
        let tokens = model.tokenize(text, false).unwrap();
        assert_eq!(
            model.detokenize(&tokens).unwrap().trim_start(),
            text.trim_start(),
            "{:?}",
            text.get(..20)
        );
    }
    let plain = model.tokenize("One", false).unwrap();
    let with_bos = model.tokenize("One", true).unwrap();
    assert_eq!(with_bos, [vec![model.token_bos().id().unwrap()], plain].concat());
}

#[test]
fn names_of_control_tokens_stay_text_unless_asked_for() {
    let Some(model) = load(|config| config) else { return };
    let eos = model.token_eos().id().unwrap();
    assert!(!model.tokenize("</s>", false).unwrap().contains(&eos));
    assert!(model.tokenize_with_control("</s>", false).unwrap().contains(&eos));
    assert_eq!(model.token_to_text(eos).unwrap(), "");
}

#[test]
fn ids_beyond_the_vocabulary_are_refused() {
    let Some(model) = load(|config| config) else { return };
    for id in [1280, u32::MAX, 1 << 31] {
        assert!(matches!(model.token_to_text(TokenId(id)), Err(Error::Token { vocab: 1280, .. })));
    }
}

/// The library's own pairs of texts and ids, for each kind of vocabulary.
#[test]
fn vocabularies_tokenize_as_llama_cpp_says() {
    let (Some(library), Some(fixtures)) = (library(), fixtures()) else { return };
    let folder = fixtures.join("tokenizers/llamacpp_vocab");
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.to_str().and_then(|path| path.strip_suffix(".gz")) else { continue };
        let unpacked = std::env::temp_dir().join(format!("torchless-vocab-{}.gguf", std::process::id()));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
        std::fs::write(&unpacked, bytes).unwrap();
        let config = ModelConfig::new(&unpacked).unwrap().with_vocab_only();
        let model = Model::load_with(library, config).unwrap();
        let read = |ending: &str| std::fs::read_to_string(format!("{name}{ending}")).unwrap();
        let (texts, ids) = (read(".inp"), read(".out"));
        let texts = texts.strip_suffix("\n__ggml_vocab_test__\n").unwrap_or(&texts);
        for (text, ids) in texts.split("\n__ggml_vocab_test__\n").zip(ids.lines()) {
            let tokens = model.tokenize(text, false).unwrap();
            let got = tokens.iter().map(|token| format!(" {token}")).collect::<String>();
            assert_eq!(got, ids, "{name}: {text:?}");
            checked += 1;
        }
        assert!(model.create_context().is_err());
        drop(model);
        std::fs::remove_file(unpacked).unwrap();
    }
    assert!(checked > 200, "{checked} pairs");
}
