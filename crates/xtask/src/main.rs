//! Chores of this repository that need its own code. `cargo run -p xtask` lists them.

#![forbid(unsafe_code)]

mod ahead;
mod kernels;

use anyhow::{Result, bail};
use std::env;
use std::path::PathBuf;

const USAGE: &str = "usage: cargo run -p xtask -- COMMAND FOLDER
  kernels FOLDER   write the text of every program, in a folder per dialect
  stale FOLDER     write the text of what the store of compiled programs does not hold, in a folder per architecture
  ahead FOLDER     make the store of compiled programs out of code in FOLDER (see scripts/compile_ahead.sh)";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["kernels", folder] => kernels::write(&PathBuf::from(folder)),
        ["stale", folder] => ahead::write_stale(&PathBuf::from(folder)),
        ["ahead", folder] => ahead::embed(&PathBuf::from(folder)),
        _ => bail!("{USAGE}"),
    }
}
