//! Whole models on a device that computes nothing.

mod encoder_precision;
mod encoders;
mod families;
mod hub;
mod load;
mod made;
mod support;
mod transcript;
