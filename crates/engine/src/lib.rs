//! Scheduler, block pool and the one worker thread; sees neither tensors nor text.
//!
//! ```
//! # use torchless_base::{Runner, TokenId};
//! # use torchless_engine::{Engine, EngineConfig, Event, Request};
//! fn reply(runner: Box<dyn Runner>, prompt: Vec<TokenId>) -> Result<(), Box<dyn std::error::Error>> {
//!     let engine = Engine::start(runner, EngineConfig::default())?;
//!     let mut request = Request::new(prompt);
//!     request.max_tokens = 100;
//!     request.stop_ids = vec![TokenId(2)];
//!     request.sampler.seed = 42;
//!     for event in engine.submit(request)? {
//!         match event {
//!             Event::Prompt { done, total } => eprintln!("prompt: {done} of {total}"),
//!             Event::Token { id, .. } => eprintln!("token {id}"),
//!             Event::Finished { reason, stats } => eprintln!("{reason:?} after {}", stats.reply_tokens),
//!             Event::Failed { error } => return Err(error.into()),
//!         }
//!     }
//!     Ok(())
//! }
//! ```

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
pub use scheduler::{Choices, FinishReason, Scheduler, SeqChange, SeqEvent, Stats};
pub use ticket::{Canceller, Event, Ticket, Times};
