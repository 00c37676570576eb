//! From texts to the tokens that an encoder sees: one text, or two as one.

use crate::Error;
use torchless_base::{MOST_COUNTED, TokenId};
use torchless_model::encoder::{EncodeError, EncoderSpec};
use torchless_tokenizer::{EncodeOptions, Part, Tokenizer};

/// Tokens that are counted, and that number as one too many.
fn most(spec: &EncoderSpec) -> usize {
    spec.context.max(MOST_COUNTED)
}

fn too_long(spec: &EncoderSpec, text: usize) -> Error {
    EncodeError::TooLong { text, tokens: most(spec) + 1, limit: spec.context }.into()
}

/// The tokens of one text, the one of this number, with the model's own around it.
///
/// # Errors
/// The model holds far fewer.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    spec: &EncoderSpec,
    (number, text): (usize, &str),
) -> Result<Vec<TokenId>, Error> {
    let EncodeOptions { special, around } = EncodeOptions::TEXT;
    let tokens = tokenizer.encode_parts_within(&[Part { text, special }], around, most(spec));
    tokens.ok_or_else(|| too_long(spec, number))
}

/// Tokens and types of two texts as the model reads them together; types are empty where the model has one or none.
///
/// # Errors
/// The tokenizer does not say how two texts are put together, or the model holds far fewer tokens.
pub(super) fn pair(
    tokenizer: &Tokenizer,
    spec: &EncoderSpec,
    (number, (first, second)): (usize, (&str, &str)),
) -> Result<(Vec<TokenId>, Vec<u32>), Error> {
    let encoded = tokenizer.encode_pair_within(first, second, EncodeOptions::TEXT, most(spec))?;
    let encoded = encoded.ok_or_else(|| too_long(spec, number))?;
    let typed = spec.embed.types.is_some_and(|n| n > 1);
    Ok((encoded.ids, if typed { encoded.type_ids } else { Vec::new() }))
}
