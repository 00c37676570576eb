//! Models from file to logits and text.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod integration_test;
