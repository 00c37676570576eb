//! SentencePiece BPE: of all neighbours the two whose join has the best score are joined first, the leftmost of
//! equals. Works on texts, because a character without a token may still be part of a longer one.

use std::collections::HashMap;

use super::queues::{NO_RANK, Queues};
use super::{Scratch, at_signs, crosses_sign, fuse};
use crate::TokenizerError;
use crate::vocab::{ByteTokens, Kind, Vocab};

/// A model of merges in the order of scores.
#[derive(Debug, Clone)]
pub(crate) struct Spm {
    /// Id and rank of each text: the better the score, the lower the rank; equal scores have equal ranks.
    pieces: HashMap<Box<[u8]>, (u32, u32)>,
    longest: usize,
    /// The same for whoever counts tokens beforehand.
    covers: Option<usize>,
    bytes: Box<ByteTokens>,
    unknown: Option<u32>,
    cut_at_sign: bool,
}

/// Space for merging one text.
#[derive(Debug, Default)]
pub(crate) struct Space {
    symbols: Vec<Symbol>,
    queues: Queues,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// 0 once it has been joined to the one on its left.
    len: usize,
    prev: usize,
    next: usize,
    /// Of the join with the next symbol.
    rank: u32,
}

impl Spm {
    /// `scores` has one finite score per token.
    pub(crate) fn new(vocab: &Vocab, scores: &[f32], unknown: Option<u32>) -> Result<Self, TokenizerError> {
        vocab.index()?;
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let mut order: Vec<f32> = scores.to_vec();
        order.sort_unstable_by(|a, b| b.total_cmp(a));
        // 0.0 and -0.0 are the same score.
        order.dedup_by(|a, b| a == b);
        let rank = |score: f32| order.partition_point(|&better| better > score) as u32;
        let pieces: HashMap<Box<[u8]>, (u32, u32)> = vocab
            .iter()
            .filter(|(_, text, kind)| usable(*kind) && !text.is_empty())
            .map(|(id, text, _)| (text.into(), (id, rank(scores[id as usize]))))
            .collect();
        let longest = pieces.keys().map(|text| text.len()).max().unwrap_or(0);
        let cut_at_sign = pieces.keys().all(|text| !crosses_sign(text, '▁'));
        let (covers, bytes) = (super::longest(vocab, unknown), Box::new(vocab.byte_tokens()?));
        Ok(Self { pieces, longest, covers, bytes, unknown, cut_at_sign })
    }

    pub(super) fn uncovered_bytes(&self) -> usize {
        self.bytes.0.iter().filter(|id| id.is_none()).count()
    }

    /// Characters with a token, or with tokens for their bytes, are never unknown.
    pub(super) fn fewest(&self, text: &str) -> usize {
        let is_known = |c: &char| {
            let mut buffer = [0; 4];
            let utf8 = c.encode_utf8(&mut buffer).as_bytes();
            self.bytes.write(utf8) || self.pieces.contains_key(utf8)
        };
        super::fewest(text.chars().filter(is_known).count(), self.covers)
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

    /// An entry of a queue is stale if the rank at its place has changed since.
    fn merge(&self, text: &str, space: &mut Space) {
        let Space { symbols, queues } = space;
        symbols.clear();
        symbols.extend(text.char_indices().enumerate().map(|(at, (start, c))| Symbol {
            start,
            len: c.len_utf8(),
            prev: at.wrapping_sub(1),
            next: at + 1,
            rank: NO_RANK,
        }));
        (0..symbols.len()).for_each(|left| self.queue(text, symbols, queues, left));
        while let Some((rank, left)) = queues.pop() {
            let symbol = symbols[left];
            let Some(&right) = symbols.get(symbol.next) else { continue };
            if symbol.len == 0 || symbol.rank != rank {
                continue;
            }
            symbols[symbol.next].len = 0;
            symbols[left].len += right.len;
            symbols[left].next = right.next;
            if let Some(after) = symbols.get_mut(right.next) {
                after.prev = left;
            }
            self.queue(text, symbols, queues, symbol.prev);
            self.queue(text, symbols, queues, left);
        }
    }

    /// Ranks and queues the join of the symbol at `left` with the next.
    fn queue(&self, text: &str, symbols: &mut [Symbol], queues: &mut Queues, left: usize) {
        let Some(&symbol) = symbols.get(left) else { return };
        let len = symbol.len + symbols.get(symbol.next).map_or(self.longest, |next| next.len);
        let joined =
            if len <= self.longest { text.as_bytes().get(symbol.start..symbol.start + len) } else { None };
        let rank = joined.and_then(|joined| self.pieces.get(joined)).map_or(NO_RANK, |&(_, rank)| rank);
        symbols[left].rank = rank;
        queues.push(rank, left);
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

    /// Reference: looks through all neighbours for the best score each time.
    fn naive(pieces: &[(String, f32)], text: &str) -> Vec<String> {
        let mut symbols: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let score = |at: usize| {
                let joined = format!("{}{}", symbols[at], symbols[at + 1]);
                pieces.iter().find(|(piece, _)| *piece == joined).map(|(_, score)| *score)
            };
            let joins = (0..symbols.len().saturating_sub(1)).filter_map(|at| Some((at, score(at)?)));
            let best = joins.fold(None, |best: Option<(usize, f32)>, join| match best {
                Some(best) if best.1 >= join.1 => Some(best),
                _ => Some(join),
            });
            let Some((at, _)) = best else { return symbols };
            let right = symbols.remove(at + 1);
            symbols[at] += &right;
        }
    }

    #[test]
    fn queues_join_as_a_plain_search_does() {
        let mut random = crate::testing::Random::new(41);
        for _ in 0..300 {
            let mut texts = vec!["<unk>".to_owned(), "a".to_owned(), "b".to_owned(), "▁".to_owned()];
            for _ in 0..random.below(20) {
                let joined = format!("{}{}", random.pick(&texts[1..]), random.pick(&texts[1..]));
                if joined.len() < 20 && !texts.contains(&joined) {
                    texts.push(joined);
                }
            }
            let scored: Vec<(String, f32)> =
                texts.into_iter().map(|t| (t, -(random.below(5) as f32))).collect();
            let borrowed: Vec<(&str, f32)> =
                scored.iter().map(|(text, score)| (text.as_str(), *score)).collect();
            let model = spm(&borrowed);
            let text: String = (0..random.below(60)).map(|_| *random.pick(&['a', 'b', '▁'])).collect();
            let id = |piece: &String| scored.iter().position(|(text, _)| text == piece).unwrap() as u32;
            let want: Vec<u32> = naive(&scored[1..], &text).iter().map(id).collect();
            assert_eq!(encode(&model, &text), want, "{text:?} {scored:?}");
            assert!(model.fewest(&text) <= want.len(), "{text:?} {scored:?}");
        }
    }
}
