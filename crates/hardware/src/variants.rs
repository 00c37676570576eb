//! Builds of libllama by name: for which processors and graphics processors each was made, and what it needs.

use crate::features::Isa;
use crate::gpu::GpuVendor;
use crate::machine::{Cpu, CpuVendor, OperatingSystem};
use serde::Serialize;

/// A build for processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuVariant {
    /// The name of its folder.
    pub name: &'static str,
    /// The instruction set it is compiled for; `None` is any.
    pub isa: Option<Isa>,
    /// The maker it was tuned for; `None` is any.
    pub vendor: Option<CpuVendor>,
    needs: Groups,
}

impl CpuVariant {
    /// What it uses without asking: it would be ended by the system on a processor that lacks one.
    #[must_use]
    pub fn needs(&self) -> Vec<&'static str> {
        self.needs.concat()
    }

    /// Whether it has the kernels of BitNet.
    #[must_use]
    pub fn is_bitnet(&self) -> bool {
        self.name.starts_with("bitnet-")
    }

    /// Why it cannot be used with this processor; `None` where it can.
    #[must_use]
    pub fn objection(&self, cpu: &Cpu) -> Option<String> {
        if self.isa.is_some_and(|isa| isa != cpu.isa) {
            return Some(format!("it is not for {}", cpu.isa.name()));
        }
        if let Some(vendor) = self.vendor.filter(|vendor| *vendor != cpu.vendor) {
            return Some(format!("it is for processors of {vendor}"));
        }
        let lacking = cpu.features.lacking(&self.needs());
        (!lacking.is_empty()).then(|| format!("this processor lacks {}", lacking.join(", ")))
    }
}

/// A build for graphics processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuVariant {
    /// The name of its folder.
    pub name: &'static str,
    /// Whose graphics processors it runs on, the ones it runs best on first.
    pub vendors: &'static [GpuVendor],
    /// Systems it is made for.
    pub systems: &'static [OperatingSystem],
}

impl GpuVariant {
    /// Whether it has the kernels of BitNet.
    #[must_use]
    pub fn is_bitnet(&self) -> bool {
        self.name.starts_with("bitnet-")
    }
}

