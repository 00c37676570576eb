//! Tiny encoders of transformers: hidden states, pooled vectors and logits; alone, in company and padded.

use super::support::{exact, fixtures, floats, max_distance, ways};
use serde_json::Value;
use std::path::{Path, PathBuf};
use torchless::{Encoder, EncoderPrecision, EncoderText, ModelOptions, Pooling, Source, TokenId};

/// The difference between the two forms of GELU is larger.
pub(super) const TOLERANCE: f32 = 2e-4;

const FAMILIES: &[&str] = &[
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "electra",
    "mpnet",
    "modernbert",
    "nomic_bert",
    "deberta-v2",
];

/// A text of a case, without its padding, and where its results are.
pub(super) struct Text {
    ids: Vec<TokenId>,
    types: Vec<u32>,
    /// Its first row among hidden states and logits of tokens.
    row: usize,
    /// Its row among results per text.
    text: usize,
}

impl Text {
    pub(super) fn given(&self) -> EncoderText<'_> {
        EncoderText { ids: &self.ids, types: &self.types }
    }
}

pub(super) struct Case {
    pub folder: PathBuf,
    pub texts: Vec<Text>,
    pub labels: usize,
    pub dim: usize,
    tokens: bool,
}

pub(super) fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().map_or(Vec::new(), |list| list.iter().map(|n| n.as_u64().unwrap() as u32).collect())
}

fn texts(expected: &Value) -> Vec<Text> {
    let mut texts = Vec::new();
    for input in expected["inputs"].as_array().unwrap() {
        let length = input["length"].as_u64().unwrap() as usize;
        for (i, ids) in input["input_ids"].as_array().unwrap().iter().enumerate() {
            let seen = numbers(&input["attention_mask"][i]).iter().filter(|&&m| m == 1).count();
            let offset = |key: &str| input[key].as_u64().unwrap() as usize;
            let (mut ids, mut types) = (numbers(ids), numbers(&input["token_type_ids"][i]));
            ids.truncate(seen);
            types.truncate(seen);
            texts.push(Text {
                ids: ids.into_iter().map(TokenId).collect(),
                types,
                row: offset("hidden_row_offset") + i * length,
                text: offset("sequence_offset") + i,
            });
        }
    }
    texts
}

pub(super) fn cases() -> Vec<Case> {
    let Some(fixtures) = fixtures() else { return Vec::new() };
    let folders = std::fs::read_dir(fixtures.join("goldens")).unwrap().map(|e| e.unwrap().path());
    let mut cases = Vec::new();
    for folder in folders.filter(|p| p.is_dir()) {
        let config = read(&folder.join("config.json"));
        if !FAMILIES.contains(&config["model_type"].as_str().unwrap()) {
            continue;
        }
        let expected = read(&folder.join("expected.json"));
        cases.push(Case {
            texts: texts(&expected),
            labels: expected["num_labels"].as_u64().unwrap_or(0) as usize,
            dim: expected["hidden_size"].as_u64().unwrap() as usize,
            tokens: expected["arch"].as_str().unwrap().ends_with("ForTokenClassification"),
            folder,
        });
    }
    cases.sort_by(|a, b| a.folder.cmp(&b.folder));
    assert!(cases.len() >= 14, "{} cases", cases.len());
    cases
}

