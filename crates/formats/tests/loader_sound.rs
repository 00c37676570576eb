//! The sound models of the fixtures: what they hold, and that their tensors decode to the reference values.

use std::path::{Path, PathBuf};

use torchless_formats::{Format, Metadata, TokenizerSource};

mod places;
use places::{fixtures, open_ok};

#[test]
fn loader_reads_metadata_and_tensors() {
    let Some(fixtures) = fixtures() else { return };
    let checkpoint = open_ok(&fixtures.join("models/stories260K/stories260K-F32.gguf"));
    assert_eq!(checkpoint.format, Format::Gguf);
    assert!(matches!(checkpoint.tokenizer, TokenizerSource::Gguf));
    let Metadata::Gguf(metadata) = &checkpoint.metadata else { panic!("not GGUF metadata") };
    assert_eq!(metadata.get::<&str>("general.architecture").unwrap(), "llama");
    assert_eq!(metadata.get::<usize>("llama.embedding_length").unwrap(), 64);
    let error = metadata.get::<bool>("llama.embedding_length").unwrap_err().to_string();
    assert!(error.contains("key 'llama.embedding_length': is u32 64 where a bool is needed"), "{error}");
    let embedding = checkpoint.tensors.get("token_embd.weight").unwrap();
    assert_eq!(embedding.shape, [512, 64]);
}

/// The 49 tensors that gguf-py decoded: the first 256 values to the bit, and sums over the whole tensor.
#[test]
fn loader_decodes_as_the_reference_does() {
    let Some(fixtures) = fixtures() else { return };
    let models = fixtures.join("models");
    let golden = std::fs::read(models.join("dequant_golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let golden = golden.as_object().unwrap();
    assert!(golden.len() >= 19, "only {} golden tensors", golden.len());
    for (place, want) in golden {
        let (file, name) = place.split_once("::").unwrap();
        let checkpoint = open_ok(&models.join(file));
        let tensor = checkpoint.tensors.get(name).unwrap();
        assert_eq!(tensor.ty.info().name, want["type"].as_str().unwrap(), "{place}");
        let mut values = vec![0.0; tensor.len()];
        for (row, out) in values.chunks_mut(tensor.cols()).enumerate() {
            tensor.decode_row(row, out);
        }
        for (at, (have, want)) in values.iter().zip(want["first256"].as_array().unwrap()).enumerate() {
            let want = want.as_f64().unwrap() as f32;
            assert_eq!(have.to_bits(), want.to_bits(), "{place} value {at}: {have} is not {want}");
        }
        let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
        let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        for (have, want) in [(sum, &want["sum"]), (squares, &want["sumsq"])] {
            let want = want.as_f64().unwrap();
            assert!((have - want).abs() <= 1e-6 * squares.max(1.0), "{place}: {have} is not {want}");
        }
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the fixtures can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.join("config.json").exists() {
                found.push(path.clone());
            }
            walk(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "gguf" || ending == "safetensors") {
            found.push(path);
        }
    }
}

#[test]
fn loader_opens_every_sound_model() {
    let Some(fixtures) = fixtures() else { return };
    let mut paths = Vec::new();
    walk(&fixtures.join("models"), &mut paths);
    walk(&fixtures.join("goldens"), &mut paths);
    assert!(paths.len() > 100, "only {} models", paths.len());
    for path in paths {
        let checkpoint = open_ok(&path);
        assert!(!checkpoint.tensors.is_empty(), "{}", path.display());
        for tensor in checkpoint.tensors.iter() {
            let mut row = vec![f32::NAN; tensor.cols()];
            tensor.decode_row(tensor.rows() - 1, &mut row);
            assert!(row.iter().all(|value| value.is_finite()), "{} {}", path.display(), tensor.name);
        }
    }
}
