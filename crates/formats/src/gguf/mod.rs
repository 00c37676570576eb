//! GGUF files, version 2 and 3: the reader, and a writer that streams.

mod cursor;
mod reader;
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
        None => Ok(checkpoint(part, Vec::new())),
    }
}

/// Reads a GGUF file, and with any part of a split model all other parts beside it.
pub(crate) fn open(opened: Opened) -> Result<Checkpoint, FormatError> {
    let (part, files) = split::read_all(opened)?;
    Ok(checkpoint(part, files))
}

fn checkpoint(part: reader::Part, files: Vec<FileInfo>) -> Checkpoint {
    // Files without a vocabulary say so in place of a tokenizer's name.
    let none = part.metadata.opt::<&str>("tokenizer.ggml.model").is_ok_and(|name| name == Some("no_vocab"));
    let has_tokenizer = !none && part.metadata.iter().any(|(key, _)| key.starts_with("tokenizer."));
    Checkpoint {
        format: Format::Gguf,
        metadata: Metadata::Gguf(part.metadata),
        tensors: part.tensors,
        files,
        tokenizer: if has_tokenizer { TokenizerSource::Gguf } else { TokenizerSource::None },
    }
}
