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
    #[error("{device} cannot allocate {bytes} bytes for {what}: {}", shortage(*.bytes, *.free))]
    OutOfMemory {
        /// Which device.
        device: String,
        /// How much was asked for.
        bytes: u64,
        /// For what.
        what: String,
        /// What is left of what may be used here; the driver may refuse less than that.
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
    /// A call for which memory did not suffice: drivers take some of their own, and some take a buffer's when it is first used.
    #[error("{device} ran out of memory in {what}: {reason} ({})", ADVICE)]
    Exhausted {
        /// Which device.
        device: String,
        /// The kernel or call.
        what: String,
        /// The interface's words.
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

/// What helps where a driver has less memory than its device.
const ADVICE: &str = "other programs may hold it; fewer layers here (--gpu-layers), or a smaller --gpu-memory-fraction, leave more to the driver";

/// Why an allocation fails where so many bytes are left of what may be used: they are too few, or the driver refused nonetheless, as it
/// does where other programs hold memory that the interface does not tell of.
pub(crate) fn shortage(bytes: u64, free: u64) -> String {
    match bytes > free {
        true => format!("{free} bytes are free"),
        false => format!("the driver refused, with {free} bytes left of what may be used here ({ADVICE})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_refuses_is_not_said_to_be_free() {
        assert_eq!(shortage(41, 40), "40 bytes are free");
        let refused = shortage(40, 40);
        assert!(refused.starts_with("the driver refused") && !refused.contains("are free"), "{refused}");
        assert!(refused.contains("other programs") && refused.contains("--gpu-layers"), "{refused}");
    }
}
