//! The torchless command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(torchless_cli::run(std::env::args_os().collect()))
}
