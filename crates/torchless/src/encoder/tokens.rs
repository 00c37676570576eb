//! From texts to the tokens that an encoder sees: one text, or two as one.

use crate::Error;
use torchless_base::TokenId;
use torchless_model::encoder::EncoderSpec;
use torchless_tokenizer::{Around, EncodeOptions, Special, Tokenizer};

/// The tokens of one text with the model's own around it.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.encode(text, EncodeOptions::TEXT)
}

/// Joins two texts: `first, text, separators, text, last`.
pub(super) struct PairTokens {
    before: Vec<TokenId>,
    after: Vec<TokenId>,
    separators: Vec<TokenId>,
    typed: bool,
}

impl PairTokens {
    /// # Errors
    /// The tokenizer puts nothing behind a text that could stand between two.
    pub(super) fn new(tokenizer: &Tokenizer, spec: &EncoderSpec) -> Result<Self, Error> {
        let (before, after) = tokenizer.describe().around;
        let Some(&separator) = after.last() else {
            let why = "the tokenizer has no separator to put between a query and a document";
            return Err(Error::Mismatch(why.to_owned()));
        };
        let separators = vec![separator; spec.pair.separators];
        Ok(Self { before, after, separators, typed: spec.embed.types.is_some_and(|n| n > 1) })
    }

    /// Tokens and types of a pair; types are empty where the model has one or none.
    pub(super) fn join(&self, tokenizer: &Tokenizer, first: &str, second: &str) -> (Vec<TokenId>, Vec<u32>) {
        let options = EncodeOptions { special: Special::Text, around: Around::Nothing };
        let mut ids = self.before.clone();
        ids.extend(tokenizer.encode(first, options));
        ids.extend(&self.separators);
        let border = ids.len();
        ids.extend(tokenizer.encode(second, options));
        ids.extend(&self.after);
        let types =
            if self.typed { (0..ids.len()).map(|i| u32::from(i >= border)).collect() } else { Vec::new() };
        (ids, types)
    }
}
