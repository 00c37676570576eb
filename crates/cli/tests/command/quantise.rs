//! The verbs that make files of fewer bits, and say what was lost.

use super::support::{NATIVE, STORY, assert_refused, json, run};

/// A file of fewer bits still runs, and foretells a text nearly as well.
#[test]
fn a_quantised_model_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (made, text) = (path("made.gguf"), path("text.txt"));
    let ran = run(&["quantize", STORY, &made, "Q5_1", "--allow-requantize"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    assert!(ran.err.contains("bits per weight"), "{}", ran.err);
    std::fs::write(&text, "The dog ran to the house. ".repeat(8)).unwrap();
    let surprise =
        |model: &str| json(&["perplexity", model, &text, "--context", "16"])["perplexity"].as_f64().unwrap();
    let (whole, fewer) = (surprise(STORY), surprise(&made));
    assert!(whole > 1.0 && (fewer / whole - 1.0).abs() < 0.2, "{whole} and {fewer}");
}

#[test]
fn quantize_refuses_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.gguf");
    let made = made.to_str().unwrap();
    assert_refused(&run(&["quantize", STORY, made, "Q4_0"]), 3, &["is Q8_0 already", "--allow-requantize"]);
    let unknown = run(&["quantize", STORY, made, "Q4_2"]);
    assert_refused(&unknown, 2, &["'Q4_2' is no kind of quantised file", "Q4_K_M"]);
    assert_refused(&run(&["quantize", STORY, STORY, "Q4_0"]), 2, &["is read from"]);
    let odd = run(&["quantize", STORY, made, "Q4_0", "--output-tensor-type", "I8"]);
    assert_refused(&odd, 2, &["'I8' is no tensor type that can be written"]);
    let wrong = run(&["quantize", STORY, made, "Q4_0", "--imatrix", STORY]);
    assert_refused(&wrong, 3, &["holds no importance matrix"]);
    let folder_of_none = run(&["quantize", STORY, made, "Q4_0", "--imatrix", "docs"]);
    assert_refused(&folder_of_none, 3, &["docs: is no file"]);
    if cfg!(unix) {
        let endless = run(&["quantize", STORY, made, "Q4_0", "--imatrix", "/dev/zero"]);
        assert_refused(&endless, 3, &["/dev/zero: is no file"]);
    }
    assert!(!folder.path().join("made.gguf").exists());
}

#[test]
fn perplexity_needs_enough_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    std::fs::write(&text, "The dog.").unwrap();
    let ran = run(&["perplexity", STORY, text.to_str().unwrap()]);
    assert_refused(&ran, 2, &["1024 are needed, twice the context of 512"]);
}

#[test]
fn perplexity_scores_as_many_stretches_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    std::fs::write(&text, "The dog ran to the house. ".repeat(16)).unwrap();
    let words = ["perplexity", STORY, text.to_str().unwrap(), "--context", "16", "--chunks"];
    let tokens = |chunks: &str| json(&[&words[..], &[chunks]].concat())["tokens"].as_u64().unwrap();
    assert_eq!((tokens("1"), tokens("3")), (7, 3 * 7));
}

#[test]
fn a_stretch_has_to_fit_the_context_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text.txt"), "The dog.").unwrap();
    let more = ["--context", "64", "--max-seq-len", "16"];
    for words in
        [vec!["perplexity", STORY, &path("text.txt")], vec!["imatrix", STORY, &path("text.txt"), &path("i")]]
    {
        let ran = run(&[&words[..], &more].concat());
        assert_refused(&ran, 2, &["stretches of 64 tokens", "--max-seq-len 16", "--context"]);
    }
}

#[test]
fn a_context_beyond_the_trained_one_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (text, out) = (path("text.txt"), path("out"));
    std::fs::write(&text, "The dog ran to the house. ".repeat(200)).unwrap();
    let ids = ["5"; 513].join(",");
    let beyond = [
        vec!["logits", STORY, "--ids", &ids, "--output", &out],
        vec!["imatrix", STORY, &text, &out, "--context", "513", "--chunks", "1"],
        vec!["perplexity", STORY, &text, "--context", "513", "--chunks", "1"],
    ];
    for words in beyond {
        let ran = run(&words);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.err.contains("a context of 513 is more than the 512"), "{words:?}: {}", ran.err);
    }
    let within = run(&["logits", STORY, "--ids", "5,5", "--output", &out]);
    assert!(!within.err.contains("more than"), "{}", within.err);
}

/// Tokens of the same ids have the same logits, whichever file the weights are in.
#[test]
fn a_converted_model_computes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = path("made.gguf");
    let ran = run(&["convert", NATIVE, &made, "--type", "F32"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let logits = |model: &str, file: &str| -> Vec<f32> {
        let ran = run(&["logits", model, "--ids", "1,2,3,1", "--output", file, "--exact"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        std::fs::read(file).unwrap().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let (before, after) = (logits(NATIVE, &path("a")), logits(&made, &path("b")));
    assert_eq!(before.len(), after.len());
    let off = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "{off}");
    assert_refused(
        &run(&["convert", NATIVE, &made, "--type", "Q4_0"]),
        2,
        &["'Q4_0' is no type to convert to"],
    );
}

/// What `imatrix` writes goes into `quantize`, and a folder of safetensors is told what to do.
#[test]
fn importance_is_measured_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (matrix, made, text) = (path("i.gguf"), path("made.gguf"), path("text.txt"));
    std::fs::write(&text, "The dog ran to the house. ".repeat(8)).unwrap();
    let ran = run(&["imatrix", STORY, &text, &matrix, "--context", "16", "--chunks", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("35 tensors, 2 stretches in "), "{}", ran.out);
    let ran = run(&["quantize", STORY, &made, "Q4_K_M", "--imatrix", &matrix, "--allow-requantize"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = run(&["imatrix", STORY, &text, &matrix]);
    assert_refused(&ran, 2, &["a stretch takes 512"]);
    let ran = run(&["imatrix", STORY, &text, &matrix, "--context", "1"]);
    assert_refused(&ran, 2, &["no token of the text", "2 are needed"]);
}
