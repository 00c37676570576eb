//! Runs the console blocks of README.md and the guide against the command, each page in a directory of its own.

#![cfg(unix)]

use std::path::Path;

use torchless_guide_tests::console::{Shell, examples};
use torchless_guide_tests::{PAGES, Page, markdown};

/// Files that examples find in their working directory: name there, path below the repository root.
const FILES: &[(&str, &str)] =
    &[("story.gguf", "assets/story/story.gguf"), ("test_model.bin", "tests/fixtures/test_model.bin")];

/// Folders that examples find there, from the folder of test models.
const FOLDERS: &[&str] = &["test_encoder", "test_reranker"];

fn copy_folder(name: &str, directory: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    std::fs::create_dir_all(directory.join(name)).expect("a folder for the examples");
    for entry in std::fs::read_dir(source).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name");
        std::fs::copy(&path, directory.join(name).join(file)).expect("a file for the examples");
    }
}

fn faults_of(page: &Page) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_torchless"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide").join(page.path.replace('/', "-"));
    // What an earlier run left is not there for a reader.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory for the page");
    for (name, source) in FILES {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(source), directory.join(name))
            .expect("a file for the examples");
    }
    FOLDERS.iter().for_each(|name| copy_folder(name, &directory));
    let shell = Shell { program_directory: program.parent().expect("a directory"), directory };
    let mut faults = Vec::new();
    for fence in
        markdown::fences(page.text).expect("closed fences").iter().filter(|fence| fence.info == "console")
    {
        match examples(&fence.lines) {
            Ok(found) => faults.extend(found.iter().filter_map(|example| shell.run(example).err())),
            Err(fault) => faults.push(format!("block at line {}, {fault}", fence.line)),
        }
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", page.path)).collect()
}

#[test]
fn console_blocks_do_what_they_show() {
    let faults: Vec<String> = PAGES.iter().flat_map(faults_of).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
