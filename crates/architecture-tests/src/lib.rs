//! The rules of ARCHITECTURE.md that a machine can see, as functions from text to findings.
//!
//! Nothing here runs a model or is linked into the program. `tests/architecture.rs` applies every rule to this
//! repository; the unit tests beside each rule apply it to small inputs that break it.

#![forbid(unsafe_code)]

pub mod dependencies;
pub mod manifest;
pub mod repository;
pub mod rust_source;
pub mod wording;
