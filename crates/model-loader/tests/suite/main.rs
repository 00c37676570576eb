//! The binding against a real library: the one that `TORCHLESS_LLAMA_LIB` names, or one fetched through npm.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod bad_input;
mod context;
mod guide;
mod logits;
mod runner;
mod support;
mod text;
mod tokens;
