//! The program that the guide shows, run.

use std::path::Path;

use model_loader::{Error, Model, ModelConfig};

use crate::support::{library, story};

#[expect(clippy::print_stdout, reason = "the program is one for a terminal")]
fn describe(path: &Path, library: &Path, gpu_layers: u32) -> Result<String, Error> {
    let config = ModelConfig::new(path)?
        .with_library(library)
        .with_gpu_layers(gpu_layers)
        .with_context_size(4096)
        .with_threads(1)
        .with_mlock(true);

    let model = Model::load(config)?;
    println!("Vocab size: {}", model.vocab_size());
    println!("Context size: {}", model.context_train_size());
    println!("BOS token: {}", model.token_bos());

    let mut context = model.create_context()?;
    let tokens = context.tokenize("Hello world", true)?;
    let output = context.generate(&tokens, 100)?;
    Ok(output.text)
}

#[test]
fn the_program_of_the_guide_runs() {
    let Some(library) = library() else { return };
    match describe(&story(), library.path(), 32) {
        // Where there is no GPU, it says so, and runs without one.
        Err(Error::NoGpu { layers: 32, .. }) => {
            assert!(!describe(&story(), library.path(), 0).unwrap().is_empty());
        }
        other => assert!(!other.unwrap().is_empty()),
    }
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn the_best_build_of_a_folder_is_loaded() {
    let Some(library) = library() else { return };
    // The library stands for a build in its place, by a link, so that it is the one that is loaded already.
    let builds = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("builds-{}", std::process::id()));
    let folder = builds.join("cpu/Linux/standard");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(library.path(), folder.join("libllama.so")).unwrap();
    let config = ModelConfig::new(story()).unwrap();
    let model = Model::load_with_auto_select(config.clone(), &builds).unwrap();
    assert_eq!(model.library().path(), library.path());
    std::fs::remove_file(folder.join("libllama.so")).unwrap();
    let error = Model::load_with_auto_select(config, &builds).unwrap_err();
    assert!(matches!(error, Error::Select(_)), "{error}");
    std::fs::remove_dir_all(builds).unwrap();
}
