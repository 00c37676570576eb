//! Text to token ids and back: BPE, SentencePiece BPE, Unigram, WordPiece, with a streaming decoder.
//!
//! A tokenizer is made from plain data: the metadata of a GGUF file, the text of a tokenizer.json or tekken.json, the
//! bytes of a SentencePiece model or of a file of ranks, the vocabulary of a native model file. All of it is hostile until checked. This crate opens no files and knows
//! no models, chats or templates.

#![forbid(unsafe_code)]

mod added;
mod alphabet;
mod decode;
mod describe;
mod error;
mod hash;
mod load;
mod model;
mod normalize;
mod pattern;
mod postprocess;
mod presplit;
mod pretokenize;
mod special;
mod stop;
#[cfg(test)]
mod testing;
mod tokenizer;
mod unicode;
mod vocab;

pub use decode::{Controls, StreamDecoder};
pub use describe::Description;
pub use error::TokenizerError;
pub use load::{Beside, GgufVocab, GgufWords, JsonWords};
pub use pattern::PatternError;
pub use postprocess::Encoded;
pub use special::SpecialIds;
pub use stop::{StopStrings, Watched};
pub use tokenizer::{Around, EncodeOptions, Part, Special, Tokenizer};
