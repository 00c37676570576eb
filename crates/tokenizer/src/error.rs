//! What can be wrong with a vocabulary or a tokenizer file. Texts from files are quoted and cut short.

use crate::pattern::PatternError;

/// Why a tokenizer could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A JSON file cannot be read.
    #[error("{file}: {what}")]
    Json {
        /// Which file.
        file: &'static str,
        /// The parser's message, with line and column.
        what: String,
    },
    /// A file that is not JSON cannot be read.
    #[error("{file}: {what}")]
    Binary {
        /// Which kind of file.
        file: &'static str,
        /// What is wrong, and where.
        what: String,
    },
    /// A model, component or option that is not known.
    #[error("{place}: unknown or unsupported {found:?} (known: {known})")]
    Unknown {
        /// Key or component.
        place: &'static str,
        /// What stands there.
        found: String,
        /// What would have worked.
        known: String,
    },
    /// A pattern that the linear matcher refuses.
    #[error("{place}: pattern {pattern:?}: {source}")]
    Pattern {
        /// Component that holds it.
        place: &'static str,
        /// The pattern.
        pattern: String,
        /// Why.
        source: PatternError,
    },
    /// Something that this kind of tokenizer needs is not there.
    #[error("{what} is missing, and {needed_by} needs it")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Who needs it.
        needed_by: &'static str,
    },
    /// A list is not as long as the list of tokens.
    #[error("{what} has {found} entries for {expected} tokens; the two must be equal")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// Number of tokens.
        expected: usize,
    },
    /// A count is beyond what any model has.
    #[error("{what}: {found} is more than the limit of {limit}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Two ids have the same text, or two texts the same id.
    #[error("token {token:?} has the ids {first} and {second}; each text and each id may stand once")]
    Duplicate {
        /// The text.
        token: String,
        /// One id.
        first: u32,
        /// The other.
        second: u32,
    },
    /// An id that names no token.
    #[error("{what} is {id}, beyond the vocabulary of {vocab} tokens")]
    IdOutOfRange {
        /// Which id.
        what: &'static str,
        /// Its value.
        id: u32,
        /// Ids from 0 to below this one exist.
        vocab: usize,
    },
    /// A score by which nothing can be ordered.
    #[error("score of token {id} is {value}; scores must be finite")]
    Score {
        /// The token.
        id: usize,
        /// Its score.
        value: f32,
    },
    /// A token type that the format does not define.
    #[error("type of token {id} is {value}; types are 0 (undefined) to 6 (byte)")]
    TokenType {
        /// The token.
        id: usize,
        /// Its type.
        value: i32,
    },
    /// A token that says it is a byte and is none, or a byte that two tokens claim.
    #[error("token {id} {token:?} {why}; byte tokens are written <0x00> to <0xFF>, each once")]
    ByteToken {
        /// The token.
        id: u32,
        /// Its text.
        token: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A character map that cannot be read.
    #[error("precompiled_charsmap: {why}")]
    Charsmap {
        /// What is wrong.
        why: &'static str,
    },
    /// A merge that cannot be applied.
    #[error("merge {index} {merge:?}: {why}")]
    Merge {
        /// Its place in the list.
        index: usize,
        /// Its text.
        merge: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// At most 64 characters of a text that a file holds.
pub(crate) fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(512)]);
    match text.char_indices().nth(64) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.into_owned(),
    }
}
