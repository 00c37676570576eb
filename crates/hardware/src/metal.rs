//! Apple's graphics processors, by Metal.

use crate::gpu::{Gpu, GpuVendor};
use objc2_metal::{MTLCopyAllDevices, MTLDevice};

/// All that Metal leads to.
pub fn gpus() -> Vec<Gpu> {
    let all = MTLCopyAllDevices().to_vec();
    all.iter()
        .map(|device| {
            let name = device.name().to_string();
            Gpu {
                vendor: GpuVendor::from_name(&name),
                memory: Some(device.recommendedMaxWorkingSetSize()),
                used: Some(device.currentAllocatedSize() as u64),
                shares_memory: device.hasUnifiedMemory(),
                compute_capability: None,
                driver: Some("Metal".to_owned()),
                source: "Metal",
                name,
            }
        })
        .collect()
}
