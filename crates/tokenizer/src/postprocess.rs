//! What is put around the ids of a text, or of two: first and last tokens, separators, the types of segments.

use torchless_base::TokenId;

use crate::TokenizerError;
use crate::vocab::Vocab;

/// The ids of one text or of a pair, each with the type of its segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The ids, with what the model's template puts around them.
    pub ids: Vec<TokenId>,
    /// One per id: 0 for the first text, mostly 1 for the second, as the model was trained.
    pub type_ids: Vec<u32>,
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Tokens that belong to no text, with their type.
    Tokens(Vec<TokenId>, u32),
    /// The first text, with the type of its ids.
    First(u32),
    /// The second text, with the type of its ids.
    Second(u32),
}

/// What is put around one text and around two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostProcessor {
    pub(crate) single: Vec<Piece>,
    /// `None` where the model does not say how it reads two texts.
    pub(crate) pair: Option<Vec<Piece>>,
}

impl Default for PostProcessor {
    /// The texts alone.
    fn default() -> Self {
        Self { single: vec![Piece::First(0)], pair: Some(vec![Piece::First(0), Piece::Second(1)]) }
    }
}

impl PostProcessor {
    /// BOS before each text and EOS behind each, where there are such.
    pub(crate) fn ends(bos: Option<TokenId>, eos: Option<TokenId>) -> Self {
        let around = |text: Piece, kind: u32| {
            let end = |id: Option<TokenId>| id.map(|id| Piece::Tokens(vec![id], kind));
            end(bos).into_iter().chain([text]).chain(end(eos)).collect::<Vec<_>>()
        };
        let pair = around(Piece::First(0), 0).into_iter().chain(around(Piece::Second(1), 1)).collect();
        Self { single: around(Piece::First(0), 0), pair: Some(pair) }
    }

    /// `[CLS] first [SEP] second [SEP]`, the second with type 1.
    pub(crate) fn bert(cls: TokenId, sep: TokenId) -> Self {
        let token = |id, kind| Piece::Tokens(vec![id], kind);
        let single = vec![token(cls, 0), Piece::First(0), token(sep, 0)];
        let pair = single.iter().cloned().chain([Piece::Second(1), token(sep, 1)]).collect();
        Self { single, pair: Some(pair) }
    }

    /// `<s> first </s></s> second </s>`, all of type 0.
    pub(crate) fn roberta(cls: TokenId, sep: TokenId) -> Self {
        let token = |id| Piece::Tokens(vec![id], 0);
        let single = vec![token(cls), Piece::First(0), token(sep)];
        let pair = single.iter().cloned().chain([token(sep), Piece::Second(0), token(sep)]).collect();
        Self { single, pair: Some(pair) }
    }

    /// All ids exist.
    pub(crate) fn check(&self, what: &'static str, vocab: &Vocab) -> Result<(), TokenizerError> {
        let pieces = self.single.iter().chain(self.pair.iter().flatten());
        let ids = pieces.flat_map(|piece| if let Piece::Tokens(ids, _) = piece { &ids[..] } else { &[] });
        ids.into_iter().try_for_each(|id| vocab.check(what, Some(id.0)).map(drop))
    }

    /// The tokens before and behind a single text.
    pub(crate) fn around(&self) -> (Vec<TokenId>, Vec<TokenId>) {
        let text = self.single.iter().position(|piece| matches!(piece, Piece::First(_))).unwrap_or(0);
        let ids = |pieces: &[Piece]| {
            let tokens = pieces.iter().filter_map(|piece| match piece {
                Piece::Tokens(ids, _) => Some(ids.as_slice()),
                _ => None,
            });
            tokens.flatten().copied().collect()
        };
        (ids(&self.single[..text]), ids(&self.single[text..]))
    }
}

/// The texts put into the template; without its own tokens where `bare`.
pub(crate) fn fill(pieces: &[Piece], first: &[u32], second: &[u32], bare: bool) -> Encoded {
    let mut out = Encoded::default();
    let mut push = |ids: &mut dyn Iterator<Item = TokenId>, kind: u32| {
        out.ids.extend(ids);
        out.type_ids.resize(out.ids.len(), kind);
    };
    for piece in pieces {
        match piece {
            Piece::Tokens(_, _) if bare => {}
            Piece::Tokens(ids, kind) => push(&mut ids.iter().copied(), *kind),
            Piece::First(kind) => push(&mut first.iter().copied().map(TokenId), *kind),
            Piece::Second(kind) => push(&mut second.iter().copied().map(TokenId), *kind),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(post: &PostProcessor, bare: bool) -> (Vec<u32>, Vec<u32>) {
        let pair = post.pair.as_deref().unwrap();
        let Encoded { ids, type_ids } = fill(pair, &[10, 11], &[20], bare);
        (ids.iter().map(|id| id.0).collect(), type_ids)
    }

    #[test]
    fn pairs_are_put_together_as_models_read_them() {
        let (cls, sep) = (TokenId(1), TokenId(2));
        let bert = PostProcessor::bert(cls, sep);
        assert_eq!(filled(&bert, false), (vec![1, 10, 11, 2, 20, 2], vec![0, 0, 0, 0, 1, 1]));
        assert_eq!(filled(&bert, true), (vec![10, 11, 20], vec![0, 0, 1]));
        let roberta = PostProcessor::roberta(cls, sep);
        assert_eq!(filled(&roberta, false), (vec![1, 10, 11, 2, 2, 20, 2], vec![0; 7]));
        assert_eq!(filled(&PostProcessor::default(), false), (vec![10, 11, 20], vec![0, 0, 1]));
        let ends = PostProcessor::ends(Some(cls), None);
        assert_eq!(filled(&ends, false), (vec![1, 10, 11, 1, 20], vec![0, 0, 0, 1, 1]));
        assert_eq!(roberta.around(), (vec![cls], vec![sep]));
        assert_eq!(ends.around(), (vec![cls], vec![]));
    }
}
