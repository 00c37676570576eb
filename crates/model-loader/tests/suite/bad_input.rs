//! What goes wrong says so, and the process lives on.

use std::path::{Path, PathBuf};

use model_loader::{ContextConfig, Error, Library, Model, ModelConfig, Pooling, TokenId};

use crate::support::{config, fixtures, library, load, story};

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("torchless-bad-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn libraries_that_are_none_are_refused() {
    let said = |path: &Path| Library::open(path).unwrap_err().to_string();
    assert!(said(Path::new("/no/such/libllama.so")).contains("does not exist"));
    let text = file("text.so", b"INPUT(libllama.so.1)");
    assert!(said(&text).contains("is no shared library; needed is"), "{}", said(&text));
    let empty = file("empty.so", b"");
    assert!(said(&empty).contains("an empty file"));
    let mut elf = b"\x7FELF\x02\x01\x01".to_vec();
    elf.resize(18, 0);
    elf.extend([0x2A, 0x00]);
    elf.resize(64, 0);
    let foreign = file("foreign.so", &elf);
    assert!(matches!(Library::open(&foreign), Err(Error::ForeignBinary { .. })), "{}", said(&foreign));
    [text, empty, foreign].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[test]
#[cfg(target_os = "linux")]
fn a_library_of_something_else_is_told_by_what_it_lacks() {
    let Some(folder) = library().map(|library| library.path().parent().unwrap().to_owned()) else { return };
    // A library for this machine without a function of llama.cpp.
    let Error::MissingSymbols { symbols, .. } = Library::open(&folder.join("libggml-base.so")).unwrap_err()
    else {
        panic!("another error")
    };
    assert!(symbols.contains(&"llama_decode") && symbols.len() > 40);
    let damaged = folder.join("libllama-damaged.so");
    let whole = std::fs::read(library().unwrap().path()).unwrap();
    std::fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    let said = Library::open(&damaged).unwrap_err().to_string();
    std::fs::remove_file(&damaged).unwrap();
    assert!(said.contains("it is cut off: "), "{said}");
}

#[test]
fn a_second_library_from_elsewhere_is_refused() {
    let Some(first) = library() else { return };
    let folder = std::env::temp_dir().join(format!("torchless-second-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join(first.path().file_name().unwrap());
    std::fs::copy(first.path(), &copy).unwrap();
    let said = Library::open(&folder).unwrap_err().to_string();
    assert!(said.contains("one library per process"), "{said}");
    // The same again, and by its folder, is the same library.
    let again = Library::open(first.path().parent().unwrap()).unwrap();
    assert_eq!(again.path(), first.path());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn models_that_are_none_are_refused_before_the_library_sees_them() {
    let Some(library) = library() else { return };
    let load = |path: &Path| Model::load_with(library, ModelConfig::new(path).unwrap()).unwrap_err();
    let whole = std::fs::read(story()).unwrap();
    for (name, len) in [("magic", 3), ("header", 20), ("metadata", 2000), ("weights", whole.len() - 1)] {
        let path = file(name, &whole[..len]);
        assert!(matches!(load(&path), Error::Format(_)), "{name}: {}", load(&path));
        std::fs::remove_file(path).unwrap();
    }
    let said = ModelConfig::new("/no/such/model.gguf").unwrap_err().to_string();
    assert!(said.contains("the model '/no/such/model.gguf' does not exist"), "{said}");
    assert!(ModelConfig::new(std::env::temp_dir()).unwrap_err().to_string().contains("is no file"));
}

#[test]
fn an_architecture_that_the_library_does_not_know_is_named() {
    let Some(library) = library() else { return };
    let mut bytes = std::fs::read(story()).unwrap();
    let key = b"general.architecture";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 12;
    assert_eq!(&bytes[at..at + 5], b"llama");
    bytes[at..at + 5].copy_from_slice(b"lxama");
    let path = file("architecture.gguf", &bytes);
    let said = Model::load_with(library, ModelConfig::new(&path).unwrap()).unwrap_err().to_string();
    std::fs::remove_file(path).unwrap();
    assert!(said.contains("unknown model architecture: 'lxama'"), "{said}");
}

#[test]
fn gpu_layers_need_a_gpu() {
    let Some(library) = library() else { return };
    let loaded = Model::load_with(library, config(&story()).with_gpu_layers(32));
    if library.supports_gpu() {
        loaded.unwrap();
        return;
    }
    let said = loaded.unwrap_err().to_string();
    assert!(said.contains("32 layers") && said.contains("finds none here (CPU)"), "{said}");
    assert!(said.contains("set GPU layers to 0"), "{said}");
    Model::load_with(library, config(&story()).with_gpu_layers(0)).unwrap();
}

#[test]
fn a_context_larger_than_memory_is_refused() {
    let Some(model) = load(|config| config.with_context_size(i32::MAX as u32)) else { return };
    if cfg!(target_os = "linux") {
        let said = model.create_context().unwrap_err().to_string();
        assert!(said.contains("2147483647 positions needs") && said.contains("GiB are free"), "{said}");
    }
    let mut config = model.context_config().clone();
    config.context_size = Some(64);
    assert!(model.create_context_with(&config).is_ok());
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let Some(model) = load(|config| config) else { return };
    let refused = |change: &dyn Fn(&mut ContextConfig)| {
        let mut config = model.context_config().clone();
        change(&mut config);
        model.create_context_with(&config).unwrap_err().to_string()
    };
    assert!(refused(&|config| config.context_size = Some(0)).contains("context size is 0"));
    assert!(refused(&|config| config.context_size = Some(u32::MAX)).contains("context size is 4294967295"));
    assert!(refused(&|config| config.sequences = Some(0)).contains("sequences is 0"));
    assert!(refused(&|config| config.sequences = Some(100_000)).contains("it has to be 1 to"));
    for threads in [0, 513, 100_000] {
        assert!(refused(&|config| config.threads = Some(threads)).contains("it has to be 1 to 512"));
        assert!(refused(&|config| config.batch_threads = Some(threads)).contains("threads for prompts is"));
    }
    assert!(refused(&|config| config.batch_size = Some(0)).contains("batch size is 0"));
    assert!(refused(&|config| config.ubatch_size = Some(u32::MAX)).contains("ubatch size"));
    for (context_size, batch_size) in [(15, 512), (64, 15)] {
        let said = refused(&|config| {
            (config.context_size, config.batch_size) = (Some(context_size), Some(batch_size));
            config.sequences = Some(16);
        });
        assert!(said.contains("sequences is 16, it has to be 1 to 15"), "{said}");
    }
    let shares = Model::load_with(library().unwrap(), config(&story()).with_tensor_split([f32::NAN]));
    assert!(shares.unwrap_err().to_string().contains("tensor split"));
}

#[test]
fn tokens_that_do_not_exist_or_do_not_fit_leave_the_context_whole() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    let good: Vec<TokenId> = (300..310).map(TokenId).collect();
    context.decode(&good).unwrap();
    let before = context.logits().unwrap().to_vec();
    for id in [1280, u32::MAX, 1 << 31] {
        assert!(matches!(context.decode(&[TokenId(5), TokenId(id)]), Err(Error::Token { .. })));
    }
    assert!(matches!(context.decode(&[]), Err(Error::NoTokens)));
    assert!(matches!(context.decode(&vec![TokenId(1); 513]), Err(Error::TooLong { len: 523, limit: 512 })));
    assert_eq!(context.tokens(0), good);
    assert_eq!(context.truncate(0, 9).unwrap(), 9);
    context.decode(&good[9..]).unwrap();
    let after = context.logits().unwrap();
    assert!(before.iter().zip(after).all(|(a, b)| (a - b).abs() < 0.05));
}

#[test]
fn adapters_and_templates_that_are_none_are_refused() {
    let Some(model) = load(|config| config.with_pooling(Pooling::Mean)) else { return };
    assert!(matches!(model.load_adapter(story()), Err(Error::Format(_) | Error::Adapter { .. })));
    let said = model.apply_chat_template(&[], model_loader::Ending::Reply).unwrap_err().to_string();
    assert!(said.contains("chat template is missing"), "{said}");
}

/// Files made to break loaders: refused or loaded, and the process is still there.
#[test]
fn hostile_files_do_not_end_the_process() {
    let (Some(library), Some(fixtures)) = (library(), fixtures()) else { return };
    let manifest = std::fs::read_to_string(fixtures.join("malformed/gguf/MANIFEST.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let mut tried = 0;
    for path in hostile(&fixtures.join("malformed/gguf")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(config) = ModelConfig::new(&path) else { continue };
        println!("{name}");
        let loaded = Model::load_with(library, config.with_context_size(64).with_threads(1));
        let outcome = loaded.and_then(|model| {
            let mut context = model.create_context()?;
            let tokens = model.tokenize("a b", true)?;
            context.generate(&tokens, 3).map(|_| ())
        });
        tried += 1;
        let must_fail = expectation(&manifest, &name) == Some("reject");
        assert!(!must_fail || outcome.is_err(), "{name} was taken");
    }
    assert!(tried > 100, "{tried} files");
}

fn hostile(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "gguf")).collect();
    found.sort();
    found
}

fn expectation<'a>(manifest: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    let entries = manifest.as_array().or_else(|| manifest["files"].as_array())?;
    let entry =
        entries.iter().find(|entry| entry["file"].as_str().is_some_and(|file| file.ends_with(name)))?;
    entry["expect"].as_str()
}
