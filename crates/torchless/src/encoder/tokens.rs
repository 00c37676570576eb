//! From texts to the tokens that an encoder sees: one text, or two as one.

use crate::Error;
use torchless_base::TokenId;
use torchless_model::encoder::EncoderSpec;
use torchless_tokenizer::{EncodeOptions, Tokenizer};

/// The tokens of one text with the model's own around it.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.encode(text, EncodeOptions::TEXT)
}

/// Tokens and types of two texts as the model reads them together; types are empty where the model has one or none.
///
/// # Errors
/// The tokenizer does not say how two texts are put together.
pub(super) fn pair(
    tokenizer: &Tokenizer,
    spec: &EncoderSpec,
    (first, second): (&str, &str),
) -> Result<(Vec<TokenId>, Vec<u32>), Error> {
    let encoded = tokenizer.encode_pair(first, second, EncodeOptions::TEXT)?;
    let typed = spec.embed.types.is_some_and(|n| n > 1);
    Ok((encoded.ids, if typed { encoded.type_ids } else { Vec::new() }))
}
