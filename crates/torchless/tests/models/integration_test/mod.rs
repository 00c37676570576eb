//! One module per oracle.

mod goldens;
mod quantised;
mod support;
