//! Ctrl-C: the first one ends the reply, a second one within two seconds ends the program.

use anyhow::{Context, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use torchless::Canceller;

const PATIENCE: Duration = Duration::from_secs(2);
const INTERRUPTED: i32 = 130;

/// What a signal has to know.
#[derive(Default)]
struct Watch {
    reply: Option<Canceller>,
    last: Option<Instant>,
}

/// The installed handler.
pub struct Interrupt {
    watch: Arc<Mutex<Watch>>,
}

impl Interrupt {
    /// Takes over Ctrl-C.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install() -> Result<Self> {
        let watch = Arc::new(Mutex::new(Watch::default()));
        let seen = Arc::clone(&watch);
        ctrlc::set_handler(move || {
            let mut watch = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let again = watch.last.is_some_and(|at| at.elapsed() < PATIENCE);
            watch.last = Some(Instant::now());
            match &watch.reply {
                Some(reply) if !again => reply.cancel(),
                _ => std::process::exit(INTERRUPTED),
            }
        })
        .context("taking over Ctrl-C")?;
        Ok(Self { watch })
    }

    /// From now on Ctrl-C ends this reply.
    pub fn watch(&self, reply: Canceller) {
        self.set(Some(reply));
    }

    /// From now on Ctrl-C ends the program.
    pub fn forget(&self) {
        self.set(None);
    }

    fn set(&self, reply: Option<Canceller>) {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).reply = reply;
    }
}
