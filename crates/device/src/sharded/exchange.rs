//! What devices that compute at once have to tell each other: sums.

use crate::DeviceError;
use crate::ops::{BufId, Device};

/// Adds up what several devices have of one buffer.
pub trait Exchange: Send {
    /// For messages, such as `NCCL 2.27`.
    fn name(&self) -> String;

    /// Sums the first `values` values, whole rows, of a buffer that each device calls by its name in `bufs`. All of them have the sum
    /// afterwards, with the same bits.
    ///
    /// # Errors
    /// A device failed, or what lies between them.
    fn sum(
        &mut self,
        devices: &mut [Box<dyn Device>],
        bufs: &[BufId],
        values: usize,
    ) -> Result<(), DeviceError>;
}

/// Brings all values to the host and the sum back: works between any devices, and is slow.
#[derive(Debug, Default)]
pub struct ThroughHost {
    sum: Vec<f32>,
    one: Vec<f32>,
}

impl Exchange for ThroughHost {
    fn name(&self) -> String {
        "the host".to_owned()
    }

    fn sum(
        &mut self,
        devices: &mut [Box<dyn Device>],
        bufs: &[BufId],
        values: usize,
    ) -> Result<(), DeviceError> {
        self.sum.clear();
        self.sum.resize(values, 0.0);
        self.one.resize(values, 0.0);
        for (device, buf) in devices.iter_mut().zip(bufs) {
            device.read(*buf, &mut self.one)?;
            self.sum.iter_mut().zip(&self.one).for_each(|(sum, x)| *sum += x);
        }
        devices.iter_mut().zip(bufs).try_for_each(|(device, buf)| device.write(*buf, &self.sum))
    }
}
