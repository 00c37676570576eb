//! Unigram: of all ways to cut a text into tokens the one with the best sum of scores (Kudo 2018, arXiv
//! 1804.10959), found by Viterbi's algorithm.

use super::trie::Trie;
use super::{NONE, Scratch};
use crate::TokenizerError;
use crate::vocab::{ByteTokens, Kind, Vocab};

/// How far an unknown character lies below the worst token.
const PENALTY: f64 = 10.0;

/// How sums of scores are rounded; decides between cuts that are nearly equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To 32 bits after each addition, as SentencePiece does.
    Single,
    /// To 64 bits, as tokenizers of tokenizer.json do.
    Double,
}

/// What a [`Unigram`] is made from.
#[derive(Debug)]
pub(crate) struct UnigramParts<'a> {
    pub(crate) vocab: &'a Vocab,
    /// One finite score per token.
    pub(crate) scores: &'a [f64],
    /// How many of the scores are the file's own; the rest belongs to added tokens.
    pub(crate) listed: usize,
    pub(crate) unknown: Option<u32>,
    /// Unknown text becomes `<0xHH>` tokens.
    pub(crate) byte_fallback: bool,
    pub(crate) rounding: Rounding,
}

/// A model of scored tokens.
#[derive(Debug, Clone)]
pub(crate) struct Unigram {
    trie: Trie,
    scores: Vec<f64>,
    unknown: Option<u32>,
    unknown_score: f64,
    bytes: Option<Box<ByteTokens>>,
    rounding: Rounding,
    longest: Option<usize>,
}

/// The best way to reach a place in the text.
#[derive(Debug, Clone, Copy)]
struct Best {
    score: f64,
    /// Where its last token begins; [`NONE`] where no way is known.
    start: u32,
    id: u32,
}

/// Space for one text.
#[derive(Debug, Default)]
pub(crate) struct Space {
    best: Vec<Best>,
    cuts: Vec<Best>,
}

impl Unigram {
    pub(crate) fn new(parts: &UnigramParts<'_>) -> Result<Self, TokenizerError> {
        let UnigramParts { vocab, scores, listed, unknown, byte_fallback, rounding } = *parts;
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let tokens = vocab.iter().take(listed).filter(|(_, _, kind)| usable(*kind));
        let trie = Trie::new(tokens.map(|(id, text, _)| (text, id)))?;
        // In SentencePiece only plain tokens have a score worth the name; elsewhere all have.
        let counts = |id: usize| rounding == Rounding::Double || vocab.kind(id as u32) == Kind::Normal;
        let worst =
            scores[..listed].iter().enumerate().filter(|(id, _)| counts(*id)).map(|(_, score)| *score);
        let worst = worst.fold(f64::INFINITY, f64::min);
        let bytes = byte_fallback.then(|| vocab.byte_tokens()).transpose()?.map(Box::new);
        let (scores, longest) = (scores.to_vec(), super::longest(vocab, unknown));
        let mut model = Self { trie, scores, unknown, unknown_score: 0.0, bytes, rounding, longest };
        model.unknown_score = model.rounded(if worst.is_finite() { worst } else { 0.0 } - PENALTY);
        Ok(model)
    }

    pub(super) fn uncovered_bytes(&self) -> usize {
        self.bytes.as_ref().map_or(256, |bytes| bytes.0.iter().filter(|id| id.is_none()).count())
    }

    /// Characters with a token are never unknown.
    pub(super) fn fewest(&self, text: &str) -> usize {
        let is_known = |c: &char| {
            let mut buffer = [0; 4];
            let node = self.trie.descend(Trie::ROOT, c.encode_utf8(&mut buffer).as_bytes());
            node.is_some_and(|node| self.trie.token(node).is_some())
        };
        super::fewest(text.chars().filter(is_known).count(), self.longest)
    }

