//! Facts of a model file that the library takes for granted, and ends the process over.

use std::collections::HashSet;
use std::path::Path;

use torchless_formats::gguf::{GgufMetadata, Value, ValueType};
use torchless_formats::{Checkpoint, Metadata};

use crate::{Error, Library};

/// Layers that the library has room for, in every release.
const MOST_LAYERS: u64 = 512;

/// Lists beside the tokens: their names, the types of their elements, and whether there has to be one for each token. Older releases read
/// them without a look at either.
const LISTS: [(&str, &[ValueType], bool); 4] = [
    ("tokenizer.ggml.tokens", &[ValueType::String], true),
    ("tokenizer.ggml.merges", &[ValueType::String], false),
    ("tokenizer.ggml.scores", &[ValueType::F32], true),
    ("tokenizer.ggml.token_type", &[ValueType::I32, ValueType::U32], true),
];

/// Refuses numbers of layers, bounds of norms and vocabularies that the library does not survive.
pub fn check(library: Library, path: &Path, checkpoint: &Checkpoint) -> Result<(), Error> {
    let Metadata::Gguf(metadata) = &checkpoint.metadata else { return Ok(()) };
    let refuse = |said: String| Err(Error::Load { path: path.to_owned(), said });
    for (key, value) in metadata.iter() {
        if let Some(fault) = fault(key, value) {
            return refuse(fault);
        }
    }
    if let Some(fault) = size_fault(library, metadata) {
        return refuse(fault);
    }
    if let Some(fault) = LISTS.iter().find_map(|list| list_fault(metadata, list)) {
        return refuse(fault);
    }
    Ok(())
}

fn fault(key: &str, value: &Value) -> Option<String> {
    let number = match value {
        Value::F32(number) => Some(f64::from(*number)),
        Value::F64(number) => Some(*number),
        _ => None,
    };
    if key.ends_with("epsilon") && number.is_some_and(|number| !number.is_finite() || number < 0.0) {
        return Some(format!("{key} is {}, it has to be a number from 0 on", value.describe()));
    }
    let layers = key.ends_with(".block_count").then_some(value);
    let Some(Value::Int(_, layers)) = layers else { return None };
    let fits = u64::try_from(*layers).is_ok_and(|layers| (1..=MOST_LAYERS).contains(&layers));
    (!fits).then(|| format!("{key} is {layers}, it has to be 1 to {MOST_LAYERS}"))
}

/// Numbers of layers by which releases up to the spring of 2025 know the sizes of two families; over others they end the process.
const SIZES: [(&str, &[i128]); 2] = [("gemma2", &[26, 42, 46]), ("baichuan", &[32, 40])];

fn size_fault(library: Library, metadata: &GgufMetadata) -> Option<String> {
    let arch = metadata.opt::<&str>("general.architecture").ok()??;
    let (_, known) = SIZES.iter().find(|(name, _)| *name == arch)?;
    let Some(Value::Int(_, layers)) = metadata.value(&format!("{arch}.block_count")) else { return None };
    let fits = library.functions().memory_clear.is_some() || known.contains(layers);
    (!fits).then(|| {
        format!("this release knows {arch} with {known:?} layers only, not {layers}; take a newer one")
    })
}

fn list_fault(metadata: &GgufMetadata, list: &(&str, &[ValueType], bool)) -> Option<String> {
    let (key, types, one_each) = *list;
    let Value::Array(values) = metadata.value(key)? else { return Some(format!("{key} is no list")) };
    if !types.contains(&values.ty()) {
        return Some(format!("{key} has elements of the type {}", values.ty().name()));
    }
    let Some(Value::Array(tokens)) = metadata.value("tokenizer.ggml.tokens") else {
        return Some(format!("{key} belongs to tokens that are not there"));
    };
    (one_each && values.len() != tokens.len())
        .then(|| format!("{key} has {} entries for {} tokens", values.len(), tokens.len()))
}

/// What a vocabulary that falls back on bytes has no tokens for: the library ends the process over a text with it.
#[derive(Debug)]
pub struct Holes {
    bytes: [bool; 256],
    characters: HashSet<char>,
}

impl Holes {
    /// The holes of a model's vocabulary; `None` where there are none.
    pub fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let Metadata::Gguf(metadata) = &checkpoint.metadata else { return None };
        let falls_back =
            metadata.opt::<&str>("tokenizer.ggml.model").is_ok_and(|model| model == Some("llama"));
        let Value::Array(tokens) = metadata.value("tokenizer.ggml.tokens").filter(|_| falls_back)? else {
            return None;
        };
        let short: HashSet<&str> = tokens.strings()?.iter().filter(|token| token.len() <= 6).collect();
        let bytes = std::array::from_fn(|byte| !short.contains(format!("<0x{byte:02X}>").as_str()));
        let single = |token: &&str| token.chars().nth(1).is_none().then(|| token.chars().next()).flatten();
        let characters = short.iter().filter_map(single).collect();
        bytes.contains(&true).then_some(Self { bytes, characters })
    }

    /// The first character of a text that falls into one. The library writes spaces as U+2581, and puts one first.
    pub fn first_in(&self, text: &str) -> Option<char> {
        let written = std::iter::once(' ').chain(text.chars()).map(|c| if c == ' ' { '\u{2581}' } else { c });
        let mut characters = written.filter(|c| !self.characters.contains(c));
        characters.find(|c| c.encode_utf8(&mut [0; 4]).bytes().any(|byte| self.bytes[usize::from(byte)]))
    }
}
