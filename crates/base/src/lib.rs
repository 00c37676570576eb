//! Ids, step plans and the Runner trait: the words that all crates share.
