//! The tokenizer and the chat template that a checkpoint brings along.

use crate::Error;
use std::path::Path;

use serde_json::Value as Json;
use torchless_base::TokenId;
use torchless_formats::gguf::GgufMetadata;
use torchless_formats::gguf::{Array, Value};
use torchless_formats::{Checkpoint, Format, FormatError, Metadata, OpenOptions, TokenizerSource};
use torchless_model::ModelSpec;
use torchless_tokenizer::{Beside, GgufVocab, Tokenizer};

/// The tokenizer of a checkpoint; `None` where it has none.
///
/// # Errors
/// There is one, and it is broken or of an unknown kind.
pub fn tokenizer(checkpoint: &Checkpoint) -> Result<Option<Tokenizer>, Error> {
    read(checkpoint).map_err(|error| match (error, place(checkpoint)) {
        (Error::Tokenizer(source), Some(path)) => Error::ModelTokenizer { path: path.to_owned(), source },
        (error, _) => error,
    })
}

/// Where a model is: its file, or the folder that it is in with others.
fn place(checkpoint: &Checkpoint) -> Option<&Path> {
    let file = checkpoint.files.first()?.path.as_path();
    match checkpoint.format {
        Format::Safetensors => Some(file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(file)),
        Format::Gguf | Format::Native => Some(file),
    }
}

fn read(checkpoint: &Checkpoint) -> Result<Option<Tokenizer>, Error> {
    let mut tokenizer = match (&checkpoint.tokenizer, &checkpoint.metadata) {
        (TokenizerSource::None, _) => return Ok(None),
        (TokenizerSource::Gguf, Metadata::Gguf(meta)) => Tokenizer::from_gguf(gguf_vocab(meta)?)?,
        (TokenizerSource::Native(native), _) => {
            let vocab = native.iter().map(|(text, id)| (text.to_owned(), id));
            let merges = native.merge_pairs().map(|(a, b)| (a.to_owned(), b.to_owned()));
            Tokenizer::from_native(vocab, merges)?
        }
        (source, _) => from_file(source)?,
    };
    let mut ends = end_ids(&checkpoint.metadata)?;
    if let Metadata::Gguf(meta) = &checkpoint.metadata {
        ends.extend(more_end_ids(meta)?.into_iter().map(TokenId));
    }
    tokenizer.add_end_ids(&ends)?;
    Ok(Some(tokenizer))
}

/// The tokenizer at a path that holds one and no model: a tokenizer file, or a folder with one.
///
/// `None` where the path is a model, which brings its own.
///
/// # Errors
/// The path cannot be read, or the tokenizer is broken or of an unknown kind.
pub fn tokenizer_at(path: &Path) -> Result<Option<Tokenizer>, Error> {
    let source = torchless_formats::tokenizer_at(path, &OpenOptions::default())?;
    let read = source.as_ref().map(from_file).transpose();
    read.map_err(|error| match error {
        Error::Tokenizer(source) => Error::ModelTokenizer { path: path.to_owned(), source },
        error => error,
    })
}

/// The tokenizer of a file with what lies beside it.
fn from_file(source: &TokenizerSource) -> Result<Tokenizer, Error> {
    let (file, config) = match source {
        TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, .. } => {
            (tokenizer_json, tokenizer_config)
        }
        TokenizerSource::File { bytes, tokenizer_config, .. } => (bytes, tokenizer_config),
        _ => return Err(Error::Mismatch("a tokenizer of an unknown kind".to_owned())),
    };
    let config = config.as_ref().map(Json::to_string);
    let tokenizer_config = config.as_deref().map(str::as_bytes);
    Ok(Tokenizer::from_bytes(file, Beside { tokenizer_config, ..Beside::default() })?)
}

/// Whether tokenizer and model belong together: every token has its row in the model, which may have more.
///
/// # Errors
/// The tokenizer has tokens that the model does not know.
pub fn fits(tokenizer: &Tokenizer, spec: &ModelSpec) -> Result<(), Error> {
    fits_vocab(tokenizer, spec.vocab)
}

