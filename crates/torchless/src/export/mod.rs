//! Model files from model files: what goes into a GGUF, in which types, and the writing of it.

mod convert;
mod folder;
mod gguf;
mod imatrix;
mod importance;
mod mixes;
mod native;
mod quantize;
mod replace;
mod temporary;
mod tokens;

pub use convert::{Converted, convert_to_gguf, lossless};
pub use folder::convert_to_folder;
pub use imatrix::{Calibrated, Calibration, write_importance};
pub use importance::Importance;
pub(crate) use mixes::fallback;
pub use mixes::{FILE_TYPES, FileType, Overrides};
pub use native::convert_to_native;
pub use quantize::{Quantize, Quantized, quantize};
pub use replace::{refuse_same, workplace, write_temporary, write_whole};
pub use temporary::{Temporary, discard_temporaries};
