//! Starting the command, and where models are.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What the command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The command, with nothing from the environment that would change what it does.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torchless"));
    command.args(words).current_dir(root()).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("TORCHLESS_KERNELS").env_remove("TORCHLESS_LLAMA_LIB");
    command
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub fn run(words: &[&str]) -> Ran {
    finish(command(words))
}

/// Runs what has to work and gives what it wrote to standard output.
pub fn output(words: &[&str]) -> String {
    let ran = run(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.err);
    ran.out
}

/// Runs what has to work with `--json` and gives the object.
pub fn json(words: &[&str]) -> serde_json::Value {
    let out = output(&[words, &["--json"]].concat());
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).unwrap()
}

/// Starts the command with pipes on all sides.
pub fn start(words: &[&str]) -> Child {
    let mut command = command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs with something piped in.
pub fn run_with(words: &[&str], input: &[u8]) -> Ran {
    let mut child = start(words);
    // What is refused for its options ends before it reads.
    let written = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert!(written.is_ok() || !output.status.success(), "{words:?} did not read what was piped in");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What must not work: the exit code, nothing on standard output, one line that says all of `words`.
pub fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.starts_with("torchless: "), "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in {}", ran.err);
    }
}

/// The story model as a file.
pub const STORY: &str = "assets/story/story.gguf";
/// The native model of the tests.
pub const NATIVE: &str = "tests/fixtures/test_model.bin";

/// The folder of extra fixtures; `None`, said aloud, where there is none.
pub fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
    }
    folder
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
