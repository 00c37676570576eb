//! How many tokens a text has, where it does not fit.

/// The tokens of a text that are counted although fewer would fit. How many a longer one has would take time and memory that say nothing
/// more.
pub const MOST_COUNTED: usize = 1 << 15;

/// A number of tokens for a message: one beyond [`MOST_COUNTED`] may be where counting ended.
pub fn counted(tokens: usize) -> String {
    if tokens > MOST_COUNTED { format!("{tokens} tokens or more") } else { format!("{tokens} tokens") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_counting_may_have_ended_is_said() {
        assert_eq!(counted(600), "600 tokens");
        assert_eq!(counted(MOST_COUNTED), "32768 tokens");
        assert_eq!(counted(MOST_COUNTED + 1), "32769 tokens or more");
    }
}
