//! Asking what is written in Python. It works on a thread that Python itself began, which knows how to end when Python ends: a thread of
//! Rust that Python ends in the midst of a call takes the whole process with it.

use pyo3::prelude::*;
use std::sync::mpsc::channel;

/// Takes an answer, or the name of the exception that came in its place.
type Hear = Box<dyn Fn(Result<&Bound<'_, PyAny>, String>) -> PyResult<()> + Send + Sync>;

/// Where Python leaves its answer.
#[pyclass(frozen, module = "torchless._native")]
pub struct Told(Hear);

#[pymethods]
impl Told {
    /// The answer. One that cannot be read raises an exception.
    fn give(&self, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        (self.0)(Ok(answer))
    }

    /// There is none, because of an exception of this name. What that says may quote the text.
    fn fail(&self, exception: String) -> PyResult<()> {
        (self.0)(Err(exception))
    }
}

/// Something in Python that can be asked: called with a [`Told`] and with what is asked, it leaves its answer there.
pub struct Asking {
    who: &'static str,
    call: Py<PyAny>,
    /// Python's own function for it, which runs no code of Python's before it returns.
    start_thread: Py<PyAny>,
}

impl Asking {
    /// Asks `call`; `who` names it in errors.
    ///
    /// # Errors
    /// Python is incomplete.
    pub fn new(who: &'static str, call: &Bound<'_, PyAny>) -> PyResult<Self> {
        let start_thread = call.py().import("_thread")?.getattr("start_new_thread")?;
        Ok(Self { who, call: call.clone().unbind(), start_thread: start_thread.unbind() })
    }

    /// What it answers.
    ///
    /// # Errors
    /// It raised something, or Python is shutting down.
    pub fn ask<A, T>(&self, asked: A, read: fn(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T, String>
    where
        A: for<'py> IntoPyObject<'py>,
        T: Send + 'static,
    {
        let (sender, receiver) = channel();
        let told = Told(Box::new(move |answer| {
            let answer = match answer {
                Ok(answer) => Ok(read(answer)?),
                Err(exception) => Err(exception),
            };
            // Nobody listens where the process ends.
            let _ = sender.send(answer);
            Ok(())
        }));
        let raised = |name: &str| format!("the {} raised {name}", self.who);
        let begun = Python::try_attach(|py| {
            let begun = self.start_thread.call1(py, (&self.call, (told, asked)));
            begun.map(drop).map_err(|error| {
                let name = error.get_type(py).name();
                raised(&name.map_or_else(|_| "an exception".to_owned(), |name| name.to_string()))
            })
        });
        begun.unwrap_or_else(|| Err("Python is shutting down".to_owned()))?;
        match receiver.recv() {
            Ok(answer) => answer.map_err(|name| raised(&name)),
            Err(_) => Err(format!("the {} ended without a word", self.who)),
        }
    }
}
