//! WordPiece: the longest token at the start of a word, then the longest continuation, until the word is done
//! (Schuster & Nakajima 2012; Devlin et al. 2018). A word with a part that has no token is unknown as a whole.

use super::Scratch;
use super::trie::{NodeId, Trie};
use crate::TokenizerError;
use crate::vocab::{Kind, Vocab};

/// What a [`WordPiece`] is made from.
#[derive(Debug)]
pub(crate) struct WordPieceParts<'a> {
    pub(crate) vocab: &'a Vocab,
    pub(crate) unknown: Option<u32>,
    /// How tokens begin that begin a word, such as `▁`; mostly nothing.
    pub(crate) beginning: &'a str,
    /// How tokens begin that continue a word, such as `##`.
    pub(crate) continuing: &'a str,
    /// Words of more characters are unknown.
    pub(crate) max_chars: usize,
}

/// A model of longest matches.
#[derive(Debug, Clone)]
pub(crate) struct WordPiece {
    trie: Trie,
    /// Below here stand the tokens that begin a word; `None` where there are none.
    beginning: Option<NodeId>,
    /// Below here stand those that continue one.
    continuing: Option<NodeId>,
    /// What they begin with, which continues no word.
    mark: Box<[u8]>,
    unknown: Option<u32>,
    max_chars: usize,
}

impl WordPiece {
    pub(crate) fn new(parts: &WordPieceParts<'_>) -> Result<Self, TokenizerError> {
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let tokens = parts.vocab.iter().filter(|(_, _, kind)| usable(*kind));
        let trie = Trie::new(tokens.map(|(id, text, _)| (text, id)))?;
        let beginning = trie.descend(Trie::ROOT, parts.beginning.as_bytes());
        let continuing = trie.descend(Trie::ROOT, parts.continuing.as_bytes());
        let mark = parts.beginning.as_bytes().into();
        Ok(Self { trie, beginning, continuing, mark, unknown: parts.unknown, max_chars: parts.max_chars })
    }

    pub(super) fn encode(&self, word: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        if word.len() > self.max_chars && word.chars().count() > self.max_chars {
            return out.extend(self.unknown);
        }
        scratch.remembered(word.as_bytes(), out, |_, out| {
            let start = out.len();
            if self.pieces(word.as_bytes(), out).is_none() {
                out.truncate(start);
                out.extend(self.unknown);
            }
        });
    }

    fn pieces(&self, word: &[u8], out: &mut Vec<u32>) -> Option<()> {
        let (mut rest, mut node) = (word, self.beginning);
        while !rest.is_empty() {
            let (token, len) = self.trie.longest(node?, rest)?;
            out.push(token);
            (rest, node) = (&rest[len..], self.continuing);
            if !self.mark.is_empty() && rest.starts_with(&self.mark) {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(texts: &[&str], word: &str) -> Vec<u32> {
        let mut vocab = Vocab::new(texts.iter().map(|text| text.as_bytes().to_vec()).collect()).unwrap();
        vocab.set_kind(0, Kind::Unknown);
        let parts = WordPieceParts {
            vocab: &vocab,
            unknown: Some(0),
            beginning: "",
            continuing: "##",
            max_chars: 10,
        };
        let mut out = Vec::new();
        WordPiece::new(&parts).unwrap().encode(word, &mut Scratch::default(), &mut out);
        out
    }

    #[test]
    fn the_longest_piece_comes_first() {
        let texts = ["[UNK]", "un", "##aff", "##able", "##a", "una", "##é"];
        assert_eq!(encode(&texts, "unaffable"), [0], "una, and nothing continues with ff");
        assert_eq!(encode(&texts, "unable"), [0]);
        assert_eq!(encode(&texts, "unaé"), [5, 6]);
        assert_eq!(encode(&texts, "unaaé"), [5, 4, 6]);
        assert_eq!(encode(&["[UNK]", "a"], "aa"), [0], "no token continues a word");
    }

    #[test]
    fn a_written_mark_begins_no_word_inside_a_word() {
        let texts = ["[UNK]", "▁a", "b"];
        let mut vocab = Vocab::new(texts.iter().map(|text| text.as_bytes().to_vec()).collect()).unwrap();
        vocab.set_kind(0, Kind::Unknown);
        let parts =
            WordPieceParts {
                vocab: &vocab, unknown: Some(0), beginning: "▁", continuing: "", max_chars: 10
            };
        let model = WordPiece::new(&parts).unwrap();
        let mut out = Vec::new();
        ["ab", "ab▁a", "b"].iter().for_each(|word| model.encode(word, &mut Scratch::default(), &mut out));
        assert_eq!(out, [1, 2, 0, 0]);
    }

    #[test]
    fn words_of_too_many_characters_are_unknown() {
        let texts = ["[UNK]", "a", "##a", "é", "##é"];
        assert_eq!(encode(&texts, &"a".repeat(10)).len(), 10);
        assert_eq!(encode(&texts, &"a".repeat(11)), [0]);
        assert_eq!(encode(&texts, &"é".repeat(10)).len(), 10, "characters count, not bytes");
    }
}
