//! Scheduler, block pool and the one worker thread; sees neither tensors nor text.

#![forbid(unsafe_code)]

mod config;
mod pool;
mod scheduler;
mod sequence;

pub use config::{Accepted, ConfigError, EngineConfig, Limits, PrefixReuse, SequenceSpec, SubmitError};
pub use pool::{BlockPool, Content};
pub use scheduler::{FinishReason, Scheduler, SeqChange, SeqEvent, Stats};
