//! The torchless command.

#![forbid(unsafe_code)]

fn main() {}
