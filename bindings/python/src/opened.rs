//! What lives with threads of its own, and so in one process alone: a copy that fork made has the memory without the threads.

use crate::failure::Failure;
use std::ops::Deref;
use std::process;
use std::sync::Arc;

/// The process that something was begun in.
#[derive(Clone, Copy)]
pub struct Home(u32);

impl Home {
    /// This process.
    pub fn here() -> Self {
        Self(process::id())
    }

    /// # Errors
    /// This is another process, in which waiting would never end.
    pub fn check(self) -> Result<(), Failure> {
        if self.0 == process::id() {
            return Ok(());
        }
        Err(Failure::Usage(
            "opened in another process: fork copies no threads, so open the model in the process that uses it"
                .to_owned(),
        ))
    }
}

/// Something that was opened, shared with the threads that use it.
pub struct Opened<T> {
    value: Arc<T>,
    home: Home,
}

impl<T> Opened<T> {
    /// Opened just now.
    pub fn new(value: T) -> Self {
        Self { value: Arc::new(value), home: Home::here() }
    }

    /// For work that needs its threads and locks.
    ///
    /// # Errors
    /// This is another process.
    pub fn working(&self) -> Result<Arc<T>, Failure> {
        self.home.check()?;
        Ok(self.value.clone())
    }
}

/// For looking at what it is.
impl<T> Deref for Opened<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Opened<T> {
    fn drop(&mut self) {
        if self.home.check().is_err() {
            // To end it would be to wait for threads that are not here.
            std::mem::forget(self.value.clone());
        }
    }
}
