//! The torchless command, for its binary and for packages that bring it along.

#![forbid(unsafe_code)]
// `output::note` does without a panic where standard error is closed or full.
#![deny(clippy::print_stderr)]

mod args;
mod commands;
mod doctor;
mod doctor_args;
mod encoder_args;
mod exit;
mod firewall_args;
mod guard_args;
mod input;
mod interrupt;
mod libllama;
mod libllama_args;
mod lines;
mod open;
mod output;
mod policy;
mod progress;
mod speaker;
mod template;

use std::ffi::OsString;

/// Does what the words of a command line ask for, the program's name first, and gives the exit status. A verb that
/// makes replies takes over Ctrl-C for the rest of the process, which should be the command and nothing else.
pub fn run(words: Vec<OsString>) -> u8 {
    let cli = match args::parse(words) {
        Ok(cli) => cli,
        Err(error) => return exit::from_clap(&error),
    };
    interrupt::outlive_limits_of_files();
    output::start_logging();
    exit::from_result(commands::run(cli))
}
