//! The longest token at each place, from the left: the tokenizer of RWKV's world models.

use super::trie::Trie;
use crate::TokenizerError;
use crate::vocab::{Kind, Vocab};

/// A model of longest matches over bytes.
#[derive(Debug, Clone)]
pub(crate) struct Greedy {
    trie: Trie,
    unknown: Option<u32>,
    uncovered: usize,
}

impl Greedy {
    /// `texts` are the bytes of the tokens of `vocab`.
    pub(crate) fn new(
        vocab: &Vocab,
        texts: &[Vec<u8>],
        unknown: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Byte(_));
        let tokens = vocab.iter().zip(texts).filter(|((_, _, kind), _)| usable(*kind));
        let trie = Trie::new(tokens.map(|((id, ..), text)| (text.as_slice(), id)))?;
        let uncovered = (0..=255_u8).filter(|&byte| trie.longest(Trie::ROOT, &[byte]).is_none()).count();
        Ok(Self { trie, unknown, uncovered })
    }

    pub(super) fn uncovered_bytes(&self) -> usize {
        self.uncovered
    }

    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (id, len) = match self.trie.longest(Trie::ROOT, rest) {
                Some((id, len)) => (Some(id), len),
                None => (self.unknown, 1),
            };
            out.extend(id);
            rest = &rest[len..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_is_taken() {
        let texts: Vec<Vec<u8>> =
            ["?", "a", "ab", "abcd", "\u{E9}"].iter().map(|t| t.as_bytes().to_vec()).collect();
        let vocab = Vocab::new(texts.clone()).unwrap();
        let model = Greedy::new(&vocab, &texts, Some(0)).unwrap();
        let mut out = Vec::new();
        model.encode("abcabcdéx", &mut out);
        assert_eq!(out, [2, 0, 3, 4, 0]);
        assert_eq!(model.uncovered_bytes(), 254);
    }
}
