//! Which devices there are, and opening one of them.

use std::path::PathBuf;

#[cfg(target_os = "macos")]
use super::metal;
use super::{DeviceInfo, Driver, compiled, cuda, opencl};
use crate::{Backend, GpuError};

/// What a driver may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the device's memory; `None` is all of it.
    pub memory: Option<u64>,
    /// Folder for compiled kernels; `None` compiles them anew each time. [`usual_folder`] names one.
    pub programs: Option<PathBuf>,
}

pub use compiled::usual_folder;

/// One interface, and the devices that it leads to or why it leads to none.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which interface.
    pub backend: Backend,
    /// Its devices, in the order of their numbers.
    pub devices: Result<Vec<DeviceInfo>, GpuError>,
}

/// Every interface of this platform, in the order in which they are preferred.
#[must_use]
pub fn list() -> Vec<Found> {
    Backend::ALL.iter().map(|&backend| Found { backend, devices: devices(backend) }).collect()
}

/// The devices of one interface.
///
/// # Errors
/// The interface cannot be used here.
pub fn devices(backend: Backend) -> Result<Vec<DeviceInfo>, GpuError> {
    match backend {
        Backend::Cuda => cuda::devices(cuda::Vendor::Nvidia),
        Backend::Rocm => cuda::devices(cuda::Vendor::Amd),
        Backend::OpenCl => opencl::devices(),
        #[cfg(target_os = "macos")]
        Backend::Metal => metal::devices(),
        #[cfg(not(target_os = "macos"))]
        Backend::Metal => Err(not_here(backend)),
    }
}

/// Opens device number `ordinal` of an interface.
///
/// # Errors
/// The interface cannot be used here, there is no such device, or it refused.
pub fn open(backend: Backend, ordinal: usize, limits: &Limits) -> Result<Box<dyn Driver>, GpuError> {
    match backend {
        Backend::Cuda => cuda::open(cuda::Vendor::Nvidia, ordinal, limits),
        Backend::Rocm => cuda::open(cuda::Vendor::Amd, ordinal, limits),
        Backend::OpenCl => Ok(Box::new(opencl::OpenCl::open(ordinal, limits)?)),
        #[cfg(target_os = "macos")]
        Backend::Metal => Ok(Box::new(metal::Metal::open(ordinal, limits)?)),
        #[cfg(not(target_os = "macos"))]
        Backend::Metal => Err(not_here(backend)),
    }
}

/// Bytes that are free on a device right now, other programs' use counted; `None` where that is not told, or the device cannot be
/// opened. Opening takes memory of its own, which counts as used.
#[must_use]
pub fn measured_free(backend: Backend, ordinal: usize) -> Option<u64> {
    open(backend, ordinal, &Limits::default()).ok()?.measured_free()
}

#[cfg(not(target_os = "macos"))]
fn not_here(backend: Backend) -> GpuError {
    GpuError::Unavailable {
        backend,
        reason: "it is Apple's, for macOS".to_owned(),
        advice: "choose another one; --list-backends shows them".to_owned(),
    }
}