/// [`fits`] for a model of `vocab` tokens.
///
/// # Errors
/// As [`fits`].
pub(crate) fn fits_vocab(tokenizer: &Tokenizer, vocab: usize) -> Result<(), Error> {
    let tokens = tokenizer.vocab_size();
    if tokens > vocab {
        let reason =
            format!("the tokenizer has {tokens} tokens, the model {vocab}: they do not belong together");
        return Err(Error::Mismatch(reason));
    }
    Ok(())
}

/// Whether all of `ids` are in a vocabulary of `vocab` tokens.
///
/// # Errors
/// One is not.
pub fn check_ids(ids: &[TokenId], vocab: usize) -> Result<(), Error> {
    match ids.iter().find(|id| id.index() >= vocab) {
        None => Ok(()),
        Some(id) => Err(Error::Option(format!(
            "token {id} is not in the vocabulary, whose ids go from 0 to {}",
            vocab.saturating_sub(1)
        ))),
    }
}

/// The Jinja source of the checkpoint's chat template.
///
/// # Errors
/// There is something in its place that is no text.
pub fn chat_template(checkpoint: &Checkpoint) -> Result<Option<String>, Error> {
    Ok(match (&checkpoint.tokenizer, &checkpoint.metadata) {
        (
            TokenizerSource::HuggingFace { chat_template, .. } | TokenizerSource::File { chat_template, .. },
            _,
        ) => chat_template.clone(),
        (TokenizerSource::Native(native), _) => native.chat_template.clone(),
        (_, Metadata::Gguf(meta)) => meta.opt::<&str>("tokenizer.chat_template")?.map(str::to_owned),
        _ => None,
    })
}

/// Ids that end a reply, one or a list, as the model's own configuration names them.
fn end_ids(metadata: &Metadata) -> Result<Vec<TokenId>, Error> {
    let configs = match metadata {
        Metadata::HuggingFace { config, generation_config } => [Some(config), generation_config.as_ref()],
        Metadata::Native(header) => [Some(header), None],
        _ => return Ok(Vec::new()),
    };
    let mut ids = Vec::new();
    for value in configs.into_iter().flatten().filter_map(|c| c.get("eos_token_id")) {
        let list = match value {
            Json::Null => &[],
            Json::Array(list) => &list[..],
            one => std::slice::from_ref(one),
        };
        for id in list {
            // The native header has some numbers as text.
            let whole = id.as_u64().or_else(|| id.as_str()?.parse().ok());
            let id = whole.and_then(|n| u32::try_from(n).ok()).map(TokenId);
            ids.push(id.ok_or_else(|| {
                Error::Mismatch(format!(
                    "eos_token_id is {value}: it has to be a token id, or a list of them"
                ))
            })?);
        }
    }
    Ok(ids)
}

/// Ids that end a reply, which GGUF has only three keys for.
fn more_end_ids(meta: &GgufMetadata) -> Result<Vec<u32>, FormatError> {
    let ids = meta.opt::<&Array>("tokenizer.torchless.end_token_ids")?.and_then(Array::integers);
    Ok(ids.map(|ids| ids.map(|id| u32::try_from(id).unwrap_or(u32::MAX)).collect()).unwrap_or_default())
}

/// The words of a GGUF file for its tokenizer.
///
/// # Errors
/// A key is of another kind.
pub(crate) fn gguf_vocab(meta: &GgufMetadata) -> Result<GgufVocab<'_>, FormatError> {
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
        sep: id("seperator_token_id")?,
        cls: id("cls_token_id")?,
        add_space_prefix: flag("add_space_prefix")?,
        remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
        // Some files have its bytes with a sign.
        charsmap: array("precompiled_charsmap")?
            .and_then(Array::integers)
            .map(|bytes| bytes.map(|byte| byte as u8).collect()),
        lowercase: flag("normalizer.lowercase")?,
        strip_accents: flag("normalizer.strip_accents")?,
    })
}
