//! Help, and what is said about usage that cannot be answered.

#[cfg(target_os = "linux")]
use super::support::command;
use super::support::{NATIVE, Ran, STORY, assert_refused, output, run, run_with};

#[test]
fn help_says_what_there_is() {
    insta::assert_snapshot!("help", output(&["--help"]));
    for verb in [
        "run",
        "inspect",
        "tokenize",
        "detokenize",
        "render",
        "logits",
        "convert",
        "quantize",
        "imatrix",
        "perplexity",
        "bench",
        "scan",
        "libllama",
    ] {
        insta::assert_snapshot!(format!("help_{verb}"), output(&[verb, "--help"]));
    }
}

#[test]
fn help_is_a_verb_and_says_the_same() {
    assert_eq!(output(&["help"]), output(&["--help"]));
    assert_eq!(output(&["help", "inspect"]), output(&["inspect", "--help"]));
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_no_success() {
    for word in ["--help", "--version", "help"] {
        let mut command = command(&[word]);
        command.stdout(std::fs::File::create("/dev/full").unwrap());
        let ran = command.output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(1) && said.contains("No space left"), "{word}: {said}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(output(&["--version"]), format!("torchless {}\n", env!("CARGO_PKG_VERSION")));
}

/// Refused by the parser: code 2, nothing on standard output, a message that names the option.
fn assert_misused(words: &[&str], option: &str) {
    let Ran { code, out, err } = run(words);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}: {err}");
    assert!(err.contains(option) && !err.contains("panicked"), "{words:?}: {err}");
}

#[test]
fn options_out_of_range_are_refused_before_a_model_is_loaded() {
    for (option, values) in [
        ("--temperature", &["NaN", "-1", "inf", "warm"][..]),
        ("--top-p", &["2", "-0.5", "NaN"]),
        ("--min-p", &["1.5", "-0.1", "NaN"]),
        ("--repeat-penalty", &["0", "-1", "NaN", "inf"]),
        ("--presence-penalty", &["NaN", "inf"]),
        ("--frequency-penalty", &["NaN", "-inf"]),
        ("--top-k", &["-1", "x"]),
        ("--seed", &["-1", "1.5"]),
        ("--logit-bias", &["5", "x=1", "5=x", "5=NaN", "-1=1"]),
        ("--max-tokens", &["-1", "many"]),
        ("--max-seq-len", &["0", "-1"]),
        ("--threads", &["0", "x"]),
        ("--memory-limit", &["nonsense", "0", "-1G", "2X", "G"]),
        ("--kv-dtype", &["f64", "q5_0"]),
        ("--backend", &["nonsense", "cuda0"]),
        ("--gpu-layers", &["-1", "all"]),
        ("--device", &["-1", "x", "0,x"]),
        ("--split", &["rows", ""]),
        ("--gpu-memory-fraction", &["x"]),
    ] {
        for value in values {
            // Joined, so that a value with a minus sign is none of its own options.
            let option_and_value = format!("{option}={value}");
            let words = ["no-such-file.gguf", "x", &option_and_value];
            assert_misused(&words, option.trim_start_matches('-'));
        }
    }
}

#[test]
fn a_tolerance_that_nothing_can_be_within_is_refused() {
    for value in ["nan", "-1", "inf", "x"] {
        let option = format!("--tolerance={value}");
        assert_misused(&["doctor", STORY, "--parity", &option], "it has to be a number, at least 0");
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    assert_misused(&["--json", "--jsonl", "--prompt", "x"], "--json");
    assert_misused(&["--debug", "--quiet", "--prompt", "x"], "--debug");
    assert_misused(&[STORY, "x", "--prompt", "y"], "--prompt");
    assert_misused(&["--nonsense"], "--nonsense");
    assert_misused(&["logits", STORY, "--ids", "1", "--output", "-"], "/dev/stdout");
    assert_misused(&["convert", STORY, "-"], "/dev/stdout");
    assert_misused(&["bench"], "MODEL");
    assert_misused(&["bench", STORY, "--shape", "mistral-7b"], "--shape");
    assert_misused(&[STORY, "x", "--engine", "native", "--llama-lib", "libllama.so"], "--llama-lib");
    assert_misused(&["classify", "tests/fixtures/test_encoder", "x", "--types", "0,0"], "--types");
}

#[test]
fn what_is_missing_is_said() {
    assert_refused(&run(&[STORY]), 2, &["no prompt", "--prompt"]);
    assert_refused(&run(&["no/such/model.gguf", "x"]), 3, &["no/such/model.gguf"]);
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    assert_refused(&run(&[path, "x"]), 3, &[path, "config.json"]);
    assert_refused(&run(&["inspect", path]), 3, &[path]);
    assert_refused(&run(&["tokenize", STORY]), 2, &["no text"]);
    assert_refused(&run(&["--prompt", "x", "--show-thinking"]), 2, &["--show-thinking", "--chat"]);
    assert_refused(&run(&["logits", STORY, "--ids", ",", "-o", "never"]), 2, &["no token ids"]);
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_numbers() {
    let long = "One day a dog ran home. ".repeat(20);
    let tokens = output(&["tokenize", "--ids", STORY, &long]).split(',').count().to_string();
    let ran = run(&[STORY, &long, "--max-seq-len", "8"]);
    assert_refused(&ran, 2, &[&format!("{tokens} tokens"), "holds 8", "--max-seq-len"]);
}

#[test]
fn names_that_do_not_exist_are_refused_with_those_that_do() {
    assert_refused(&run(&[STORY, "x", "--kernels", "magic"]), 2, &["magic", "scalar"]);
    assert_refused(&run(&["bench", "--shape", "gpt-9"]), 2, &["gpt-9", "mistral-7b"]);
    let ran = run(&["bench", "--shape", "smollm2-135m", "--type", "Q9", "--write", "never"]);
    assert_refused(&ran, 2, &["Q9", "Q4_K_M"]);
}

#[test]
fn tokens_beyond_the_vocabulary_are_refused() {
    let beyond = "999999";
    let ran = run(&[STORY, "x", "--logit-bias", &format!("{beyond}=1")]);
    assert_refused(&ran, 2, &[beyond]);
    assert_refused(&run(&["detokenize", STORY, "5", beyond]), 2, &[beyond]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("logits");
    let ran = run(&["logits", STORY, "--ids", beyond, "--output", file.to_str().unwrap()]);
    assert_refused(&ran, 2, &[beyond]);
}

#[test]
fn a_context_beyond_all_memory_is_refused() {
    for length in ["4000000000000", "18446744073709551615"] {
        assert_refused(&run(&[STORY, "x", "--max-seq-len", length]), 2, &[length, "positions"]);
    }
    assert_refused(&run(&[STORY, "x", "--threads", "100000"]), 2, &["100000 threads"]);
}

#[test]
fn input_that_is_no_text_is_refused() {
    assert_refused(&run_with(&[STORY], b"abc\xFF\xFE"), 2, &["not UTF-8", "byte 3"]);
}

#[test]
fn an_empty_prompt_is_completed() {
    for model in [STORY, NATIVE] {
        assert!(!output(&[model, "", "--max-tokens", "5", "--seed", "1", "--quiet"]).trim().is_empty());
    }
}
