//! Every table against oracles in `f64`, and the properties that hold to the bit.

mod attention;
mod delta;
mod rows;
mod streams;
mod within;

use crate::{Cpu, available};

/// A small generator of test data (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly distributed in -1 to 1.
    pub(super) fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(super) fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Every table with one, two and three workers.
pub(super) fn cpus() -> Vec<Cpu> {
    available().iter().flat_map(|table| (1..=3).map(|threads| Cpu::new(table, threads))).collect()
}

/// Every table with one worker.
pub(super) fn single_cpus() -> Vec<Cpu> {
    available().iter().map(|table| Cpu::new(table, 1)).collect()
}

pub(super) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

#[track_caller]
pub(super) fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= tolerance * (1.0 + want.abs()), "{what}: [{i}] is {got}, should be {want}");
    }
}
