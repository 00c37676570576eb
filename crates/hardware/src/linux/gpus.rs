//! Graphics processors on the bus, out of `/sys/bus/pci` and what their drivers put beside.

use super::Files;
use crate::gpu::{Gpu, GpuVendor};

const BUS: &str = "/sys/bus/pci/devices";
/// The class of controllers of displays, and that of accelerators without one.
const CLASSES: &[u32] = &[0x03, 0x12];
/// Where distributions keep the names of devices.
const NAMES: &[&str] = &["/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"];

pub fn gpus(files: &Files) -> Vec<Gpu> {
    let mut found: Vec<(String, u32, u32)> = Vec::new();
    for slot in files.names(BUS) {
        let hexadecimal = |file: &str| files.hexadecimal(&format!("{BUS}/{slot}/{file}"));
        let is_display = hexadecimal("class").is_some_and(|class| CLASSES.contains(&(class >> 16)));
        if let (true, Some(vendor), Some(device)) = (is_display, hexadecimal("vendor"), hexadecimal("device"))
        {
            found.push((slot, vendor, device));
        }
    }
    let names = if found.is_empty() { None } else { NAMES.iter().find_map(|path| files.text(path)) };
    found
        .into_iter()
        .map(|(slot, vendor, device)| {
            let name = names.as_deref().and_then(|names| pci_names(names, vendor, device));
            gpu(files, &slot, (vendor, device), name)
        })
        .filter(|gpu| gpu.vendor != GpuVendor::Other)
        .collect()
}

fn gpu(files: &Files, slot: &str, (pci_vendor, device): (u32, u32), name: Option<String>) -> Gpu {
    let folder = format!("{BUS}/{slot}");
    let vendor = GpuVendor::from_pci(pci_vendor);
    let number = |file: &str| files.number::<u64>(&format!("{folder}/{file}"));
    let product = || files.text(&format!("{folder}/product_name")).map(|name| name.trim().to_owned());
    let nvidia = || nvidia_model(&files.text(&format!("/proc/driver/nvidia/gpus/{slot}/information"))?);
    let memory = number("mem_info_vram_total").or_else(|| intel_memory(files, &folder));
    Gpu {
        vendor,
        name: product()
            .filter(|name| !name.is_empty())
            .or_else(nvidia)
            .or(name)
            .unwrap_or_else(|| format!("{vendor} {pci_vendor:04x}:{device:04x}")),
        memory,
        used: number("mem_info_vram_used"),
        // What an integrated one of Intel's has is the machine's; AMD's drivers give the part set aside as its own.
        shares_memory: vendor == GpuVendor::Intel && memory.is_none(),
        compute_capability: None,
        driver: driver(files, &folder),
        source: "sysfs",
    }
}

/// The drivers i915 and xe have the size of separate memory in places of their own.
fn intel_memory(files: &Files, folder: &str) -> Option<u64> {
    let cards = files.numbered(&format!("{folder}/drm"), "card");
    let i915 =
        cards.iter().find_map(|(_, card)| files.number(&format!("{folder}/drm/{card}/lmem_total_bytes")));
    i915.or_else(|| {
        let size = files.text(&format!("{folder}/tile0/physical_vram_size_bytes"))?;
        let size = size.trim();
        match size.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => size.parse().ok(),
        }
    })
}

fn driver(files: &Files, folder: &str) -> Option<String> {
    let uevent = files.text(&format!("{folder}/uevent"))?;
    uevent.lines().find_map(|line| line.strip_prefix("DRIVER=")).map(str::to_owned)
}

/// The model, of the text of `/proc/driver/nvidia/gpus/SLOT/information`.
#[must_use]
pub fn nvidia_model(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("Model:")).map(|model| model.trim().to_owned())
}

/// The name of a device, of the text of `pci.ids`: makers at the margin, their devices behind one tab.
#[must_use]
pub fn pci_names(text: &str, vendor: u32, device: u32) -> Option<String> {
    let (vendor, device) = (format!("{vendor:04x}  "), format!("\t{device:04x}  "));
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&vendor));
    let maker = GpuVendor::from_name(lines.next()?);
    let mut devices = lines.take_while(|line| line.starts_with('\t') || line.starts_with('#'));
    let name = devices.find_map(|line| line.strip_prefix(&device))?;
    // `Navi 31 [Radeon RX 7900 XT/7900 XTX]`: what stands in brackets is what it is sold as.
    let sold_as = name.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(name, _)| name);
    Some(format!("{maker} {}", sold_as.unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "# a comment\n1002  Advanced Micro Devices, Inc. [AMD/ATI]\n\t73bf  Navi 21 [Radeon RX 6800/6900 XT]\n\
        \t\t1002 0e3a  A board\n\t744c  Navi 31 [Radeon RX 7900 XTX]\n8086  Intel Corporation\n\t56a0  DG2 [Arc A770]\n\
        \t1234  Something\n";

    #[test]
    fn names_of_devices_are_found_below_their_maker() {
        assert_eq!(pci_names(IDS, 0x1002, 0x744C).as_deref(), Some("AMD Radeon RX 7900 XTX"));
        assert_eq!(pci_names(IDS, 0x8086, 0x56A0).as_deref(), Some("Intel Arc A770"));
        assert_eq!(pci_names(IDS, 0x8086, 0x1234).as_deref(), Some("Intel Something"));
        assert_eq!(pci_names(IDS, 0x8086, 0x744C), None);
        assert_eq!(pci_names(IDS, 0x10DE, 0x744C), None);
        assert_eq!(pci_names("", 1, 1), None);
    }

    #[test]
    fn nvidias_driver_names_the_model() {
        assert_eq!(nvidia_model("Model: \t\t NVIDIA H100\nIRQ: 1\n").as_deref(), Some("NVIDIA H100"));
        assert_eq!(nvidia_model(""), None);
    }
}
