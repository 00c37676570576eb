//! One module per oracle.

mod goldens;
mod malformed;
mod quantised;
mod support;
