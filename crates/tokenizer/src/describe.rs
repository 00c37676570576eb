//! What `inspect` shows of a tokenizer.

use torchless_base::TokenId;

use crate::vocab::Kind;
use crate::{SpecialIds, Tokenizer};

/// What `inspect` shows of a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Kind of model, such as `SentencePiece BPE`.
    pub kind: &'static str,
    /// Name or kind of the pre-split, if the model has one.
    pub pre_split: Option<String>,
    /// Number of ids.
    pub vocab_size: usize,
    /// Number of listed merges; 0 where scores order them.
    pub merges: usize,
    /// How many of the 256 bytes no token can write; text with them becomes unknown tokens or is lost.
    pub uncovered_bytes: usize,
    /// Tokens put before and after a text by default.
    pub around: (Vec<TokenId>, Vec<TokenId>),
    /// Ids with a special role.
    pub special: SpecialIds,
    /// Ids that end a reply.
    pub end: Vec<TokenId>,
    /// All control tokens with their names.
    pub controls: Vec<(TokenId, String)>,
    /// FNV-1a over ids, texts and kinds of all tokens: equal vocabularies have equal fingerprints.
    pub fingerprint: u64,
}

impl Tokenizer {
    /// What there is to know of this tokenizer.
    pub fn describe(&self) -> Description {
        let parts = &self.parts;
        Description {
            kind: parts.kind,
            pre_split: parts.pre_split.clone(),
            vocab_size: self.vocab_size(),
            merges: parts.model.merges(),
            uncovered_bytes: parts.model.uncovered_bytes(),
            around: parts.post.around(),
            special: parts.special,
            end: parts.end.clone(),
            controls: self.controls().map(|(id, text)| (id, text.into_owned())).collect(),
            fingerprint: self.fingerprint(),
        }
    }

    fn fingerprint(&self) -> u64 {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        self.parts.vocab.iter().fold(0xCBF2_9CE4_8422_2325, |hash, (id, text, kind)| {
            let hash = id.to_le_bytes().iter().fold(hash, step);
            let hash = (text.len() as u64).to_le_bytes().iter().fold(hash, step);
            let control = matches!(kind, Kind::Control | Kind::Unknown);
            [u8::from(control)].iter().chain(text).fold(hash, step)
        })
    }
}
