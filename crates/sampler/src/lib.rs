//! From logits to one token: stages in a fixed order, seeded.

#![forbid(unsafe_code)]

mod rng;

pub use rng::Rng;
