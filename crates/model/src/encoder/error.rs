//! Why a text was not encoded.

use torchless_base::{TokenId, counted};
use torchless_device::DeviceError;

/// What is wrong with which text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// More tokens than the model has positions.
    #[error("text {text} has {}, the model holds {limit}: shorten it, or cut it into windows", counted(*.tokens))]
    TooLong {
        /// Which text, from 0 on.
        text: usize,
        /// Its tokens; beyond [`MOST_COUNTED`](torchless_base::MOST_COUNTED) those at which counting ended.
        tokens: usize,
        /// The model's positions.
        limit: usize,
    },
    /// No token at all.
    #[error("text {text} has no tokens")]
    Empty {
        /// Which text.
        text: usize,
    },
    /// A token id beyond the vocabulary.
    #[error("text {text}: token {token} is not in the vocabulary, whose ids go from 0 to {last}")]
    Token {
        /// Which text.
        text: usize,
        /// The id.
        token: TokenId,
        /// The largest id.
        last: usize,
    },
    /// A type that the model does not have, or not one per token.
    #[error("text {text}: {found}, where {expected}")]
    Types {
        /// Which text.
        text: usize,
        /// What was given.
        found: String,
        /// What would have worked.
        expected: String,
    },
    /// The model does something else.
    #[error("this model has no {what} ({has})")]
    Missing {
        /// What was asked for.
        what: String,
        /// What the model has instead.
        has: String,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
