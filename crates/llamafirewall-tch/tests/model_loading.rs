//! Which files load, which do not, and what is said of both.

mod support;

use llamafirewall_tch::{ModelMetadata, TchInferenceEngine, TchModel};
use support::{LABELS, folder, path, traced};
use tch::{Device, Tensor};

#[test]
fn files_and_folders_load() {
    let folder = folder(&["promptguard.pt", "mine.pt"]);
    for model in ["promptguard.pt", "mine.pt", ""] {
        let model = TchModel::load_on_device(&path(folder.path(), model), Device::Cpu).expect("a model");
        let logits = model.forward(&Tensor::from_slice(&[1_i64, 2, 3]).view([1, 3])).expect("logits");
        assert_eq!((logits.size(), model.device()), (vec![1, LABELS], Device::Cpu));
    }
}

#[test]
fn a_module_that_takes_ids_alone_loads() {
    let folder = tempfile::tempdir().expect("a folder");
    traced(false).save(folder.path().join("promptguard.pt")).expect("a file");
    std::fs::write(folder.path().join("tokenizer.json"), support::tokenizer()).expect("a file");
    let file = |name| path(folder.path(), name);
    let engine =
        TchInferenceEngine::with_device(&file("promptguard.pt"), &file("tokenizer.json"), Device::Cpu)
            .expect("an engine");
    assert!(!engine.is_told_of_padding());
    assert_eq!(engine.infer("t1 t2").expect("logits").len() as i64, LABELS);
}

#[test]
fn metadata_says_what_the_model_is() {
    let folder = folder(&["promptguard.pt"]);
    let metadata = ModelMetadata::from_file(&path(folder.path(), "promptguard.pt")).expect("metadata");
    assert_eq!(metadata.device, Device::Cpu);
    assert_eq!((metadata.input_shape, metadata.output_shape), (vec![-1, -1], vec![-1, LABELS]));
    // A trace of closures keeps weights as constants.
    assert_eq!(metadata.param_count, 0);
}

fn refused(model: &str, words: &[&str]) {
    let error = format!("{:#}", TchModel::load_on_device(model, Device::Cpu).err().expect("a refusal"));
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn what_does_not_load_says_why() {
    let folder = folder(&[]);
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
        path(folder.path(), name)
    };
    refused(&path(folder.path(), "missing.pt"), &["missing.pt", "no model"]);
    refused(&path(folder.path(), ""), &["promptguard.pt"]);
    refused(&file("text.pt", b"not a module"), &["text.pt", "TorchScript", "export_to_jit.py"]);
    refused(&file("empty.pt", b""), &["empty.pt"]);
    refused(&file("cut.pt", b"PK\x03\x04 and no more"), &["cut.pt"]);
}

#[test]
fn a_module_of_something_else_is_refused() {
    let folder = folder(&[]);
    let x = Tensor::from_slice(&[1.0_f32]);
    let mut body = |given: &[Tensor]| vec![given[0].sum(tch::Kind::Float)];
    let module = tch::CModule::create_by_tracing("Other", "forward", &[x], &mut body).expect("a trace");
    module.save(folder.path().join("other.pt")).expect("a file");
    refused(&path(folder.path(), "other.pt"), &["other.pt", "[texts, labels]"]);
}

#[test]
fn a_tokenizer_that_is_missing_or_broken_is_named() {
    let folder = folder(&["promptguard.pt"]);
    std::fs::write(folder.path().join("broken.json"), "{").expect("a file");
    for name in ["nowhere.json", "broken.json"] {
        let model =
            TchModel::load_on_device(&path(folder.path(), "promptguard.pt"), Device::Cpu).expect("a model");
        let error =
            TchInferenceEngine::with_model(model, &path(folder.path(), name)).err().expect("a refusal");
        assert!(error.to_string().contains("Failed to load tokenizer") && error.to_string().contains(name));
    }
}
