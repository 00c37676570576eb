//! Designs of processors: which maker, family and model number is which, and which build of a library was made for it.
//!
//! Numbers: Linux's `arch/x86/include/asm/intel-family.h` and `arch/x86/kernel/cpu/amd.c`; brand strings for Apple; [`crate::arm_core`]
//! for the others of ARM's instruction set.

use crate::arm_cores::{ArmCore, arm_core};
use crate::features::Features;
use crate::machine::CpuVendor;
use serde::{Serialize, Serializer};

/// A design of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Microarchitecture {
    /// As people write it, such as `Zen 4`.
    pub name: &'static str,
    /// Its maker.
    pub vendor: CpuVendor,
    /// The build of a library that was made for it, or the newest one for an older design; `None` where none was.
    pub variant: Option<&'static str>,
}

impl Serialize for Microarchitecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// What a processor says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// x86: the string of the vendor, and numbers.
    X86 {
        /// Such as `AuthenticAMD`.
        vendor: &'a str,
        /// Extended parts added.
        family: u32,
        /// Extended part in front.
        model: u32,
        /// The revision.
        stepping: u32,
    },
    /// ARM: fields of the register MIDR, one pair for each kind of core.
    Midr(&'a [(u32, u32)]),
    /// A name, as Apple gives it.
    Brand(&'a str),
}

/// The design, where it is known, and what that rests on.
#[must_use]
pub fn identify(
    identity: Identity<'_>,
    features: &Features,
) -> (CpuVendor, Option<Microarchitecture>, String) {
    match identity {
        Identity::X86 { vendor, family, model, stepping } => {
            let said = format!("{vendor}, family {family}, model {model}, stepping {stepping}");
            let maker = x86_vendor(vendor);
            let row = X86.iter().find(|row| row.matches(maker, family, model, stepping));
            let (design, why) = corrected(maker, row.map(|row| row.design), features);
            let name = design.map_or("not known", |design| design.name);
            (maker, design, format!("{said}: {name}{why}"))
        }
        Identity::Midr(cores) => of_arm(cores),
        Identity::Brand(brand) => {
            let design = APPLE.iter().rev().find(|design| is_generation(brand, design.name)).copied();
            let vendor = if brand.starts_with("Apple") { CpuVendor::Apple } else { CpuVendor::Unknown };
            (vendor, design, format!("'{brand}': {}", design.map_or("not known", |design| design.name)))
        }
    }
}

/// `Apple M1` is one of `Apple M1 Pro`, and not of `Apple M10`.
fn is_generation(brand: &str, name: &str) -> bool {
    brand.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn of_arm(cores: &[(u32, u32)]) -> (CpuVendor, Option<Microarchitecture>, String) {
    let known: Vec<&ArmCore> =
        cores.iter().filter_map(|&(implementer, part)| arm_core(implementer, part)).collect();
    let said: Vec<String> = cores
        .iter()
        .map(|&(implementer, part)| {
            let name = arm_core(implementer, part).map_or("not known", |core| core.name);
            format!("implementer {implementer:#04x}, part {part:#05x}: {name}")
        })
        .collect();
    let fastest = known.iter().max_by_key(|core| core.rank);
    let vendor = match cores.first() {
        Some((0x61, _)) => CpuVendor::Apple,
        Some(_) => CpuVendor::Arm,
        None => CpuVendor::Unknown,
    };
    let design =
        fastest.map(|core| Microarchitecture { name: core.design(), vendor, variant: Some(BITNET_ARM) });
    (vendor, design, if said.is_empty() { "the system names no core".to_owned() } else { said.join("; ") })
}

/// The build for processors of ARM's instruction set.
pub(crate) const BITNET_ARM: &str = "bitnet-arm";

fn x86_vendor(vendor: &str) -> CpuVendor {
    match vendor {
        "GenuineIntel" => CpuVendor::Intel,
        "AuthenticAMD" | "HygonGenuine" => CpuVendor::Amd,
        _ => CpuVendor::Unknown,
    }
}

/// Virtual machines make up model numbers. Matrix units are not made up, and show at least which generation it is.
fn corrected(
    vendor: CpuVendor,
    design: Option<Microarchitecture>,
    features: &Features,
) -> (Option<Microarchitecture>, String) {
    let has_amx = |name: &str| AMX.contains(&name);
    if vendor != CpuVendor::Intel || !features.has("amx-tile") || design.is_some_and(|d| has_amx(d.name)) {
        return (design, String::new());
    }
    let shown = if features.has("amx-fp16") { GRANITE_RAPIDS } else { SAPPHIRE_RAPIDS };
    let by_number = design.map_or("no design that is known here", |design| design.name);
    let why = format!(" or later, by its features (amx-tile); its number is that of {by_number}");
    (Some(shown), why)
}

/// Designs with matrix units.
const AMX: &[&str] = &["Sapphire Rapids", "Emerald Rapids", "Granite Rapids"];

struct X86Row {
    design: Microarchitecture,
    family: u32,
    /// Ranges of model numbers, both ends included.
    models: &'static [(u32, u32)],
    steppings: (u32, u32),
}

impl X86Row {
    fn matches(&self, vendor: CpuVendor, family: u32, model: u32, stepping: u32) -> bool {
        self.design.vendor == vendor
            && self.family == family
            && self.models.iter().any(|(first, last)| (*first..=*last).contains(&model))
            && (self.steppings.0..=self.steppings.1).contains(&stepping)
    }
}

const fn intel(
    name: &'static str,
    variant: Option<&'static str>,
    models: &'static [(u32, u32)],
    steppings: (u32, u32),
) -> X86Row {
    X86Row {
        design: Microarchitecture { name, vendor: CpuVendor::Intel, variant },
        family: 6,
        models,
        steppings,
    }
}

const fn amd(
    name: &'static str,
    variant: Option<&'static str>,
    family: u32,
    models: &'static [(u32, u32)],
) -> X86Row {
    X86Row {
        design: Microarchitecture { name, vendor: CpuVendor::Amd, variant },
        family,
        models,
        steppings: ANY,
    }
}

const ANY: (u32, u32) = (0, u32::MAX);
const HASWELL: Option<&str> = Some("bitnet-intel-haswell");
const BROADWELL: Option<&str> = Some("bitnet-intel-broadwell");
const SKYLAKE: Option<&str> = Some("bitnet-intel-skylake");
const ICELAKE: Option<&str> = Some("bitnet-intel-icelake");
const ROCKETLAKE: Option<&str> = Some("bitnet-intel-rocketlake");
const ALDERLAKE: Option<&str> = Some("bitnet-intel-alderlake");
const ZEN1: Option<&str> = Some("bitnet-amd-zen1");
const ZEN2: Option<&str> = Some("bitnet-amd-zen2");
const ZEN3: Option<&str> = Some("bitnet-amd-zen3");
const ZEN4: Option<&str> = Some("bitnet-amd-zen4");
const ZEN5: Option<&str> = Some("bitnet-amd-zen5");

const SAPPHIRE_RAPIDS: Microarchitecture =
    Microarchitecture { name: "Sapphire Rapids", vendor: CpuVendor::Intel, variant: ICELAKE };
const GRANITE_RAPIDS: Microarchitecture =
    Microarchitecture { name: "Granite Rapids", vendor: CpuVendor::Intel, variant: ICELAKE };

const X86: &[X86Row] = &[
    intel("Nehalem", None, &[(0x1A, 0x1A), (0x1E, 0x1F), (0x2E, 0x2E)], ANY),
    intel("Westmere", None, &[(0x25, 0x25), (0x2C, 0x2C), (0x2F, 0x2F)], ANY),
    intel("Sandy Bridge", None, &[(0x2A, 0x2A), (0x2D, 0x2D)], ANY),
    intel("Ivy Bridge", None, &[(0x3A, 0x3A), (0x3E, 0x3E)], ANY),
    intel("Haswell", HASWELL, &[(0x3C, 0x3C), (0x3F, 0x3F), (0x45, 0x46)], ANY),
    intel("Broadwell", BROADWELL, &[(0x3D, 0x3D), (0x47, 0x47), (0x4F, 0x4F), (0x56, 0x56)], ANY),
    intel("Skylake", SKYLAKE, &[(0x4E, 0x4E), (0x5E, 0x5E)], ANY),
    intel("Skylake-X", SKYLAKE, &[(0x55, 0x55)], (0, 4)),
    intel("Cascade Lake", SKYLAKE, &[(0x55, 0x55)], (5, 9)),
    intel("Cooper Lake", SKYLAKE, &[(0x55, 0x55)], (10, u32::MAX)),
    intel("Kaby Lake", SKYLAKE, &[(0x8E, 0x8E), (0x9E, 0x9E)], ANY),
    intel("Comet Lake", SKYLAKE, &[(0xA5, 0xA6)], ANY),
    intel("Cannon Lake", SKYLAKE, &[(0x66, 0x66)], ANY),
    intel("Ice Lake", ICELAKE, &[(0x6A, 0x6A), (0x6C, 0x6C), (0x7D, 0x7E), (0x9D, 0x9D)], ANY),
    intel("Tiger Lake", ICELAKE, &[(0x8C, 0x8D)], ANY),
    intel("Rocket Lake", ROCKETLAKE, &[(0xA7, 0xA7)], ANY),
    intel("Lakefield", None, &[(0x8A, 0x8A)], ANY),
    intel("Alder Lake", ALDERLAKE, &[(0x97, 0x97), (0x9A, 0x9A), (0xBE, 0xBE)], ANY),
    intel("Raptor Lake", ALDERLAKE, &[(0xB7, 0xB7), (0xBA, 0xBA), (0xBF, 0xBF)], ANY),
    intel("Bartlett Lake", ALDERLAKE, &[(0xD7, 0xD7)], ANY),
    intel("Meteor Lake", ALDERLAKE, &[(0xAA, 0xAA), (0xAC, 0xAC)], ANY),
    intel("Lunar Lake", ALDERLAKE, &[(0xBD, 0xBD)], ANY),
    intel("Arrow Lake", ALDERLAKE, &[(0xB5, 0xB5), (0xC5, 0xC6)], ANY),
    intel("Panther Lake", ALDERLAKE, &[(0xCC, 0xCC)], ANY),
    X86Row { design: SAPPHIRE_RAPIDS, family: 6, models: &[(0x8F, 0x8F)], steppings: ANY },
    intel("Emerald Rapids", ICELAKE, &[(0xCF, 0xCF)], ANY),
    X86Row { design: GRANITE_RAPIDS, family: 6, models: &[(0xAD, 0xAE)], steppings: ANY },
    intel("Sierra Forest", ALDERLAKE, &[(0xAF, 0xAF)], ANY),
    intel("Clearwater Forest", ALDERLAKE, &[(0xDD, 0xDD)], ANY),
    intel("Silvermont", None, &[(0x37, 0x37), (0x4A, 0x4A), (0x4D, 0x4D), (0x5A, 0x5A), (0x5D, 0x5D)], ANY),
    intel("Airmont", None, &[(0x4C, 0x4C), (0x75, 0x75)], ANY),
    intel("Goldmont", None, &[(0x5C, 0x5C), (0x5F, 0x5F), (0x7A, 0x7A)], ANY),
    intel("Tremont", None, &[(0x86, 0x86), (0x96, 0x96), (0x9C, 0x9C)], ANY),
    intel("Knights Landing", None, &[(0x57, 0x57), (0x85, 0x85)], ANY),
    amd("Bulldozer", None, 0x15, &[(0x00, 0x01)]),
    amd("Piledriver", None, 0x15, &[(0x02, 0x1F)]),
    amd("Steamroller", None, 0x15, &[(0x30, 0x3F)]),
    amd("Excavator", None, 0x15, &[(0x60, 0x7F)]),
    amd("Jaguar", None, 0x16, &[(0x00, 0x3F)]),
    amd("Zen 1", ZEN1, 0x17, &[(0x00, 0x07), (0x09, 0x17), (0x19, 0x2F), (0x50, 0x5F)]),
    amd("Zen+", ZEN1, 0x17, &[(0x08, 0x08), (0x18, 0x18)]),
    amd("Zen 2", ZEN2, 0x17, &[(0x30, 0x4F), (0x60, 0xAF)]),
    amd("Dhyana (Zen 1)", ZEN1, 0x18, &[(0x00, 0xFF)]),
    amd("Zen 3", ZEN3, 0x19, &[(0x00, 0x0F), (0x20, 0x5F)]),
    amd("Zen 4", ZEN4, 0x19, &[(0x10, 0x1F), (0x60, 0x7F), (0xA0, 0xAF)]),
    amd("Zen 5", ZEN5, 0x1A, &[(0x00, 0x2F), (0x40, 0x4F), (0x60, 0x7F)]),
    amd("Zen 6", ZEN5, 0x1A, &[(0x50, 0x5F), (0x80, 0xAF), (0xC0, 0xCF)]),
];

const fn apple(name: &'static str) -> Microarchitecture {
    Microarchitecture { name, vendor: CpuVendor::Apple, variant: Some(BITNET_ARM) }
}

const APPLE: &[Microarchitecture] =
    &[apple("Apple M1"), apple("Apple M2"), apple("Apple M3"), apple("Apple M4"), apple("Apple M5")];

/// Every x86 and Apple design that is known here, the older ones of a maker first. Cores of ARM's are in [`arm_core`].
pub static MICROARCHITECTURES: std::sync::LazyLock<Vec<Microarchitecture>> =
    std::sync::LazyLock::new(|| X86.iter().map(|row| row.design).chain(APPLE.iter().copied()).collect());

#[cfg(test)]
mod tests {
    use super::*;

    fn design(vendor: &str, family: u32, model: u32, stepping: u32) -> &'static str {
        let identity = Identity::X86 { vendor, family, model, stepping };
        identify(identity, &Features::default()).1.map_or("", |design| design.name)
    }

    #[test]
    fn numbers_of_intel_name_their_design() {
        let check = |model, stepping, expected| {
            assert_eq!(design("GenuineIntel", 6, model, stepping), expected, "model {model:#x}");
        };
        check(0x3F, 2, "Haswell");
        check(0x4F, 1, "Broadwell");
        check(0x5E, 3, "Skylake");
        check(0x9E, 13, "Kaby Lake");
        check(0x55, 4, "Skylake-X");
        check(0x55, 7, "Cascade Lake");
        check(0x55, 11, "Cooper Lake");
        check(0x6A, 6, "Ice Lake");
        check(0x8C, 1, "Tiger Lake");
        check(0xA7, 1, "Rocket Lake");
        check(0x97, 2, "Alder Lake");
        check(0xB7, 1, "Raptor Lake");
        check(0xAA, 4, "Meteor Lake");
        check(0xBD, 1, "Lunar Lake");
        check(0xC6, 2, "Arrow Lake");
        check(0x8F, 8, "Sapphire Rapids");
        check(0xCF, 2, "Emerald Rapids");
        check(0xAD, 1, "Granite Rapids");
        check(0xFE, 0, "");
    }

    #[test]
    fn numbers_of_amd_name_their_design() {
        let check = |family, model, expected| {
            assert_eq!(design("AuthenticAMD", family, model, 0), expected, "{family:#x} {model:#x}");
        };
        check(0x17, 0x01, "Zen 1");
        check(0x17, 0x08, "Zen+");
        check(0x17, 0x31, "Zen 2");
        check(0x17, 0x71, "Zen 2");
        check(0x17, 0x90, "Zen 2");
        check(0x19, 0x01, "Zen 3");
        check(0x19, 0x21, "Zen 3");
        check(0x19, 0x50, "Zen 3");
        check(0x19, 0x11, "Zen 4");
        check(0x19, 0x61, "Zen 4");
        check(0x19, 0xA0, "Zen 4");
        check(0x1A, 0x02, "Zen 5");
        check(0x1A, 0x44, "Zen 5");
        check(0x1A, 0x60, "Zen 5");
        check(0x1A, 0x50, "Zen 6");
        assert_eq!(design("HygonGenuine", 0x18, 1, 1), "Dhyana (Zen 1)");
        assert_eq!(design("CentaurHauls", 6, 15, 0), "");
    }

    #[test]
    fn no_number_has_two_designs() {
        for vendor in [CpuVendor::Intel, CpuVendor::Amd] {
            for (family, model, stepping) in
                (0..=0xFF).flat_map(|model| (0..16).map(move |stepping| (model, stepping))).flat_map(
                    |(model, stepping)| [6, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A].map(|f| (f, model, stepping)),
                )
            {
                let rows = X86.iter().filter(|row| row.matches(vendor, family, model, stepping)).count();
                assert!(rows <= 1, "{vendor} {family:#x} {model:#x} {stepping}");
            }
        }
    }

    #[test]
    fn a_made_up_number_gives_way_to_features() {
        let rocket_lake = Identity::X86 { vendor: "GenuineIntel", family: 6, model: 167, stepping: 1 };
        let amx = Features::from_names(["avx2", "amx-tile", "amx-int8"]);
        let (vendor, design, why) = identify(rocket_lake, &amx);
        assert_eq!((vendor, design), (CpuVendor::Intel, Some(SAPPHIRE_RAPIDS)));
        let expected = "GenuineIntel, family 6, model 167, stepping 1: Sapphire Rapids or later, by its features (amx-tile); \
            its number is that of Rocket Lake";
        assert_eq!(why, expected);
        let unknown = Identity::X86 { vendor: "GenuineIntel", family: 19, model: 1, stepping: 0 };
        let newer = Features::from_names(["amx-tile", "amx-fp16"]);
        assert_eq!(identify(unknown, &newer).1, Some(GRANITE_RAPIDS));
        assert_eq!(identify(rocket_lake, &Features::default()).1.map(|d| d.name), Some("Rocket Lake"));
    }

    #[test]
    fn cores_and_brands_name_their_design() {
        let none = Features::default();
        let name = |identity| identify(identity, &none).1.map_or("", |design| design.name);
        assert_eq!(name(Identity::Midr(&[(0x41, 0xD05), (0x41, 0xD41)])), "Cortex-A78");
        assert_eq!(name(Identity::Midr(&[(0x61, 0x022), (0x61, 0x023)])), "Apple M1");
        assert_eq!(name(Identity::Midr(&[(0x41, 0xFFF)])), "");
        assert_eq!(name(Identity::Midr(&[])), "");
        assert_eq!(name(Identity::Brand("Apple M3 Max")), "Apple M3");
        assert_eq!(name(Identity::Brand("Apple M10")), "");
        assert_eq!(identify(Identity::Brand("Apple M9"), &none).0, CpuVendor::Apple);
    }
}
