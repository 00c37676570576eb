//! The torchless command.

fn main() {}
