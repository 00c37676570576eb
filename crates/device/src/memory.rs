//! What a device's own memory is used for, in numbers that can be read from any thread while the device works.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryUse {
    /// Matrices, vectors, tables.
    Weights,
    /// KV caches and recurrent states.
    Cache,
    /// What goes from one op to the next.
    Activations,
    /// What ops work with.
    Scratch,
}

impl MemoryUse {
    const ALL: [Self; 4] = [Self::Weights, Self::Cache, Self::Activations, Self::Scratch];

    fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Cache => "cache",
            Self::Activations => "activations",
            Self::Scratch => "scratch",
        }
    }

    /// What takes less of it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Weights => "fewer layers here (--gpu-layers), or weights of a smaller type, take less",
            Self::Cache => {
                "a shorter context (--max-seq-len), fewer sequences or a smaller type of cache (--kv-dtype) take less"
            }
            Self::Activations | Self::Scratch => {
                "a shorter text or context (--max-seq-len), fewer tokens per step (batch_tokens in Python) or fewer layers here \
                 (--gpu-layers) take less"
            }
        }
    }
}

/// Bytes of a device's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryNumbers {
    /// What could be used when the device was opened.
    pub limit: u64,
    used: [u64; MemoryUse::ALL.len()],
    /// Released, and kept to be used again.
    pub kept: u64,
    /// The most that was held at once.
    pub most: u64,
    /// What was given back to the device because an allocation did not fit, in all.
    pub pressed_out: u64,
}

impl MemoryNumbers {
    /// In use for one thing.
    pub fn used(&self, what: MemoryUse) -> u64 {
        self.used[what as usize]
    }

    /// In use for anything.
    pub fn in_use(&self) -> u64 {
        self.used.iter().sum()
    }

    /// Taken from the device: what is in use and what is kept.
    pub fn held(&self) -> u64 {
        self.in_use() + self.kept
    }

    /// Memory was taken from the device.
    pub fn take(&mut self, bytes: u64, what: MemoryUse) {
        self.used[what as usize] += bytes;
        self.most = self.most.max(self.held());
    }

    /// Memory is not in use any more, and stays here.
    pub fn keep(&mut self, bytes: u64, what: MemoryUse) {
        self.used[what as usize] -= bytes;
        self.kept += bytes;
    }

    /// Memory that was kept is in use again.
    pub fn reuse(&mut self, bytes: u64, what: MemoryUse) {
        self.kept -= bytes;
        self.used[what as usize] += bytes;
    }

    /// Memory in use goes back to the device.
    pub fn give_back(&mut self, bytes: u64, what: MemoryUse) {
        self.used[what as usize] -= bytes;
    }

    /// Memory that was kept goes back, since other memory does not fit beside it.
    pub fn press_out(&mut self, bytes: u64) {
        self.kept -= bytes;
        self.pressed_out += bytes;
    }
}

impl fmt::Display for MemoryNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in MemoryUse::ALL {
            write!(f, "{} {}, ", what.name(), mebibytes(self.used(what)))?;
        }
        let (kept, most, limit) = (self.kept, self.most, self.limit);
        write!(f, "kept for reuse {}; at most {} of {}", mebibytes(kept), mebibytes(most), mebibytes(limit))?;
        match self.pressed_out {
            0 => Ok(()),
            bytes => write!(f, "; {} given back when memory was short", mebibytes(bytes)),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The numbers of one device; outlives it.
#[derive(Clone, Debug, Default)]
pub struct MemoryGauge {
    device: Arc<str>,
    numbers: Arc<Mutex<MemoryNumbers>>,
}

impl MemoryGauge {
    /// Of a device on which nothing is in use, and `limit` bytes may be.
    pub fn new(device: &str, limit: u64) -> Self {
        let numbers = MemoryNumbers { limit, ..MemoryNumbers::default() };
        Self { device: device.into(), numbers: Arc::new(Mutex::new(numbers)) }
    }

    /// Whose.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// As they are now.
    pub fn read(&self) -> MemoryNumbers {
        *self.lock()
    }

    /// Notes a change.
    pub fn note(&self, change: impl FnOnce(&mut MemoryNumbers)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, MemoryNumbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_kept_and_given_back_adds_up() {
        let gauge = MemoryGauge::new("gpu", 100 << 20);
        let other = gauge.clone();
        gauge.note(|n| n.take(40 << 20, MemoryUse::Weights));
        gauge.note(|n| n.take(8 << 20, MemoryUse::Scratch));
        gauge.note(|n| n.keep(8 << 20, MemoryUse::Scratch));
        assert_eq!((other.read().in_use(), other.read().held()), (40 << 20, 48 << 20));
        gauge.note(|n| n.reuse(8 << 20, MemoryUse::Activations));
        assert_eq!(other.read().used(MemoryUse::Activations), 8 << 20);
        gauge.note(|n| n.keep(8 << 20, MemoryUse::Activations));
        gauge.note(|n| n.press_out(8 << 20));
        gauge.note(|n| n.take(1 << 20, MemoryUse::Cache));
        gauge.note(|n| n.give_back(1 << 20, MemoryUse::Cache));
        assert_eq!(
            other.to_string(),
            "gpu: weights 40.0 MiB, cache 0.0 MiB, activations 0.0 MiB, scratch 0.0 MiB, kept for reuse 0.0 MiB; \
             at most 48.0 MiB of 100.0 MiB; 8.0 MiB given back when memory was short"
        );
    }
}
