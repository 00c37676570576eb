//! What `reg query KEY /s` prints: a line per key, and values behind four spaces with their type.

use crate::gpu::{Gpu, GpuVendor};
use std::collections::BTreeMap;

/// Keys and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry(pub BTreeMap<String, BTreeMap<String, String>>);

impl Registry {
    /// Reads the output; what is neither a key nor a value is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut keys: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut key = None;
        for line in text.lines().map(str::trim_end) {
            if line.starts_with("HKEY_") {
                keys.entry(line.to_owned()).or_default();
                key = Some(line.to_owned());
            } else if let (Some(key), Some((name, value))) = (&key, value(line)) {
                keys.entry(key.clone()).or_default().insert(name, value);
            }
        }
        Self(keys)
    }
}

/// `    DriverDesc    REG_SZ    A name`.
fn value(line: &str) -> Option<(String, String)> {
    let mut fields = line.strip_prefix("    ")?.splitn(3, "    ");
    let (name, kind) = (fields.next()?, fields.next()?);
    kind.starts_with("REG_").then(|| (name.to_owned(), fields.next().unwrap_or_default().trim().to_owned()))
}

fn number(value: &str) -> Option<u64> {
    u64::from_str_radix(value.strip_prefix("0x")?, 16).ok()
}

/// Graphics processors among the display adapters, which are the keys of class `{4d36e968-e325-11ce-bfc1-08002be10318}`.
#[must_use]
pub fn display_adapters(registry: &Registry) -> Vec<Gpu> {
    let adapters = registry.0.iter().filter(|(key, _)| {
        let last = key.rsplit('\\').next().unwrap_or_default();
        last.len() == 4 && last.bytes().all(|byte| byte.is_ascii_digit())
    });
    adapters.filter_map(|(_, values)| adapter(values)).collect()
}

fn adapter(values: &BTreeMap<String, String>) -> Option<Gpu> {
    let name = values.get("DriverDesc")?.clone();
    let id = values.get("MatchingDeviceId").map(|id| id.to_lowercase()).unwrap_or_default();
    let by_number = id.split_once("ven_").and_then(|(_, rest)| u32::from_str_radix(rest.get(..4)?, 16).ok());
    let vendor = by_number.map_or_else(|| GpuVendor::from_name(&name), GpuVendor::from_pci);
    let memory = values.get("HardwareInformation.qwMemorySize").and_then(|value| number(value));
    (vendor != GpuVendor::Other).then(|| Gpu {
        vendor,
        name,
        memory,
        used: None,
        shares_memory: vendor == GpuVendor::Intel && memory.is_none_or(|bytes| bytes < 1 << 30),
        compute_capability: None,
        driver: values.get("DriverVersion").cloned(),
        source: "registry",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\r\nHKEY_LOCAL_MACHINE\\SYSTEM\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}\r\n    Class    REG_SZ    Display\r\n\r\n\
        HKEY_LOCAL_MACHINE\\SYSTEM\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}\\0000\r\n    DriverDesc    REG_SZ    AMD Radeon RX 7900 XTX\r\n\
        \x20   DriverVersion    REG_SZ    31.0.24033.1003\r\n    MatchingDeviceId    REG_SZ    PCI\\VEN_1002&DEV_744C\r\n\
        \x20   HardwareInformation.qwMemorySize    REG_QWORD    0x5ff000000\r\n\r\n\
        HKEY_LOCAL_MACHINE\\SYSTEM\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}\\0001\r\n    DriverDesc    REG_SZ    Intel(R) UHD Graphics 770\r\n\
        \x20   MatchingDeviceId    REG_SZ    PCI\\VEN_8086&DEV_4680\r\n\r\n\
        HKEY_LOCAL_MACHINE\\SYSTEM\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}\\0002\r\n    DriverDesc    REG_SZ    Microsoft Basic Display Adapter\r\n";

    #[test]
    fn adapters_are_read() {
        let gpus = display_adapters(&Registry::parse(PRINTED));
        assert_eq!(gpus.len(), 2);
        assert_eq!((gpus[0].vendor, gpus[0].memory), (GpuVendor::Amd, Some(0x5_FF00_0000)));
        assert_eq!(gpus[0].driver.as_deref(), Some("31.0.24033.1003"));
        assert_eq!((gpus[1].vendor, gpus[1].shares_memory), (GpuVendor::Intel, true));
    }

    #[test]
    fn damaged_output_is_no_panic() {
        let damaged = "    a    REG_SZ    b\nHKEY_X\\0000\n    DriverDesc    REG_SZ    AMD\n    MatchingDeviceId    REG_SZ    ven_1\n";
        assert_eq!(display_adapters(&Registry::parse(damaged)).len(), 1);
        assert!(display_adapters(&Registry::parse("")).is_empty());
    }
}
