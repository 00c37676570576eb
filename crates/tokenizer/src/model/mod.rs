//! From a word to ids. What a word is, the pre-tokeniser has decided.

mod bpe;
mod cache;
mod greedy;
mod queues;
mod spm;
mod trie;
mod unigram;
mod wordlevel;
mod wordpiece;

pub(crate) use bpe::{Affixes, Bpe, BpeParts, Merges, NamedMerge, Unknown};
pub(crate) use greedy::Greedy;
pub(crate) use spm::Spm;
pub(crate) use unigram::{Rounding, Unigram, UnigramParts};
pub(crate) use wordlevel::WordLevel;
pub(crate) use wordpiece::{WordPiece, WordPieceParts};

use crate::pretokenize::Word;
use crate::vocab::{Kind, Vocab};
use cache::WordCache;

/// Longest word, in bytes, whose ids are remembered.
const CACHED_BYTES: usize = 64;
/// Words of more bytes are looked at before they are encoded, where there is room for so many tokens only.
const LARGE_BYTES: usize = 1 << 16;
/// No token, no place.
const NONE: u32 = u32::MAX;

/// How words become ids.
#[derive(Debug, Clone)]
pub(crate) enum Model {
    /// Merges in the order of a list (Sennrich et al. 2016, arXiv 1508.07909).
    Bpe(Bpe),
    /// Merges in the order of the scores of what they make (Kudo & Richardson 2018, arXiv 1808.06226).
    Spm(Spm),
    /// The cut whose scores have the best sum.
    Unigram(Unigram),
    /// Longest matches from the left.
    WordPiece(WordPiece),
    /// Whole words.
    WordLevel(WordLevel),
    /// Longest matches over bytes.
    Greedy(Greedy),
}

/// Tokens that there is room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room(pub(crate) usize);

/// Memory that encoding reuses: remembered words and the space in which merges run.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    cache: WordCache,
    bpe: bpe::Space,
    spm: spm::Space,
    unigram: unigram::Space,
}

impl Model {
    /// Whether `word` surely comes to more tokens than there is room for. Costs no memory: large words that are encoded cost up to 50
    /// times their length.
    pub(crate) fn exceeds(&self, Room(most): Room, word: Word<'_>) -> bool {
        word.text.len() > LARGE_BYTES && self.fewest(word) > most
    }

    /// The fewest tokens that `word` can come to; 0 where that cannot be said.
    fn fewest(&self, word: Word<'_>) -> usize {
        match self {
            Self::Bpe(bpe) => bpe.fewest(word),
            Self::Spm(spm) => spm.fewest(word.text),
            Self::Unigram(unigram) => unigram.fewest(word.text),
            // They take no more memory than their ids do.
            Self::WordPiece(_) | Self::WordLevel(_) | Self::Greedy(_) => 0,
        }
    }

    /// Appends the ids of `word`.
    pub(crate) fn encode(&self, word: Word<'_>, scratch: &mut Scratch, out: &mut Vec<u32>) {
        match self {
            Self::Bpe(bpe) => bpe.encode(word, scratch, out),
            Self::Spm(spm) => spm.encode(word.text, scratch, out),
            Self::Unigram(unigram) => unigram.encode(word.text, scratch, out),
            Self::WordPiece(pieces) => pieces.encode(word.text, scratch, out),
            Self::WordLevel(words) => words.encode(word.text, out),
            Self::Greedy(greedy) => greedy.encode(word.text, out),
        }
    }

    /// Number of merges that a list gives; 0 where scores order them.
    pub(crate) fn merges(&self) -> usize {
        match self {
            Self::Bpe(bpe) => bpe.merges(),
            _ => 0,
        }
    }

    /// How many of the 256 bytes can be written by no token.
    pub(crate) fn uncovered_bytes(&self) -> usize {
        match self {
            Self::Bpe(bpe) => bpe.uncovered_bytes(),
            Self::Spm(spm) => spm.uncovered_bytes(),
            Self::Unigram(unigram) => unigram.uncovered_bytes(),
            Self::Greedy(greedy) => greedy.uncovered_bytes(),
            Self::WordPiece(_) | Self::WordLevel(_) => 256,
        }
    }
}

impl Scratch {
    /// Appends the ids of `word` as remembered, or as `encode` makes them.
    fn remembered(&mut self, word: &[u8], out: &mut Vec<u32>, encode: impl FnOnce(&mut Self, &mut Vec<u32>)) {
        if word.len() > CACHED_BYTES {
            return encode(self, out);
        }
        if let Some(ids) = self.cache.get(word) {
            out.extend_from_slice(ids);
            return;
        }
        let start = out.len();
        encode(self, out);
        self.cache.insert(word, &out[start..]);
    }
}

/// Bytes of the longest token, which is the most that one token of a text writes. `None` where unknown text of any length may become
/// one token that is no unknown one.
fn longest(vocab: &Vocab, unknown: Option<u32>) -> Option<usize> {
    let is_text = |id| matches!(vocab.kind(id), Kind::Normal | Kind::UserDefined);
    let longest = vocab.iter().map(|(_, text, _)| text.len()).max();
    longest.filter(|len| *len > 0 && !unknown.is_some_and(is_text))
}

/// Tokens that `known` characters or more come to at least, each of which has a token of its own.
fn fewest(known: usize, longest: Option<usize>) -> usize {
    longest.map_or(0, |longest| known.div_ceil(longest))
}

/// Makes one of each run of `unknown` in `out[start..]`.
fn fuse(unknown: u32, start: usize, out: &mut Vec<u32>) {
    let mut kept = start;
    for at in start..out.len() {
        if out[at] != unknown || kept == start || out[kept - 1] != unknown {
            out[kept] = out[at];
            kept += 1;
        }
    }
    out.truncate(kept);
}

/// Cuts before each `sign` that follows another character: where no token holds the sign after another
/// character, no merge crosses such a place, so the pieces can be encoded one by one.
fn at_signs(text: &str, sign: char) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let body = rest.find(|c| c != sign)?;
        let end = rest[body..].find(sign).map_or(rest.len(), |at| body + at);
        let piece;
        (piece, rest) = rest.split_at(end);
        Some(piece)
    })
    .chain(trailing(text, sign))
}

/// The signs at the end, which have no word after them.
fn trailing(text: &str, sign: char) -> Option<&str> {
    let tail = &text[text.trim_end_matches(sign).len()..];
    (!tail.is_empty()).then_some(tail)
}

/// Whether `token` holds the sign after another character.
fn crosses_sign(token: &[u8], sign: char) -> bool {
    let mut buffer = [0; 4];
    let sign = sign.encode_utf8(&mut buffer).as_bytes();
    let body = token.chunks(sign.len()).take_while(|chunk| *chunk == sign).count() * sign.len();
    token[body.min(token.len())..].windows(sign.len()).any(|window| window == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_begin_at_signs() {
        let pieces = |text| at_signs(text, '▁').collect::<Vec<_>>();
        assert_eq!(pieces("▁a▁▁b"), ["▁a", "▁▁b"]);
        assert_eq!(pieces("a▁b▁▁"), ["a", "▁b", "▁▁"]);
        assert_eq!(pieces("▁▁"), ["▁▁"]);
        assert_eq!(pieces(""), Vec::<&str>::new());
    }

    #[test]
    fn only_a_sign_after_another_character_crosses() {
        for (token, crosses) in
            [("▁▁a", false), ("▁", false), ("a", false), ("a▁", true), ("▁a▁", true), (".▁b", true)]
        {
            assert_eq!(crosses_sign(token.as_bytes(), '▁'), crosses, "{token}");
        }
    }
}
