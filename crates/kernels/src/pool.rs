//! A pool of threads for short jobs: a token has some 250 of them, so a dispatch must cost about a microsecond.
//!
//! Work is cut into chunks. Each worker walks a contiguous run of its own and then takes chunks off the ends of the others'
//! runs. Who waits spins for a moment and then sleeps: beside other processes, spinning or yielding would use up the time that
//! the system grants, and a sleeper that is woken goes before them. A job ends when its chunks are done: a worker that the
//! system has not let run in time finds the job closed and delays nobody.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Spins before a waiting thread sleeps: 10 to 40 microseconds, what lies between the jobs of a step.
const SPINS: u32 = 1_000;
/// Yields of a caller before it sleeps: the worker that it waits for may want this very processor.
const YIELDS: u32 = 100;

/// In `Shared::gate`: workers may enter the job.
const OPEN: u64 = 1 << 16;
/// In `Shared::gate`: one job further.
const EPOCH: u64 = 1 << 17;
/// In `Shared::gate`: how many workers are inside.
const INSIDE: u64 = OPEN - 1;

thread_local! {
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Threads that share jobs. The thread that hands out a job works on it too, as worker 0.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

struct Shared {
    /// Epoch, `OPEN` and the number of workers inside, in one word, so that entering and closing cannot miss each other.
    gate: Line<AtomicU64>,
    job: UnsafeCell<Job>,
    /// Workers that have taken part in this job so far.
    entered: Line<AtomicUsize>,
    /// What each worker still has to do: begin in the high half, end in the low one.
    runs: Box<[Line<AtomicU64>]>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    /// Whether the caller of the job sleeps until workers have entered or left.
    caller_sleeps: AtomicBool,
    stop: AtomicBool,
    bed: Mutex<()>,
    bell: Condvar,
    caller_bell: Condvar,
}

/// A job's body with its lifetime removed; it is called only while the job is running, see `Pool::dispatch`.
type Job = Option<*const (dyn Fn(usize) + Sync)>;

// SAFETY: `job` is written only while nobody is inside and the gate is closed, and read only by those inside; the pointer
// leads to a `Sync` closure. All else is safe to share by itself.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing belongs to a thread.
unsafe impl Send for Shared {}

/// Keeps neighbours out of its cache line (two, because processors fetch them in pairs).
#[repr(align(128))]
struct Line<T>(T);

impl Pool {
    /// A pool in which `threads` workers take part, the caller among them; 0 counts as 1.
    /// Panics where the system gives no more threads.
    pub fn new(threads: usize) -> Self {
        let workers = threads.clamp(1, INSIDE as usize);
        let shared = Arc::new(Shared {
            gate: Line(AtomicU64::new(0)),
            job: UnsafeCell::new(None),
            entered: Line(AtomicUsize::new(0)),
            runs: (0..workers).map(|_| Line(AtomicU64::new(0))).collect(),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            caller_bell: Condvar::new(),
        });
        let threads = (1..workers).map(|worker| spawn(worker, Arc::clone(&shared))).collect();
        Self { shared, threads, turn: Mutex::new(()) }
    }

    /// How many workers take part in a job.
    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `f(worker)` once on every worker and returns when all have finished. Unlike [`Pool::for_chunks`] it waits for
    /// every thread to be given time by the system.
    /// A panic in `f` goes on in the caller. Panics when called from inside a job.
    pub fn run(&self, f: &(dyn Fn(usize) + Sync)) {
        let _turn = self.take_turn();
        self.dispatch(f, self.threads.len());
    }

    /// Calls `f(worker, chunk)` once for each chunk in `0..chunks`, on whichever worker has time, and returns when all are
    /// done. Allocates nothing.
    /// A panic in `f` goes on in the caller; chunks that nobody had begun by then are left out. Panics when called from
    /// inside a job, or with more than `u32::MAX` chunks.
    pub fn for_chunks(&self, chunks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        let _turn = self.take_turn();
        if self.threads.is_empty() || chunks <= 1 {
            let _mark = JobMark::set();
            return (0..chunks).for_each(|chunk| f(0, chunk));
        }
        self.deal(chunks);
        self.dispatch(
            &|worker| {
                while let Some(chunk) = self.shared.claim(worker) {
                    f(worker, chunk);
                }
            },
            0,
        );
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        assert!(!IN_JOB.get(), "a job may not start a job");
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives each worker its run of chunks.
    fn deal(&self, chunks: usize) {
        let chunks = u32::try_from(chunks).unwrap_or_else(|_| panic!("{chunks} chunks are too many"));
        let workers = self.workers() as u64;
        for (worker, run) in self.shared.runs.iter().enumerate() {
            let worker = worker as u64;
            let begin = u64::from(chunks) * worker / workers;
            let end = u64::from(chunks) * (worker + 1) / workers;
            run.0.store(begin << 32 | end, Relaxed);
        }
    }

    /// Opens the gate to `f`, takes part as worker 0, waits until `quorum` others have entered, closes it and waits until all
    /// have left. The caller holds the turn.
    fn dispatch(&self, f: &(dyn Fn(usize) + Sync), quorum: usize) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. The pointer is used by workers between entering and leaving, and this
        // function returns (or unwinds) only after the gate is closed and all have left.
        let job: *const (dyn Fn(usize) + Sync) = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                f,
            )
        };
        // SAFETY: the gate is closed and nobody is inside, so nobody reads `job`; the turn keeps other callers out.
        unsafe { *shared.job.get() = Some(job) };
        shared.entered.0.store(0, Relaxed);
        let epoch = shared.gate.0.load(Relaxed) & !(INSIDE | OPEN);
        shared.gate.0.store(epoch.wrapping_add(EPOCH) | OPEN, SeqCst);
        shared.wake();

        let mine = {
            let _mark = JobMark::set();
            catch_unwind(AssertUnwindSafe(|| f(0)))
        };
        if mine.is_err() {
            shared.drop_chunks();
        }
        shared.wait_for_workers(|| shared.entered.0.load(SeqCst) >= quorum);
        shared.gate.0.fetch_and(!OPEN, SeqCst);
        shared.wait_for_workers(|| shared.gate.0.load(SeqCst) & INSIDE == 0);

        let theirs = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = mine.err().or(theirs) {
            resume_unwind(payload);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.wake_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs, so there is no other outcome to report.
            drop(thread.join());
        }
    }
}

