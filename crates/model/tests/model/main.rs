//! Whole models on a device that computes nothing.

mod encoders;
mod families;
mod load;
mod made;
mod support;
mod transcript;
