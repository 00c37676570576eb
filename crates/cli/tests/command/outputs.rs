//! Files that verbs write: where they go, and what is left where that fails.

use super::remake::Remake;
use super::support::{STORY, assert_refused, command, finish, run, text};
use std::path::Path;
use std::process::Command;

#[test]
fn what_is_not_finite_is_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = path("model.gguf");
    Remake::story().with_weight("output_norm.weight", f32::NAN).write(Path::new(&model));
    std::fs::write(path("text"), "The dog ran to the house. ".repeat(8)).unwrap();
    let (words, out) = (path("text"), path("out"));
    for verb in [
        &["logits", &model, "--ids", "1,2,3", "--output", &out][..],
        &["perplexity", &model, &words, "--context", "16"],
        &["perplexity", &model, &words, "--context", "16", "--json"],
        &["imatrix", &model, &words, &out, "--context", "16"],
    ] {
        assert_refused(&run(verb), 3, &["the logits of position", "not finite"]);
        assert!(!Path::new(&out).exists());
    }
}

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

/// The command where files may have a few thousand bytes and no more.
fn cramped(words: &[&str]) -> Command {
    let whole = command(words);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]).arg(whole.get_program());
    shell.args(whole.get_args()).current_dir(whole.get_current_dir().unwrap());
    shell
}

#[test]
fn a_disk_that_is_full_is_no_fault_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let source = tempfile::tempdir().unwrap();
    let calibration = source.path().join("text");
    std::fs::write(&calibration, "The dog ran to the house. ".repeat(8)).unwrap();
    let calibration = text(&calibration);
    let (gguf, bin, hub) = (path("out.gguf"), path("out.bin"), path("hub"));
    for (words, at) in [
        (&["convert", STORY, &gguf][..], &gguf),
        (&["convert", STORY, &bin], &bin),
        (&["convert", STORY, &hub], &hub),
        (&["quantize", STORY, &gguf, "Q8_0"], &gguf),
        (&["imatrix", STORY, calibration, &gguf, "--context", "16"], &gguf),
        (&["logits", STORY, "--ids", "1,2,3,4,5,6,7,8,9", "--output", &gguf], &gguf),
        (&["bench", "--shape", "smollm2-135m", "--write", &gguf], &gguf),
    ] {
        let ran = finish(cramped(words));
        let last = ran.err.lines().last().unwrap_or_default();
        assert_eq!(ran.code, Some(1), "{words:?}: {}", ran.err);
        assert!(last.starts_with(&format!("torchless: {at}")) && last.contains("too large"), "{last}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{words:?}");
    }
    let nowhere = path("none/out.bin");
    assert_refused(&run(&["convert", STORY, &nowhere]), 1, &[&format!("torchless: {nowhere}: ")]);
}

#[test]
fn a_signal_leaves_nothing_half_written() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.gguf");
    // The largest there is: it is not whole before the signal comes.
    let large = ["bench", "--shape", "llama-3.1-8b", "--type", "F32"];
    for more in [&["--write", text(&output)][..], &[]] {
        std::fs::write(&output, "old").unwrap();
        let mut child = command(&[&large[..], more].concat()).env("TMPDIR", folder.path()).spawn().unwrap();
        while folder.path().read_dir().unwrap().count() == 1 {
            assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
            std::thread::yield_now();
        }
        let sent = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().signal(), Some(15), "{more:?}");
        assert_eq!(std::fs::read(&output).unwrap(), b"old");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "{more:?}");
    }
}
