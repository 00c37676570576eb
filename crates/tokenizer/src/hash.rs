//! Hashing of pairs of ids, seeded per process so that no file can choose its collisions.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Builds [`PairHasher`]s with one random seed.
#[derive(Debug, Clone)]
pub(crate) struct PairState {
    add: u64,
    multiply: u64,
}

impl Default for PairState {
    fn default() -> Self {
        let random = RandomState::new();
        Self { add: random.hash_one(1_u8), multiply: random.hash_one(2_u8) | 1 }
    }
}

impl BuildHasher for PairState {
    type Hasher = PairHasher;

    fn build_hasher(&self) -> PairHasher {
        PairHasher { add: self.add, multiply: self.multiply, hash: 0 }
    }
}

/// Folded multiplication of one `u64`.
#[derive(Debug)]
pub(crate) struct PairHasher {
    add: u64,
    multiply: u64,
    hash: u64,
}

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.hash << 8 ^ u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(value ^ self.add) * u128::from(self.multiply);
        self.hash = product as u64 ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}
