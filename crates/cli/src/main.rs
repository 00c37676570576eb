//! The torchless command.

#![forbid(unsafe_code)]

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
mod open;
mod output;
mod policy;
mod progress;
mod template;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => return exit::from_clap(&error),
    };
    output::start_logging();
    exit::from_result(commands::run(cli))
}
