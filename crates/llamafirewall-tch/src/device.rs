//! Devices in the words of tch, and in those of the names of files.

use llamafirewall_core::TorchDevice;
use tch::{Cuda, Device};

/// The best device there is: the first GPU of NVIDIA, the GPU of Apple, the CPU.
pub(crate) fn best() -> Device {
    match TorchDevice::best(Cuda::is_available, tch::utils::has_mps) {
        TorchDevice::Cuda => Device::Cuda(0),
        TorchDevice::Mps => Device::Mps,
        TorchDevice::Cpu => Device::Cpu,
    }
}

/// Whose files fit a device; `None` where there are no names for any.
pub(crate) fn named(device: Device) -> Option<TorchDevice> {
    match device {
        Device::Cuda(_) => Some(TorchDevice::Cuda),
        Device::Mps => Some(TorchDevice::Mps),
        Device::Cpu => Some(TorchDevice::Cpu),
        _ => None,
    }
}
