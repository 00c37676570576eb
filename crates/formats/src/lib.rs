//! Model files (GGUF, safetensors, native `.bin`) to one [`Checkpoint`], adapters to an [`Adapter`]; every byte is hostile.
//!
//! Opening parses a file once and checks every count, size and offset against the file's length and fixed limits;
//! afterwards they are facts. What the numbers mean for a model (heads, layers, vocabulary) is not judged here.

mod adapter;
mod beside;
mod bytes;
mod checkpoint;
mod error;
mod foreign;
pub mod gguf;
mod hugging_face;
mod json;
mod limits;
pub mod native;
mod open;
mod packed;
mod safetensors;
mod scaled;
mod strings;
mod tensor;

pub use adapter::{Adapter, AdapterPair, AdapterScale, adapter_files, open_adapter};
pub use beside::document_beside;
pub use bytes::{Bytes, Shared};
pub use checkpoint::{
    Checkpoint, FileInfo, Format, Metadata, NativeTokenizer, OpaqueTensor, Tensors, TokenizerSource,
};
pub use error::{Foreign, FormatError, Place, Problem};
pub use open::{Access, OpenOptions, open, open_bytes, tokenizer_at};
pub use strings::StringTable;
pub use tensor::Tensor;