/// Features in groups, as designs added them.
type Groups = &'static [&'static [&'static str]];

const SINCE_HASWELL: &[&str] = &["avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt", "movbe", "popcnt"];
const SINCE_BROADWELL: &[&str] = &["adx", "rdseed"];
const SINCE_SKYLAKE: &[&str] = &["clflushopt"];
const SHA: &[&str] = &["sha"];
const CLWB: &[&str] = &["clwb"];
const WIDE_AES: &[&str] = &["vaes", "vpclmulqdq"];
const GFNI: &[&str] = &["gfni"];
const AVX512: &[&str] = &[
    "avx512f",
    "avx512dq",
    "avx512cd",
    "avx512bw",
    "avx512vl",
    "avx512ifma",
    "avx512vbmi",
    "avx512vbmi2",
    "avx512vnni",
    "avx512bitalg",
    "avx512vpopcntdq",
];
const AVX512_BF16: &[&str] = &["avx512bf16"];
const AVX512_VP2INTERSECT: &[&str] = &["avx512vp2intersect"];
const AVX_VNNI: &[&str] = &["movdiri", "avxvnni"];

const ZEN1: Groups = &[SINCE_HASWELL, SINCE_BROADWELL, SHA];
const ZEN2: Groups = &[SINCE_HASWELL, SINCE_BROADWELL, SHA, CLWB];
const ZEN3: Groups = &[SINCE_HASWELL, SINCE_BROADWELL, SHA, CLWB, WIDE_AES];
const ZEN4: Groups = &[SINCE_HASWELL, SINCE_BROADWELL, SHA, CLWB, WIDE_AES, GFNI, AVX512, AVX512_BF16];
const ZEN5: Groups = &[
    SINCE_HASWELL,
    SINCE_BROADWELL,
    SHA,
    CLWB,
    WIDE_AES,
    GFNI,
    AVX512,
    AVX512_BF16,
    AVX512_VP2INTERSECT,
    AVX_VNNI,
];
const HASWELL: Groups = &[SINCE_HASWELL];
const BROADWELL: Groups = &[SINCE_HASWELL, SINCE_BROADWELL];
const SKYLAKE: Groups = &[SINCE_HASWELL, SINCE_BROADWELL, SINCE_SKYLAKE];
const ICELAKE: Groups = &[SINCE_HASWELL, SINCE_BROADWELL, SINCE_SKYLAKE, SHA, GFNI, WIDE_AES, AVX512];
const ALDERLAKE: Groups =
    &[SINCE_HASWELL, SINCE_BROADWELL, SINCE_SKYLAKE, SHA, GFNI, WIDE_AES, CLWB, AVX_VNNI];

const fn tuned(name: &'static str, vendor: CpuVendor, needs: Groups) -> CpuVariant {
    CpuVariant { name, isa: Some(Isa::X86_64), vendor: Some(vendor), needs }
}

/// Builds for processors: of each maker the newest first, then those that ask for less.
pub const CPU_VARIANTS: &[CpuVariant] = &[
    tuned("bitnet-amd-zen5", CpuVendor::Amd, ZEN5),
    tuned("bitnet-amd-zen4", CpuVendor::Amd, ZEN4),
    tuned("bitnet-amd-zen3", CpuVendor::Amd, ZEN3),
    tuned("bitnet-amd-zen2", CpuVendor::Amd, ZEN2),
    tuned("bitnet-amd-zen1", CpuVendor::Amd, ZEN1),
    tuned("bitnet-intel-alderlake", CpuVendor::Intel, ALDERLAKE),
    tuned("bitnet-intel-rocketlake", CpuVendor::Intel, ICELAKE),
    tuned("bitnet-intel-icelake", CpuVendor::Intel, ICELAKE),
    tuned("bitnet-intel-skylake", CpuVendor::Intel, SKYLAKE),
    tuned("bitnet-intel-broadwell", CpuVendor::Intel, BROADWELL),
    tuned("bitnet-intel-haswell", CpuVendor::Intel, HASWELL),
    CpuVariant { name: "bitnet-arm", isa: Some(Isa::Aarch64), vendor: None, needs: &[] },
    CpuVariant { name: "bitnet-portable", isa: Some(Isa::X86_64), vendor: None, needs: &[&["avx2", "fma"]] },
    CpuVariant { name: "standard", isa: None, vendor: None, needs: &[] },
];

const PC: &[OperatingSystem] = &[OperatingSystem::Linux, OperatingSystem::Windows];

/// Builds for graphics processors, the ones to prefer first.
pub const GPU_VARIANTS: &[GpuVariant] = &[
    GpuVariant { name: "bitnet-cuda", vendors: &[GpuVendor::Nvidia], systems: PC },
    GpuVariant { name: "standard-cuda-vulkan", vendors: &[GpuVendor::Nvidia, GpuVendor::Amd], systems: PC },
    GpuVariant { name: "standard-cuda", vendors: &[GpuVendor::Nvidia], systems: PC },
    GpuVariant { name: "standard-metal", vendors: &[GpuVendor::Apple], systems: &[OperatingSystem::MacOs] },
    GpuVariant {
        name: "standard-vulkan",
        vendors: &[GpuVendor::Amd, GpuVendor::Intel, GpuVendor::Nvidia, GpuVendor::Qualcomm],
        systems: PC,
    },
    GpuVariant { name: "standard-opencl", vendors: &[GpuVendor::Intel, GpuVendor::Qualcomm], systems: PC },
];

/// A build that suits a processor, and why it stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suited {
    /// Its name.
    pub name: &'static str,
    /// Why.
    pub reason: String,
}

/// Builds that run on this processor, the best first; `standard` is always among them, as the last.
///
/// The first is the one for its design, where the processor has what that build needs (a virtual machine may hide some of it); then
/// follow builds of the same maker for older designs, then those for all makers.
#[must_use]
pub fn cpu_variants(cpu: &Cpu) -> Vec<Suited> {
    let own = cpu.microarchitecture.and_then(|design| design.variant);
    let at = CPU_VARIANTS.iter().position(|variant| Some(variant.name) == own);
    let no_newer =
        |(i, variant): &(usize, &CpuVariant)| variant.vendor.is_none() || at.is_none_or(|at| *i >= at);
    let runs = CPU_VARIANTS.iter().enumerate().filter(no_newer).map(|(_, variant)| variant);
    let suited = runs.filter(|variant| variant.objection(cpu).is_none());
    suited.map(|variant| Suited { name: variant.name, reason: reason(variant, cpu, own) }).collect()
}

fn reason(variant: &CpuVariant, cpu: &Cpu, own: Option<&str>) -> String {
    let design = cpu.microarchitecture.map_or("a design that is not known", |design| design.name);
    if Some(variant.name) == own {
        return format!("made for {design}, or the newest that runs on it");
    }
    match (variant.vendor, variant.is_bitnet()) {
        (Some(vendor), _) => format!("for an older design of {vendor}; the processor is {design}"),
        (None, true) => format!("for any processor of {} with {}", cpu.isa.name(), wants(variant)),
        (None, false) => "runs everywhere".to_owned(),
    }
}

