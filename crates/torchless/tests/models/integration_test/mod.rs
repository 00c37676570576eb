//! One module per oracle.

mod architectures;
mod encoders;
mod encoders_deberta;
mod goldens;
mod malformed;
mod quantised;
mod support;
