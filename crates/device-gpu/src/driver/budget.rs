//! How much of a device's memory may be taken, and how much is.

use crate::GpuError;

/// A limit and what counts against it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    limit: u64,
    most_at_once: u64,
    used: u64,
}

impl Budget {
    /// At most `limit` in all and `most_at_once` in one allocation.
    #[must_use]
    pub fn new(limit: u64, most_at_once: u64) -> Self {
        Self { limit, most_at_once, used: 0 }
    }

    /// What may still be taken.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.limit - self.used
    }

    /// Takes `bytes` for `what` on `device`.
    ///
    /// # Errors
    /// It is more than is free or than one allocation may have.
    pub fn take(&mut self, bytes: u64, device: &str, what: &str) -> Result<(), GpuError> {
        let (device, what) = (device.to_owned(), what.to_owned());
        if bytes > self.most_at_once {
            return Err(GpuError::TooLarge { device, bytes, what, most: self.most_at_once });
        }
        if bytes > self.free() {
            return Err(GpuError::OutOfMemory { device, bytes, what, free: self.free() });
        }
        self.used += bytes;
        Ok(())
    }

    /// Gives back what was taken.
    pub fn give(&mut self, bytes: u64) {
        self.used -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut budget = Budget::new(100, 80);
        budget.take(60, "gpu", "a").unwrap();
        let error = budget.take(41, "gpu", "weights").unwrap_err();
        assert_eq!(error.to_string(), "gpu cannot allocate 41 bytes for weights: 40 bytes are free");
        budget.give(60);
        let error = budget.take(81, "gpu", "weights").unwrap_err();
        assert_eq!(
            error.to_string(),
            "gpu cannot allocate 81 bytes for weights: one allocation has at most 80 bytes"
        );
        budget.take(80, "gpu", "b").unwrap();
        assert_eq!(budget.free(), 20);
    }
}
