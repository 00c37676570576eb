//! One module per oracle.

mod architectures;
mod encoders;
mod goldens;
mod malformed;
mod quantised;
mod support;
