//! Runs scanners side by side, each within its time. A scanner that panics has failed, nothing more: what it panics with may quote the
//! text, so it is neither printed nor told.

use crate::configuration::Entry;
use crate::{Placement, ScanFuture, ScanInput, ScanResult, Scanner, ScannerError};
use futures_timer::Delay;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Threads of one firewall that may be busy at once, those left behind included.
const MOST_THREADS: usize = 256;

type Outcome = Result<ScanResult, ScannerError>;

/// Threads that are busy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicUsize>);

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
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Outcomes in the order of the scanners.
pub(crate) async fn run(
    entries: &[&Entry],
    input: &Arc<ScanInput>,
    limit: Duration,
    busy: &Busy,
) -> Vec<Outcome> {
    // Threads first, so that they work while the others are polled here.
    let mut running: Vec<Running<'_>> = entries
        .iter()
        .map(|entry| match entry.scanner.placement() {
            Placement::Thread => on_a_thread(&entry.scanner, input, busy),
            Placement::Task => Running::Waiting,
        })
        .collect();
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
    Elsewhere(Arc<Slot>),
    Done(Outcome),
}

/// Where a thread leaves what it found.
#[derive(Default)]
struct Slot(Mutex<(Option<Outcome>, Option<Waker>)>);

impl Slot {
    fn put(&self, outcome: Outcome) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.0 = Some(outcome);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }

    fn take(&self, context: &Context<'_>) -> Option<Outcome> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = slot.0.take();
        if outcome.is_none() {
            slot.1 = Some(context.waker().clone());
        }
        outcome
    }
}

fn failed(reason: &str) -> Outcome {
    Err(ScannerError(reason.to_owned()))
}

thread_local! {
    /// Whether a scanner is at work on this thread.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
    /// Where in the program the last one panicked.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does a scanner's work; of a panic only its place in the program is told.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Outcome> {
    keep_panics_quiet();
    let before = AT_WORK.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    AT_WORK.set(before);
    done.map_err(|_| match PLACE.take() {
        Some(place) => failed(&format!("the scanner panicked at {place}")),
        None => failed("the scanner panicked"),
    })
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

fn begun<'a>(scanner: &'a dyn Scanner, input: &'a ScanInput) -> Running<'a> {
    match caught(|| scanner.scan(input)) {
        Ok(future) => Running::Here(future),
        Err(outcome) => Running::Done(outcome),
    }
}

fn on_a_thread<'a>(scanner: &Arc<dyn Scanner>, input: &Arc<ScanInput>, busy: &Busy) -> Running<'a> {
    if busy.0.fetch_add(1, Ordering::Relaxed) >= MOST_THREADS {
        busy.0.fetch_sub(1, Ordering::Relaxed);
        return Running::Done(failed("too many scans are still running"));
    }
    let slot = Arc::new(Slot::default());
    let (scanner, input, busy) = (scanner.clone(), input.clone(), busy.clone());
    let (done, left) = (slot.clone(), busy.clone());
    let work = move || {
        let outcome = caught(|| block_on(scanner.scan(&input)));
        busy.0.fetch_sub(1, Ordering::Relaxed);
        done.put(outcome.unwrap_or_else(|failure| failure));
    };
    match thread::Builder::new().name("scanner".to_owned()).spawn(work) {
        Ok(_) => Running::Elsewhere(slot),
        Err(_) => {
            left.0.fetch_sub(1, Ordering::Relaxed);
            Running::Done(failed("no thread to run on"))
        }
    }
}

/// Polls everything until it is done or the time is up.
struct SideBySide<'a> {
    running: Vec<Running<'a>>,
    limit: Duration,
    timer: Option<Delay>,
    input: &'a ScanInput,
}

impl Running<'_> {
    /// Whether it is done.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let outcome = match self {
            Running::Done(_) => return true,
            Running::Waiting => None,
            Running::Elsewhere(slot) => slot.take(context),
            Running::Here(future) => match caught(|| future.as_mut().poll(context)) {
                Ok(Poll::Ready(outcome)) => Some(outcome),
                Ok(Poll::Pending) => None,
                Err(outcome) => Some(outcome),
            },
        };
        if let Some(outcome) = outcome {
            *self = Running::Done(outcome);
            return true;
        }
        false
    }

    fn outcome(self, limit: Duration) -> Outcome {
        match self {
            Running::Done(outcome) => outcome,
            _ => failed(&format!("no verdict within {} ms", limit.as_millis())),
        }
    }
}

impl Future for SideBySide<'_> {
    type Output = Vec<Outcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Every one is polled, be another unfinished or not.
        let open = this.running.iter_mut().map(|running| running.poll(context)).filter(|done| !done).count();
        if open > 0 {
            let timer = this.timer.get_or_insert_with(|| Delay::new(this.limit));
            if Pin::new(timer).poll(context).is_pending() {
                return Poll::Pending;
            }
            this.input.abandon();
        }
        let limit = this.limit;
        Poll::Ready(
            std::mem::take(&mut this.running).into_iter().map(|running| running.outcome(limit)).collect(),
        )
    }
}
