//! SentencePiece BPE: of all neighbours the two whose join has the best score are joined first, the leftmost of
//! equals. Works on texts, because a character without a token may still be part of a longer one.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::{Scratch, at_signs, crosses_sign, fuse};
use crate::TokenizerError;
use crate::vocab::{ByteTokens, Kind, Vocab};

/// A model of merges in the order of scores.
#[derive(Debug, Clone)]
pub(crate) struct Spm {
    pieces: HashMap<Box<[u8]>, (u32, f32)>,
    longest: usize,
    bytes: Box<ByteTokens>,
    unknown: Option<u32>,
    cut_at_sign: bool,
}

/// Space for merging one text.
#[derive(Debug, Default)]
pub(crate) struct Space {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Join>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// 0 once it has been joined to the one on its left.
    len: usize,
    prev: usize,
    next: usize,
}

/// A join of the symbol at `left` with its neighbour into `len` bytes.
#[derive(Debug)]
struct Join {
    score: f32,
    left: usize,
    len: usize,
}

impl Ord for Join {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left)).then(other.len.cmp(&self.len))
    }
}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Join {}

impl Spm {
    /// `scores` has one finite score per token.
    pub(crate) fn new(vocab: &Vocab, scores: &[f32], unknown: Option<u32>) -> Result<Self, TokenizerError> {
        vocab.index()?;
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let pieces: HashMap<Box<[u8]>, (u32, f32)> = vocab
            .iter()
            .filter(|(_, text, kind)| usable(*kind) && !text.is_empty())
            // -0.0 and 0.0 are the same score.
            .map(|(id, text, _)| (text.into(), (id, scores[id as usize] + 0.0)))
            .collect();
        let longest = pieces.keys().map(|text| text.len()).max().unwrap_or(0);
        let cut_at_sign = pieces.keys().all(|text| !crosses_sign(text, '▁'));
        Ok(Self { pieces, longest, bytes: Box::new(vocab.byte_tokens()?), unknown, cut_at_sign })
    }

    pub(super) fn uncovered_bytes(&self) -> usize {
        self.bytes.0.iter().filter(|id| id.is_none()).count()
    }

    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let start = out.len();
        if self.cut_at_sign {
            at_signs(text, '▁').for_each(|piece| self.encode_piece(piece, scratch, out));
        } else {
            self.encode_piece(text, scratch, out);
        }
        if let Some(unknown) = self.unknown {
            fuse(unknown, start, out);
        }
    }

    fn encode_piece(&self, piece: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        scratch.remembered(piece.as_bytes(), out, |scratch, out| {
            self.merge(piece, &mut scratch.spm);
            for symbol in scratch.spm.symbols.iter().filter(|symbol| symbol.len > 0) {
                let text = &piece.as_bytes()[symbol.start..][..symbol.len];
                match self.pieces.get(text) {
                    Some(&(id, _)) => out.push(id),
                    None if self.bytes.push_all(text, out) => {}
                    None => out.extend(self.unknown),
                }
            }
        });
    }

    fn merge(&self, text: &str, space: &mut Space) {
        let Space { symbols, heap } = space;
        heap.clear();
        symbols.clear();
        symbols.extend(text.char_indices().enumerate().map(|(at, (start, c))| Symbol {
            start,
            len: c.len_utf8(),
            prev: at.wrapping_sub(1),
            next: at + 1,
        }));
        (0..symbols.len()).for_each(|left| heap.extend(self.join(text, symbols, left)));
        while let Some(join) = heap.pop() {
            let left = symbols[join.left];
            let Some(&right) = symbols.get(left.next) else { continue };
            if left.len == 0 || left.len + right.len != join.len {
                continue;
            }
            symbols[left.next].len = 0;
            symbols[join.left].len = join.len;
            symbols[join.left].next = right.next;
            if let Some(after) = symbols.get_mut(right.next) {
                after.prev = join.left;
            }
            heap.extend(self.join(text, symbols, left.prev));
            heap.extend(self.join(text, symbols, join.left));
        }
    }

    /// The join of the symbol at `left` with the next, if that is a token.
    fn join(&self, text: &str, symbols: &[Symbol], left: usize) -> Option<Join> {
        let symbol = symbols.get(left)?;
        let len = symbol.len + symbols.get(symbol.next)?.len;
        if len > self.longest {
            return None;
        }
        let &(_, score) = self.pieces.get(&text.as_bytes()[symbol.start..][..len])?;
        Some(Join { score, left, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spm(pieces: &[(&str, f32)]) -> Spm {
        let mut vocab =
            Vocab::new(pieces.iter().map(|(text, _)| text.as_bytes().to_vec()).collect()).unwrap();
        vocab.mark_byte_tokens();
        vocab.set_kind(0, Kind::Unknown);
        Spm::new(&vocab, &pieces.iter().map(|(_, score)| *score).collect::<Vec<_>>(), Some(0)).unwrap()
    }

    fn encode(model: &Spm, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        model.encode(text, &mut Scratch::default(), &mut out);
        out
    }

    #[test]
    fn the_best_score_is_joined_first() {
        let model = spm(&[("<unk>", 0.0), ("a", 0.0), ("b", 0.0), ("c", 0.0), ("ab", -2.0), ("bc", -1.0)]);
        assert_eq!(encode(&model, "abc"), [1, 5]);
        assert_eq!(encode(&model, "ababc"), [4, 1, 5]);
    }

    #[test]
    fn what_has_no_token_becomes_bytes_or_one_unknown() {
        let model = spm(&[("<unk>", 0.0), ("a", 0.0), ("<0xC3>", 0.0), ("<0xA9>", 0.0)]);
        assert_eq!(encode(&model, "éaxyé"), [2, 3, 1, 0, 2, 3]);
        assert_eq!(encode(&model, "xx"), [0]);
    }

    #[test]
    fn a_token_may_hold_characters_that_are_none() {
        let model = spm(&[("<unk>", 0.0), ("xy", -1.0)]);
        assert_eq!(encode(&model, "xyx"), [1, 0]);
    }
}
