//! Scheduler and engine over a runner of integers.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod engine;
mod fake;
mod scheduler;
