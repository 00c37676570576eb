//! Checkpoints of any family: metadata as given, and the tensors that loading asks for, one by one.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use crate::support::Tiny;
use serde_json::Value as Json;
use torchless_device::Pairing;
use torchless_device::Recorder;
use torchless_formats::gguf::{Array, Value, ValueType};
use torchless_formats::{Checkpoint, Format, Metadata};
use torchless_model::{LoadOptions, ModelError, ModelSpec, NormWeight, load, spec};

/// A checkpoint of the tensors in `tensors` with this `config.json`.
pub fn json(config: &Json, tensors: &[(String, Vec<usize>)]) -> Checkpoint {
    let tensors = if tensors.is_empty() { vec![("nothing".to_owned(), vec![1])] } else { tensors.to_vec() };
    let mut checkpoint = Tiny { metadata: Tiny::llama().metadata, tensors }.checkpoint();
    checkpoint.format = Format::Safetensors;
    checkpoint.metadata = Metadata::HuggingFace { config: config.clone(), generation_config: None };
    checkpoint
}

/// What `config.json` says.
pub fn spec_of_json(config: &Json) -> Result<ModelSpec, ModelError> {
    spec(&json(config, &[]))
}

/// What the metadata of a GGUF file says, keys without the architecture's name; `tensors` are those that count by being there.
pub fn spec_of_gguf(arch: &str, keys: &[(&str, Value)], tensors: &[&str]) -> Result<ModelSpec, ModelError> {
    let mut metadata = vec![("general.architecture".to_owned(), Value::String(arch.to_owned()))];
    let whole = |key: &str| {
        if key.starts_with("torchless.") { key.to_owned() } else { format!("{arch}.{key}") }
    };
    metadata.extend(keys.iter().map(|(k, v)| (whole(k), v.clone())));
    let mut tensors: Vec<_> = tensors.iter().map(|name| ((*name).to_owned(), vec![1])).collect();
    tensors.push(("nothing".to_owned(), vec![1]));
    spec(&Tiny { metadata, tensors }.checkpoint())
}

pub fn number(x: f32) -> Value {
    Value::F32(x)
}

pub fn flags(values: &[bool]) -> Value {
    let bytes: Vec<u8> = values.iter().map(|v| u8::from(*v)).collect();
    Value::Array(Array::Numbers { ty: ValueType::Bool, bytes: bytes.into() })
}

/// A specification without what depends on the format alone: its name, the order of rows, norms stored less 1.
pub fn settled(spec: ModelSpec) -> ModelSpec {
    use torchless_model::Mixer;
    let mut spec = torchless_model::own_words::with_exact_functions(spec);
    spec.arch.clear();
    let whole = |weight: &mut NormWeight| {
        if *weight == NormWeight::LessOne {
            *weight = NormWeight::Plain;
        }
    };
    whole(&mut spec.final_norm.weight);
    for layer in &mut spec.layers {
        whole(&mut layer.norm.weight);
        let Mixer::Attention(attn) = &mut layer.mixer else { continue };
        attn.qk_norm.iter_mut().for_each(|n| whole(&mut n.norm.weight));
        attn.rope.iter_mut().for_each(|r| r.pairing = Pairing::Halves);
    }
    spec
}

/// The tensors that a model with this `config.json` asks for.
pub fn tensors_for(config: &Json) -> Vec<(String, Vec<usize>)> {
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    for _ in 0..500 {
        let checkpoint = json(config, &tensors);
        let spec = spec(&checkpoint).unwrap();
        let device = Box::new(Recorder::new());
        match load(&checkpoint, spec, device, &LoadOptions::default(), &mut |_, _| {}) {
            Ok(_) => return tensors,
            Err(ModelError::MissingTensor { name }) => tensors.push((name, vec![1])),
            Err(ModelError::Shape { name, expected, .. }) => {
                tensors.iter_mut().filter(|(n, _)| *n == name).for_each(|(_, s)| *s = expected.clone());
            }
            Err(ModelError::UnusedTensors { first, .. }) if first == "nothing" => {}
            Err(e) => panic!("{e}"),
        }
    }
    panic!("never satisfied: {tensors:?}");
}
