//! Waiting for work that a thread does: without Python's lock, and with an ear for Ctrl-C.

use crate::failure::Failure;
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long Ctrl-C may go unheard.
const TICK: Duration = Duration::from_millis(50);
/// As much as the main thread of a program has.
const STACK: usize = 8 << 20;

/// Says whether somebody still waits for the work.
#[derive(Clone, Default)]
pub struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    /// Nobody waits any more.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nobody does.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Leaves work that has no end of its own to be asked for, where nobody waits for it: this thread unwinds, without a word.
    pub fn leave(&self) {
        if self.get() {
            resume_unwind(Box::new("nobody waits for this"));
        }
    }
}

/// Takes a lock that holds nothing half-done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something on a thread of its own.
pub fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let builder = thread::Builder::new().name("torchless-python".to_owned()).stack_size(STACK);
    builder.spawn(work).map(drop).map_err(|_| Failure::Internal("no thread could be started"))
}

/// The next of what a thread sends; `None` once it has ended.
///
/// # Errors
/// A handler of signals raised something, as that of Ctrl-C does.
pub fn receive<T: Send>(py: Python<'_>, from: &Mutex<Receiver<T>>) -> PyResult<Option<T>> {
    loop {
        match py.detach(|| lock(from).recv_timeout(TICK)) {
            Ok(value) => return Ok(Some(value)),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Does something on a thread of its own and waits for it. The work is left behind where Ctrl-C ends the waiting; it is told
/// so.
///
/// # Errors
/// The work failed, or a handler of signals raised something.
pub fn wait_for<T, W>(py: Python<'_>, work: W) -> PyResult<T>
where
    T: Send + 'static,
    W: FnOnce(&Abandoned) -> Result<T, Failure> + Send + 'static,
{
    wait_hearing(py, |()| Ok(()), |abandoned, _| work(abandoned))
}

enum Told<N, T> {
    News(N),
    Done(Result<T, Failure>),
}

/// As [`wait_for`], and `hear` gets news of the work, here where the waiting is done. What that raises ends the waiting too.
///
/// # Errors
/// As there.
pub fn wait_hearing<N, T, W, H>(py: Python<'_>, mut hear: H, work: W) -> PyResult<T>
where
    N: Send + 'static,
    T: Send + 'static,
    W: FnOnce(&Abandoned, &dyn Fn(N)) -> Result<T, Failure> + Send + 'static,
    H: FnMut(N) -> PyResult<()>,
{
    let abandoned = Abandoned::default();
    let (told, (sender, receiver)) = (abandoned.clone(), channel());
    spawn(move || {
        // Whoever asked may be gone.
        let tell = |word| drop(sender.send(word));
        let done = catch_unwind(AssertUnwindSafe(|| work(&told, &|news| tell(Told::News(news)))));
        tell(Told::Done(done.unwrap_or(Err(Failure::Internal("a thread panicked")))));
    })?;
    let receiver = Mutex::new(receiver);
    loop {
        let waiting = match receive(py, &receiver) {
            Ok(Some(Told::Done(done))) => return Ok(done?),
            Ok(Some(Told::News(news))) => hear(news),
            Ok(None) => return Err(Failure::Internal("a thread ended without a word").into()),
            Err(signal) => Err(signal),
        };
        if let Err(raised) = waiting {
            abandoned.set();
            return Err(raised);
        }
    }
}

/// Does something short without Python's lock.
///
/// # Errors
/// The work failed.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Failure> + Send) -> PyResult<T> {
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
    Ok(done.unwrap_or(Err(Failure::Internal("a call panicked")))?)
}
