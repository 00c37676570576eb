//! Scheduler, block pool and the one worker thread; sees neither tensors nor text.

#![forbid(unsafe_code)]

mod config;
mod engine;
mod pool;
mod scheduler;
mod sequence;
mod ticket;
mod worker;

pub use config::{Accepted, ConfigError, EngineConfig, Limits, PrefixReuse, SequenceSpec, SubmitError};
pub use engine::{Engine, Request, RequestError, StartError};
pub use pool::{BlockPool, Content};
pub use scheduler::{FinishReason, Scheduler, SeqChange, SeqEvent, Stats};
pub use ticket::{Canceller, Event, Ticket};
