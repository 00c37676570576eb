//! Ctrl-C: the first one ends the reply, a second one within two seconds ends the program, in a conversation also between replies.
//! Where files are made, every signal that ends the program removes first what is half made. Where a person types, it gives the
//! terminal back as it was.

use anyhow::{Context, Result};
#[cfg(unix)]
use nix::sys::signal::{SigSet, Signal, raise};
#[cfg(unix)]
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
#[cfg(unix)]
use nix::unistd::{getpgrp, tcgetpgrp};
#[cfg(unix)]
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use torchless::Canceller;

const PATIENCE: Duration = Duration::from_secs(2);
const INTERRUPTED: i32 = 130;
const TAKING_OVER: &str = "taking over Ctrl-C";
/// Ends the mode in which pasted text comes between marks.
#[cfg(unix)]
const PASTE_AS_TYPED: &[u8] = b"\x1b[?2004l\n";

/// What a signal has to know.
#[derive(Default)]
struct Watch {
    reply: Option<Canceller>,
    last: Option<Instant>,
    /// A person talks: replies come one after the other.
    talking: bool,
}

/// The installed handler.
pub struct Interrupt {
    watch: Arc<Mutex<Watch>>,
}

impl Interrupt {
    /// Takes over Ctrl-C, unless the program was started deaf to it, as a job of a script behind `&` is.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install() -> Result<Self> {
        let watch = Arc::new(Mutex::new(Watch::default()));
        #[cfg(unix)]
        if is_ignored(Signal::SIGINT) {
            return Ok(Self { watch });
        }
        let seen = Arc::clone(&watch);
        ctrlc::set_handler(move || {
            let mut watch = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let again = watch.last.is_some_and(|at| at.elapsed() < PATIENCE);
            watch.last = Some(Instant::now());
            match &watch.reply {
                Some(reply) if !again => reply.cancel(),
                // It was meant for the reply that ended just before.
                None if !again && watch.talking => {}
                _ => std::process::exit(INTERRUPTED),
            }
        })
        .context(TAKING_OVER)?;
        Ok(Self { watch })
    }

    /// From now on one Ctrl-C between replies ends nothing.
    pub fn talk(&self) {
        self.lock().talking = true;
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
        self.lock().reply = reply;
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From now on a signal that ends the program removes first what is half made. No other thread may be there yet.
///
/// # Errors
/// The system refuses.
#[cfg(unix)]
pub fn clear_up_at_the_end() -> Result<()> {
    before_the_end_by([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP], |end| {
        torchless::discard_temporaries(end);
    })
}

/// From now on a signal that ends the program gives the terminal back as it is now: the line editor has settings of its own. Ctrl-C is
/// the editor's. No other thread may be there yet.
///
/// # Errors
/// The system refuses.
#[cfg(unix)]
pub fn give_back_the_terminal_at_the_end() -> Result<()> {
    let settings = tcgetattr(std::io::stdin()).context("reading the terminal's settings")?;
    before_the_end_by([Signal::SIGTERM, Signal::SIGHUP], move |end| {
        give_back(&settings);
        end();
    })
}

/// Consoles of other systems have settings that end with the program.
#[cfg(not(unix))]
pub fn give_back_the_terminal_at_the_end() -> Result<()> {
    Ok(())
}

/// Where the terminal is gone there is nothing to give back; in the background it is another program's.
#[cfg(unix)]
fn give_back(settings: &Termios) {
    let terminal = std::io::stdin();
    let changed = tcgetattr(&terminal).is_ok_and(|now| now != *settings);
    if !changed || tcgetpgrp(&terminal) != Ok(getpgrp()) {
        return;
    }
    let _ = tcsetattr(&terminal, SetArg::TCSANOW, settings);
    let open = std::fs::OpenOptions::new().write(true).open("/dev/tty");
    let _ = open.and_then(|mut terminal| terminal.write_all(PASTE_AS_TYPED));
}

/// Does what has to be done before one of these signals ends the program.
#[cfg(unix)]
fn before_the_end_by<const N: usize>(
    signals: [Signal; N],
    clear_up: impl FnOnce(&dyn Fn()) + Send + 'static,
) -> Result<()> {
    let signals: SigSet = signals.into_iter().filter(|s| !is_ignored(*s)).collect();
    // Threads that come later inherit this: the one that waits is the one that hears.
    signals.thread_block().context(TAKING_OVER)?;
    let wait = move || {
        if let Ok(signal) = signals.wait() {
            clear_up(&|| end_by(signal, &signals));
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context(TAKING_OVER)?;
    Ok(())
}

/// Ends the program as the signal does that nobody takes over: whoever waits for it sees which it was.
#[cfg(unix)]
fn end_by(signal: Signal, signals: &SigSet) {
    // Where the signal does not end it, the status does.
    let _ = signals.thread_unblock().and_then(|()| raise(signal));
    std::process::exit(128 + signal as i32);
}

/// Makes a file that grows beyond what the system allows (`ulimit -f`) an error of writing it, as a full disk is, instead of the end of
/// the program. To be called before there are threads, which inherit it.
#[cfg(unix)]
pub fn outlive_limits_of_files() {
    // Where the system refuses, the signal ends the program as it always did.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}

/// There are no such signals.
#[cfg(not(unix))]
pub fn outlive_limits_of_files() {}

/// Whether the program was started deaf to a signal, as `nohup` starts it. Where the system does not say, it may have been.
#[cfg(unix)]
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    match mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        Some(mask) => mask >> (signal as u32 - 1) & 1 == 1,
        None => signal == Signal::SIGHUP,
    }
}

/// As above, for Ctrl-C and closed consoles.
#[cfg(not(unix))]
pub fn clear_up_at_the_end() -> Result<()> {
    ctrlc::set_handler(|| torchless::discard_temporaries(|| std::process::exit(INTERRUPTED)))
        .context(TAKING_OVER)
}
