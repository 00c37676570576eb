//! Memory of the device: what holds it, and what was released and waits to be used again.
//!
//! Work is done in the order in which it is asked for, so what is asked for next may use memory that earlier work still reads, once that
//! work is with the driver. Weights and caches get what they ask for to the byte. What grows with its use gets a size of few, so that what
//! one releases fits the next; it counts as held until it is given back, which it is when other memory does not fit.

use crate::GpuError;
use crate::driver::{Driver, MemoryId};
use crate::error::shortage;
use std::collections::{BTreeMap, HashMap};
use torchless_device::{DeviceError, MemoryGauge, MemoryUse};

/// The smallest allocation.
const LEAST: u64 = 256;

/// Memory that was given out.
pub(super) struct Pool {
    given: HashMap<MemoryId, (u64, MemoryUse)>,
    /// What waits, by its bytes.
    kept: BTreeMap<u64, Vec<MemoryId>>,
    gauge: MemoryGauge,
}

impl Pool {
    pub(super) fn new(driver: &dyn Driver) -> Self {
        let gauge = MemoryGauge::new(&driver.info().label(), driver.free_memory());
        Self { given: HashMap::new(), kept: BTreeMap::new(), gauge }
    }

    pub(super) fn gauge(&self) -> MemoryGauge {
        self.gauge.clone()
    }

    /// Memory of `bytes` bytes; what is kept makes room where that is needed.
    ///
    /// # Errors
    /// It does not fit.
    pub(super) fn take(
        &mut self,
        driver: &mut dyn Driver,
        bytes: u64,
        (what, name): (MemoryUse, &str),
    ) -> Result<MemoryId, DeviceError> {
        let bytes = bytes.max(LEAST);
        let made = match driver.alloc(bytes, name) {
            Err(GpuError::OutOfMemory { .. }) if self.press_out(driver) => driver.alloc(bytes, name),
            made => made,
        };
        let memory = made.map_err(|error| self.explain(error, what))?;
        self.given.insert(memory, (bytes, what));
        self.gauge.note(|numbers| numbers.take(bytes, what));
        Ok(memory)
    }

    /// Memory of at least `bytes` bytes, and how many they are: what is kept first, unless it is more than twice as large.
    ///
    /// # Errors
    /// It does not fit.
    pub(super) fn take_kept(
        &mut self,
        driver: &mut dyn Driver,
        bytes: u64,
        (what, name): (MemoryUse, &str),
    ) -> Result<(MemoryId, u64), DeviceError> {
        let bytes = bytes.max(LEAST);
        let Some((memory, size)) = self.pop_kept(bytes) else {
            return Ok((self.take(driver, bytes, (what, name))?, bytes));
        };
        self.given.insert(memory, (size, what));
        self.gauge.note(|numbers| numbers.reuse(size, what));
        Ok((memory, size))
    }

    fn pop_kept(&mut self, bytes: u64) -> Option<(MemoryId, u64)> {
        let (&size, memories) = self.kept.range_mut(bytes..=bytes.saturating_mul(2)).next()?;
        let memory = memories.pop()?;
        if memories.is_empty() {
            self.kept.remove(&size);
        }
        Some((memory, size))
    }

    /// Keeps memory that is not used any more. What uses it is with the driver already. Panics if it was not given out.
    pub(super) fn keep(&mut self, memory: MemoryId) {
        let (bytes, what) = self.forget(memory);
        self.kept.entry(bytes).or_default().push(memory);
        self.gauge.note(|numbers| numbers.keep(bytes, what));
    }

    /// Gives memory back to the device. Panics if it was not given out.
    pub(super) fn give_back(&mut self, driver: &mut dyn Driver, memory: MemoryId) {
        let (bytes, what) = self.forget(memory);
        driver.free(memory);
        self.gauge.note(|numbers| numbers.give_back(bytes, what));
    }

    fn forget(&mut self, memory: MemoryId) -> (u64, MemoryUse) {
        match self.given.remove(&memory) {
            Some(given) => given,
            None => panic!("memory {} is not in use", memory.0),
        }
    }

    /// Gives back all that is kept; whether there was any.
    fn press_out(&mut self, driver: &mut dyn Driver) -> bool {
        let mut all = 0;
        for (bytes, memories) in std::mem::take(&mut self.kept) {
            for memory in memories {
                driver.free(memory);
                all += bytes;
            }
        }
        self.gauge.note(|numbers| numbers.press_out(all));
        all > 0
    }

    /// The driver's error with what holds the memory, and what would take less.
    fn explain(&self, error: GpuError, what: MemoryUse) -> DeviceError {
        match error {
            GpuError::OutOfMemory { device, bytes, what: name, free } => {
                let numbers = self.gauge.read();
                let (shortage, advice) = (shortage(bytes, free), what.advice());
                let holding = format!(": {shortage}; held here: {numbers}; {advice}");
                DeviceError::OutOfMemory { device, bytes, what: name, holding }
            }
            other => other.into(),
        }
    }
}

/// The size that memory grows to: a quarter of a power of two apart, so at most a quarter more than asked for.
pub(super) fn size_class(bytes: u64) -> u64 {
    let step = bytes.checked_next_power_of_two().map_or(1, |power| (power / 8).max(LEAST));
    bytes.checked_next_multiple_of(step).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_little_larger() {
        assert_eq!([1, 256, 257, 1025, 4097].map(size_class), [256, 256, 512, 1280, 5120]);
        assert_eq!(size_class(u64::MAX), u64::MAX);
        for bytes in (300..1 << 20).step_by(777) {
            let class = size_class(bytes);
            assert!(class >= bytes && class - bytes <= (bytes / 4).max(LEAST), "{bytes} {class}");
            assert_eq!(size_class(class), class);
        }
    }
}
