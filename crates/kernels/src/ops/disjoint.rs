//! Sharing a slice between the chunks of one job, each of which writes a part of its own.

use crate::cpu::Cpu;
use std::marker::PhantomData;

/// Jobs that touch fewer values than this are done by the calling thread: waking others costs more.
const WORTH_SHARING: usize = 16 * 1024;
/// Values that a chunk should have at least.
const CHUNK: usize = 4 * 1024;

/// A slice of which chunks of a job take parts that do not overlap.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the parts that are handed out do not overlap (`Disjoint::part` asks for that), so threads share nothing.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Where element `at` is, for kernels that take pointers. Panics where it lies outside the slice.
    pub(crate) fn start(&self, at: usize) -> *mut T {
        assert!(at < self.len, "element {at} of {}", self.len);
        self.start.wrapping_add(at)
    }

    /// `len` elements from `from` on. Panics where they lie outside the slice.
    ///
    /// # Safety
    /// No two parts that are alive at the same time may overlap.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches that parts do not overlap")]
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &mut [T] {
        assert!(from <= self.len && len <= self.len - from, "part {from}+{len} of {}", self.len);
        // SAFETY: inside the slice, which is borrowed exclusively; the caller keeps parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

/// Calls `f(row, values)` for each row of `rows`, `[n, len]`, sharing large work among the workers.
pub(crate) fn for_rows(cpu: &Cpu, rows: &mut [f32], len: usize, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    if rows.is_empty() {
        return;
    }
    assert!(len > 0 && rows.len().is_multiple_of(len), "{} values are no rows of {len}", rows.len());
    if rows.len() < WORTH_SHARING || cpu.workers() == 1 {
        return rows.chunks_exact_mut(len).enumerate().for_each(|(i, row)| f(i, row));
    }
    let n = rows.len() / len;
    let per_chunk = CHUNK.div_ceil(len);
    let rows = Disjoint::new(rows);
    cpu.for_chunks(n.div_ceil(per_chunk), &|_, chunk| {
        for row in chunk * per_chunk..n.min((chunk + 1) * per_chunk) {
            // SAFETY: each row belongs to one chunk and is taken once.
            f(row, unsafe { rows.part(row * len, len) });
        }
    });
}
