//! The GPU that is meant where none is named, and how much of one may be used where nothing is said.

use super::{Driver, Hardware, Limits, devices, open, usual_folder};
use crate::{Backend, GpuError};
use std::sync::LazyLock;

/// The part of a device's memory that may be used where nothing is said. What is left is for kernels, for what they work with, and for
/// other programs.
pub const MEMORY_FRACTION: f64 = 0.9;

/// The first interface that leads to a graphics processor; none where there is none.
#[must_use]
pub fn first_gpu() -> Option<Backend> {
    *FIRST_GPU
}

/// Opens a device of which a part of the memory may be used, above 0 and at most 1, with compiled kernels in the user's folder.
///
/// # Errors
/// As [`open`].
pub fn open_within(backend: Backend, ordinal: usize, fraction: f64) -> Result<Box<dyn Driver>, GpuError> {
    // A device that is not there is refused by `open`, in its words.
    let memory = devices(backend)?.get(ordinal).map(|info| (info.memory as f64 * fraction) as u64);
    open(backend, ordinal, &Limits { memory, programs: usual_folder() })
}

/// Looked for once: it takes the libraries of all vendors, and every question
/// about the placement comes here. An OpenCL for CPUs alone would bring a compiler of 60 MB along, so where the system has no GPU's
/// driver, nothing is loaded.
static FIRST_GPU: LazyLock<Option<Backend>> = LazyLock::new(|| {
    let wanted = |&backend: &Backend| leads_to_gpu(backend);
    if has_gpu_driver() { Backend::ALL.into_iter().find(wanted) } else { None }
});

/// Whether a driver of a graphics processor runs; where that cannot be seen, one may.
fn has_gpu_driver() -> bool {
    let Ok(entries) = std::fs::read_dir("/dev") else { return true };
    !cfg!(target_os = "linux")
        || entries.flatten().any(|entry| is_node_of_gpu(&entry.file_name().to_string_lossy()))
}

/// Whether an entry of `/dev` belongs to a graphics processor: NVIDIA's, those of the kernel's own drivers, AMD's for computing, WSL's,
/// Arm's, Qualcomm's, NVIDIA's in Jetsons, PowerVR's.
fn is_node_of_gpu(name: &str) -> bool {
    const NODES: [&str; 9] = ["nvidia", "dri", "kfd", "dxg", "mali", "kgsl", "nvhost", "nvmap", "pvr"];
    NODES.iter().any(|start| name.starts_with(start))
}

/// Whether an interface's first device is a graphics processor.
fn leads_to_gpu(backend: Backend) -> bool {
    devices(backend).is_ok_and(|found| found.first().is_some_and(|info| info.hardware == Hardware::Gpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_gpus_are_known_by_name() {
        for gpu in ["dri", "kfd", "nvidiactl", "nvidia0", "dxg", "mali0", "kgsl-3d0", "nvhost-ctrl-gpu"] {
            assert!(is_node_of_gpu(gpu), "{gpu}");
        }
        for other in ["null", "vda", "drm_dp_aux0", "nvme0n1", "nvram", "kmsg", "kvm"] {
            assert!(!is_node_of_gpu(other), "{other}");
        }
    }
}
