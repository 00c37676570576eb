//! Quantising files: what becomes of weights, of faulty ones, and of the file that is there already.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::path::{Path, PathBuf};
use torchless::formats::gguf::Header;
use torchless::formats::{Metadata, OpenOptions, open};
use torchless::{
    Calibration, Error, ErrorKind, FileType, Importance, ModelOptions, Overrides, Quantize, Quantized,
    RunPrecision, Source, TensorType, TokenId, convert_to_folder, convert_to_gguf, quantize,
    write_importance,
};

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

fn how(name: &str, requantize: bool) -> Quantize<'static> {
    Quantize {
        file: FileType::from_name(name).unwrap(),
        overrides: Overrides::default(),
        requantize,
        leave_output: false,
        importance: None,
        threads: Some(2),
    }
}

fn run(input: &Path, output: &Path, name: &str, requantize: bool) -> Result<Quantized, Error> {
    let how = how(name, requantize);
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
fn weights_that_would_become_infinite_or_be_cut_off_are_named() {
    let large = |value: f32| move |i| if i == 300 { value } else { 0.5 };
    for (name, value, shown) in [
        ("F16", -1e5, "1e5"),
        ("BF16", 3.4e38, "3.4e38"),
        ("Q8_0", 1e9, "1e9"),
        ("Q4_0", 1e9, "1e9"),
        ("Q4_1", 1e9, "1e9"),
        ("Q5_0", -1e9, "1e9"),
        ("Q5_1", 1e9, "1e9"),
        ("Q2_K", 1e9, "1e9"),
        ("Q4_K", -1e9, "1e9"),
        ("Q6_K", 1e9, "1e9"),
        ("IQ4_XS", 1e9, "1e9"),
    ] {
        let (_folder, input, output) = folder();
        write(&input, large(value));
        let error = run(&input, &output, name, false).unwrap_err().to_string();
        let start = format!("tensor 'blk.0.ffn_down.weight': row 1 has a value of {shown}, too large for ");
        assert!(error.starts_with(&start), "{name}: {error}");
        assert!(!output.exists());
    }
    for (name, value) in
        [("F16", 65504.0), ("BF16", 1e38), ("Q8_0", 1e6), ("F32", 3.4e38), ("Q4_K", 1e7), ("IQ4_XS", -1e8)]
    {
        let (_folder, input, output) = folder();
        write(&input, large(value));
        run(&input, &output, name, false).unwrap_or_else(|error| panic!("{name}: {error}"));
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

/// The mean squares of what the first matrices of the model inside meet, from its embeddings and its first norm alone.
fn first_means(ids: &[u32]) -> Vec<f64> {
    let checkpoint = Source::Inside.checkpoint().unwrap();
    let row = |name: &str, row: usize| {
        let tensor = checkpoint.tensors.get(name).unwrap();
        let mut values = vec![0.0; tensor.cols()];
        tensor.decode_row(row, &mut values);
        values
    };
    let weight = row("blk.0.attn_norm.weight", 0);
    let mut means = vec![0.0; weight.len()];
    for id in ids {
        let x = row("token_embd.weight", *id as usize);
        let square = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (square + 1e-5).sqrt();
        for ((mean, x), w) in means.iter_mut().zip(&x).zip(&weight) {
            *mean += (f64::from(*x) * scale * f64::from(*w)).powi(2) / ids.len() as f64;
        }
    }
    means
}

#[test]
fn an_importance_matrix_has_the_mean_squares_of_what_matrices_meet() {
    let folder = tempfile::tempdir().unwrap();
    let (model, output) = (folder.path().join("m.gguf"), folder.path().join("i.gguf"));
    std::fs::copy(story(), &model).unwrap();
    let ids: Vec<u32> = (0..70).map(|i| i * 17 % 1000).collect();
    let from = Calibration {
        ids: &ids.iter().map(|id| TokenId(*id)).collect::<Vec<_>>(),
        dataset: "made up",
        context: 32,
        bos: None,
        with_output: false,
    };
    let source = Source::Path(model.clone());
    let exact = ModelOptions { precision: RunPrecision::Exact, ..ModelOptions::default() };
    let done = write_importance(&source, &output, &from, &exact, &mut |_, _| {}).unwrap();
    // Seven matrices a layer; the rest of the last stretch is left out.
    assert_eq!((done.tensors, done.chunks, done.unmet), (5 * 7, 2, 0));
    let matrix = Importance::open(&output).unwrap();
    assert_eq!((matrix.chunks, matrix.datasets.as_slice()), (2, &["made up".to_owned()][..]));
    let want = first_means(&ids[..64]);
    for name in ["blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"] {
        let got = matrix.of(name).unwrap();
        for (got, want) in got.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() <= 1e-4 * want.max(1e-3), "{name}: {got} for {want}");
        }
    }
    assert!(matrix.of("output.weight").is_none());
    let made = open(&output, &OpenOptions::default()).unwrap();
    let down = made.tensors.get("blk.4.ffn_down.weight.in_sum2").unwrap();
    assert_eq!(
        (down.rows(), made.tensors.get("blk.4.ffn_down.weight.counts").unwrap().shape.clone()),
        (1, vec![1, 1])
    );
    let quantised = folder.path().join("q.gguf");
    let how = Quantize { importance: Some(&matrix), ..how("Q4_K_M", true) };
    quantize(&source, &quantised, &how, &mut |_, _| {}).unwrap();
    let refused = write_importance(&source, &model, &from, &exact, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("is read from"), "{refused}");
    let short = Calibration { context: 71, ..from };
    let refused = write_importance(&source, &output, &short, &exact, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("the text has 70 tokens"), "{refused}");
}

#[test]
fn an_importance_matrix_of_another_model_is_refused() {
    let (folder, input, output) = folder();
    write(&input, |i| (i as f32 * 0.37).sin());
    // One entry: a name, calls, and a sum per column; then calls in all and no text's name.
    let number = |n: u32| n.to_le_bytes().to_vec();
    let entry =
        [number(1), number(5), b"quark".to_vec(), number(1), number(1), 1.0f32.to_le_bytes().to_vec()];
    let path = folder.path().join("legacy.dat");
    std::fs::write(&path, entry.concat()).unwrap();
    let matrix = Importance::open(&path).unwrap();
    let how = Quantize { importance: Some(&matrix), ..how("Q4_0", false) };
    let refused = quantize(&Source::Path(input), &output, &how, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("legacy.dat: none of its 1 entries names a tensor"), "{refused}");
    assert!(!output.exists());
}

#[test]
fn a_head_that_is_the_embedding_is_left_too() {
    let (_folder, input, output) = folder();
    let mut header = Header::new();
    header.put("general.architecture", "quarks").unwrap();
    header.tensor("token_embd.weight", TensorType::F32, &[2, 256]).unwrap();
    header.tensor("blk.0.ffn_down.weight", TensorType::F32, &[2, 256]).unwrap();
    let mut writer = header.start(Vec::new()).unwrap();
    for _ in 0..2 {
        writer.write(&[0; 2 * 256 * 4]).unwrap();
    }
    std::fs::write(&input, writer.finish().unwrap()).unwrap();
    let how = Quantize { leave_output: true, ..how("Q8_0", false) };
    let source = Source::Path(input);
    quantize(&source, &output, &how, &mut |_, _| {}).unwrap();
    let made = open(&output, &OpenOptions::default()).unwrap();
    let ty = |name: &str| made.tensors.get(name).unwrap().ty;
    assert_eq!((ty("token_embd.weight"), ty("blk.0.ffn_down.weight")), (TensorType::F32, TensorType::Q8_0));
    let (q4, q5) = (Some(TensorType::Q4_0), Some(TensorType::Q5_0));
    for (leave_output, output_type, embedding, fits) in
        [(true, None, q4, false), (true, q4, None, false), (false, q4, q5, false), (false, q5, q5, true)]
    {
        let overrides = Overrides { output: output_type, embedding, ..Overrides::default() };
        let how = Quantize { leave_output, overrides, ..how };
        let done = quantize(&source, &output, &how, &mut |_, _| {});
        assert_eq!(done.as_ref().err().map(Error::kind), (!fits).then_some(ErrorKind::Usage), "{done:?}");
    }
}

/// Neither becomes a file that cannot be loaded, and no number is believed before it is held against the tensors.
#[test]
fn tensors_that_the_metadata_does_not_describe_are_named() {
    let (scratch, _, output) = folder();
    let whole = scratch.path().join("whole");
    convert_to_folder(&Source::Path(story()), &whole, TensorType::F32).unwrap();
    let config = std::fs::read_to_string(whole.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    for (key, value, words) in [
        ("num_hidden_layers", 6u32, "tensor 'model.layers.5.input_layernorm.weight' is missing"),
        ("num_hidden_layers", 4, "tensors are unused, the first is 'model.layers.4."),
        ("vocab_size", u32::MAX, "tensor 'model.embed_tokens.weight' is [1280, 128], the metadata asks for"),
        ("hidden_size", 96, "tensor 'model.embed_tokens.weight' is [1280, 128], the metadata asks for"),
        ("intermediate_size", 96, "the metadata asks for [96, 128]"),
    ] {
        let was = std::mem::replace(&mut config[key], value.into());
        std::fs::write(whole.join("config.json"), config.to_string()).unwrap();
        assert_not_made(&whole, &output, words);
        config[key] = was;
    }
}

#[test]
fn of_gguf_too() {
    let (_folder, input, output) = folder();
    let mut bytes = std::fs::read(story()).unwrap();
    let key = b"llama.block_count";
    let at = bytes.windows(key.len()).position(|found| found == key).unwrap() + key.len() + 4;
    assert_eq!(bytes[at], 5);
    bytes[at] = 4;
    std::fs::write(&input, bytes).unwrap();
    assert_not_made(&input, &output, "tensors are unused, the first is 'blk.4.");
    let other = output.with_file_name("folder");
    let error = convert_to_folder(&Source::Path(input), &other, TensorType::F32).unwrap_err().to_string();
    assert!(error.contains("'blk.4.") && !other.exists(), "{error}");
}

fn assert_not_made(input: &Path, output: &Path, words: &str) {
    let file = FileType::from_name("F32").unwrap();
    let source = Source::Path(input.to_owned());
    let converted = convert_to_gguf(&source, output, file, &mut |_, _| {}).map(drop);
    for made in [converted, run(input, output, "Q8_0", true).map(drop)] {
        let error = made.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!output.exists());
    }
}

fn story() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/story/story.gguf")
}
