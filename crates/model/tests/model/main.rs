//! Whole models on a device that computes nothing.

mod load;
mod support;
mod transcript;
