//! Looking at the machine that this program runs on.

use crate::features::Isa;
use crate::gpu::{Gpu, merged};
use crate::machine::{Cpu, Machine, Memory, NumaNode, OperatingSystem};
use crate::nvml;
use std::thread::available_parallelism;

/// Everything about this machine. What cannot be read is missing, and the notes say so.
#[must_use]
pub fn detect() -> Machine {
    let mut notes = Vec::new();
    let system = here::System::open();
    let memory = system.memory().unwrap_or_else(|| {
        notes.push("the size of the memory could not be read".to_owned());
        Memory::default()
    });
    let from_nvml = nvml::gpus().unwrap_or_else(|error| {
        notes.push(error);
        Vec::new()
    });
    let gpus = merged(from_nvml, system.gpus());
    Machine {
        os: OperatingSystem::here(),
        cpu: system.cpu(allowed()),
        memory,
        numa: system.numa(),
        gpus,
        notes,
    }
}

/// The processor alone, which is read faster than everything.
#[must_use]
pub fn cpu() -> Cpu {
    here::System::open().cpu(allowed())
}

/// The memory alone; `None` where it cannot be read.
#[must_use]
pub fn memory() -> Option<Memory> {
    here::System::open().memory()
}

/// How many threads are worth having: physical cores that this process may use; siblings of one core add nothing to arithmetic that
/// fills it.
#[must_use]
pub fn usable_cores() -> usize {
    let allowed = allowed();
    here::System::open().physical_cores().map_or(allowed, |cores| cores.min(allowed)).max(1)
}

/// Threads that this process may run at once: its affinity, and the quota of its control group.
fn allowed() -> usize {
    available_parallelism().map_or(1, usize::from)
}

#[cfg(not(any(target_os = "macos", windows)))]
mod here {
    use super::{Cpu, Gpu, Isa, Memory, NumaNode};
    use crate::linux::Files;

    pub struct System(Files);

    impl System {
        pub fn open() -> Self {
            Self(Files::default())
        }

        pub fn cpu(&self, allowed: usize) -> Cpu {
            self.0.cpu(Isa::here(), allowed)
        }

        pub fn physical_cores(&self) -> Option<usize> {
            self.0.physical_cores()
        }

        pub fn memory(&self) -> Option<Memory> {
            self.0.memory()
        }

        pub fn numa(&self) -> Vec<NumaNode> {
            self.0.numa()
        }

        pub fn gpus(&self) -> Vec<Gpu> {
            self.0.gpus()
        }
    }
}

#[cfg(target_os = "macos")]
mod here {
    use super::{Cpu, Gpu, Isa, Memory, NumaNode};
    use crate::macos::{Sysctl, available_memory};
    use std::process::Command;

    pub struct System(Sysctl);

    /// What a program of the system prints; empty where it cannot be run.
    fn printed(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    impl System {
        pub fn open() -> Self {
            Self(Sysctl::parse(&printed("/usr/sbin/sysctl", &["hw", "machdep.cpu"])))
        }

        pub fn cpu(&self, allowed: usize) -> Cpu {
            self.0.cpu(Isa::here(), allowed)
        }

        pub fn physical_cores(&self) -> Option<usize> {
            let cores = self.0.cores().physical();
            (cores > 0).then_some(cores)
        }

        pub fn memory(&self) -> Option<Memory> {
            let total = self.0.memory()?;
            let available = available_memory(&printed("/usr/bin/vm_stat", &[])).unwrap_or(0);
            Some(Memory::new(total, available, None))
        }

        /// One node, which the system does not speak of.
        pub fn numa(&self) -> Vec<NumaNode> {
            Vec::new()
        }

        pub fn gpus(&self) -> Vec<Gpu> {
            crate::metal::gpus()
        }
    }
}

#[cfg(windows)]
mod here {
    use super::{Cpu, Gpu, Isa, Memory, NumaNode};
    use crate::features::Features;
    use crate::machine::{Cores, CpuVendor};
    use crate::microarchitecture::{Identity, identify};
    use crate::windows::{Processors, Registry, display_adapters, memory, parse_processors, processor_table};
    use std::process::Command;

    const ADAPTERS: &str =
        r"HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}";
    const PROCESSOR: &str = r"HKLM\HARDWARE\DESCRIPTION\System\CentralProcessor\0";

    pub struct System(Processors);

    fn registry(key: &str) -> Registry {
        let output = Command::new("reg").args(["query", key, "/s"]).output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Registry::parse(&text)
    }

    /// The maker's name for the processor.
    fn name() -> String {
        let keys = registry(PROCESSOR).0;
        keys.values().find_map(|values| values.get("ProcessorNameString")).cloned().unwrap_or_default()
    }

    #[cfg(target_arch = "x86_64")]
    fn identified() -> (Features, String, (CpuVendor, Option<crate::Microarchitecture>, String)) {
        let table = crate::CpuidTable::read(|leaf, subleaf| {
            let answer = std::arch::x86_64::__cpuid_count(leaf, subleaf);
            [answer.eax, answer.ebx, answer.ecx, answer.edx]
        });
        let mut features = Features::from_cpuid(&table);
        if !is_x86_feature_detected!("avx") {
            features = features.without(&["avx", "fma", "f16c", "vaes", "vpclmulqdq", "amx"]);
        }
        if !is_x86_feature_detected!("avx512f") {
            features = features.without(&["avx512"]);
        }
        let (family, model, stepping) = table.signature();
        let vendor = table.vendor();
        let identity = Identity::X86 { vendor: &vendor, family, model, stepping };
        let identified = identify(identity, &features);
        (features, table.brand(), identified)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn identified() -> (Features, String, (CpuVendor, Option<crate::Microarchitecture>, String)) {
        let features = Features::default();
        let name = name();
        let identified = identify(Identity::Brand(&name), &features);
        (features, name, identified)
    }

    impl System {
        pub fn open() -> Self {
            Self(parse_processors(&processor_table()))
        }

        pub fn cpu(&self, allowed: usize) -> Cpu {
            let (features, brand, (vendor, microarchitecture, basis)) = identified();
            Cpu {
                isa: Isa::here(),
                vendor,
                name: if brand.is_empty() { name() } else { brand },
                microarchitecture,
                features,
                cores: Cores::new(&self.0.cores, allowed),
                caches: self.0.caches.clone(),
                basis: vec![format!("cpuid: {basis}")],
            }
        }

        pub fn physical_cores(&self) -> Option<usize> {
            let cores = self.0.cores.physical();
            (cores > 0).then_some(cores)
        }

        pub fn memory(&self) -> Option<Memory> {
            memory()
        }

        pub fn numa(&self) -> Vec<NumaNode> {
            self.0.numa.clone()
        }

        pub fn gpus(&self) -> Vec<Gpu> {
            display_adapters(&registry(ADAPTERS))
        }
    }
}
