//! Models in every format tell the same.

use super::remake::Remake;
use super::support::{NATIVE, STORY, assert_refused, fixtures, json, output, run, text};
use std::path::Path;
use torchless::{ModelOptions, RunPrecision, Scorer, Source, TokenId};

const GREEDY: &[&str] = &["--temperature", "0", "--quiet"];

#[test]
fn the_model_inside_is_the_file() {
    let words = &["--seed", "11", "--max-tokens", "50"];
    assert_eq!(output(words), output(&[&[STORY, ""], &words[..]].concat()));
}

#[test]
fn a_model_in_parts_is_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let first = Remake::story().write_parts(folder.path(), 3);
    let tell = |model: &str| output(&[&[model, "One day", "--max-tokens", "30"], GREEDY].concat());
    let want = tell(STORY);
    assert_eq!(tell(text(&first)), want);
    let third = folder.path().join("story-00003-of-00003.gguf");
    assert_eq!(tell(text(&third)), want);
    assert_eq!(json(&["inspect", text(&first)])["files"].as_array().unwrap().len(), 3);
    std::fs::remove_file(folder.path().join("story-00002-of-00003.gguf")).unwrap();
    assert_refused(&run(&[text(&first), "One day"]), 3, &["story-00002-of-00003.gguf"]);
}

#[test]
fn inspect_counts_the_cache_that_a_run_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.gguf");
    assert_eq!(run(&["convert", STORY, text(&whole), "--type", "F32"]).code, Some(0));
    let cache = |model: &str, more: &[&str]| {
        let report = json(&[&["inspect", model], more].concat());
        let needs = report["model"]["memory"].as_array().unwrap().clone();
        needs.last().unwrap()["cache"].as_u64().unwrap()
    };
    assert_eq!(cache(text(&whole), &[]), 2 * cache(STORY, &[]));
    assert_eq!(cache(STORY, &["--max-seq-len", "64"]), cache(STORY, &[]) / 8);
}

#[test]
fn the_native_model_runs() {
    let tell = |more: &[&str]| output(&[&[NATIVE, "The dog", "--max-tokens", "20"], GREEDY, more].concat());
    assert!(tell(&[]).trim().len() > 5);
    assert_eq!(tell(&["--lazy"]), tell(&[]));
}

/// Whether each of `ids` is the likeliest after `start` and those before it: the greedy continuation, of a model without
/// a tokenizer.
fn is_greedy(model: &Path, start: u32, ids: &[u32]) -> bool {
    let source = Source::Path(model.to_owned());
    let options =
        ModelOptions { precision: RunPrecision::Exact, threads: Some(1), ..ModelOptions::default() };
    let mut scorer = Scorer::open(&source, &options, &mut |_, _| {}).unwrap();
    let vocab = scorer.spec().vocab;
    let context: Vec<_> =
        std::iter::once(&start).chain(&ids[..ids.len() - 1]).map(|&id| TokenId(id)).collect();
    let mut likeliest = Vec::new();
    let mut each = |rows: &[f32]| {
        let best = |row: &[f32]| (0..vocab).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        likeliest.extend(rows.chunks_exact(vocab).map(|row| best(row) as u32));
        Ok(())
    };
    scorer.score(&context, &mut each).unwrap();
    likeliest == ids
}

#[test]
fn a_trained_model_tells_its_golden_text() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("models/stories260K");
    let golden = std::fs::read_to_string(folder.join("golden_t0_n200.txt")).unwrap();
    let gguf = folder.join("stories260K-F32.gguf");
    for more in [&[][..], &["--lazy"], &["--exact"]] {
        let words = [&[text(&gguf), "", "--max-tokens", "200"], GREEDY, more].concat();
        assert_eq!(output(&words).trim_end(), golden.trim_end(), "{more:?}");
    }
    // Neither its folder nor what is converted from it has a tokenizer: their tokens are compared.
    let ids = json(&[text(&gguf), "", "--max-tokens", "200", "--temperature", "0"]);
    let ids: Vec<u32> =
        ids["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    assert!(ids.len() > 150, "{}", ids.len());
    let scratch = tempfile::tempdir().unwrap();
    let bin = scratch.path().join("stories.bin");
    output(&["convert", text(&folder.join("hf")), text(&bin)]);
    for model in [folder.join("hf"), bin, gguf] {
        assert!(is_greedy(&model, 1, &ids), "{}", model.display());
    }
    let mut other = ids;
    other[100] += 1;
    assert!(!is_greedy(&folder.join("hf"), 1, &other));
}
