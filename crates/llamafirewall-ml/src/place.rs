//! Where a classifier of one's own runs: on the CPU, or on a GPU.

use crate::{LoadError, NativeOptions};
use std::path::Path;
use torchless_device::{CpuDevice, CpuOptions, EncoderDevice};
use torchless_device_gpu::driver::{MEMORY_FRACTION, Opened, Shortage, first_gpu};
use torchless_device_gpu::{Backend, GpuDevice};
use torchless_formats::Checkpoint;
use torchless_kernels::{Precision, usual};

/// Where a classifier runs. What is named is used or is an error; nothing falls back in silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnginePlace {
    /// The CPU.
    #[default]
    Cpu,
    /// Device of this number, or the first, of the first interface that leads to a GPU. Without any it is the CPU, unless a number was
    /// given: it is a GPU's.
    Auto(Option<usize>),
    /// Device of this number of one interface.
    Gpu(Backend, usize),
}

impl EnginePlace {
    /// Names of the interfaces, as options and policies spell them.
    pub const NAMES: [&str; 6] = ["cpu", "auto", "cuda", "rocm", "metal", "opencl"];

    /// The place of this name, device number `device` of it or the first; `None` for a name that is not one of [`EnginePlace::NAMES`].
    pub fn named(name: &str, device: Option<usize>) -> Option<Self> {
        let gpu = |backend| Self::Gpu(backend, device.unwrap_or(0));
        Some(match name {
            "cpu" => Self::Cpu,
            "auto" => Self::Auto(device),
            "cuda" => gpu(Backend::Cuda),
            "rocm" => gpu(Backend::Rocm),
            "metal" => gpu(Backend::Metal),
            "opencl" => gpu(Backend::OpenCl),
            _ => return None,
        })
    }
}

/// The device for a model, with nothing on it.
///
/// # Errors
/// What is named is not there, or the model does not fit.
pub(crate) fn open(
    options: &NativeOptions,
    (path, checkpoint): (&Path, &Checkpoint),
) -> Result<Box<dyn EncoderDevice>, LoadError> {
    let (backend, ordinal) = match options.place {
        EnginePlace::Gpu(backend, ordinal) => (backend, ordinal),
        EnginePlace::Auto(ordinal) => match (first_gpu(), ordinal) {
            (Some(backend), ordinal) => (backend, ordinal.unwrap_or(0)),
            (None, Some(ordinal)) => return Err(LoadError::NoGpu { ordinal }),
            (None, None) => return Ok(cpu(options)),
        },
        EnginePlace::Cpu => return Ok(cpu(options)),
    };
    on_gpu(Opened::within(backend, ordinal, MEMORY_FRACTION)?, (path, checkpoint))
}

/// A GPU that is open, for a model.
///
/// # Errors
/// The model does not fit.
pub(crate) fn on_gpu(
    opened: Opened,
    (path, checkpoint): (&Path, &Checkpoint),
) -> Result<Box<dyn EncoderDevice>, LoadError> {
    let needed = checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum();
    opened.room_for(needed).map_err(|Shortage { device, needed, free }| LoadError::DoesNotFit {
        path: path.to_owned(),
        device,
        needed,
        free,
    })?;
    Ok(Box::new(GpuDevice::new(opened.driver, Precision::Fast)?))
}

fn cpu(options: &NativeOptions) -> Box<dyn EncoderDevice> {
    let cpu = CpuOptions { kernels: usual(), threads: options.threads.max(1), precision: Precision::Fast };
    Box::new(CpuDevice::new(cpu))
}