    fn rounded(&self, sum: f64) -> f64 {
        match self.rounding {
            Rounding::Single => f64::from(sum as f32),
            Rounding::Double => sum,
        }
    }

    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        scratch.remembered(text.as_bytes(), out, |scratch, out| {
            let space = &mut scratch.unigram;
            self.search(text, space);
            self.emit(text.as_bytes(), &space.cuts, out);
        });
    }

    /// Leaves the tokens of the best cut in `cuts`, each with its start, from the last to the first.
    fn search(&self, text: &str, Space { best, cuts }: &mut Space) {
        let bytes = text.as_bytes();
        best.clear();
        best.resize(bytes.len() + 1, Best { score: 0.0, start: NONE, id: NONE });
        let mut start = 0;
        while start < bytes.len() {
            let so_far = best[start].score;
            let char_end = (start + 1..).find(|&at| text.is_char_boundary(at)).unwrap_or(bytes.len());
            let mut has_char = false;
            let mut reach = |end: usize, score: f64, id: u32| {
                let score = self.rounded(so_far + score);
                let target = &mut best[end];
                if target.start == NONE || score > target.score {
                    *target = Best { score, start: start as u32, id };
                }
            };
            let mut node = Trie::ROOT;
            for (at, &byte) in bytes[start..].iter().enumerate() {
                let Some(next) = self.trie.step(node, byte) else { break };
                node = next;
                if let Some(id) = self.trie.token(node) {
                    let end = start + at + 1;
                    has_char |= end == char_end;
                    reach(end, self.scores[id as usize], id);
                }
            }
            if !has_char {
                reach(char_end, self.unknown_score, NONE);
            }
            start = char_end;
        }
        cuts.clear();
        let mut end = bytes.len();
        while end > 0 {
            cuts.push(best[end]);
            end = best[end].start as usize;
        }
    }

    /// Writes the ids; neighbours without a token become bytes or one unknown token.
    fn emit(&self, text: &[u8], cuts: &[Best], out: &mut Vec<u32>) {
        let is_unknown = |best: &Best| best.id == NONE || Some(best.id) == self.unknown;
        let mut rest = cuts;
        while let Some((last, before)) = rest.split_last() {
            if !is_unknown(last) {
                out.push(last.id);
                rest = before;
                continue;
            }
            let known = rest.iter().rposition(|best| !is_unknown(best));
            rest = &rest[..known.map_or(0, |at| at + 1)];
            let end = rest.last().map_or(text.len(), |best| best.start as usize);
            let run = &text[last.start as usize..end];
            if !self.bytes.as_ref().is_some_and(|bytes| bytes.push_all(run, out)) {
                out.extend(self.unknown);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn model(pieces: &[(&str, f64)], byte_fallback: bool) -> Unigram {
        let texts = pieces.iter().map(|(text, _)| text.as_bytes().to_vec()).collect();
        let mut vocab = Vocab::new(texts).unwrap();
        vocab.mark_byte_tokens();
        vocab.set_kind(0, Kind::Unknown);
        let scores: Vec<f64> = pieces.iter().map(|(_, score)| *score).collect();
        let (listed, unknown, rounding) = (scores.len(), Some(0), Rounding::Double);
        let parts = UnigramParts { vocab: &vocab, scores: &scores, listed, unknown, byte_fallback, rounding };
        Unigram::new(&parts).unwrap()
    }

    fn encode(model: &Unigram, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        model.encode(text, &mut Scratch::default(), &mut out);
        out
    }

    #[test]
    fn the_best_sum_wins() {
        let pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -1.5), ("ba", -1.2), ("aba", -4.0)];
        let model = model(&pieces, false);
        assert_eq!(encode(&model, "ab"), [3]);
        assert_eq!(encode(&model, "aba"), [1, 4]);
        assert_eq!(encode(&model, ""), Vec::<u32>::new());
    }

    #[test]
    fn unknown_neighbours_become_one_token_or_bytes() {
        let pieces = [("<unk>", 0.0), ("a", -1.0), ("<0xC3>", 0.0), ("<0xA9>", 0.0)];
        assert_eq!(encode(&model(&pieces, false), "xyaéé"), [0, 1, 0]);
        assert_eq!(encode(&model(&pieces, true), "xyaéé"), [0, 1, 2, 3, 2, 3]);
        // One byte without a token: the whole run is unknown.
        assert_eq!(encode(&model(&pieces, true), "axé"), [1, 0]);
    }

    /// The best sum over all ways to cut, by trying each.
    fn best_sum(pieces: &[(&str, f64)], text: &str) -> f64 {
        let Some(first) = text.chars().next() else { return 0.0 };
        let fits = pieces[1..].iter().filter(|(piece, _)| text.starts_with(piece));
        let known = fits.map(|(piece, score)| score + best_sum(pieces, &text[piece.len()..]));
        known.fold(-12.0 - 10.0 + best_sum(pieces, &text[first.len_utf8()..]), f64::max)
    }

    #[test]
    fn no_other_cut_has_a_better_sum() {
        let mut random = Random::new(77);
        for _ in 0..200 {
            let texts = ["a", "b", "é", "ab", "ba", "aé", "éa", "aba", "bb", "éé", "abé"];
            let mut pieces = vec![("<unk>", -12.0)];
            pieces.extend(texts.iter().filter_map(|&text| {
                let score = -(random.below(1000) as f64) / 100.0;
                (random.below(3) > 0).then_some((text, score))
            }));
            let model = model(&pieces, false);
            let text: String = (0..random.below(9)).map(|_| *random.pick(&['a', 'b', 'é'])).collect();
            assert!(model.fewest(&text) <= encode(&model, &text).len(), "{text:?} {pieces:?}");
            let mut space = Space::default();
            model.search(&text, &mut space);
            let score = |best: &Best| if best.id == NONE { -22.0 } else { pieces[best.id as usize].1 };
            let got: f64 = space.cuts.iter().map(score).sum();
            assert!((got - best_sum(&pieces, &text)).abs() < 1e-9, "{text:?} {pieces:?}");
        }
    }
}
