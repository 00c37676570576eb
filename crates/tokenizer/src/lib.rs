//! Text to token ids and back: BPE and SentencePiece BPE, with a streaming decoder.
//!
//! A tokenizer is made from plain data: the metadata of a GGUF file, the text of a tokenizer.json, the
//! vocabulary of a native model file. All of it is hostile until checked. This crate opens no files and knows
//! no models, chats or templates.

#![forbid(unsafe_code)]

mod added;
mod alphabet;
mod decode;
mod error;
mod hash;
mod load;
mod model;
mod normalize;
mod pattern;
mod presplit;
mod pretokenize;
mod special;
#[cfg(test)]
mod testing;
mod tokenizer;
mod vocab;

pub use decode::{Controls, StreamDecoder};
pub use error::TokenizerError;
pub use load::GgufVocab;
pub use pattern::PatternError;
pub use special::SpecialIds;
pub use tokenizer::{Around, Description, EncodeOptions, Part, Special, Tokenizer};
