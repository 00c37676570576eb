//! What the library prints: events of `tracing`, and words for errors.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::catch_unwind;

/// Lines that an error repeats, and the longest of each.
const LINES: usize = 6;
const LINE_CHARS: usize = 300;

/// `enum ggml_log_level`.
mod level {
    pub const DEBUG: i32 = 1;
    pub const WARN: i32 = 3;
    pub const ERROR: i32 = 4;
    /// The line before goes on.
    pub const CONTINUED: i32 = 5;
}

/// What this thread has heard.
#[derive(Default)]
struct Heard {
    /// A line without its end yet.
    line: String,
    level: i32,
    /// Warnings and errors, while somebody listens.
    kept: Option<Vec<String>>,
}

thread_local! {
    static HEARD: RefCell<Heard> = RefCell::default();
}

/// Runs `work` and says what the library complained about meanwhile on this thread.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, String) {
    HEARD.with_borrow_mut(|heard| heard.kept = Some(Vec::new()));
    let result = work();
    let kept = HEARD.with_borrow_mut(|heard| {
        let unfinished = std::mem::take(&mut heard.line);
        heard.keep(&unfinished);
        heard.kept.take().unwrap_or_default()
    });
    let last = &kept[kept.len().saturating_sub(LINES)..];
    let said = if last.is_empty() { "it gave no reason".to_owned() } else { last.join("; ") };
    (result, said)
}

/// The function that libraries are given for their logs.
///
/// # Safety
/// `text` has to be null or a C string.
pub unsafe extern "C" fn callback(level: c_int, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: it is not null, and the caller passes a C string, which lives at least as long as this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // A subscriber that panics must not unwind into C++, and there is nobody to tell.
    let _ = catch_unwind(|| hear(level, &text));
}

fn hear(level: i32, text: &str) {
    for piece in text.split_inclusive('\n') {
        let done = HEARD.with_borrow_mut(|heard| heard.push(level, piece));
        if let Some((level, line)) = done {
            emit(level, &line);
        }
    }
}

impl Heard {
    /// Takes a piece of a line, and gives the line when it is whole.
    fn push(&mut self, level: i32, piece: &str) -> Option<(i32, String)> {
        if level != level::CONTINUED {
            self.level = level;
        }
        // Progress dots come by the thousand without an end of line.
        if self.line.len() < 16 * LINE_CHARS {
            self.line.push_str(piece.trim_end_matches('\n'));
        }
        if !piece.ends_with('\n') {
            return None;
        }
        let line = std::mem::take(&mut self.line);
        self.keep(&line);
        Some((self.level, line))
    }

    fn keep(&mut self, line: &str) {
        let line = line.trim();
        let loud = self.level == level::WARN || self.level == level::ERROR;
        if let Some(kept) = self.kept.as_mut().filter(|_| loud && !line.is_empty()) {
            kept.push(line.chars().take(LINE_CHARS).collect());
        }
    }
}

/// The library is talkative: what it calls information is of interest for debugging.
fn emit(level: i32, line: &str) {
    let line = line.trim_end();
    match level {
        _ if line.is_empty() => {}
        level::ERROR => tracing::error!(target: "llama.cpp", "{line}"),
        level::WARN => tracing::warn!(target: "llama.cpp", "{line}"),
        level::DEBUG => tracing::trace!(target: "llama.cpp", "{line}"),
        _ => tracing::debug!(target: "llama.cpp", "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(level: i32, text: &std::ffi::CStr) {
        // SAFETY: a C string.
        unsafe { callback(level, text.as_ptr(), std::ptr::null_mut()) };
    }

    #[test]
    fn errors_repeat_complaints_and_nothing_else() {
        let ((), said) = during(|| {
            say(2, c"loading\n");
            say(4, c"unknown ");
            say(5, c"architecture\nand more\n");
            say(3, c"careful");
        });
        assert_eq!(said, "unknown architecture; and more; careful");
        assert_eq!(during(|| say(2, c"fine\n")).1, "it gave no reason");
    }

    #[test]
    fn a_flood_is_cut() {
        let ((), said) = during(|| (0..1000).for_each(|_| say(4, c"again and again\n")));
        assert_eq!(said.matches("again and again").count(), LINES);
        let ((), said) = during(|| (0..100_000).for_each(|_| say(4, c".")));
        assert_eq!(said.len(), LINE_CHARS);
        // SAFETY: null is allowed.
        unsafe { callback(4, std::ptr::null(), std::ptr::null_mut()) };
    }
}
