//! The malformed files of the fixtures: what must be refused is, what is sound opens, nothing panics.

use std::path::Path;
use std::sync::Arc;

use torchless_formats::{Checkpoint, FormatError, Metadata, OpenOptions, open, open_bytes};

mod places;
use places::fixtures;

/// Cases whose faults lie in what the numbers mean; the file as such is sound, so that opening may succeed.
fn is_left_to_the_model(file: &str) -> bool {
    file.starts_with("model_")
}

/// Reads everything that opening found, so that a lazy part cannot hide a panic.
fn touch(checkpoint: &Checkpoint) {
    for tensor in checkpoint.tensors.iter() {
        let mut row = vec![0.0; tensor.cols()];
        if tensor.rows() > 0 {
            tensor.decode_row(tensor.rows() - 1, &mut row);
        }
    }
    if let Metadata::Gguf(metadata) = &checkpoint.metadata {
        for (key, value) in metadata.iter() {
            assert!(metadata.value(key).is_some());
            let _ = (value.describe(), metadata.get::<u32>(key), metadata.get::<&str>(key));
        }
    }
}

fn unpack(path: &Path) -> Option<Vec<u8>> {
    let packed = path.with_extension(format!("{}.gz", path.extension()?.to_str()?));
    let output = std::process::Command::new("gzip").arg("-dc").arg(packed).output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn try_open(path: &Path) -> Option<Result<Checkpoint, FormatError>> {
    if path.exists() {
        return Some(open(path, &OpenOptions::default()));
    }
    let bytes = unpack(path);
    if bytes.is_none() {
        eprintln!("skipped: {} cannot be unpacked (no gzip?)", path.display());
    }
    bytes.map(|bytes| open_bytes(Arc::new(bytes)))
}

fn text<'a>(case: &'a serde_json::Value, key: &str) -> &'a str {
    case[key].as_str().expect("a manifest entry has text")
}

fn check(folder: &str) {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("malformed").join(folder);
    let manifest = std::fs::read(folder.join("MANIFEST.json")).expect("the manifest is there");
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&manifest).expect("the manifest is JSON");
    let mut wrong = Vec::new();
    for case in &cases {
        let (file, expect) = (text(case, "file"), text(case, "expect"));
        let started = std::time::Instant::now();
        let Some(result) = try_open(&folder.join(file)) else { continue };
        let shown = match &result {
            Ok(checkpoint) => {
                touch(checkpoint);
                "opened".to_owned()
            }
            Err(error) => error.to_string(),
        };
        eprintln!("{file} [{expect}] {:?} {shown}", started.elapsed());
        let right = match expect {
            "load" | "load_but_render_must_fail_bounded" | "load_generation_must_terminate" => result.is_ok(),
            "reject" => result.is_err() || is_left_to_the_model(file),
            "reject_model" | "reject_or_sane" | "load_or_reject" | "no_panic" => true,
            other => panic!("{file}: unknown expectation {other}"),
        };
        if !right {
            wrong.push(format!("{file} [{expect}]: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn loader_refuses_malformed_gguf() {
    check("gguf");
}

#[test]
fn loader_refuses_malformed_safetensors() {
    check("safetensors");
}

#[test]
fn loader_refuses_llama2c_checkpoints() {
    check("llama2c_bin");
}
