//! Where the library and the fixtures are, and logits from either engine.

use model_loader::{Batch, KvType, Library, Model, ModelConfig, TokenId, Wanted};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use torchless::{ModelOptions, Place, Placement, RunPrecision, Scorer, Source};

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The library's folder; `None`, and said so, where there is none and none can be fetched.
pub fn library() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if let Some(path) = std::env::var_os("TORCHLESS_LLAMA_LIB") {
            return Some(path.into());
        }
        let folder = repository().join("target/libllama/3.22.1");
        let script = repository().join("scripts/libllama.sh");
        let status = Command::new("bash").arg(script).arg("3.22.1").arg(&folder).status().ok()?;
        status.success().then_some(folder)
    });
    if folder.is_none() {
        eprintln!("skipped: TORCHLESS_LLAMA_LIB is not set, and no library could be fetched through npm");
    }
    folder.clone()
}

/// The library itself.
pub fn loaded() -> Option<Library> {
    Some(Library::open(&library()?).unwrap())
}

/// The folder of extra fixtures; `None`, said aloud, where there is none.
pub fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
    }
    folder
}

/// A model in llama.cpp, as exact as it computes.
pub fn theirs(library: Library, path: &Path) -> Result<Model, model_loader::Error> {
    let config = ModelConfig::new(path)?.with_context_size(256).with_threads(1);
    Model::load_with(library, config.with_kv_type(KvType::F32).with_flash_attention(false))
}

/// llama.cpp's logits of every position, with adapters added.
pub fn their_logits(
    model: &Model,
    ids: &[u32],
    adapters: &[(PathBuf, f32)],
) -> Result<Vec<f32>, model_loader::Error> {
    let mut context = model.create_context()?;
    let loaded = adapters.iter().map(|(path, scale)| Ok((model.load_adapter(path)?, *scale)));
    let loaded: Vec<_> = loaded.collect::<Result<_, model_loader::Error>>()?;
    context.set_adapters(&loaded)?;
    let ids: Vec<TokenId> = ids.iter().map(|id| TokenId(*id)).collect();
    let mut batch = Batch::default();
    batch.extend(0, &ids, Wanted::All);
    let mut logits = Vec::new();
    context.decode_batch(&batch)?;
    for at in 0..ids.len() {
        logits.extend_from_slice(context.logits_of(at)?);
    }
    Ok(logits)
}

/// The native engine's logits of every position, as exact as it computes.
pub fn our_logits(path: &Path, ids: &[u32], adapters: &[(PathBuf, f32)]) -> Vec<f32> {
    let options = ModelOptions {
        precision: RunPrecision::Exact,
        threads: Some(1),
        placement: Placement { place: Place::Cpu, ..Placement::default() },
        adapters: adapters.to_vec(),
        ..ModelOptions::default()
    };
    let mut scorer = Scorer::open(&Source::Path(path.to_owned()), &options, &mut |_, _| {}).unwrap();
    let ids: Vec<TokenId> = ids.iter().map(|id| TokenId(*id)).collect();
    let mut logits = Vec::new();
    let each = &mut |rows: &[f32]| {
        logits.extend_from_slice(rows);
        Ok(())
    };
    scorer.score(&ids, each).unwrap();
    logits
}

pub fn max_distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "as many values on both sides");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) })
}

/// Numbers without a pattern, from -1 to 1.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
