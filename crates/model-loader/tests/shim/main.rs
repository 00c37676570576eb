//! What reaches a library of each era, and one that nobody knows: read back by a library in C that was compiled for this test, whose
//! structs a C compiler laid out.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use model_loader::{Error, KvType, Library, Model, ModelConfig, Pooling, TokenId};

/// One folder for all shims: a process takes libraries from one only.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shims-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// The library, compiled with these definitions; `None`, and said so, where there is no C compiler.
fn compiled(definitions: &[&str]) -> Option<PathBuf> {
    let library = folder().join(format!("libllama.{}.so", definitions.join("-").replace('=', "")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/shim.c");
    let compiler = std::env::var_os("SHIM_CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    // Optimised, as releases are.
    command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source);
    command.args(definitions.iter().map(|definition| format!("-D{definition}")));
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{definitions:?} does not compile");
            Some(library)
        }
        Err(_) => {
            eprintln!("skipped: there is no C compiler");
            None
        }
    }
}

/// What the library wrote down while `work` ran. One at a time, as the file's name is in the environment.
fn notes<T>(work: impl FnOnce() -> T) -> (T, BTreeMap<String, Vec<f64>>) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one: MutexGuard<'_, ()> = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder().join("notes");
    let _ = std::fs::remove_file(&path);
    // SAFETY: nothing else in this process reads or writes the environment meanwhile: tests of this file do it here only, behind the lock.
    unsafe { std::env::set_var("SHIM_OUT", &path) };
    let result = work();
    let mut notes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
        let (name, value) = line.split_once('=').unwrap();
        notes.entry(name.to_owned()).or_default().push(value.parse().unwrap());
    }
    (result, notes)
}

fn story() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/story/story.gguf")
}

fn plain() -> ModelConfig {
    ModelConfig::new(story()).unwrap()
}

/// Every option that there is, none with its default.
fn changed() -> ModelConfig {
    plain()
        .with_gpu_layers(7)
        .with_main_gpu(2)
        .with_tensor_split([1.0, 3.0])
        .with_mmap(false)
        .with_mlock(true)
        .with_checked_tensors()
        .with_context_size(384)
        .with_batch_size(99)
        .with_ubatch_size(33)
        .with_sequences(5)
        .with_kv_type(KvType::Q8_0)
        .with_flash_attention(true)
        .with_pooling(Pooling::Mean)
}

type Notes = BTreeMap<String, Vec<f64>>;

/// Loads, makes a context and generates; the library's notes.
fn run(library: Library, config: ModelConfig) -> Notes {
    let work = || {
        let model = Model::load_with(library, config).unwrap();
        let mut context = model.create_context().unwrap();
        let prompt = context.tokenize("abcde", false).unwrap();
        assert_eq!(prompt, [0, 1, 2, 3, 4].map(TokenId));
        let sampler = model_loader::SamplerConfig { temperature: 0.0, ..Default::default() };
        let options = model_loader::GenerateOptions { sampler, ..3.into() };
        assert_eq!(context.generate(&prompt, options).unwrap().text, "ddd");
    };
    let ((), notes) = notes(work);
    assert_eq!((&notes["of_model"], &notes["in_context"]), (&vec![1.0], &vec![1.0; 3]));
    assert_eq!((&notes["last_token"], &notes["last_position"]), (&vec![4.0, 3.0, 3.0], &vec![4.0, 5.0, 6.0]));
    assert_eq!((&notes["last_sequence"], &notes["last_wanted"]), (&vec![0.0; 3], &vec![1.0; 3]));
    assert_eq!(notes["path_length"], [story().as_os_str().len() as f64]);
    notes
}

/// Fields that differ between two runs, with their values in the second.
fn differences(plain: &Notes, changed: &Notes) -> Vec<String> {
    let differs = |(name, values): (&String, &Vec<f64>)| {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        (plain.get(name).is_none_or(|other| *other != changed[name]))
            .then(|| format!("{name}={}", values.join(",")))
    };
    changed.iter().filter_map(differs).collect()
}

