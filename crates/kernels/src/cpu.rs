//! What all operations hang on: a table, a pool and scratch memory for each worker.

use crate::buffer::AlignedBuf;
use crate::pool::Pool;
use crate::table::Kernels;
use std::cell::UnsafeCell;
use std::sync::Mutex;

/// A table of kernels, threads to run them on, and their scratch memory. The operations are its methods.
pub struct Cpu {
    /// The table in use.
    pub kernels: &'static Kernels,
    pool: Pool,
    scratch: Box<[Slot]>,
    /// Memory that the chunks of one operation share.
    pub(crate) shared: Mutex<AlignedBuf>,
}

/// A worker's own memory, kept apart from the neighbours' cache lines.
#[repr(align(128))]
struct Slot(UnsafeCell<AlignedBuf>);

// SAFETY: a slot is reached only through `Cpu::for_chunks`, by the one thread that is this worker in the one job that runs.
unsafe impl Sync for Slot {}

impl Cpu {
    /// A context with `threads` workers, the calling thread among them; 0 counts as 1.
    /// Panics where the system gives no more threads.
    pub fn new(kernels: &'static Kernels, threads: usize) -> Self {
        let pool = Pool::new(threads);
        let scratch = (0..pool.workers()).map(|_| Slot(UnsafeCell::new(AlignedBuf::default()))).collect();
        Self { kernels, pool, scratch, shared: Mutex::default() }
    }

    /// How many workers share each operation.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// The threads, for work that is not in this crate.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// [`Pool::for_chunks`] with the worker's scratch buffer, which has whatever size and content the last job left.
    pub(crate) fn for_chunks(&self, chunks: usize, f: &(dyn Fn(&mut AlignedBuf, usize) + Sync)) {
        self.pool.for_chunks(chunks, &|worker, chunk| {
            // SAFETY: jobs of one pool take turns and cannot nest, and in a job each worker number belongs to one thread,
            // so this is the only reference to the slot.
            let scratch = unsafe { &mut *self.scratch[worker].0.get() };
            f(scratch, chunk);
        });
    }
}
