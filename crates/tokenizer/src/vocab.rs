//! The list of tokens: text and kind by id. Knows nothing of how text is split.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::TokenizerError;
use crate::alphabet::byte_token;
use crate::error::excerpt;

/// Most tokens that a vocabulary may have; the largest known have about 260,000.
pub(crate) const MAX_TOKENS: usize = 1 << 22;
/// Longest text of one token in bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 1 << 16;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Made from text.
    Normal,
    /// Stands for what the vocabulary cannot write; never made from text that names it.
    Unknown,
    /// Steers the model; made only where control is parsed.
    Control,
    /// Added as a whole: its text always becomes this token.
    UserDefined,
    /// One byte, written `<0xHH>`.
    Byte(u8),
    /// A text like others that is never made.
    Unused,
    /// An id without a token.
    Hole,
}

/// Texts and kinds of all tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocab {
    texts: Vec<Box<[u8]>>,
    kinds: Vec<Kind>,
}

impl Vocab {
    /// A vocabulary of texts in the order of their ids, all of the kind `Normal`.
    pub(crate) fn new(texts: Vec<Vec<u8>>) -> Result<Self, TokenizerError> {
        if texts.is_empty() {
            return Err(TokenizerError::Missing { what: "the list of tokens", needed_by: "every tokenizer" });
        }
        check_count(texts.len())?;
        if let Some(long) = texts.iter().find(|text| text.len() > MAX_TOKEN_BYTES) {
            let what = "bytes of a token";
            return Err(TokenizerError::TooMany { what, found: long.len(), limit: MAX_TOKEN_BYTES });
        }
        let kinds = vec![Kind::Normal; texts.len()];
        Ok(Self { texts: texts.into_iter().map(Vec::into_boxed_slice).collect(), kinds })
    }

    /// A vocabulary of texts with their ids. Ids without a text stay empty, as long as they are few.
    pub(crate) fn from_pairs(pairs: Vec<(String, u32)>) -> Result<Self, TokenizerError> {
        check_count(pairs.len())?;
        let size = pairs.iter().map(|(_, id)| *id as usize + 1).max().unwrap_or(0);
        let limit = 4 * pairs.len() + 4096;
        if size > limit {
            return Err(TokenizerError::TooMany { what: "the highest token id", found: size - 1, limit });
        }
        let mut texts = vec![None; size];
        for (text, id) in pairs {
            let slot: &mut Option<String> = &mut texts[id as usize];
            if let Some(known) = slot {
                let token = excerpt(format!("{known} / {text}").as_bytes());
                return Err(TokenizerError::Duplicate { token, first: id, second: id });
            }
            *slot = Some(text);
        }
        let holes: Vec<usize> =
            texts.iter().enumerate().filter(|(_, t)| t.is_none()).map(|(id, _)| id).collect();
        let mut vocab =
            Self::new(texts.into_iter().map(|text| text.unwrap_or_default().into_bytes()).collect())?;
        holes.into_iter().for_each(|id| vocab.kinds[id] = Kind::Hole);
        Ok(vocab)
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, id: u32) -> Option<&[u8]> {
        self.texts.get(id as usize).map(|text| &**text)
    }

    pub(crate) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Hole)
    }

    pub(crate) fn set_kind(&mut self, id: u32, kind: Kind) {
        self.kinds[id as usize] = kind;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8], Kind)> {
        self.texts.iter().zip(&self.kinds).enumerate().map(|(id, (text, kind))| (id as u32, &**text, *kind))
    }

    /// Ids by text. Empty texts and holes are left out; equal texts are an error.
    pub(crate) fn index(&self) -> Result<HashMap<&[u8], u32>, TokenizerError> {
        let mut index = HashMap::with_capacity(self.len());
        for (id, text, kind) in self.iter() {
            if text.is_empty() || kind == Kind::Hole {
                continue;
            }
            match index.entry(text) {
                Entry::Vacant(entry) => {
                    entry.insert(id);
                }
                Entry::Occupied(entry) => {
                    return Err(TokenizerError::Duplicate {
                        token: excerpt(text),
                        first: *entry.get(),
                        second: id,
                    });
                }
            }
        }
        Ok(index)
    }

    /// Marks every normal token that is written `<0xHH>` as a byte.
    pub(crate) fn mark_byte_tokens(&mut self) {
        for (text, kind) in self.texts.iter().zip(&mut self.kinds) {
            if let (Kind::Normal, Some(byte)) = (*kind, byte_token(text)) {
                *kind = Kind::Byte(byte);
            }
        }
    }

    /// The token of each byte that has one; two tokens for one byte are an error.
    pub(crate) fn byte_tokens(&self) -> Result<ByteTokens, TokenizerError> {
        let mut tokens = ByteTokens([None; 256]);
        for (id, text, kind) in self.iter() {
            if let Kind::Byte(byte) = kind
                && tokens.0[byte as usize].replace(id).is_some()
            {
                let why = "is the second for its byte";
                return Err(TokenizerError::ByteToken { id, token: excerpt(text), why });
            }
        }
        Ok(tokens)
    }

    /// `id` if it names a token.
    pub(crate) fn check(&self, what: &'static str, id: Option<u32>) -> Result<Option<u32>, TokenizerError> {
        match id {
            Some(id) if id as usize >= self.len() => {
                Err(TokenizerError::IdOutOfRange { what, id, vocab: self.len() })
            }
            id => Ok(id),
        }
    }
}

fn check_count(found: usize) -> Result<(), TokenizerError> {
    if found > MAX_TOKENS {
        return Err(TokenizerError::TooMany { what: "tokens", found, limit: MAX_TOKENS });
    }
    Ok(())
}

/// Token of each byte.
#[derive(Debug, Clone)]
pub(crate) struct ByteTokens(pub(crate) [Option<u32>; 256]);

impl ByteTokens {
    /// Whether all of these bytes have tokens.
    pub(crate) fn write(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.0[byte as usize].is_some())
    }

    /// Appends the tokens of all bytes, or nothing if one has none.
    pub(crate) fn push_all(&self, bytes: &[u8], out: &mut Vec<u32>) -> bool {
        let complete = self.write(bytes);
        if complete {
            out.extend(bytes.iter().filter_map(|&byte| self.0[byte as usize]));
        }
        complete
    }
}
