//! What Prompt Guard was trained to be given: text whose whitespace stands only between tokens.
//!
//! LlamaFirewall drops all whitespace, cuts what is left into tokens, and puts one space before each token that had
//! whitespace before it in the original. Letters that were set apart become words again: `i g n o r e` is `ignore`.

use torchless_tokenizer::{Around, EncodeOptions, Special, Tokenizer};

/// Tokens as they are, with nothing around them.
const BARE: EncodeOptions = EncodeOptions { special: Special::Text, around: Around::Nothing };
/// How SentencePiece writes a space.
const SPACE_PIECE: char = '\u{2581}';

/// Whitespace as Python's `str.isspace` has it: Unicode's, and four separators that Rust leaves out.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The text with its whitespace as described above; the text itself where a token is not found in it, as where the
/// tokenizer writes a character in another way.
pub(crate) fn squeezed(tokenizer: &Tokenizer, text: &str) -> String {
    rejoined(tokenizer, text).unwrap_or_else(|| text.to_owned())
}

fn rejoined(tokenizer: &Tokenizer, text: &str) -> Option<String> {
    let mut dense = String::with_capacity(text.len());
    // Bytes of `dense` before which there was whitespace, in order.
    let mut gaps = Vec::new();
    let mut gap = false;
    for c in text.chars() {
        if is_space(c) {
            gap = true;
            continue;
        }
        if gap {
            gaps.push(dense.len());
        }
        gap = false;
        dense.push(c);
    }
    let mut gaps = gaps.into_iter().peekable();
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for id in tokenizer.encode(&dense, BARE) {
        let piece = tokenizer.piece(id)?.replace(SPACE_PIECE, " ");
        let surface = piece.trim_start_matches(' ');
        let start = end + dense[end..].find(surface)?;
        while gaps.peek().is_some_and(|gap| *gap < start) {
            gaps.next();
        }
        if gaps.peek() == Some(&start) {
            out.push(' ');
        }
        out.push_str(surface);
        end = start + surface.len();
    }
    Some(out)
}
