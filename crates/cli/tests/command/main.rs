//! The command as a user meets it: arguments in; text, talk and exit codes out.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod constrained;
mod encoders;
#[cfg(unix)]
mod engine;
mod guard;
#[cfg(unix)]
mod libllama;
mod malformed;
mod models;
#[cfg(unix)]
mod outputs;
mod quantise;
mod remake;
mod render;
mod reply;
mod scan;
#[cfg(unix)]
mod streams;
mod support;
#[cfg(unix)]
mod terminal;
mod usage;
mod verbs;
