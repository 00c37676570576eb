//! Quantising files: what becomes of weights, of faulty ones, and of the file that is there already.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::path::{Path, PathBuf};
use torchless::formats::gguf::Header;
use torchless::formats::{Metadata, OpenOptions, open};
use torchless::{Error, FileType, Overrides, Quantize, Quantized, Source, TensorType, quantize};

/// A model file of an architecture that nobody knows: two matrices and a norm.
fn write(path: &Path, weight: impl Fn(usize) -> f32) {
    let mut header = Header::new();
    header.put("general.architecture", "quarks").unwrap();
    header.put("general.file_type", 0u32).unwrap();
    header.put("quarks.block_count", 1u32).unwrap();
    header.put("general.name", "two matrices").unwrap();
    header.tensor("blk.0.ffn_down.weight", TensorType::F32, &[3, 256]).unwrap();
    header.tensor("blk.0.ffn_up.weight", TensorType::F32, &[2, 96]).unwrap();
    header.tensor("blk.0.ffn_norm.weight", TensorType::F32, &[256]).unwrap();
    let mut writer = header.start(Vec::new()).unwrap();
    for i in 0..3 * 256 + 2 * 96 + 256 {
        writer.write(&weight(i).to_le_bytes()).unwrap();
    }
    std::fs::write(path, writer.finish().unwrap()).unwrap();
}

fn run(input: &Path, output: &Path, name: &str, requantize: bool) -> Result<Quantized, Error> {
    let how = Quantize {
        file: FileType::from_name(name).unwrap(),
        overrides: Overrides::default(),
        requantize,
        leave_output: false,
        importance: None,
        threads: Some(2),
    };
    quantize(&Source::Path(input.to_owned()), output, &how, &mut |_, _| {})
}

fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.gguf"), folder.path().join("out.gguf"));
    (folder, input, output)
}

#[test]
fn matrices_change_and_the_rest_stays() {
    let (_folder, input, output) = folder();
    write(&input, |i| (i as f32 * 0.37).sin());
    let done = run(&input, &output, "Q4_K_S", false).unwrap();
    assert_eq!((done.tensors, done.values), (3, 3 * 256 + 2 * 96 + 256));
    let made = open(&output, &OpenOptions::default()).unwrap();
    let ty = |name: &str| made.tensors.get(name).unwrap().ty;
    assert_eq!(ty("blk.0.ffn_down.weight"), TensorType::Q4_K);
    assert_eq!(ty("blk.0.ffn_up.weight"), TensorType::Q5_0, "rows of 96 values are no whole blocks of 256");
    assert_eq!(ty("blk.0.ffn_norm.weight"), TensorType::F32);
    let Metadata::Gguf(meta) = &made.metadata else { panic!("not GGUF") };
    assert_eq!(meta.get::<u32>("general.file_type").unwrap(), 14);
    assert_eq!(meta.get::<u32>("general.quantization_version").unwrap(), 2);
    assert_eq!(meta.get::<&str>("general.name").unwrap(), "two matrices");
    let mut row = [0.0; 256];
    made.tensors.get("blk.0.ffn_down.weight").unwrap().decode_row(1, &mut row);
    let off = row.iter().enumerate().map(|(i, v)| (v - ((256 + i) as f32 * 0.37).sin()).abs());
    assert!(off.fold(0.0, f32::max) < 0.1);
}

#[test]
fn threads_change_no_byte() {
    let (_folder, input, output) = folder();
    write(&input, |i| (i as f32 * 0.61).cos());
    let mut files = Vec::new();
    for threads in [1, 2, 7] {
        let how = Quantize {
            file: FileType::from_name("IQ3_S").unwrap(),
            overrides: Overrides { pure: true, ..Overrides::default() },
            requantize: false,
            leave_output: false,
            importance: None,
            threads: Some(threads),
        };
        quantize(&Source::Path(input.clone()), &output, &how, &mut |_, _| {}).unwrap();
        files.push(std::fs::read(&output).unwrap());
    }
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn weights_that_are_not_finite_are_named_and_nothing_is_written() {
    for (at, bad, what) in [
        (300, f32::NAN, "tensor 'blk.0.ffn_down.weight': row 1, column 44 is NaN"),
        (3 * 256 + 5, f32::INFINITY, "tensor 'blk.0.ffn_up.weight': row 0, column 5 is inf"),
        (3 * 256 + 192, f32::NEG_INFINITY, "tensor 'blk.0.ffn_norm.weight': row 0, column 0 is -inf"),
    ] {
        let (folder, input, output) = folder();
        write(&input, |i| if i == at { bad } else { 0.5 });
        std::fs::write(&output, "precious").unwrap();
        let error = run(&input, &output, "Q8_0", false).unwrap_err().to_string();
        assert!(error.starts_with(what), "{error}");
        assert_eq!(std::fs::read(&output).unwrap(), b"precious");
        assert_eq!(folder.path().read_dir().unwrap().count(), 2, "no part is left behind");
    }
}

#[test]
fn a_file_is_not_written_over_itself() {
    let (_folder, input, _) = folder();
    write(&input, |_| 0.5);
    let before = std::fs::read(&input).unwrap();
    let error = run(&input, &input, "Q8_0", false).unwrap_err();
    assert!(error.to_string().contains("is read from"), "{error}");
    assert_eq!(std::fs::read(&input).unwrap(), before);
}

#[test]
fn quantised_weights_are_quantised_again_only_when_asked() {
    let (folder, input, output) = folder();
    write(&input, |i| (i as f32 * 0.37).sin());
    run(&input, &output, "Q8_0", false).unwrap();
    let again = folder.path().join("again.gguf");
    let error = run(&output, &again, "Q4_0", false).unwrap_err().to_string();
    assert!(error.contains("'blk.0.ffn_down.weight': is Q8_0 already"), "{error}");
    run(&output, &again, "Q4_0", true).unwrap();
    let made = open(&again, &OpenOptions::default()).unwrap();
    assert_eq!(made.tensors.get("blk.0.ffn_down.weight").unwrap().ty, TensorType::Q4_0);
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let (_folder, input, _) = folder();
    write(&input, |_| 0.5);
    let nowhere = input.with_file_name("missing").join("out.gguf");
    let error = run(&input, &nowhere, "Q8_0", false).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
