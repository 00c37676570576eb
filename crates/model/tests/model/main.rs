//! Whole models on a device that computes nothing.

mod encoders;
mod load;
mod support;
mod transcript;
