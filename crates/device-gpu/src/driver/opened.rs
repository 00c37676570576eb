//! A device that is open for a model, and whether the model fits.

use super::{Driver, open_within};
use crate::{Backend, GpuError};

/// A device that is open, and the bytes that may be used on it.
pub struct Opened {
    /// What leads to it.
    pub driver: Box<dyn Driver>,
    /// Bytes that were free when it was opened.
    pub free: u64,
}

/// A model that is larger than what is free on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which device.
    pub device: String,
    /// Bytes that the model needs there.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
}

impl Opened {
    /// A device with what is free on it now.
    #[must_use]
    pub fn new(driver: Box<dyn Driver>) -> Self {
        Self { free: driver.free_memory(), driver }
    }

    /// Opens a device of which a part of the memory may be used.
    ///
    /// # Errors
    /// As [`open_within`].
    pub fn within(backend: Backend, ordinal: usize, fraction: f64) -> Result<Self, GpuError> {
        open_within(backend, ordinal, fraction).map(Self::new)
    }

    /// For messages, such as `CUDA 0 (NVIDIA H200)`.
    #[must_use]
    pub fn name(&self) -> String {
        self.driver.info().label()
    }

    /// Whether a model of `needed` bytes fits.
    ///
    /// # Errors
    /// It does not.
    pub fn room_for(&self, needed: u64) -> Result<(), Shortage> {
        match needed <= self.free {
            true => Ok(()),
            false => Err(Shortage { device: self.name(), needed, free: self.free }),
        }
    }
}
