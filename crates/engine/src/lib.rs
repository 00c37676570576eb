//! Scheduler, block pool and the one worker thread; sees neither tensors nor text.

#![forbid(unsafe_code)]

mod pool;

pub use pool::{BlockPool, Content};
