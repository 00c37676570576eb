//! llama.cpp through its shared library: found, checked and called at run time, behind an interface that cannot be misused.

#![expect(dead_code, reason = "models are loaded with it next")]

mod abi;
mod binary;
mod cache;
mod error;
mod functions;
mod library;
mod logs;
mod lookup;

pub use error::Error;
pub use library::Library;
pub use lookup::{Places, VARIABLE};
