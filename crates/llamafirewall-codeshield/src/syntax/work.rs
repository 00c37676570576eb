//! How much one scan may parse. A text is read in several ways, in pieces and by several grammars; what is made for it, such as a
//! hundred thousand fences, would take minutes. A count and not a time, so that the verdict does not depend on the machine.

use std::cell::Cell;

/// Bytes that may be parsed per byte of the text, and at least. Long documents of all kinds take up to 30 per byte, short ones more.
const PER_BYTE: u64 = 40;
const LEAST: u64 = 4 << 20;
/// What the parsing of a text costs beside its bytes, in bytes, and what more it costs to look for a way over its faults.
const EACH: u64 = 500;
const BROKEN: u64 = 2500;

thread_local! {
    /// Bytes that may still be parsed on this thread.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Whether another text may be parsed.
pub(super) fn allows() -> bool {
    LEFT.get() > 0
}

/// Counts a text that was parsed, of which the parser read so many bytes.
pub(super) fn spend(bytes: usize, is_broken: bool) {
    let cost = bytes as u64 + EACH + if is_broken { BROKEN } else { 0 };
    LEFT.set(LEFT.get().saturating_sub(cost));
}

/// Scans a text of so many bytes; tells whether all of it could be parsed that was to be.
pub(crate) fn within<T>(bytes: usize, scan: impl FnOnce() -> T) -> (T, bool) {
    /// Puts back what was allowed before, also where the scan panics.
    struct Before(u64);
    impl Drop for Before {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _before = Before(LEFT.replace(LEAST.max(bytes as u64 * PER_BYTE)));
    let scanned = scan();
    (scanned, LEFT.get() > 0)
}
