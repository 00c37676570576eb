//! A token per word, and nothing smaller.

use std::collections::HashMap;

use crate::vocab::{Kind, Vocab};

/// A model of whole words.
#[derive(Debug, Clone)]
pub(crate) struct WordLevel {
    words: HashMap<Box<[u8]>, u32>,
    unknown: Option<u32>,
}

impl WordLevel {
    pub(crate) fn new(vocab: &Vocab, unknown: Option<u32>) -> Self {
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let tokens = vocab.iter().filter(|(_, text, kind)| usable(*kind) && !text.is_empty());
        Self { words: tokens.map(|(id, text, _)| (text.into(), id)).collect(), unknown }
    }

    pub(super) fn encode(&self, word: &str, out: &mut Vec<u32>) {
        out.extend(self.words.get(word.as_bytes()).copied().or(self.unknown));
    }
}
