//! A reply while it is made. A thread waits for the events and hands them on; whoever drops the stream ends the reply.

use crate::failure::Failure;
use crate::opened::Home;
use crate::reply::event_parts;
use crate::waiting::{lock, receive, spawn};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use torchless::{Canceller, Event, GenerateOptions, Prompt};

enum Told {
    Begun(Canceller),
    Event(Event),
    Failed(Failure),
}

/// Events of a reply.
#[pyclass(frozen, module = "torchless._native")]
pub struct Stream {
    told: Mutex<Receiver<Told>>,
    canceller: Mutex<Option<Canceller>>,
    home: Home,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Stream {
    /// Begins a reply, once its prompt was let in.
    pub fn begin(
        py: Python<'_>,
        model: Arc<torchless::Model>,
        prompt: Prompt,
        options: GenerateOptions,
    ) -> PyResult<Self> {
        let (sender, receiver) = channel();
        spawn(move || {
            let work = || tell(&model, prompt, &options, &sender);
            let done = catch_unwind(AssertUnwindSafe(work));
            if let Err(failure) = done.unwrap_or(Err(Failure::Internal("the thread of a reply panicked"))) {
                // Whoever asked may be gone.
                let _ = sender.send(Told::Failed(failure));
            }
        })?;
        let told = Mutex::new(receiver);
        match receive(py, &told)? {
            Some(Told::Begun(canceller)) => {
                Ok(Self { told, canceller: Mutex::new(Some(canceller)), home: Home::here() })
            }
            Some(Told::Failed(failure)) => Err(failure.into()),
            Some(Told::Event(_)) | None => Err(Failure::Internal("a reply without a beginning").into()),
        }
    }
}

/// Sends the events of a reply, as long as somebody is there.
fn tell(
    model: &torchless::Model,
    prompt: Prompt,
    options: &GenerateOptions,
    to: &Sender<Told>,
) -> Result<(), Failure> {
    let admitted = model.admit(prompt)?;
    let generation = model.generate(&admitted, options)?;
    if to.send(Told::Begun(generation.canceller())).is_err() {
        return Ok(());
    }
    for event in generation {
        if to.send(Told::Event(event?)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[pymethods]
impl Stream {
    /// The next event, `(kind, value)`; `None` after the last.
    fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<(&'static str, Bound<'py, PyAny>)>> {
        self.home.check()?;
        match receive(py, &self.told) {
            Ok(Some(Told::Event(event))) => event_parts(py, &event).map(Some),
            Ok(Some(Told::Failed(failure))) => Err(failure.into()),
            Ok(Some(Told::Begun(_)) | None) => Ok(None),
            Err(signal) => {
                self.cancel();
                Err(signal)
            }
        }
    }

    /// Ends the reply; what was made already is still told.
    fn cancel(&self) {
        if let Some(canceller) = lock(&self.canceller).take() {
            canceller.cancel();
        }
    }
}