/// Says, while it lives, that this thread, a caller's, is inside a job, and gives it back as it was.
struct JobMark {
    #[cfg(target_arch = "x86_64")]
    _tiles: crate::amx::KeptShapes,
}

impl JobMark {
    fn set() -> Self {
        IN_JOB.set(true);
        Self {
            #[cfg(target_arch = "x86_64")]
            _tiles: crate::amx::KeptShapes::of_this_thread(),
        }
    }
}

impl Drop for JobMark {
    fn drop(&mut self) {
        IN_JOB.set(false);
    }
}

impl Shared {
    /// The next chunk for `worker`: the first of its own run, else the last of another's.
    fn claim(&self, worker: usize) -> Option<usize> {
        let workers = self.runs.len();
        take(&self.runs[worker].0, End::Front)
            .or_else(|| (1..workers).find_map(|i| take(&self.runs[(worker + i) % workers].0, End::Back)))
    }

    fn drop_chunks(&self) {
        for run in &self.runs {
            run.0.store(0, Relaxed);
        }
    }

    fn wake(&self) {
        if self.sleepers.load(SeqCst) > 0 {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_all();
    }

    /// Waits for a job after `seen` that can be entered, and enters it: its epoch, or `None` at the end of the pool.
    fn enter(&self, seen: u64) -> Option<u64> {
        let mut patience = 0;
        loop {
            let gate = self.gate.0.load(Acquire);
            let epoch = gate & !(INSIDE | OPEN);
            if gate & OPEN != 0 && epoch != seen {
                if self.gate.0.compare_exchange(gate, gate + 1, AcqRel, Relaxed).is_ok() {
                    return Some(epoch);
                }
                continue;
            }
            if self.stop.load(SeqCst) {
                return None;
            }
            patience += 1;
            if patience < SPINS {
                std::hint::spin_loop();
            } else {
                self.sleep(gate);
                patience = 0;
            }
        }
    }

    /// Sleeps until the bell rings, unless the gate has moved on from `gate`.
    fn sleep(&self, gate: u64) {
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, SeqCst);
        // The caller moves the gate first and looks for sleepers afterwards, here it is the other way round: one of the
        // two sees the other. Spurious wake-ups are harmless.
        if self.gate.0.load(SeqCst) == gate && !self.stop.load(SeqCst) {
            drop(self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner));
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    /// Waits, as the caller of a job, until `done`, which workers bring about.
    fn wait_for_workers(&self, done: impl Fn() -> bool) {
        for turn in 0..SPINS + YIELDS {
            if done() {
                return;
            }
            if turn < SPINS {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        // As in `sleep`: a worker changes what `done` looks at before it looks at the mark.
        self.caller_sleeps.store(true, SeqCst);
        while !done() {
            bed = self.caller_bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, SeqCst);
    }

    /// Lets the caller see, if it sleeps, that a worker has entered or left.
    fn wake_caller(&self) {
        if self.caller_sleeps.load(SeqCst) {
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.caller_bell.notify_one();
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

fn take(run: &AtomicU64, from: End) -> Option<usize> {
    let mut now = run.load(Relaxed);
    loop {
        let (begin, end) = (now >> 32, now & 0xffff_ffff);
        if begin >= end {
            return None;
        }
        let (chunk, next) = match from {
            End::Front => (begin, now + (1 << 32)),
            End::Back => (end - 1, now - 1),
        };
        match run.compare_exchange_weak(now, next, Relaxed, Relaxed) {
            Ok(_) => return Some(chunk as usize),
            Err(other) => now = other,
        }
    }
}

fn spawn(worker: usize, shared: Arc<Shared>) -> JoinHandle<()> {
    let thread =
        thread::Builder::new().name(format!("kernels-{worker}")).spawn(move || work(worker, &shared));
    thread.unwrap_or_else(|error| panic!("cannot start worker thread {worker}: {error}"))
}

fn work(worker: usize, shared: &Shared) {
    IN_JOB.set(true);
    let mut seen = 0;
    while let Some(epoch) = shared.enter(seen) {
        seen = epoch;
        // SAFETY: this worker is inside, so the caller waits in `dispatch`: the slot is not written and the closure that
        // it points to is alive.
        let job = unsafe { (*shared.job.get()).map(|job| &*job) };
        shared.entered.0.fetch_add(1, SeqCst);
        shared.wake_caller();
        if let Some(job) = job
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(worker)))
        {
            shared.drop_chunks();
            shared.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
        shared.gate.0.fetch_sub(1, SeqCst);
        shared.wake_caller();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_each_chunk_once(pool: &Pool, chunks: usize) {
        let counts: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
        pool.for_chunks(chunks, &|worker, chunk| {
            assert!(worker < pool.workers());
            counts[chunk].fetch_add(1, Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Relaxed) == 1), "{chunks} chunks");
    }

    #[test]
    fn each_chunk_is_done_once() {
        for threads in [0, 1, 2, 3, 5] {
            let pool = Pool::new(threads);
            assert_eq!(pool.workers(), threads.max(1));
            for chunks in [0, 1, 2, 3, 4, 7, 64, 1000] {
                assert_each_chunk_once(&pool, chunks);
            }
        }
    }

    #[test]
    fn every_worker_runs_once() {
        let pool = Pool::new(4);
        for _ in 0..200 {
            let counts: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
            pool.run(&|worker| {
                counts[worker].fetch_add(1, Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
        }
    }

    #[test]
    fn many_short_jobs_lose_nothing() {
        let pool = Pool::new(3);
        let total = AtomicUsize::new(0);
        for round in 0..20_000 {
            pool.for_chunks(round % 9, &|_, chunk| {
                total.fetch_add(chunk + 1, Relaxed);
            });
        }
        let want: usize = (0..20_000).map(|round| (round % 9) * (round % 9 + 1) / 2).sum();
        assert_eq!(total.load(Relaxed), want);
    }

    #[test]
    fn sleeping_workers_are_woken() {
        let pool = Pool::new(3);
        while pool.shared.sleepers.load(SeqCst) < 2 {
            thread::yield_now();
        }
        let seen = AtomicUsize::new(0);
        pool.run(&|_| {
            seen.fetch_add(1, Relaxed);
        });
        assert_eq!(seen.load(Relaxed), 3);
    }

    #[test]
    fn a_sleeping_caller_is_woken() {
        let pool = Pool::new(2);
        let mine = thread::current().id();
        pool.run(&|_| {
            // The worker does not leave before the caller sleeps.
            while thread::current().id() != mine && !pool.shared.caller_sleeps.load(SeqCst) {
                thread::yield_now();
            }
        });
        assert!(!pool.shared.caller_sleeps.load(SeqCst));
    }

    #[test]
    fn callers_on_different_threads_take_turns() {
        let pool = Pool::new(2);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..300).for_each(|_| assert_each_chunk_once(&pool, 11)));
            }
        });
    }

    #[test]
    fn a_panic_in_any_chunk_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for bad in 0..12 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.for_chunks(12, &|_, chunk| assert!(chunk != bad, "chunk {chunk} is bad"));
            }));
            let payload = result.expect_err("the panic should have come through");
            assert_eq!(payload.downcast_ref::<String>(), Some(&format!("chunk {bad} is bad")));
            assert_each_chunk_once(&pool, 12);
        }
    }

    #[test]
    fn panics_of_all_workers_reach_the_caller_as_one() {
        let pool = Pool::new(3);
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(&|worker| panic!("worker {worker}"))));
        assert!(result.is_err());
        assert_each_chunk_once(&pool, 12);
    }

    #[test]
    fn a_job_inside_a_job_is_refused() {
        for threads in [1, 2] {
            let pool = Pool::new(threads);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.for_chunks(2, &|_, _| pool.for_chunks(1, &|_, _| {}));
            }));
            assert!(result.is_err());
            assert_each_chunk_once(&pool, 5);
        }
    }

    #[test]
    fn dropping_joins_busy_and_sleeping_workers() {
        for round in 0..200 {
            let pool = Pool::new(1 + round % 4);
            assert_each_chunk_once(&pool, round);
        }
    }
}
