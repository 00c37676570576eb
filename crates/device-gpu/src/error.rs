//! Why a GPU could not be used.

use crate::Backend;

/// What went wrong, on which device, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The interface's library is not on this machine, or lacks a function.
    #[error("{backend} cannot be used: {reason} ({advice})")]
    Unavailable {
        /// Which interface.
        backend: Backend,
        /// In the loader's words.
        reason: String,
        /// What to install or choose.
        advice: String,
    },
    /// There is no such device.
    #[error("{backend} has no device {asked} ({found} found; --list-backends shows them)")]
    NoDevice {
        /// Which interface.
        backend: Backend,
        /// The number that was asked for.
        asked: usize,
        /// How many there are.
        found: usize,
    },
    /// An allocation that does not fit.
    #[error("{device} cannot allocate {bytes} bytes for {what}: {free} bytes are free")]
    OutOfMemory {
        /// Which device.
        device: String,
        /// How much was asked for.
        bytes: u64,
        /// For what.
        what: String,
        /// What is left.
        free: u64,
    },
    /// An allocation that is larger than the device makes any.
    #[error("{device} cannot allocate {bytes} bytes for {what}: one allocation has at most {most} bytes")]
    TooLarge {
        /// Which device.
        device: String,
        /// How much was asked for.
        bytes: u64,
        /// For what.
        what: String,
        /// The largest that it makes.
        most: u64,
    },
    /// A program that the device's compiler refuses, or that no compiler is there for.
    #[error("{device} cannot compile {program}: {reason}")]
    Compile {
        /// Which device.
        device: String,
        /// Which program.
        program: String,
        /// The compiler's words.
        reason: String,
    },
    /// A call that failed.
    #[error("{device} failed in {what}: {reason}")]
    Failed {
        /// Which device.
        device: String,
        /// The kernel or call.
        what: String,
        /// The interface's words.
        reason: String,
    },
    /// A device on which nothing runs any more in this process: a kernel went astray, or the hardware failed.
    #[error(
        "{device} was lost in {what}: {reason} (start the program again; TORCHLESS_GPU_DEBUG=wait names the kernel)"
    )]
    Lost {
        /// Which device.
        device: String,
        /// The kernel or call.
        what: String,
        /// The interface's words.
        reason: String,
    },
}
