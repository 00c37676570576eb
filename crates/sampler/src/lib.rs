//! From logits to one token: stages in a fixed order, seeded.

#![forbid(unsafe_code)]

mod config;
mod constraint;
mod rng;

pub use config::{ConfigError, MAX_LOGPROBS, SamplerConfig};
pub use constraint::{Constraint, TokenMask};
pub use rng::Rng;
