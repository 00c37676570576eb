//! Grammars of replies in the channels of gpt-oss.

use super::GrammarConstraint;
use crate::reply::is_for_reader;
use torchless_base::TokenId;
use torchless_sampler::{Constraint, TokenMask};

/// Control tokens between the parts of messages.
#[derive(Clone, Copy, Debug)]
pub struct ChannelTokens {
    /// `<|start|>`: a header begins with the role.
    pub start: TokenId,
    /// `<|message|>`: the header has ended.
    pub message: TokenId,
}

/// Bytes of a header that are looked at.
const MAX_HEADER: usize = 1024;

/// Holds the first message that is for the reader to a grammar, and lets no reply end before it. Headers and other channels are free.
pub struct ForReader {
    constraint: GrammarConstraint,
    tokens: ChannelTokens,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Header(Vec<u8>),
    OtherMessage,
    Message,
}

impl ForReader {
    /// From within the first header on.
    pub(super) fn new(constraint: GrammarConstraint, tokens: ChannelTokens) -> Self {
        Self { constraint, tokens, place: Place::Header(Vec::new()) }
    }
}

impl Constraint for ForReader {
    fn error(&self) -> Option<String> {
        self.constraint.error()
    }

    fn allow(&mut self, mask: &mut TokenMask) {
        if matches!(self.place, Place::Message) {
            return self.constraint.allow(mask);
        }
        mask.words_mut().fill(u32::MAX);
        for &id in &self.constraint.end_ids {
            mask.remove(id);
        }
    }

    fn accept(&mut self, token: TokenId) {
        match &mut self.place {
            Place::Message => self.constraint.accept(token),
            _ if token == self.tokens.start => self.place = Place::Header(Vec::new()),
            Place::Header(header) if token == self.tokens.message => {
                let ours = is_for_reader(&String::from_utf8_lossy(header));
                self.place = if ours { Place::Message } else { Place::OtherMessage };
            }
            Place::Header(header) if header.len() < MAX_HEADER => {
                let bytes = self.constraint.bytes(token);
                // Other control tokens part words.
                header.extend_from_slice(if bytes.is_empty() { b" " } else { bytes });
            }
            Place::Header(_) | Place::OtherMessage => {}
        }
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(Self { constraint: self.constraint.copy(), tokens: self.tokens, place: self.place.clone() })
    }
}
