//! `python -m torchless`: the command, in this process.

use pyo3::prelude::*;
use std::ffi::OsString;
use std::panic::catch_unwind;

/// What a program that panicked exits with.
const PANICKED: u8 = 101;

/// Runs the command with these words, the program's name first, and gives its exit status. It takes over Ctrl-C.
#[pyfunction]
pub fn run_command(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| catch_unwind(|| torchless_cli::run(words)).unwrap_or(PANICKED))
}
