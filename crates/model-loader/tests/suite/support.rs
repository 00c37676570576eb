//! Where the library and the models of these tests are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use model_loader::{KvType, Library, Model, ModelConfig, VARIABLE};

/// The npm package's version that stands for all others in the default tests: llama.cpp 0.5.0.
const VERSION: &str = "3.22.1";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The library; `None`, and said so, where there is none and none can be fetched.
pub fn library() -> Option<Library> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os(VARIABLE) {
        Some(path) => Some(path.into()),
        None => fetched(),
    });
    match folder {
        Some(path) => Some(Library::open(path).unwrap()),
        None => {
            eprintln!("skipped: {VARIABLE} is not set, and no library could be fetched through npm");
            None
        }
    }
}

fn fetched() -> Option<PathBuf> {
    let root = repository();
    let folder = root.join("target/libllama").join(VERSION);
    let script = root.join("scripts/libllama.sh");
    let status = Command::new("bash").arg(script).arg(VERSION).arg(&folder).status().ok()?;
    status.success().then_some(folder)
}

/// The story model of this repository: llama, 5 layers, 128 wide, 1280 tokens.
pub fn story() -> PathBuf {
    repository().join("assets/story/story.gguf")
}

/// Models from outside of the repository; `None`, and said so, where they are not.
pub fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
    }
    folder
}

/// One thread: several spin while they wait for each other, which takes for ever on a machine that is busy.
pub fn config(path: &Path) -> ModelConfig {
    ModelConfig::new(path).unwrap().with_context_size(512).with_threads(1)
}

/// As exact as the library computes: keys and values in F32, and attention as it stands in books.
pub fn exact(path: &Path) -> ModelConfig {
    config(path).with_kv_type(KvType::F32).with_flash_attention(false)
}

/// The story model, and the rest of a test where there is no library.
pub fn load(configure: impl Fn(ModelConfig) -> ModelConfig) -> Option<Model> {
    Some(Model::load_with(library()?, configure(config(&story()))).unwrap())
}
