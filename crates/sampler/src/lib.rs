//! From logits to one token: stages in a fixed order, seeded.
//!
//! A row of logits goes through the stages that its [`SamplerConfig`] switches on, and one token comes out:
//!
//! | stage | works on | does |
//! |---|---|---|
//! | mask | logits | bans what a [`Constraint`] (a grammar) does not allow next |
//! | logit-bias | logits | adds each token's bias; -100 or less bans the token |
//! | penalties | logits | lowers what occurs in the last `repeat_last_n` tokens of prompt and reply |
//! | temperature | logits | divides by it |
//! | top-k | logits | keeps the k largest |
//! | softmax | logits | turns what is left into probabilities |
//! | top-p | probabilities | keeps the smallest set that reaches p |
//! | min-p | probabilities | keeps what has at least p times the largest probability |
//!
//! Temperature, top-k, softmax, top-p is the documented pipeline, and min-p follows it. Bias and penalties are
//! defined on the logits of the model, so they come first: a banned token then takes no place among the k
//! largest and no share of p, and greedy choice (temperature 0: the first largest logit after these three)
//! obeys them too.
//!
//! Where the largest logits decide (greedy choice, top-k, most often top-p and min-p), a list of them is as good as the row, and the same
//! token comes out: a device can then keep the rest to itself ([`Sampler::enough`], [`Sampler::pick_among`]).
//!
//! Pure: chance comes from the seed, arithmetic is the same on every platform, and nothing allocates once a
//! [`Scratch`] exists (except what a caller's [`Constraint`] does). No clock, no threads, no text.

#![forbid(unsafe_code)]

mod config;
mod constraint;
mod exp;
mod listed;
mod nucleus;
mod rng;
mod sampler;
mod stages;

pub use config::{ConfigError, MAX_LOGPROBS, SamplerConfig};
pub use constraint::{Constraint, TokenMask};
pub use listed::{Enough, Listing};
pub use rng::Rng;
pub use sampler::{Choice, SampleError, Sampler, Scratch};
pub use stages::{Candidate, stage_names};
