//! Files that verbs write: where they go, and what is left where that fails.

use super::support::{STORY, run};
use std::process::Command;

#[cfg(unix)]
#[test]
fn a_pipe_gets_what_a_file_gets() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bin, file, pipe) = (path("story.bin"), path("file.gguf"), path("pipe.gguf"));
    for words in [&["convert", STORY, &bin], &["convert", &bin, &file]] {
        assert_eq!(run(words).code, Some(0));
    }
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let read = std::thread::scope(|scope| {
        let read = scope.spawn(|| std::fs::read(&pipe).unwrap());
        let ran = run(&["convert", &bin, &pipe]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        read.join().unwrap()
    });
    assert!(read == std::fs::read(&file).unwrap());
    assert_eq!(folder.path().read_dir().unwrap().count(), 3);
}
