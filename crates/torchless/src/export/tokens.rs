//! The tokenizer of a checkpoint in the metadata of a GGUF file.

use crate::Error;
use crate::vocabulary;
use torchless_formats::gguf::Value;
use torchless_formats::{Checkpoint, StringTable, TokenizerSource};
use torchless_tokenizer::GgufVocab;

/// Longer texts are no metadata any more.
const MAX_JSON: usize = 15 << 20;
/// The whole of a tokenizer.json.
const JSON: &str = "tokenizer.huggingface.json";
/// Of what lies beside it, the tokenizer_config.json. A file that has it is read by its tokenizer.json.
const CONFIG: &str = "tokenizer.torchless.config";
const MODEL: &str = "tokenizer.ggml.model";
const NO_VOCAB: &str = "no_vocab";

/// The tokenizer of a checkpoint for a GGUF file.
pub(super) struct Tokens {
    /// All keys.
    pub metadata: Vec<(String, Value)>,
    /// Whether they give the same ids in every case that was tried.
    pub exact: bool,
}

/// Everything that GGUF can say of the tokenizer of `checkpoint`, whose model has `rows` tokens: its vocabulary where GGUF's
/// words give the same ids, and the original, if it is a tokenizer.json, where they do not give them in every case.
///
/// # Errors
/// The tokenizer is broken, or has more tokens than the model.
pub(super) fn metadata(checkpoint: &Checkpoint, rows: usize) -> Result<Tokens, Error> {
    let mut keys = Vec::new();
    let none = || vec![(MODEL.to_owned(), Value::from(NO_VOCAB))];
    let nothing = || Tokens { metadata: none(), exact: true };
    let (file, original, config) = match &checkpoint.tokenizer {
        TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, .. } => {
            (tokenizer_json, Some(tokenizer_json), tokenizer_config)
        }
        TokenizerSource::File { bytes, tokenizer_config, .. } => (bytes, None, tokenizer_config),
        _ => return Ok(nothing()),
    };
    let Some(tokenizer) = vocabulary::tokenizer(checkpoint)? else { return Ok(nothing()) };
    vocabulary::fits_vocab(&tokenizer, rows)?;
    let words = tokenizer.in_gguf(file, rows);
    let exact = words.as_ref().is_some_and(|words| words.exact);
    let has_words = words.is_some();
    match words {
        Some(words) => keys.extend(vocab(&words.vocab)?),
        None => keys.extend(none()),
    }
    let json = original.filter(|_| !exact).map(|json| without_space(json));
    let json = json.as_ref().and_then(|json| std::str::from_utf8(json).ok());
    let json = json.filter(|json| json.len() <= MAX_JSON);
    if let Some(json) = json {
        let config = config.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
        keys.push((JSON.to_owned(), json.into()));
        keys.push((CONFIG.to_owned(), config[..].into()));
    }
    let end: Vec<u32> = tokenizer.end_ids().iter().map(|id| id.0).collect();
    keys.push(("tokenizer.torchless.end_token_ids".to_owned(), Value::from(&end[..])));
    if let Some(template) = vocabulary::chat_template(checkpoint)? {
        keys.push(("tokenizer.chat_template".to_owned(), template[..].into()));
    }
    Ok(Tokens { metadata: keys, exact: exact || json.is_some() || !has_words })
}

/// Whether a file with this metadata takes token ids only.
pub(super) fn has_none(metadata: &[(String, Value)]) -> bool {
    let value = |key: &str| metadata.iter().find(|(there, _)| there == key).map(|(_, value)| value);
    value(JSON).is_none() && matches!(value(MODEL), Some(Value::String(name)) if name == NO_VOCAB)
}

fn vocab(vocab: &GgufVocab<'_>) -> Result<Vec<(String, Value)>, Error> {
    let numbers = [
        ("bos_token_id", vocab.bos),
        ("eos_token_id", vocab.eos),
        ("eot_token_id", vocab.eot),
        ("eom_token_id", vocab.eom),
        ("unknown_token_id", vocab.unk),
        ("padding_token_id", vocab.pad),
    ];
    let flags = [
        ("add_bos_token", vocab.add_bos),
        ("add_eos_token", vocab.add_eos),
        ("add_space_prefix", vocab.add_space_prefix),
        ("remove_extra_whitespaces", vocab.remove_extra_whitespaces),
    ];
    let texts = vocab.tokens.iter().map(|text| String::from_utf8_lossy(text).into_owned());
    let merges = vocab.merges.as_ref().map(|merges| strings(merges.iter().cloned())).transpose()?;
    let lists = [
        ("tokens", Some(strings(texts)?)),
        ("scores", vocab.scores.as_deref().map(Value::from)),
        ("token_type", vocab.types.as_deref().map(Value::from)),
        ("merges", merges),
        ("precompiled_charsmap", vocab.charsmap.as_deref().map(Value::from)),
    ];
    let names =
        [("model", Some(vocab.model)), ("pre", vocab.pre)].map(|(key, name)| (key, name.map(Value::from)));
    let numbers = numbers.map(|(key, id)| (key, id.map(Value::from)));
    let flags = flags.map(|(key, flag)| (key, flag.map(Value::from)));
    let all = names.into_iter().chain(lists).chain(numbers).chain(flags);
    Ok(all.filter_map(|(key, value)| Some((format!("tokenizer.ggml.{key}"), value?))).collect())
}

fn strings(mut all: impl Iterator<Item = String>) -> Result<Value, Error> {
    let mut table = StringTable::new();
    match all.all(|text| table.push(&text)) {
        true => Ok(table.into()),
        false => Err(Error::Mismatch("its vocabulary has more than 4 GiB of text".to_owned())),
    }
}

/// JSON without the space between its parts.
fn without_space(json: &[u8]) -> Vec<u8> {
    let (mut within, mut escaped) = (false, false);
    let keep = |byte: &u8| {
        let keeps = within || !byte.is_ascii_whitespace();
        (within, escaped) = match (*byte, within, escaped) {
            (b'"', _, false) => (!within, false),
            (b'\\', true, false) => (true, true),
            _ => (within, false),
        };
        keeps
    };
    json.iter().copied().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_goes_between_parts_and_stays_within_texts() {
        let json = b"{ \"a \\\" b\" : [ 1,\n\t\"\\\\\" , \" c\" ] }";
        assert_eq!(without_space(json), b"{\"a \\\" b\":[1,\"\\\\\",\" c\"]}");
    }
}