fn check_era(era: usize, release: &str) {
    let Some(path) = compiled(&[&format!("ERA={era}")]) else { return };
    let library = Library::open(&path).unwrap();
    assert!(library.takes_options(), "{}", library.layouts());
    assert!(library.layouts().contains(release), "{}", library.layouts());
    let plain = run(library, plain().with_context_size(512));
    let changed = run(library, changed());
    let flash = if era >= 4 { "flash_attn_type=1" } else { "flash_attn=1" };
    let mut wanted =
        vec!["check_tensors=1", flash, "main_gpu=2", "n_batch=99", "n_ctx=384", "n_gpu_layers=7"];
    wanted.extend([
        "n_seq_max=5",
        "n_ubatch=33",
        "pooling_type=1",
        "tensor_split=1,3,0,0",
        "type_k=8",
        "type_v=8",
    ]);
    wanted.extend(if era >= 8 { vec!["load_mode=2"] } else { vec!["use_mlock=1", "use_mmap=0"] });
    wanted.extend(if era >= 3 { vec!["kv_unified=1"] } else { vec![] });
    wanted.sort_unstable();
    assert_eq!(differences(&plain, &changed), wanted, "era {era}");
}

#[test]
fn options_reach_their_fields_in_every_era_and_change_no_other() {
    let releases =
        ["b4753", "b5590", "b6122", "b6431", "b7347", "b8179", "b10068", "b10361", "0.5.0", "0.8.0"];
    for (at, release) in releases.into_iter().enumerate() {
        check_era(at + 1, release);
    }
}

fn check_unknown(definition: &str) {
    let Some(path) = compiled(&[definition]) else { return };
    let library = Library::open(&path).unwrap();
    assert!(!library.takes_options() && library.layouts().contains("unknown"), "{}", library.layouts());
    let notes = run(library, plain());
    assert_eq!(
        (&notes["n_ctx"], &notes["n_batch"], &notes["type_k"]),
        (&vec![512.0], &vec![2048.0], &vec![1.0])
    );
    assert_eq!((&notes["use_mmap"], &notes["main_gpu"]), (&vec![1.0], &vec![0.0]));
    let options: [fn(ModelConfig) -> ModelConfig; 11] = [
        |config| config.with_gpu_layers(7),
        |config| config.with_gpu_layers(0),
        |config| config.with_main_gpu(1),
        |config| config.with_tensor_split([1.0]),
        |config| config.with_mmap(true),
        |config| config.with_mlock(true),
        |config| config.with_vocab_only(),
        |config| config.with_checked_tensors(),
        |config| config.with_context_size(512),
        |config| config.with_sequences(2),
        |config| config.with_flash_attention(true),
    ];
    for option in options {
        let (result, notes) = notes_of_refusal(library, option(plain()));
        let Err(error @ Error::UnknownLayout { .. }) = result else { panic!("{definition}: {result:?}") };
        let said = error.to_string();
        assert!(said.contains("cannot be set: the layout of llama_"), "{said}");
        assert!(said.contains("Leave the option out"), "{said}");
        // The library was not called with a guess.
        assert!(!notes.contains_key("n_ctx"), "{notes:?}");
    }
}

fn notes_of_refusal(library: Library, config: ModelConfig) -> (Result<(), Error>, Notes) {
    notes(|| {
        let model = Model::load_with(library, config)?;
        model.create_context().map(|_| ())
    })
}

#[test]
fn a_fork_with_a_field_of_its_own_runs_with_its_defaults_and_refuses_options() {
    check_unknown("FORK");
    let Some(path) = compiled(&["FORK"]) else { return };
    assert_eq!(run(Library::open(&path).unwrap(), plain())["own_number"], [3.0, 3.0]);
}

#[test]
fn a_library_from_before_vocabularies_runs_with_its_defaults_and_refuses_options() {
    check_unknown("OLD");
    let Some(path) = compiled(&["OLD"]) else { return };
    let notes = run(Library::open(&path).unwrap(), plain());
    // Functions of the vocabulary are given the model, and what old batches have more is zero.
    assert_eq!((&notes["vocab_is_model"], &notes["all"]), (&vec![1.0], &vec![0.0; 3]));
}

#[test]
fn a_library_without_a_function_is_refused_by_its_name() {
    let Some(path) = compiled(&["ERA=9", "WITHOUT_DECODE"]) else { return };
    let Error::MissingSymbols { symbols, .. } = Library::open(&path).unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(symbols, ["llama_decode"]);
}

#[test]
fn options_that_end_the_process_are_refused_before_it_is_called() {
    let Some(path) = compiled(&["ERA=1"]) else { return };
    let library = Library::open(&path).unwrap();
    // Quantised values without flash attention: the library would end the process.
    let (result, _) = notes_of_refusal(library, plain().with_kv_type(KvType::Q4_0));
    assert!(matches!(result, Err(Error::Option { option: "KV type", .. })), "{result:?}");
}
