//! Takes requests in from any thread and hands them to the one worker.

use crate::ticket::{Permit, Ticket};
use crate::worker::{Command, NewRequest, Worker};
use crate::{ConfigError, EngineConfig, Limits, PrefixReuse, Scheduler, SequenceSpec, SubmitError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use torchless_base::{RunError, Runner, RunnerInfo, TokenId};
use torchless_sampler::{Constraint, SampleError, Sampler, SamplerConfig};

/// A prompt and how to continue it.
pub struct Request {
    /// The prompt, at least one token.
    pub tokens: Vec<TokenId>,
    /// How tokens are chosen; its seed decides all chance.
    pub sampler: SamplerConfig,
    /// Tokens of the reply at most; it ends earlier at a stop id or when the context is full. 0 computes the
    /// prompt and nothing else.
    pub max_tokens: usize,
    /// Tokens that end the reply and are not part of it.
    pub stop_ids: Vec<TokenId>,
    /// What the reply has to look like.
    pub constraint: Option<Box<dyn Constraint>>,
}

impl Request {
    /// A request that continues `tokens` with the default sampler until the context is full.
    pub fn new(tokens: Vec<TokenId>) -> Self {
        Self {
            tokens,
            sampler: SamplerConfig::default(),
            max_tokens: usize::MAX,
            stop_ids: Vec::new(),
            constraint: None,
        }
    }
}

/// Why a request that was taken in could not be completed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The runner could not run a step that the request took part in.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No token could be chosen.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The runner filled in fewer or more logits than the step asked for.
    #[error("the runner returned {got} rows of logits, the step asked for {wanted}")]
    Rows {
        /// Rows that came.
        got: usize,
        /// Rows that were asked for.
        wanted: usize,
    },
    /// The runner or a constraint panicked, which is a bug in it.
    #[error("the {who} panicked: {message}")]
    Panicked {
        /// `runner` or `sampler`.
        who: &'static str,
        /// What it said.
        message: String,
    },
    /// The engine was dropped first.
    #[error("the engine has stopped")]
    Stopped,
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A number that nothing can be done with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system has no thread for it.
    #[error("the engine's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs many requests on one runner, a step of all of them at a time. What a request yields does not depend on
/// what else runs.
///
/// Dropping it ends the step in progress, fails what is left with [`RequestError::Stopped`] and drops the runner.
#[derive(Debug)]
pub struct Engine {
    commands: Sender<Command>,
    info: RunnerInfo,
    limits: Limits,
    requests: Arc<AtomicUsize>,
    max_requests: usize,
    next_number: AtomicU64,
    worker: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the worker thread, which owns `runner` from now on.
    ///
    /// # Errors
    /// A configuration or a runner with which no request could run, or no thread.
    pub fn start(runner: Box<dyn Runner>, mut config: EngineConfig) -> Result<Self, StartError> {
        if runner.keeps_state() {
            config.prefix_reuse = PrefixReuse::Off;
        }
        config.max_running = config.max_running.min(runner.max_sequences());
        let info = runner.info();
        let scheduler = Scheduler::new(&info, config)?;
        let limits = scheduler.limits();
        let (commands, incoming) = channel();
        let worker = Worker::new(runner, scheduler, incoming);
        let worker = std::thread::Builder::new().name("engine".into()).spawn(move || worker.run())?;
        Ok(Self {
            commands,
            info,
            limits,
            requests: Arc::default(),
            max_requests: config.max_running.saturating_add(config.max_queued),
            next_number: AtomicU64::new(0),
            worker: Some(worker),
        })
    }

    /// The limits of the runner.
    pub fn info(&self) -> RunnerInfo {
        self.info
    }

    /// What requests have to keep to.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Requests that run or wait.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Takes a request in. It starts as soon as steps and blocks are free, in the order in which requests came.
    ///
    /// # Errors
    /// A request that could never run, or too many that wait.
    pub fn submit(&self, request: Request) -> Result<Ticket, SubmitError> {
        let Request { tokens, sampler, max_tokens, stop_ids, constraint } = request;
        let sequence = self.limits.accept(SequenceSpec { tokens, max_tokens, stop_ids })?;
        let mut sampler = Sampler::new(sampler, self.limits.vocab)?;
        if let Some(constraint) = constraint {
            sampler = sampler.with_constraint(constraint);
        }
        let limit = self.max_requests;
        let permit =
            Permit::take(&self.requests, limit).map_err(|queued| SubmitError::Full { queued, limit })?;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (ticket, outbox) = Ticket::new(number, self.commands.clone(), permit);
        let new = NewRequest { number, sequence, sampler, outbox };
        self.commands.send(Command::Submit(Box::new(new))).map_err(|_| SubmitError::Stopped)?;
        Ok(ticket)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Fails only if the worker is gone already.
        let _ = self.commands.send(Command::Stop);
        if let Some(worker) = self.worker.take()
            && worker.join().is_err()
        {
            tracing::error!("the engine's worker panicked");
        }
    }
}
