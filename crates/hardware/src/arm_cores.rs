//! Cores of ARM's instruction set by the numbers of their register MIDR.
//!
//! Numbers: Linux's `arch/arm64/include/asm/cputype.h` and util-linux's `lscpu-arm.c`.

/// A core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmCore {
    /// Who implements it: 0x41 is ARM, 0x61 Apple, 0x51 Qualcomm.
    pub implementer: u32,
    /// Its number there.
    pub part: u32,
    /// What it is called.
    pub name: &'static str,
    /// Among cores that share a chip, the faster one has the higher rank.
    pub rank: u8,
}

impl ArmCore {
    /// The generation for Apple's cores, which have names of their own; the core's name otherwise.
    #[must_use]
    pub fn design(&self) -> &'static str {
        match (self.implementer, self.part) {
            (0x61, 0x020..=0x021) => "Apple A14",
            (0x61, 0x022..=0x029) => "Apple M1",
            (0x61, 0x030..=0x031) => "Apple A15",
            (0x61, 0x032..=0x039) => "Apple M2",
            (0x61, 0x042..=0x049) => "Apple M3",
            (0x61, 0x052..=0x059) => "Apple M4",
            _ => self.name,
        }
    }
}

/// The core of these numbers, where it is known.
#[must_use]
pub fn arm_core(implementer: u32, part: u32) -> Option<&'static ArmCore> {
    CORES.iter().find(|core| (core.implementer, core.part) == (implementer, part))
}

const SMALL: u8 = 0;
const MIDDLE: u8 = 1;
const BIG: u8 = 2;
const BIGGEST: u8 = 3;

const fn arm(part: u32, name: &'static str, rank: u8) -> ArmCore {
    ArmCore { implementer: 0x41, part, name, rank }
}

const fn apple(part: u32, name: &'static str, rank: u8) -> ArmCore {
    ArmCore { implementer: 0x61, part, name, rank }
}

const fn other(implementer: u32, part: u32, name: &'static str, rank: u8) -> ArmCore {
    ArmCore { implementer, part, name, rank }
}

