//! Threads that scanners work on: so many at a time, the others wait for a place. A scan that nobody waits for any more gives its place
//! away; the threads of such scans are counted, and when they are too many nothing more is begun.

use crate::execution::{Outcome, block_on, caught, failed};
use crate::{ScanInput, Scanner};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::Instant;

/// Threads of one firewall that may be left behind.
const MOST_LEFT_BEHIND: usize = 256;

/// Scans of one firewall that may be at work: some for each core, because judges wait for their servers.
fn most_at_work() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| thread::available_parallelism().map_or(16, |cores| (4 * cores.get()).max(16)))
}

/// The threads of a firewall; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Threads(Arc<Mutex<Desk>>);

#[derive(Default)]
struct Desk {
    /// Scans at work that somebody waits for.
    at_work: usize,
    /// Scans at work that nobody waits for.
    left_behind: usize,
    waiting: VecDeque<Arc<Job>>,
}

impl Desk {
    /// The next scan that may begin, which then has its place.
    fn next(&mut self) -> Option<Arc<Job>> {
        if self.at_work >= most_at_work() || self.left_behind >= MOST_LEFT_BEHIND {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.at_work += 1;
        Some(job)
    }
}

type Work = Box<dyn FnOnce() -> Outcome + Send>;

enum State {
    Waiting(Work),
    AtWork(Instant),
    Done(Outcome),
    /// Nobody asks for the outcome any more.
    Left,
}

/// What a thread does, and where it leaves what it found.
struct Job(Mutex<(State, Option<Waker>)>);

impl Job {
    fn lock(&self) -> MutexGuard<'_, (State, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Option<Work> {
        let mut job = self.lock();
        match std::mem::replace(&mut job.0, State::AtWork(Instant::now())) {
            State::Waiting(work) => Some(work),
            other => {
                job.0 = other;
                None
            }
        }
    }
}

/// A scan on a thread, for as long as somebody waits for it.
pub(crate) struct Elsewhere {
    job: Arc<Job>,
    threads: Threads,
}

impl Threads {
    /// Lets a scanner look at the input as soon as there is a place.
    pub fn scan(&self, scanner: &Arc<dyn Scanner>, input: &Arc<ScanInput>) -> Result<Elsewhere, Outcome> {
        let (scanner, input) = (scanner.clone(), input.clone());
        let work = move || caught(move || block_on(scanner.scan(&input))).unwrap_or_else(Err);
        let job = Arc::new(Job(Mutex::new((State::Waiting(Box::new(work)), None))));
        let next = {
            let mut desk = self.lock();
            if desk.left_behind >= MOST_LEFT_BEHIND {
                return Err(failed("too many scans are still running"));
            }
            desk.waiting.push_back(job.clone());
            desk.next()
        };
        self.start(next);
        Ok(Elsewhere { job, threads: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a scan that has a place on a thread of its own.
    fn start(&self, job: Option<Arc<Job>>) {
        let Some(job) = job else { return };
        let (threads, first) = (self.clone(), job.clone());
        let spawned = thread::Builder::new().name("scanner".to_owned()).spawn(move || {
            let mut next = Some(first);
            while let Some(job) = next {
                let outcome = job.begin().map(|work| work());
                next = threads.ended(&job, outcome);
            }
        });
        if spawned.is_err() {
            let mut next = self.ended(&job, None);
            while let Some(job) = next {
                next = self.ended(&job, None);
            }
        }
    }

    /// Takes what came of a scan, `None` where it was not begun, and gives the next one for the same thread.
    fn ended(&self, job: &Job, outcome: Option<Outcome>) -> Option<Arc<Job>> {
        let mut desk = self.lock();
        let mut state = job.lock();
        let waker = match (&state.0, outcome) {
            // It gave its place away when it was left.
            (State::Left, Some(_)) => {
                desk.left_behind -= 1;
                None
            }
            (State::Left, None) => {
                desk.at_work -= 1;
                None
            }
            (_, outcome) => {
                desk.at_work -= 1;
                state.0 = State::Done(outcome.unwrap_or_else(|| failed("no thread to run on")));
                state.1.take()
            }
        };
        drop(state);
        let next = desk.next();
        drop(desk);
        if let Some(waker) = waker {
            // A waker of an executor that is no more may panic, and the next scan waits for this thread.
            let _ = caught(|| waker.wake());
        }
        next
    }
}

impl Elsewhere {
    /// The outcome, where there is one; `context` is woken when there is.
    pub fn take(&self, context: &Context<'_>) -> Option<Outcome> {
        let mut job = self.job.lock();
        if !matches!(job.0, State::Done(_)) {
            job.1 = Some(context.waker().clone());
            return None;
        }
        match std::mem::replace(&mut job.0, State::Left) {
            State::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// When it was begun; `None` while it waits for a place.
    pub fn begun(&self) -> Option<Instant> {
        match &self.job.lock().0 {
            State::AtWork(begun) => Some(*begun),
            State::Waiting(_) => None,
            // It has just ended.
            State::Done(_) | State::Left => Some(Instant::now()),
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let mut desk = self.threads.lock();
        let before = std::mem::replace(&mut self.job.lock().0, State::Left);
        let next = match before {
            State::AtWork(_) => {
                desk.at_work -= 1;
                desk.left_behind += 1;
                desk.next()
            }
            State::Waiting(_) => {
                desk.waiting.retain(|job| !Arc::ptr_eq(job, &self.job));
                None
            }
            State::Done(_) | State::Left => None,
        };
        drop(desk);
        self.threads.start(next);
    }
}
