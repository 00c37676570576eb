//! Where a grammar meets the sampler: a set of tokens that may come next.

use torchless_base::TokenId;

/// A set of tokens, one bit per id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
    vocab: usize,
}

impl TokenMask {
    /// The empty set over `vocab` ids.
    pub fn new(vocab: usize) -> Self {
        Self { words: vec![0; vocab.div_ceil(32)], vocab }
    }

    /// Number of ids that the set is over.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Removes every token.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Adds a token; returns `false`, and changes nothing, if the id is beyond the vocabulary.
    pub fn insert(&mut self, token: TokenId) -> bool {
        let inside = token.index() < self.vocab;
        if inside {
            self.words[token.index() / 32] |= 1 << (token.index() % 32);
        }
        inside
    }

    /// Removes a token.
    pub fn remove(&mut self, token: TokenId) {
        if token.index() < self.vocab {
            self.words[token.index() / 32] &= !(1 << (token.index() % 32));
        }
    }

    /// Whether the set has the token.
    pub fn contains(&self, token: TokenId) -> bool {
        token.index() < self.vocab && self.words[token.index() / 32] >> (token.index() % 32) & 1 == 1
    }

    /// The bits, 32 ids per word, lowest bit first. Bits beyond the vocabulary have no effect.
    pub fn words_mut(&mut self) -> &mut [u32] {
        &mut self.words
    }
}

/// What a reply has to look like, told token by token: a grammar, a JSON schema, a list of choices.
pub trait Constraint: Send {
    /// Adds to `mask`, which comes empty, every token that may follow what was accepted so far. A mask that
    /// stays empty makes the pick fail with [`crate::SampleError::NothingLeft`].
    fn allow(&mut self, mask: &mut TokenMask);

    /// Why no token may follow, where that is so and the constraint knows why; asked after [`Constraint::allow`].
    fn error(&self) -> Option<String> {
        None
    }

    /// The reply now ends with `token`.
    fn accept(&mut self, token: TokenId);

    /// An independent copy in the same state.
    fn fork(&self) -> Box<dyn Constraint>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_holds_exactly_what_was_inserted() {
        let mut mask = TokenMask::new(70);
        assert!(mask.insert(TokenId(0)) && mask.insert(TokenId(33)) && mask.insert(TokenId(69)));
        assert!(!mask.insert(TokenId(70)) && !mask.insert(TokenId(u32::MAX)));
        let held: Vec<u32> = (0..200).filter(|&t| mask.contains(TokenId(t))).collect();
        assert_eq!(held, [0, 33, 69]);
        mask.remove(TokenId(33));
        mask.remove(TokenId(70));
        assert!(!mask.contains(TokenId(33)) && mask.contains(TokenId(69)));
        mask.clear();
        assert_eq!(mask, TokenMask::new(70));
    }
}
