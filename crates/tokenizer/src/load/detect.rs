//! Tells the kinds of tokenizer files apart by what they hold, not by their names.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Beside, tiktoken};
use crate::{Tokenizer, TokenizerError};

/// The keys by which JSON files are told apart.
#[derive(Deserialize)]
struct Probe {
    config: Option<IgnoredAny>,
    vocab: Option<IgnoredAny>,
    model: Option<IgnoredAny>,
}

impl Tokenizer {
    /// Makes a tokenizer from a file of any kind that is known: tokenizer.json, tekken.json, a model of
    /// SentencePiece, ranks in the manner of tiktoken. `beside` are the files that lie with it.
    ///
    /// # Errors
    /// A file of no such kind, and what each kind refuses.
    pub fn from_bytes(file: &[u8], beside: Beside<'_>) -> Result<Self, TokenizerError> {
        if file.trim_ascii_start().starts_with(b"{") {
            return match serde_json::from_slice(file) {
                Ok(Probe { config: Some(_), vocab: Some(_), model: None }) => Self::from_tekken(file),
                _ => Self::from_tokenizer_json_beside(file, beside),
            };
        }
        if tiktoken::looks_like(file) {
            return Self::from_tiktoken(file, beside);
        }
        // The key of the field `pieces`, which every writer puts first.
        if file.first() == Some(&0x0A) {
            return Self::from_sentencepiece(file, beside);
        }
        Err(TokenizerError::Unknown {
            place: "tokenizer file",
            found: crate::error::excerpt(&file[..file.len().min(16)]),
            known: "tokenizer.json, tekken.json, a SentencePiece model, a tiktoken file of ranks".to_owned(),
        })
    }
}
