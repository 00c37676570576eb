//! The most that a file may ask for, checked before anything is allocated.

/// Tensors in a checkpoint. The largest models in safetensors, whose experts and scales are tensors of their own, have about
/// 92,000 (DeepSeek-V3) or 140,000 (384 experts in 60 layers).
pub(crate) const TENSORS: u64 = 262_144;

/// Keys in the metadata of a checkpoint.
pub(crate) const KEYS: u64 = 65_536;

/// Bytes of one string.
pub(crate) const STRING_BYTES: u64 = 16 << 20;

/// Arrays within arrays, the outermost included.
pub(crate) const NESTING: usize = 4;

/// Bytes of a tensor's name in GGUF, as in ggml.
pub(crate) const GGUF_NAME_BYTES: u64 = 64;

/// Bytes of a key, as in the GGUF specification.
pub(crate) const KEY_BYTES: u64 = 65_535;

/// Bytes of a GGUF header: metadata and tensor descriptions. A vocabulary of 262,144
/// tokens with 500,000 merges takes about half of it.
pub(crate) const GGUF_HEADER_BYTES: usize = 32 << 20;

/// Strings in all arrays of a GGUF header.
pub(crate) const ARRAY_STRINGS: u64 = 4 << 20;

/// Arrays within arrays in a GGUF header.
pub(crate) const INNER_ARRAYS: u64 = 65_536;

/// Parts of a split model, shards of an index.
pub(crate) const PARTS: u64 = 1024;
