//! Many pieces of work by a few threads, results in the order of the pieces.

use crate::failure::Failure;
use crate::waiting::{Abandoned, receive, spawn};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

type Done<T> = Result<T, Failure>;

/// Does `work` for each of `pieces` on `threads` threads. Ctrl-C leaves behind what is in work, and the rest undone.
///
/// # Errors
/// A handler of signals raised something, or no thread could be started.
pub fn each<P, T, W>(py: Python<'_>, pieces: Vec<P>, threads: usize, work: W) -> PyResult<Vec<Done<T>>>
where
    P: Clone + Send + Sync + 'static,
    T: Send + 'static,
    W: Fn(P, &Abandoned) -> Done<T> + Send + Sync + 'static,
{
    let count = pieces.len();
    let shared = Arc::new((pieces, work, AtomicUsize::new(0), Abandoned::default()));
    let (sender, receiver) = channel();
    for _ in 0..threads.clamp(1, count.max(1)) {
        let (shared, sender) = (shared.clone(), sender.clone());
        spawn(move || {
            let (pieces, work, next, abandoned) = &*shared;
            while let Some((at, piece)) = taken(pieces, next).filter(|_| !abandoned.get()) {
                let done = catch_unwind(AssertUnwindSafe(|| work(piece, abandoned)));
                if sender.send((at, done.unwrap_or(Err(Failure::Internal("a thread panicked"))))).is_err() {
                    return;
                }
            }
        })?;
    }
    drop(sender);
    let mut results: Vec<Option<Done<T>>> = std::iter::repeat_with(|| None).take(count).collect();
    let receiver = Mutex::new(receiver);
    loop {
        let received = py.check_signals().and_then(|()| receive(py, &receiver));
        match received {
            Ok(Some((at, done))) => results[at] = Some(done),
            Ok(None) => break,
            Err(signal) => {
                shared.3.set();
                return Err(signal);
            }
        }
    }
    let missing = || Err(Failure::Internal("a thread ended without a word"));
    Ok(results.into_iter().map(|done| done.unwrap_or_else(missing)).collect())
}

fn taken<P: Clone>(pieces: &[P], next: &AtomicUsize) -> Option<(usize, P)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    pieces.get(at).map(|piece| (at, piece.clone()))
}
