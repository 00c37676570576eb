//! One module per oracle.

mod encoders;
mod goldens;
mod malformed;
mod quantised;
mod support;
