//! Grammars of replies that think first.

use super::GrammarConstraint;
use std::sync::Arc;
use torchless_base::TokenId;
use torchless_sampler::{Constraint, TokenMask};

/// Holds what follows the thinking that a prompt left open to a grammar, and lets no reply end before that.
pub struct AfterThinking {
    constraint: GrammarConstraint,
    close: Arc<ClosingTag>,
    /// The last bytes of the thinking, where the tag may have begun; `None` once it is over.
    tail: Option<Vec<u8>>,
}

/// What ends thinking.
struct ClosingTag {
    text: String,
    /// Where it is a token of its own.
    id: Option<TokenId>,
    /// Tokens that may complete the tag and go on with something else than white space, of which the grammar would not learn; and
    /// how many of their bytes the tag would take.
    crossing: Vec<(TokenId, usize)>,
}

impl AfterThinking {
    pub(super) fn new(constraint: GrammarConstraint, text: &str, id: Option<TokenId>) -> Self {
        let trie = constraint.env.tok_trie();
        let size = u32::try_from(trie.vocab_size()).unwrap_or(u32::MAX);
        let crossing = (0..size).flat_map(|id| {
            let bytes = trie.token(id);
            let ends = 1..bytes.len();
            let ends =
                ends.filter(|&end| may_end(text.as_bytes(), &bytes[..end]) && !is_blank(&bytes[end..]));
            ends.map(move |end| (TokenId(id), end))
        });
        let close = Arc::new(ClosingTag { text: text.to_owned(), id, crossing: crossing.collect() });
        Self { constraint, close, tail: Some(Vec::new()) }
    }
}

/// Whether a tag may end where these bytes do, if the right ones stand before them.
fn may_end(tag: &[u8], bytes: &[u8]) -> bool {
    tag.ends_with(bytes) || bytes.ends_with(tag)
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

impl Constraint for AfterThinking {
    fn error(&self) -> Option<String> {
        self.constraint.error()
    }

    fn allow(&mut self, mask: &mut TokenMask) {
        let Some(tail) = &self.tail else { return self.constraint.allow(mask) };
        mask.words_mut().fill(u32::MAX);
        for &id in &self.constraint.end_ids {
            mask.remove(id);
        }
        for &(token, end) in &self.close.crossing {
            if [tail, &self.constraint.bytes(token)[..end]].concat().ends_with(self.close.text.as_bytes()) {
                mask.remove(token);
            }
        }
    }

    fn accept(&mut self, token: TokenId) {
        let Some(mut tail) = self.tail.take() else { return self.constraint.accept(token) };
        tail.extend_from_slice(self.constraint.bytes(token));
        let tag = self.close.text.as_bytes();
        let over = self.close.id == Some(token) || tail.windows(tag.len()).any(|part| part == tag);
        if !over {
            tail.drain(..tail.len().saturating_sub(tag.len() - 1));
            self.tail = Some(tail);
        }
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(Self {
            constraint: self.constraint.copy(),
            close: Arc::clone(&self.close),
            tail: self.tail.clone(),
        })
    }
}
