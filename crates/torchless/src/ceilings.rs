//! What this machine can do at best, measured.

use crate::Error;
use crate::open::ModelOptions;
use std::time::Instant;
use torchless_kernels::Cpu;

/// Limits of the machine with the kernels and threads that a model would run with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Reading memory, GB/s.
    pub read_gbps: f64,
    /// Multiplications and additions of 8-bit integers, 10^9 per second.
    pub int8_gops: f64,
    /// Multiplications and additions of f32, 10^9 per second.
    pub f32_gflops: f64,
}

/// Larger than the caches of one socket.
const READ_BYTES: usize = 256 << 20;
/// A tenth of a second or so of arithmetic.
const ROUNDS: usize = 8 << 20;
/// The best of a few: a ceiling is what nothing disturbed.
const TRIES: usize = 3;

impl Ceilings {
    /// Measures for about a second.
    ///
    /// # Errors
    /// The options name kernels that this CPU does not run.
    pub fn measure(options: &ModelOptions) -> Result<Self, Error> {
        let cpu = Cpu::new(options.table()?, options.thread_count());
        let data = vec![1u8; READ_BYTES];
        Ok(Self {
            read_gbps: best(|| cpu.probe_read(&data)),
            int8_gops: best(|| cpu.probe_int8(ROUNDS)),
            f32_gflops: best(|| cpu.probe_f32(ROUNDS)),
        })
    }
}

/// Largest rate of what `work` says it did, in 10^9 per second.
fn best(mut work: impl FnMut() -> u64) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        let done = work() as f64;
        done / start.elapsed().as_secs_f64() / 1e9
    };
    (0..TRIES).map(rate).fold(0.0, f64::max)
}
