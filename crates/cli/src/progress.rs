//! A progress bar for loads that take long.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// A load that is done sooner shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shows bytes done on standard error once it has taken a while; nothing where that is no terminal.
pub struct LoadProgress {
    since: Instant,
    bar: Option<ProgressBar>,
    shown: bool,
}

impl LoadProgress {
    /// `shown` is false for quiet runs.
    pub fn new(shown: bool) -> Self {
        Self { since: Instant::now(), bar: None, shown }
    }

    /// Takes note.
    pub fn update(&mut self, done: u64, total: u64) {
        if !self.shown || self.since.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("loading {bar:30} {bytes}/{total_bytes}");
            ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(done);
    }
}

impl Drop for LoadProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A bar on standard error that counts; nothing where that is no terminal.
pub fn count(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    ProgressBar::new(total)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}
