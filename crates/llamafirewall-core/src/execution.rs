//! Runs scanners side by side, each within its time. A scanner that panics has failed, nothing more: what it panics with may quote the
//! text, so it is neither printed nor told. (A hook for panics that is set after the first scan takes the place of the one that keeps
//! them quiet.)

use crate::alarm::{self, Alarm};
use crate::configuration::Entry;
use crate::threads::{Elsewhere, Threads};
use crate::{Placement, ScanFuture, ScanInput, ScanResult, Scanner, ScannerError};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

pub(crate) type Outcome = Result<ScanResult, ScannerError>;

/// Waits for a future on this thread, with no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        let (polled, wanted) = alarm::during(&waker, || future.as_mut().poll(&mut context));
        match (polled, wanted) {
            (Poll::Ready(output), _) => return output,
            (Poll::Pending, Some(at)) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
            (Poll::Pending, None) => thread::park(),
        }
    }
}

/// Ends waits from elsewhere, such as a signal handler's thread. Clones end the same ones.
#[derive(Clone, Default)]
pub struct Halt(Arc<Mutex<Halted>>);

#[derive(Default)]
struct Halted {
    is_called: bool,
    waiting: Option<Waker>,
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halt").field("is_called", &self.is_called()).finish()
    }
}

impl Halt {
    /// Ends the wait that there is, and those to come.
    pub fn call(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_called = true;
            state.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Whether it was called.
    pub fn is_called(&self) -> bool {
        self.lock().is_called
    }

    /// What the future gives, if that comes first.
    pub(crate) async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            {
                let mut state = self.lock();
                if state.is_called {
                    return Poll::Ready(None);
                }
                state.waiting = Some(context.waker().clone());
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Halted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outcomes in the order of the scanners.
pub(crate) async fn run(
    entries: &[&Entry],
    input: &Arc<ScanInput>,
    limit: Duration,
    threads: &Threads,
) -> Vec<Outcome> {
    // Threads first, so that they work while the others are polled here.
    let mut running: Vec<Running<'_>> =
        entries.iter().map(|entry| placed(&entry.scanner, input, threads)).collect();
    for (state, entry) in running.iter_mut().zip(entries) {
        if matches!(state, Running::Waiting) {
            *state = begun(entry.scanner.as_ref(), input);
        }
    }
    SideBySide { running, limit, timer: None, input }.await
}

/// A scanner at work.
enum Running<'a> {
    Waiting,
    Here(ScanFuture<'a>),
    Elsewhere(Elsewhere),
    Done(Outcome),
}

pub(crate) fn failed(reason: &str) -> Outcome {
    Err(ScannerError(reason.to_owned()))
}

thread_local! {
    /// Whether a scanner is at work on this thread.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
    /// Where in the program the last one panicked.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does a scanner's work; of a panic only its place in the program is told.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, ScannerError> {
    keep_panics_quiet();
    asked(work)
}

/// Asks a scanner about itself, before it has seen any text: what it panics with may be printed.
pub(crate) fn asked<T>(work: impl FnOnce() -> T) -> Result<T, ScannerError> {
    let before = AT_WORK.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let place = PLACE.take();
        // What it panics with may panic when it is dropped; what that panics with is not dropped any more.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
        PLACE.set(None);
        match place {
            Some(place) => ScannerError(format!("the scanner panicked at {place}")),
            None => ScannerError("the scanner panicked".to_owned()),
        }
    });
    AT_WORK.set(before);
    done
}

/// Lets the hook for panics that is there print none of a scanner's, and all others as before.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    // A thread that panics may not change the hook.
    if thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if AT_WORK.get() {
                PLACE.set(info.location().map(|place| format!("{}:{}", place.file(), place.line())));
            } else {
                others(info);
            }
        }));
    });
}

fn placed<'a>(scanner: &'a Arc<dyn Scanner>, input: &Arc<ScanInput>, threads: &Threads) -> Running<'a> {
    match caught(|| scanner.placement()) {
        Ok(Placement::Thread) => threads.scan(scanner, input).map_or_else(Running::Done, Running::Elsewhere),
        Ok(Placement::Task) => Running::Waiting,
        Err(panicked) => Running::Done(Err(panicked)),
    }
}

fn begun<'a>(scanner: &'a dyn Scanner, input: &'a ScanInput) -> Running<'a> {
    match caught(|| scanner.scan(input)) {
        Ok(future) => Running::Here(future),
        Err(panicked) => Running::Done(Err(panicked)),
    }
}

/// Polls everything until it is done or the time is up.
struct SideBySide<'a> {
    running: Vec<Running<'a>>,
    limit: Duration,
    timer: Option<Alarm>,
    input: &'a ScanInput,
}

impl Running<'_> {
    /// Whether it is done.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let outcome = match self {
            Running::Done(_) => return true,
            Running::Waiting => None,
            Running::Elsewhere(thread) => thread.take(context),
            Running::Here(future) => match caught(|| future.as_mut().poll(context)) {
                Ok(Poll::Ready(outcome)) => Some(outcome),
                Ok(Poll::Pending) => None,
                Err(panicked) => Some(Err(panicked)),
            },
        };
        if let Some(outcome) = outcome {
            *self = Running::Done(outcome);
            return true;
        }
        false
    }

    /// What it still has when those that began at once have had their time: a scanner that waited for a thread has its time from there on.
    /// Without any left it has failed.
    fn time_left(&mut self, limit: Duration) -> Duration {
        let milliseconds = limit.as_millis();
        let mut reason = format!("no verdict within {milliseconds} ms");
        match self {
            Running::Done(_) => return Duration::ZERO,
            Running::Elsewhere(thread) => match thread.begun() {
                Some(begun) => {
                    let left = limit.saturating_sub(begun.elapsed());
                    if !left.is_zero() {
                        return left;
                    }
                }
                None => {
                    reason = format!("too many scans at once: no thread was free for {milliseconds} ms");
                }
            },
            _ => {}
        }
        *self = Running::Done(failed(&reason));
        Duration::ZERO
    }

    fn outcome(self) -> Option<Outcome> {
        if let Running::Done(outcome) = self { Some(outcome) } else { None }
    }
}

impl Future for SideBySide<'_> {
    type Output = Vec<Outcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let limit = this.limit;
        loop {
            // Every one is polled, be another unfinished or not.
            let done = this.running.iter_mut().map(|running| running.poll(context));
            if done.filter(|done| !done).count() == 0 {
                let running = std::mem::take(&mut this.running);
                return Poll::Ready(running.into_iter().filter_map(Running::outcome).collect());
            }
            let timer = this.timer.get_or_insert_with(|| Alarm::after(limit));
            if !timer.rings(context) {
                return Poll::Pending;
            }
            let left = this.running.iter_mut().map(|running| running.time_left(limit)).max();
            this.timer = left.filter(|left| !left.is_zero()).map(Alarm::after);
        }
    }
}

impl Drop for SideBySide<'_> {
    /// Whatever still works, nobody waits for it.
    fn drop(&mut self) {
        self.input.abandon();
    }
}
