//! The interfaces that lead to a GPU.

use std::fmt;

/// An interface to GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// NVIDIA's driver API.
    Cuda,
    /// AMD's HIP.
    Rocm,
    /// Apple's Metal.
    Metal,
    /// OpenCL, of any vendor.
    OpenCl,
}

impl Backend {
    /// All of them, the preferred ones first.
    pub const ALL: [Self; 4] = [Self::Cuda, Self::Rocm, Self::Metal, Self::OpenCl];
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cuda => "CUDA",
            Self::Rocm => "ROCm",
            Self::Metal => "Metal",
            Self::OpenCl => "OpenCL",
        })
    }
}
