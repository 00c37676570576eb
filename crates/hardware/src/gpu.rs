//! Graphics processors, and putting together what several sources say of them.

use serde::Serialize;
use std::fmt;

/// Who made a graphics processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum GpuVendor {
    /// NVIDIA.
    #[serde(rename = "NVIDIA")]
    Nvidia,
    /// AMD.
    #[serde(rename = "AMD")]
    Amd,
    /// Intel.
    Intel,
    /// Apple.
    Apple,
    /// Qualcomm.
    Qualcomm,
    /// Anyone else; virtual screens are among these.
    #[serde(rename = "other")]
    Other,
}

impl GpuVendor {
    /// By the number that PCI has for the maker.
    #[must_use]
    pub fn from_pci(vendor: u32) -> Self {
        match vendor {
            0x10DE => Self::Nvidia,
            0x1002 | 0x1022 => Self::Amd,
            0x8086 => Self::Intel,
            0x106B => Self::Apple,
            0x5143 | 0x17CB => Self::Qualcomm,
            _ => Self::Other,
        }
    }

    /// By what a name says.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let words = name.to_lowercase();
        let has = |needles: &[&str]| needles.iter().any(|needle| words.contains(needle));
        match () {
            () if has(&["nvidia", "geforce", "quadro", "tesla"]) => Self::Nvidia,
            () if has(&["amd", "radeon", "advanced micro"]) => Self::Amd,
            () if has(&["intel"]) => Self::Intel,
            () if has(&["apple"]) => Self::Apple,
            () if has(&["qualcomm", "adreno"]) => Self::Qualcomm,
            () => Self::Other,
        }
    }
}

impl fmt::Display for GpuVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvidia => "NVIDIA",
            Self::Amd => "AMD",
            Self::Intel => "Intel",
            Self::Apple => "Apple",
            Self::Qualcomm => "Qualcomm",
            Self::Other => "other",
        })
    }
}

/// A graphics processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Its maker.
    pub vendor: GpuVendor,
    /// What it is called, or its numbers on the bus.
    pub name: String,
    /// Bytes of memory of its own, or that it may use of the machine's; `None` where nothing tells.
    pub memory: Option<u64>,
    /// Bytes of these that are in use now; `None` where nothing tells.
    pub used: Option<u64>,
    /// Whether its memory is the machine's.
    pub shares_memory: bool,
    /// Compute capability, of NVIDIA's.
    pub compute_capability: Option<(u32, u32)>,
    /// The driver and its version, where known.
    pub driver: Option<String>,
    /// What says so: `NVML`, `sysfs`, `Metal`, `registry`.
    pub source: &'static str,
}

/// One list out of NVML's and the bus's. NVML knows more of NVIDIA's; those of the bus count only where NVML has none.
#[must_use]
pub fn merged(nvml: Vec<Gpu>, bus: Vec<Gpu>) -> Vec<Gpu> {
    let told = !nvml.is_empty();
    let others = bus.into_iter().filter(|gpu| !(told && gpu.vendor == GpuVendor::Nvidia));
    nvml.into_iter().chain(others).collect()
}

#[cfg(test)]
pub(crate) fn gpu(vendor: GpuVendor, memory: Option<u64>) -> Gpu {
    let name = format!("a GPU of {vendor}");
    Gpu {
        vendor,
        name,
        memory,
        used: None,
        shares_memory: false,
        compute_capability: None,
        driver: None,
        source: "test",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_known_by_number_and_by_name() {
        assert_eq!(GpuVendor::from_pci(0x10DE), GpuVendor::Nvidia);
        assert_eq!(GpuVendor::from_pci(0x1AF4), GpuVendor::Other);
        assert_eq!(GpuVendor::from_name("AMD Radeon RX 7900 XTX"), GpuVendor::Amd);
        assert_eq!(GpuVendor::from_name("Intel(R) Arc(TM) A770"), GpuVendor::Intel);
        assert_eq!(GpuVendor::from_name("Microsoft Basic Display Adapter"), GpuVendor::Other);
    }

    #[test]
    fn a_gpu_is_listed_once() {
        let bus = || vec![gpu(GpuVendor::Nvidia, None), gpu(GpuVendor::Intel, None)];
        let nvml = vec![gpu(GpuVendor::Nvidia, Some(80 << 30))];
        let all = merged(nvml, bus());
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].memory, Some(80 << 30));
        assert_eq!(merged(vec![], bus()), bus());
    }
}
