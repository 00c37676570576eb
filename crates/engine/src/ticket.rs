//! The caller's end of a request: events come out, a cancellation goes in.

use crate::worker::Command;
use crate::{FinishReason, RequestError, Stats};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use torchless_base::TokenId;

/// What happens to a request. The last event is `Finished` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// So much of the prompt is computed. A receiver that comes late sees the latest one only.
    Prompt {
        /// Tokens computed.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// The next token of the reply.
    Token {
        /// The token.
        id: TokenId,
        /// Its log probability under the model, where the sampler was asked for it.
        logprob: Option<f32>,
        /// The likeliest tokens and their log probabilities; as many as the sampler was asked for.
        alternatives: Vec<(TokenId, f32)>,
    },
    /// The reply is complete, or was cancelled.
    Finished {
        /// Why it ended; never [`FinishReason::Failed`].
        reason: FinishReason,
        /// Counts.
        stats: Stats,
    },
    /// The reply could not be completed.
    Failed {
        /// Why.
        error: RequestError,
    },
}

impl Event {
    fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. })
    }
}

#[derive(Debug)]
struct Mailbox {
    inner: Mutex<Inner>,
    filled: Condvar,
}

#[derive(Debug)]
struct Inner {
    events: VecDeque<Event>,
    waker: Option<Waker>,
    times: Times,
}

/// When things happened, whenever the caller came to see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The request was made; no work on it was begun before that.
    pub asked: Instant,
    /// The whole prompt was computed.
    pub prompt: Option<Instant>,
    /// The last event was sent.
    pub end: Option<Instant>,
}

impl Mailbox {
    fn new() -> Self {
        // Room for a receiver that lags a little; the queue grows only behind a slow one.
        let events = VecDeque::with_capacity(64);
        let times = Times { asked: Instant::now(), prompt: None, end: None };
        Self { inner: Mutex::new(Inner { events, waker: None, times }), filled: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held; if it did, the events would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        let mut inner = self.lock();
        match event {
            Event::Prompt { done, total } if done == total => inner.times.prompt = Some(Instant::now()),
            _ if event.is_last() => inner.times.end = Some(Instant::now()),
            _ => {}
        }
        match (inner.events.back_mut(), &event) {
            (Some(last @ Event::Prompt { .. }), Event::Prompt { .. }) => *last = event,
            _ => inner.events.push_back(event),
        }
        let waker = inner.waker.take();
        drop(inner);
        self.filled.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One of the requests that an engine may have at a time; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// A permit if fewer than `limit` are out, else how many are.
    pub fn take(count: &Arc<AtomicUsize>, limit: usize) -> Result<Self, usize> {
        let more = |n: usize| (n < limit).then_some(n + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more)?;
        Ok(Self(Arc::clone(count)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The worker's end of a request. Dropped without a last event, it says that the engine has stopped.
#[derive(Debug)]
pub(crate) struct Outbox {
    mailbox: Arc<Mailbox>,
    permit: Option<Permit>,
}

impl Outbox {
    pub fn send(&mut self, event: Event) {
        if event.is_last() {
            // First, so that a caller who saw the end can submit at once.
            self.permit = None;
        }
        self.mailbox.push(event);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.send(Event::Failed { error: RequestError::Stopped });
        }
    }
}

/// A request in progress. Dropping it cancels the request.
#[derive(Debug)]
pub struct Ticket {
    mailbox: Arc<Mailbox>,
    canceller: Canceller,
    over: bool,
}

impl Ticket {
    pub(crate) fn new(number: u64, commands: Sender<Command>, permit: Permit) -> (Self, Outbox) {
        let mailbox = Arc::new(Mailbox::new());
        let outbox = Outbox { mailbox: Arc::clone(&mailbox), permit: Some(permit) };
        (Self { mailbox, canceller: Canceller { number, commands }, over: false }, outbox)
    }

    /// When the request was made, the prompt was done and the last event was sent, as far as that has happened.
    pub fn times(&self) -> Times {
        self.mailbox.lock().times
    }

    /// The next event; waits for it. None after the last one.
    pub fn recv(&mut self) -> Option<Event> {
        let mut inner = self.mailbox.lock();
        loop {
            match next(&mut inner, &mut self.over) {
                Poll::Ready(event) => return event,
                Poll::Pending => {
                    inner = self.mailbox.filled.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The next event if there is one already; `Ready(None)` after the last one.
    pub fn try_recv(&mut self) -> Poll<Option<Event>> {
        next(&mut self.mailbox.lock(), &mut self.over)
    }

    /// As [`Ticket::try_recv`]; where there is none yet, the waker is called once there is.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut inner = self.mailbox.lock();
        let event = next(&mut inner, &mut self.over);
        if event.is_pending() {
            inner.waker = Some(context.waker().clone());
        }
        event
    }

    /// Ends the request at the next step. Events up to the last one still come; it is `Finished` with
    /// [`FinishReason::Cancelled`], unless the request ended by itself before.
    pub fn cancel(&self) {
        self.canceller.cancel();
    }

    /// A handle that cancels the request from elsewhere, a signal handler's thread for example.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

fn next(inner: &mut Inner, over: &mut bool) -> Poll<Option<Event>> {
    if *over {
        return Poll::Ready(None);
    }
    let Some(event) = inner.events.pop_front() else { return Poll::Pending };
    *over = event.is_last();
    Poll::Ready(Some(event))
}

impl Iterator for Ticket {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.recv()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.over {
            self.cancel();
        }
    }
}

/// Cancels a request. Does nothing once it has ended.
#[derive(Clone, Debug)]
pub struct Canceller {
    number: u64,
    commands: Sender<Command>,
}

impl Canceller {
    /// As [`Ticket::cancel`].
    pub fn cancel(&self) {
        // A worker that is gone has ended the request already.
        let _ = self.commands.send(Command::Cancel(self.number));
    }
}
