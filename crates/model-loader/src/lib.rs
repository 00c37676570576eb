//! llama.cpp through its shared library: found, checked and called at run time, behind an interface that cannot be misused.

#![expect(dead_code, reason = "the library that is measured comes next")]

mod abi;
mod error;

pub use error::Error;
