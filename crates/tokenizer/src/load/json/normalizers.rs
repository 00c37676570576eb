//! The normalisers of tokenizer.json: each `type` is one arm, an unknown one an error that names it.

use serde::Deserialize;
use serde_json::Value;

use super::components::{PatternJson, chain, needle, read, unknown};
use crate::TokenizerError;
use crate::load::base64;
use crate::normalize::{Bert, Charsmap, Form, Normalizer, Rewrite};

const PLACE: &str = "tokenizer.json normalizer";
const KNOWN: &str = "Sequence, NFC, NFD, NFKC, NFKD, Nmt, Lowercase, Prepend, Replace, Strip, StripAccents, \
                     ByteLevel, BertNormalizer, Precompiled";

pub(super) fn normalizer(value: Option<&Value>) -> Result<Normalizer, TokenizerError> {
    let steps = chain(PLACE, value, "normalizers")?;
    let steps = steps.into_iter().map(rewrite).collect::<Result<Vec<_>, _>>()?;
    Ok(Normalizer(steps.into_iter().flatten().collect()))
}

#[derive(Deserialize)]
struct Prepend {
    prepend: String,
}

#[derive(Deserialize)]
struct Strip {
    strip_left: bool,
    strip_right: bool,
}

#[derive(Deserialize)]
struct Replace {
    pattern: PatternJson,
    content: String,
}

#[derive(Deserialize)]
struct BertJson {
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
struct Precompiled {
    precompiled_charsmap: Option<String>,
}

/// A step, or none where it changes nothing.
fn rewrite((kind, value): (&str, &Value)) -> Result<Option<Rewrite>, TokenizerError> {
    Ok(Some(match kind {
        "NFC" => Rewrite::Form(Form::Nfc),
        "NFD" => Rewrite::Form(Form::Nfd),
        "NFKC" => Rewrite::Form(Form::Nfkc),
        "NFKD" => Rewrite::Form(Form::Nfkd),
        "Nmt" => Rewrite::Nmt,
        "Lowercase" => Rewrite::Lowercase,
        "Prepend" => Rewrite::Prepend(read::<Prepend>(PLACE, value)?.prepend),
        "Replace" => {
            let replace: Replace = read(PLACE, value)?;
            Rewrite::Replace(needle(PLACE, replace.pattern)?, replace.content)
        }
        "Strip" => {
            let strip: Strip = read(PLACE, value)?;
            Rewrite::Strip { start: strip.strip_left, end: strip.strip_right }
        }
        "StripAccents" => Rewrite::StripAccents,
        "ByteLevel" => Rewrite::ByteLevel,
        "BertNormalizer" => {
            let bert: BertJson = read(PLACE, value)?;
            Rewrite::Bert(Bert {
                clean_text: bert.clean_text,
                handle_chinese_chars: bert.handle_chinese_chars,
                strip_accents: bert.strip_accents.unwrap_or(bert.lowercase),
                lowercase: bert.lowercase,
            })
        }
        "Precompiled" => {
            let text = read::<Precompiled>(PLACE, value)?.precompiled_charsmap.unwrap_or_default();
            if text.is_empty() {
                return Ok(None);
            }
            let blob = base64::decode(text.as_bytes());
            let blob = blob.ok_or(TokenizerError::Charsmap { why: "it is not base64" })?;
            Rewrite::Precompiled(Box::new(Charsmap::new(&blob)?))
        }
        other => return Err(unknown(PLACE, other, KNOWN)),
    }))
}
