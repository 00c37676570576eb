//! From files' contents to a tokenizer: one module per source. All contents are hostile until checked.

mod base64;
mod config;
mod detect;
mod gguf;
mod json;
mod limited;
mod native;
mod protobuf;
mod ranks;
mod sentencepiece;
mod tekken;
mod tiktoken;

pub use config::Beside;
pub use gguf::{GgufVocab, GgufWords, JsonWords};

use std::borrow::Cow;

use serde::Deserialize;

use crate::TokenizerError;
use crate::alphabet;
use crate::error::excerpt;
use crate::normalize::{Needle, Normalizer, Rewrite};
use crate::pattern::Pattern;
use crate::vocab::{Kind, Vocab};

/// The sign that SentencePiece writes for a space.
const SPACE_SIGN: char = '▁';

/// Compiles a pattern that stands at `place`, as tiktoken means it.
pub(crate) fn pattern(place: &'static str, source: &str) -> Result<Pattern, TokenizerError> {
    named_pattern(place, source, Pattern::new)
}

/// Compiles a pattern that stands at `place`, as tokenizer.json means it.
fn ruby_pattern(place: &'static str, source: &str) -> Result<Pattern, TokenizerError> {
    named_pattern(place, source, Pattern::ruby)
}

fn named_pattern(
    place: &'static str,
    source: &str,
    compile: fn(&str) -> Result<Pattern, crate::PatternError>,
) -> Result<Pattern, TokenizerError> {
    let pattern = excerpt(source.as_bytes());
    compile(source).map_err(|source| TokenizerError::Pattern { place, pattern, source })
}

fn read_json<'a, T: Deserialize<'a>>(file: &'static str, text: &'a [u8]) -> Result<T, TokenizerError> {
    serde_json::from_slice(text)
        .map_err(|error| TokenizerError::Json { file, what: excerpt(error.to_string().as_bytes()) })
}

/// Spaces become signs, after one more is put first where `prefix` says so.
fn space_signs(prefix: bool) -> Normalizer {
    let sign = SPACE_SIGN.to_string();
    let first = prefix.then(|| Rewrite::Prepend(sign.clone()));
    let spaces = Rewrite::Replace(Needle::Literal(" ".to_owned()), sign);
    Normalizer(first.into_iter().chain([spaces]).collect())
}

/// What a token of a vocabulary with space signs and byte tokens contributes to a text.
fn signed_bytes(vocab: &Vocab) -> impl Iterator<Item = Vec<u8>> {
    vocab.iter().map(|(_, text, kind)| match kind {
        Kind::Normal | Kind::Unused => match std::str::from_utf8(text) {
            Ok(text) => text.replace(SPACE_SIGN, " ").into_bytes(),
            Err(_) => text.to_vec(),
        },
        Kind::Byte(byte) => vec![byte],
        _ => text.to_vec(),
    })
}

/// What a token of a byte-level vocabulary contributes to a text.
fn byte_level_bytes(text: &[u8]) -> Vec<u8> {
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    alphabet::to_bytes(&text).unwrap_or_else(|| text.into_owned().into_bytes())
}