pub(super) fn open(folder: &Path, options: &ModelOptions) -> Encoder {
    Encoder::open(&Source::Path(folder.to_owned()), options, &mut |_, _| {})
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

/// A file of results; `None` where the case has none.
fn results(case: &Case, name: &str) -> Option<Vec<f32>> {
    let path = case.folder.join(name);
    path.exists().then(|| floats(&path))
}

/// The largest distance over all results of one kind.
pub(super) fn compare(case: &Case, name: &str, width: usize, found: &[Vec<f32>]) -> Option<f32> {
    let want = results(case, name)?;
    let per_token = name == "hidden.f32" || (name == "logits.f32" && case.tokens);
    let distance = |(text, found): (&Text, &Vec<f32>)| {
        let row = if per_token { text.row } else { text.text };
        max_distance(found, &want[row * width..][..found.len()])
    };
    let worse = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    Some(case.texts.iter().zip(found).map(distance).fold(0.0, worse))
}

/// Every kind of result of a case, with its distance.
fn distances(case: &Case, encoder: &mut Encoder) -> Vec<(&'static str, f32)> {
    let texts: Vec<_> = case.texts.iter().map(Text::given).collect();
    let mut found = Vec::new();
    let mut add = |name, width, rows: &[Vec<f32>]| {
        found.extend(compare(case, name, width, rows).map(|distance| (name, distance)));
    };
    add("hidden.f32", case.dim, &encoder.hidden_ids(&texts).unwrap());
    add("mean_pool.f32", case.dim, &encoder.embed_ids(&texts).unwrap());
    if case.labels > 0 {
        add("logits.f32", case.labels, &encoder.logits_ids(&texts).unwrap());
    }
    if case.folder.join("pooler.f32").exists() {
        let mut embedding = encoder.embedding();
        embedding.pooling = Pooling::Pooler;
        encoder.set_embedding(embedding);
        add("pooler.f32", case.dim, &encoder.embed_ids(&texts).unwrap());
    }
    found
}

#[test]
fn every_way_to_run_gives_hidden_states_vectors_and_logits() {
    for case in cases() {
        for options in ways(&exact()) {
            let found = distances(&case, &mut open(&case.folder, &options));
            assert!(found.len() >= 2, "{}: {found:?}", case.folder.display());
            for (name, distance) in found {
                assert!(
                    distance < TOLERANCE,
                    "{} {name}: {distance} with {options:?}",
                    case.folder.display()
                );
            }
        }
    }
}

/// Of the largest value. bf16 has 8 bits: an error of 2^-9 per factor, and a few layers of them.
const TOLERANCE_BF16: f32 = 0.02;

#[test]
fn rounded_to_bf16_everything_stays_near() {
    let mut worst = 0.0;
    for case in cases() {
        let fast = ModelOptions { encoder_precision: EncoderPrecision::Bf16, ..ModelOptions::default() };
        for (name, distance) in distances(&case, &mut open(&case.folder, &fast)) {
            let largest = results(&case, name).unwrap().iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let off = distance / largest;
            assert!(off < TOLERANCE_BF16, "{} {name}: {distance} of {largest}", case.folder.display());
            worst = off.max(worst);
        }
    }
    eprintln!("bf16: at most {worst} of the largest value off");
}

#[test]
fn rows_that_are_no_blocks_cannot_be_bytes() {
    for case in cases() {
        let options = ModelOptions { encoder_precision: EncoderPrecision::Int8, ..ModelOptions::default() };
        let refused = Encoder::open(&Source::Path(case.folder.clone()), &options, &mut |_, _| {});
        let error = refused.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("multiples of 32"), "{}: {error}", case.folder.display());
    }
}

/// A folder with the weights of a case and another `config.json`.
fn with_config(case: &Path, config: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(case.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

#[test]
fn the_older_spelling_of_the_configuration_gives_the_same() {
    for case in cases() {
        let legacy = case.folder.join("config_legacy.json");
        if !legacy.exists() {
            continue;
        }
        let folder = with_config(&case.folder, &std::fs::read(legacy).unwrap());
        let texts: Vec<_> = case.texts.iter().map(Text::given).collect();
        let hidden = |folder: &Path| open(folder, &exact()).hidden_ids(&texts).unwrap();
        assert_eq!(hidden(folder.path()), hidden(&case.folder), "{}", case.folder.display());
    }
}

#[test]
fn company_and_threads_change_no_bit() {
    for case in cases() {
        for kernels in torchless_kernels::available() {
            let options = ModelOptions { kernels: Some(kernels.name.to_owned()), ..exact() };
            let texts: Vec<_> = case.texts.iter().map(Text::given).collect();
            let threads = ModelOptions { threads: Some(3), ..options.clone() };
            let small = ModelOptions { max_batch_tokens: Some(1), ..options.clone() };
            let all = |options: &ModelOptions| {
                let encoder = open(&case.folder, options);
                let logits = if case.labels > 0 { encoder.logits_ids(&texts).unwrap() } else { Vec::new() };
                (encoder.hidden_ids(&texts).unwrap(), encoder.embed_ids(&texts).unwrap(), logits)
            };
            let together = all(&options);
            assert_eq!(all(&threads), together, "{} on three threads", case.folder.display());
            assert_eq!(all(&small), together, "{} alone", case.folder.display());
        }
    }
}
