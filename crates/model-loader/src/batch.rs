//! Tokens of several sequences for one call.

use torchless_base::{TokenId, Wanted};

/// Tokens to compute, each of a sequence, in the order in which the sequences go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub token: TokenId,
    pub sequence: u32,
    pub wanted: bool,
}

impl Batch {
    /// Appends tokens that follow on what the sequence has.
    pub fn extend(&mut self, sequence: u32, tokens: &[TokenId], wanted: Wanted) {
        let last = tokens.len().saturating_sub(1);
        let wants = |at: usize| match wanted {
            Wanted::Nothing => false,
            Wanted::Last | Wanted::Largest(_) | Wanted::Weighed(..) => at == last,
            Wanted::All => true,
        };
        let entries = tokens.iter().enumerate();
        self.entries.extend(entries.map(|(at, &token)| Entry { token, sequence, wanted: wants(at) }));
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Tokens in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