const CORES: &[ArmCore] = &[
    arm(0xD03, "Cortex-A53", SMALL),
    arm(0xD04, "Cortex-A35", SMALL),
    arm(0xD05, "Cortex-A55", SMALL),
    arm(0xD46, "Cortex-A510", SMALL),
    arm(0xD80, "Cortex-A520", SMALL),
    arm(0xD8A, "C1-Nano", SMALL),
    arm(0xD07, "Cortex-A57", MIDDLE),
    arm(0xD08, "Cortex-A72", MIDDLE),
    arm(0xD09, "Cortex-A73", MIDDLE),
    arm(0xD0A, "Cortex-A75", MIDDLE),
    arm(0xD0B, "Cortex-A76", MIDDLE),
    arm(0xD0D, "Cortex-A77", MIDDLE),
    arm(0xD0E, "Cortex-A76AE", MIDDLE),
    arm(0xD41, "Cortex-A78", MIDDLE),
    arm(0xD42, "Cortex-A78AE", MIDDLE),
    arm(0xD4B, "Cortex-A78C", MIDDLE),
    arm(0xD47, "Cortex-A710", MIDDLE),
    arm(0xD4D, "Cortex-A715", MIDDLE),
    arm(0xD81, "Cortex-A720", MIDDLE),
    arm(0xD87, "Cortex-A725", MIDDLE),
    arm(0xD8B, "C1-Pro", MIDDLE),
    arm(0xD90, "C1-Premium", BIG),
    arm(0xD44, "Cortex-X1", BIG),
    arm(0xD4C, "Cortex-X1C", BIG),
    arm(0xD48, "Cortex-X2", BIG),
    arm(0xD4E, "Cortex-X3", BIG),
    arm(0xD82, "Cortex-X4", BIG),
    arm(0xD85, "Cortex-X925", BIGGEST),
    arm(0xD8C, "C1-Ultra", BIGGEST),
    arm(0xD4A, "Neoverse E1", SMALL),
    arm(0xD0C, "Neoverse N1", MIDDLE),
    arm(0xD49, "Neoverse N2", MIDDLE),
    arm(0xD8E, "Neoverse N3", MIDDLE),
    arm(0xD40, "Neoverse V1", BIG),
    arm(0xD4F, "Neoverse V2", BIG),
    arm(0xD83, "Neoverse V3AE", BIG),
    arm(0xD84, "Neoverse V3", BIG),
    apple(0x020, "Icestorm", SMALL),
    apple(0x021, "Firestorm", BIG),
    apple(0x022, "Icestorm", SMALL),
    apple(0x023, "Firestorm", BIG),
    apple(0x024, "Icestorm", SMALL),
    apple(0x025, "Firestorm", BIG),
    apple(0x028, "Icestorm", SMALL),
    apple(0x029, "Firestorm", BIG),
    apple(0x030, "Blizzard", SMALL),
    apple(0x031, "Avalanche", BIG),
    apple(0x032, "Blizzard", SMALL),
    apple(0x033, "Avalanche", BIG),
    apple(0x034, "Blizzard", SMALL),
    apple(0x035, "Avalanche", BIG),
    apple(0x038, "Blizzard", SMALL),
    apple(0x039, "Avalanche", BIG),
    apple(0x042, "Sawtooth", SMALL),
    apple(0x043, "Everest", BIG),
    apple(0x044, "Sawtooth", SMALL),
    apple(0x045, "Everest", BIG),
    apple(0x048, "Sawtooth", SMALL),
    apple(0x049, "Everest", BIG),
    apple(0x052, "M4 efficiency core", SMALL),
    apple(0x053, "M4 performance core", BIG),
    apple(0x054, "M4 efficiency core", SMALL),
    apple(0x055, "M4 performance core", BIG),
    apple(0x058, "M4 efficiency core", SMALL),
    apple(0x059, "M4 performance core", BIG),
    other(0x51, 0x001, "Oryon", BIG),
    other(0x51, 0x800, "Kryo 2xx Gold", MIDDLE),
    other(0x51, 0x801, "Kryo 2xx Silver", SMALL),
    other(0x51, 0x802, "Kryo 3xx Gold", MIDDLE),
    other(0x51, 0x803, "Kryo 3xx Silver", SMALL),
    other(0x51, 0x804, "Kryo 4xx Gold", MIDDLE),
    other(0x51, 0x805, "Kryo 4xx Silver", SMALL),
    other(0x51, 0xC00, "Falkor", BIG),
    other(0xC0, 0xAC3, "Ampere-1", BIG),
    other(0xC0, 0xAC4, "Ampere-1A", BIG),
    other(0x42, 0x516, "ThunderX2", BIG),
    other(0x43, 0x0A1, "ThunderX", MIDDLE),
    other(0x43, 0x0AF, "ThunderX2", BIG),
    other(0x46, 0x001, "A64FX", BIG),
    other(0x48, 0xD01, "TaiShan v110", BIG),
    other(0x4E, 0x004, "Carmel", BIG),
    other(0x4E, 0x010, "Olympus", BIG),
    other(0x6D, 0xD49, "Azure Cobalt 100", BIG),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_cores() {
        let name = |implementer, part| arm_core(implementer, part).map(|core| core.name);
        assert_eq!(name(0x41, 0xD0C), Some("Neoverse N1"));
        assert_eq!(name(0x41, 0xD4F), Some("Neoverse V2"));
        assert_eq!(name(0x51, 0x001), Some("Oryon"));
        assert_eq!(name(0x41, 0x001), None);
        assert_eq!(arm_core(0x61, 0x039).map(ArmCore::design), Some("Apple M2"));
    }

    #[test]
    fn no_numbers_stand_twice() {
        let mut numbers: Vec<_> = CORES.iter().map(|core| (core.implementer, core.part)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CORES.len());
    }
}
