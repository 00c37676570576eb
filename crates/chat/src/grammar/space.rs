//! White space between the parts of JSON, of which there may be any amount: a model that rates it highest would write nothing else.

use std::sync::Arc;
use torchless_base::TokenId;
use torchless_sampler::TokenMask;

/// Bytes in a row: two line breaks and an indentation.
const MOST: usize = 22;

/// Follows JSON, and allows no white space after so much.
#[derive(Clone)]
pub(super) struct SpaceBound {
    /// Tokens that begin with white space.
    blank: Arc<[TokenId]>,
    run: usize,
    in_string: bool,
    escaped: bool,
}

/// What JSON has between its parts.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl SpaceBound {
    pub(super) fn new(blank: Arc<[TokenId]>) -> Self {
        Self { blank, run: 0, in_string: false, escaped: false }
    }

    pub(super) fn limit(&self, mask: &mut TokenMask) {
        if self.run >= MOST {
            self.blank.iter().for_each(|id| mask.remove(*id));
        }
    }

    pub(super) fn accept(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let space = !self.in_string && is_space(byte);
            self.run = if space { self.run + 1 } else { 0 };
            if byte == b'"' && !self.escaped {
                self.in_string = !self.in_string;
            }
            self.escaped = self.in_string && byte == b'\\' && !self.escaped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_ends_outside_of_strings() {
        let refuses = |text: &str| {
            let mut bound = SpaceBound::new([TokenId(1)].into());
            bound.accept(text.as_bytes());
            let mut mask = TokenMask::new(2);
            mask.insert(TokenId(1));
            bound.limit(&mut mask);
            !mask.contains(TokenId(1))
        };
        let blank = " ".repeat(MOST);
        assert!(refuses(&format!("{{{blank}")) && refuses(&format!("{{\"a\\\\\":{blank}")));
        assert!(!refuses(&format!("{{\"a{blank}")) && !refuses(&format!("{{\"a\\\"{blank}")));
        assert!(!refuses(&format!("[{blank}1")) && !refuses(&blank[1..]));
    }
}
