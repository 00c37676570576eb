//! Ids, step plans and the [`Runner`] trait: the words that all crates share.
//!
//! What runs a model (our decoder, a foreign library) and what decides when it runs (the scheduler)
//! meet here and nowhere else. No tensors, no text, no clock, no IO.

#![forbid(unsafe_code)]

mod counted;
mod ids;
mod plan;
mod runner;

pub use counted::{MOST_COUNTED, counted};
pub use ids::{BlockId, SeqId, TokenId};
pub use plan::{BlockCopy, PlanError, Slice, StepPlan, Temperature, Wanted};
pub use runner::{Logits, RunError, Runner, RunnerInfo, Scored};
