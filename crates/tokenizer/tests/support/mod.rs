//! Reads the fixtures: just enough of GGUF to find the tokenizer keys, gzip, and lines of JSON.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use torchless_tokenizer::{GgufVocab, Tokenizer, TokenizerError};

/// The folder of fixtures, if the environment names one.
pub fn fixtures() -> Option<PathBuf> {
    let path = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
    }
    path
}

/// The contents of a file, unpacked if it is gzipped.
pub fn bytes(path: &Path) -> Vec<u8> {
    let raw = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_none_or(|ext| ext != "gz") {
        return raw;
    }
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(raw.as_slice()).read_to_end(&mut out).unwrap();
    out
}

#[derive(Debug, Clone)]
pub enum Value {
    Int(u64),
    Float(f32),
    Text(Vec<u8>),
    List(Vec<Value>),
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self.0.split_first_chunk().unwrap();
        self.0 = tail;
        *head
    }

    fn text(&mut self) -> Vec<u8> {
        let len = u64::from_le_bytes(self.take()) as usize;
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        head.to_vec()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            0 | 1 | 7 => Value::Int(self.take::<1>()[0].into()),
            2 | 3 => Value::Int(u16::from_le_bytes(self.take()).into()),
            4 | 5 => Value::Int(u32::from_le_bytes(self.take()).into()),
            6 => Value::Float(f32::from_le_bytes(self.take())),
            8 => Value::Text(self.text()),
            9 => {
                let (kind, len) = (u32::from_le_bytes(self.take()), u64::from_le_bytes(self.take()));
                Value::List((0..len).map(|_| self.value(kind)).collect())
            }
            10..=12 => Value::Int(u64::from_le_bytes(self.take())),
            other => panic!("type {other}"),
        }
    }
}

/// The tokenizer of a GGUF file.
pub fn from_gguf(path: &Path) -> Result<Tokenizer, TokenizerError> {
    with_gguf(path, Tokenizer::from_gguf)
}

/// What `make` makes of the tokenizer keys of a GGUF file.
pub fn with_gguf<T>(path: &Path, make: impl FnOnce(GgufVocab<'_>) -> T) -> T {
    let data = bytes(path);
    let mut reader = Reader(&data[16..]);
    let mut keys = HashMap::new();
    for _ in 0..u64::from_le_bytes(reader.take()) {
        let key = String::from_utf8(reader.text()).unwrap();
        let kind = u32::from_le_bytes(reader.take());
        keys.insert(key, reader.value(kind));
    }
    let list = |key: &str| match keys.get(&format!("tokenizer.ggml.{key}")) {
        Some(Value::List(values)) => Some(values.clone()),
        _ => None,
    };
    let text = |key: &str| match keys.get(&format!("tokenizer.ggml.{key}")) {
        Some(Value::Text(text)) => Some(String::from_utf8(text.clone()).unwrap()),
        _ => None,
    };
    let int = |key: &str| match keys.get(&format!("tokenizer.ggml.{key}")) {
        Some(Value::Int(value)) => Some(*value as u32),
        _ => None,
    };
    let words = |key: &str| {
        let word = |value| if let Value::Text(text) = value { text } else { Vec::new() };
        list(key).map(|values| values.into_iter().map(word).collect::<Vec<_>>())
    };
    let (model, pre) = (text("model").unwrap_or_default(), text("pre"));
    make(GgufVocab {
        model: &model,
        pre: pre.as_deref(),
        tokens: words("tokens").unwrap_or_default(),
        scores: list("scores").map(|values| {
            values.into_iter().map(|v| if let Value::Float(score) = v { score } else { f32::NAN }).collect()
        }),
        types: list("token_type").map(|values| {
            values.into_iter().map(|v| if let Value::Int(kind) = v { kind as i32 } else { -1 }).collect()
        }),
        merges: words("merges")
            .map(|values| values.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()),
        bos: int("bos_token_id"),
        eos: int("eos_token_id"),
        eot: int("eot_token_id"),
        eom: int("eom_token_id"),
        unk: int("unknown_token_id"),
        pad: int("padding_token_id"),
        more_end_ids: Vec::new(),
        add_bos: int("add_bos_token").map(|value| value != 0),
        add_eos: int("add_eos_token").map(|value| value != 0),
        sep: int("seperator_token_id"),
        cls: int("cls_token_id"),
        add_space_prefix: int("add_space_prefix").map(|value| value != 0),
        remove_extra_whitespaces: int("remove_extra_whitespaces").map(|value| value != 0),
        charsmap: list("precompiled_charsmap").map(|values| {
            values.into_iter().map(|v| if let Value::Int(byte) = v { byte as u8 } else { 0 }).collect()
        }),
        lowercase: int("normalizer.lowercase").map(|value| value != 0),
        strip_accents: int("normalizer.strip_accents").map(|value| value != 0),
    })
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let sign = |place: usize| char::from(SIGNS[(bits >> (18 - 6 * place)) as usize & 63]);
        out.extend((0..4).map(|place| if place <= chunk.len() { sign(place) } else { '=' }));
    }
    out
}