fn wants(variant: &CpuVariant) -> String {
    let needs = variant.needs();
    if needs.is_empty() { "nothing beyond it".to_owned() } else { needs.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Features;
    use crate::machine::Cores;
    use crate::microarchitecture::{Identity, identify};

    fn cpu(identity: Identity<'_>, isa: Isa, features: Features) -> Cpu {
        let (vendor, microarchitecture, basis) = identify(identity, &features);
        let (name, cores) = (String::new(), Cores::default());
        Cpu { isa, vendor, name, microarchitecture, features, cores, caches: vec![], basis: vec![basis] }
    }

    fn x86(vendor: &str, numbers: (u32, u32, u32), features: Groups) -> Cpu {
        let identity = Identity::X86 { vendor, family: numbers.0, model: numbers.1, stepping: numbers.2 };
        cpu(identity, Isa::X86_64, Features::from_names(features.concat()))
    }

    fn names(cpu: &Cpu) -> Vec<&'static str> {
        cpu_variants(cpu).iter().map(|suited| suited.name).collect()
    }

    #[test]
    fn each_design_gets_its_build() {
        let first = |vendor, numbers, features| names(&x86(vendor, numbers, features))[0];
        let (intel, amd) = ("GenuineIntel", "AuthenticAMD");
        assert_eq!(first(amd, (0x17, 0x01, 1), ZEN1), "bitnet-amd-zen1");
        assert_eq!(first(amd, (0x17, 0x71, 0), ZEN2), "bitnet-amd-zen2");
        assert_eq!(first(amd, (0x19, 0x21, 0), ZEN3), "bitnet-amd-zen3");
        assert_eq!(first(amd, (0x19, 0x61, 2), ZEN4), "bitnet-amd-zen4");
        assert_eq!(first(amd, (0x1A, 0x44, 0), ZEN5), "bitnet-amd-zen5");
        assert_eq!(first(amd, (0x1A, 0x50, 0), ZEN5), "bitnet-amd-zen5");
        assert_eq!(first(intel, (6, 0x3C, 3), HASWELL), "bitnet-intel-haswell");
        assert_eq!(first(intel, (6, 0x4F, 1), BROADWELL), "bitnet-intel-broadwell");
        assert_eq!(first(intel, (6, 0x9E, 9), SKYLAKE), "bitnet-intel-skylake");
        assert_eq!(first(intel, (6, 0x55, 7), SKYLAKE), "bitnet-intel-skylake");
        assert_eq!(first(intel, (6, 0x6A, 6), ICELAKE), "bitnet-intel-icelake");
        assert_eq!(first(intel, (6, 0xA7, 1), ICELAKE), "bitnet-intel-rocketlake");
        assert_eq!(first(intel, (6, 0xB7, 1), ALDERLAKE), "bitnet-intel-alderlake");
        assert_eq!(first(intel, (6, 0x8F, 8), ICELAKE), "bitnet-intel-icelake");
    }

    #[test]
    fn what_a_virtual_machine_hides_is_not_used() {
        let zen4 = x86("AuthenticAMD", (0x19, 0x61, 2), ZEN2);
        assert_eq!(names(&zen4), ["bitnet-amd-zen2", "bitnet-amd-zen1", "bitnet-portable", "standard"]);
        let bare = x86("AuthenticAMD", (0x19, 0x61, 2), &[&["sse3"]]);
        assert_eq!(names(&bare), ["standard"]);
    }

    #[test]
    fn unknown_designs_are_served_by_what_they_can_do() {
        let new = x86("AuthenticAMD", (0x1B, 0x01, 0), ZEN4);
        assert_eq!(names(&new)[0], "bitnet-amd-zen4");
        let other = x86("CentaurHauls", (7, 1, 0), ZEN2);
        assert_eq!(names(&other), ["bitnet-portable", "standard"]);
    }

    #[test]
    fn designs_older_than_all_builds_get_the_standard_one() {
        let ivy_bridge = x86("GenuineIntel", (6, 0x3A, 9), &[&["avx", "f16c"]]);
        assert_eq!(names(&ivy_bridge), ["standard"]);
    }

    #[test]
    fn arm_gets_builds_of_arm() {
        let m2 = cpu(Identity::Brand("Apple M2 Pro"), Isa::Aarch64, Features::default());
        assert_eq!(names(&m2), ["bitnet-arm", "standard"]);
        let unknown = cpu(Identity::Midr(&[(0x41, 0xEEE)]), Isa::Aarch64, Features::default());
        assert_eq!(names(&unknown), ["bitnet-arm", "standard"]);
        let riscv = cpu(Identity::Brand(""), Isa::Other, Features::default());
        assert_eq!(names(&riscv), ["standard"]);
    }

    #[test]
    fn every_build_of_a_design_is_in_the_table_and_none_asks_for_unknown_features() {
        for design in crate::MICROARCHITECTURES.iter() {
            let found = |name| CPU_VARIANTS.iter().any(|variant| variant.name == name);
            assert!(design.variant.is_none_or(found), "{design:?}");
        }
        for variant in CPU_VARIANTS {
            let known = Features::from_names(variant.needs());
            assert!(known.lacking(&variant.needs()).is_empty(), "{}", variant.name);
        }
    }
}
