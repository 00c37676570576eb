//! GGUF files, version 2 and 3: the reader, and a writer that streams.

mod cursor;
mod reader;
mod rescaled;
mod split;
mod value;
mod writer;

pub use value::{Array, FromValue, GgufMetadata, Value, ValueType};
pub use writer::{Header, Writer};

use crate::bytes::Bytes;
use crate::checkpoint::{Checkpoint, FileInfo, Format, Metadata, TokenizerSource};
use crate::error::{FormatError, Problem};
use crate::open::Opened;

pub(crate) use reader::MAGIC;

/// Reads a GGUF file from memory; a part of a split model is refused, as the others cannot be found.
pub(crate) fn open_bytes(bytes: &Bytes) -> Result<Checkpoint, FormatError> {
    let part = reader::read(bytes)?;
    match split::place(&part.metadata)? {
        Some(place) => {
            let why = format!("is part {} of {} of a split model", place.number + 1, place.count);
            Err(FormatError::key(split::NUMBER_KEY, Problem::Set(why)))
        }
        None => checkpoint(part, Vec::new()),
    }
}

/// Reads a GGUF file, and with any part of a split model all other parts beside it.
pub(crate) fn open(opened: Opened) -> Result<Checkpoint, FormatError> {
    let (part, files) = split::read_all(opened)?;
    checkpoint(part, files)
}

fn checkpoint(part: reader::Part, files: Vec<FileInfo>) -> Result<Checkpoint, FormatError> {
    let tokenizer = tokenizer(&part.metadata)?;
    Ok(Checkpoint {
        format: Format::Gguf,
        metadata: Metadata::Gguf(part.metadata),
        tensors: rescaled::join(part.tensors)?,
        files,
        beside: Vec::new(),
        tokenizer,
    })
}

/// Where the tokenizer is. A `tokenizer.json` counts where there is no other, or where the file says what lies beside it: its writer
/// found that GGUF's own words do not say everything.
fn tokenizer(metadata: &GgufMetadata) -> Result<TokenizerSource, FormatError> {
    const CONFIG: &str = "tokenizer.torchless.config";
    // Files without a vocabulary say so in place of a tokenizer's name.
    let none = metadata.opt::<&str>("tokenizer.ggml.model").is_ok_and(|name| name == Some("no_vocab"));
    let config = metadata.opt::<&str>(CONFIG)?;
    let json = metadata.opt::<&str>("tokenizer.huggingface.json")?;
    if let Some(json) =
        json.filter(|_| none || config.is_some() || metadata.value("tokenizer.ggml.model").is_none())
    {
        let parsed = config.map(serde_json::from_str).transpose().map_err(|error| {
            FormatError::key(CONFIG, Problem::Json { what: CONFIG, why: error.to_string() })
        })?;
        return Ok(TokenizerSource::HuggingFace {
            tokenizer_json: json.as_bytes().to_vec().into(),
            tokenizer_config: parsed,
            chat_template: metadata.opt::<&str>("tokenizer.chat_template")?.map(str::to_owned),
        });
    }
    let some = !none && metadata.iter().any(|(key, _)| key.starts_with("tokenizer."));
    Ok(if some { TokenizerSource::Gguf } else { TokenizerSource::None })
}
