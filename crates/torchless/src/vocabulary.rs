//! The tokenizer and the chat template that a checkpoint brings along.

use crate::Error;
use serde_json::Value as Json;
use torchless_base::TokenId;
use torchless_formats::gguf::{Array, Value};
use torchless_formats::{Checkpoint, FormatError, Metadata, TokenizerSource, gguf::GgufMetadata};
use torchless_tokenizer::{GgufVocab, Tokenizer};

/// The tokenizer of a checkpoint; `None` where it has none.
///
/// # Errors
/// There is one, and it is broken or of an unknown kind.
pub fn tokenizer(checkpoint: &Checkpoint) -> Result<Option<Tokenizer>, Error> {
    let mut tokenizer = match (&checkpoint.tokenizer, &checkpoint.metadata) {
        (TokenizerSource::None, _) => return Ok(None),
        (TokenizerSource::Gguf, Metadata::Gguf(meta)) => Tokenizer::from_gguf(gguf_vocab(meta)?)?,
        (TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, .. }, _) => {
            let config = tokenizer_config.as_ref().map(Json::to_string);
            Tokenizer::from_tokenizer_json(tokenizer_json, config.as_deref().map(str::as_bytes))?
        }
        (TokenizerSource::Native(native), _) => {
            let vocab = native.iter().map(|(text, id)| (text.to_owned(), id));
            let merges = native.merge_pairs().map(|(a, b)| (a.to_owned(), b.to_owned()));
            Tokenizer::from_native(vocab, merges)?
        }
        _ => return Err(Error::Mismatch("a tokenizer of an unknown kind".to_owned())),
    };
    tokenizer.add_end_ids(&end_ids(&checkpoint.metadata))?;
    Ok(Some(tokenizer))
}

/// The Jinja source of the checkpoint's chat template.
pub fn chat_template(checkpoint: &Checkpoint) -> Option<String> {
    match (&checkpoint.tokenizer, &checkpoint.metadata) {
        (TokenizerSource::HuggingFace { chat_template, .. }, _) => chat_template.clone(),
        (_, Metadata::Gguf(meta)) => {
            meta.opt::<&str>("tokenizer.chat_template").ok().flatten().map(str::to_owned)
        }
        _ => None,
    }
}

/// Ids that end a reply, one or a list, as the model's own configuration names them.
fn end_ids(metadata: &Metadata) -> Vec<TokenId> {
    let Metadata::HuggingFace { config, generation_config } = metadata else { return Vec::new() };
    let ids = [Some(config), generation_config.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|c| c.get("eos_token_id"));
    let one = |v: &Json| v.as_u64().and_then(|n| u32::try_from(n).ok()).map(TokenId);
    ids.flat_map(|v| match v {
        Json::Array(list) => list.iter().filter_map(one).collect::<Vec<_>>(),
        single => one(single).into_iter().collect(),
    })
    .collect()
}

fn gguf_vocab(meta: &GgufMetadata) -> Result<GgufVocab<'_>, FormatError> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let id = |name: &str| meta.opt::<u32>(&key(name));
    let flag = |name: &str| meta.opt::<bool>(&key(name));
    let array = |name: &str| meta.opt::<&Array>(&key(name));
    let strings = |name: &str| Ok::<_, FormatError>(array(name)?.and_then(Array::strings));
    let tokens = meta.get::<&Array>(&key("tokens"))?.strings();
    let types = array("token_type")?.and_then(Array::integers);
    let pre = match meta.value(&key("pre")) {
        Some(Value::String(s)) => Some(s.as_str()),
        _ => meta.opt::<&str>(&key("pre"))?,
    };
    Ok(GgufVocab {
        model: meta.get::<&str>(&key("model"))?,
        pre,
        tokens: tokens.map(|t| t.iter().map(|s| s.as_bytes().to_vec()).collect()).unwrap_or_default(),
        scores: array("scores")?.and_then(Array::floats).map(Iterator::collect),
        types: types.map(|t| t.map(|n| i32::try_from(n).unwrap_or(-1)).collect()),
        merges: strings("merges")?.map(|m| m.iter().map(str::to_owned).collect()),
        bos: id("bos_token_id")?,
        eos: id("eos_token_id")?,
        eot: id("eot_token_id")?,
        eom: id("eom_token_id")?,
        unk: id("unknown_token_id")?,
        pad: id("padding_token_id")?,
        more_end_ids: Vec::new(),
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
        remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
    })
}
