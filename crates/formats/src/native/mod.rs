//! The native `.bin` file: an 8-byte header length, a JSON header, then the tensors, each padded to 64 bytes.
//!
//! The header is `{"metadata": {...}, "tokenizer": {"vocab": {token: id}, "merges": ["a b", ...]}, "tensors": {name:
//! {"dtype", "shape", "offset", "scale_offset", "scale_size"}}}`; offsets count from the end of the header.
//! `dtype` is `f32`, `f16` or `int8`; an int8 tensor has one `f32` scale per 64 values, `scale_size` of them.
//! Names are those of Hugging Face checkpoints, whose q and k rotate halves.
//!
//! What this program adds, and older readers pass over: further keys of `config.json` in `metadata`, and in
//! `tokenizer` the keys `json` (a whole `tokenizer.json`, which counts instead of vocabulary and merges), `config`
//! (the `tokenizer_config.json` beside it) and `chat_template`; the header is padded with spaces so that the tensors
//! begin at a multiple of 64.

mod read;
mod write;

pub(crate) use read::{looks_like, read};
pub use write::{NativeFile, Quant};

/// Tensors begin at multiples of this, counted from the end of the header.
const ALIGNMENT: usize = 64;

/// The most bytes of a header.
const HEADER_BYTES: u64 = 64 << 20;
