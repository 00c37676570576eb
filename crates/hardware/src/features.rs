//! What a processor can do, in the names that Rust has for it, out of what each system calls it.

use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

/// A family of instruction sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// Anything else.
    Other,
}

impl Isa {
    /// What this program was compiled for.
    #[must_use]
    pub fn here() -> Self {
        match std::env::consts::ARCH {
            "x86_64" => Self::X86_64,
            "aarch64" => Self::Aarch64,
            _ => Self::Other,
        }
    }

    /// As Rust names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Other => std::env::consts::ARCH,
        }
    }
}

/// Features of a processor that the system lets programs use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(BTreeSet<&'static str>);

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Features {
    /// Whether one is there, by Rust's name, such as `avx512vnni` or `dotprod`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Those of `names` that are not there.
    #[must_use]
    pub fn lacking<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| !self.has(name)).collect()
    }

    /// All, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().copied()
    }

    /// Out of `flags` (x86) or `Features` (ARM) of Linux's `/proc/cpuinfo`.
    #[must_use]
    pub fn from_cpuinfo(isa: Isa, words: &str) -> Self {
        let words: BTreeSet<&str> = words.split_whitespace().collect();
        match isa {
            Isa::X86_64 => X86.iter().filter(|row| words.contains(row.linux)).map(|row| row.name).collect(),
            Isa::Aarch64 => ARM.iter().filter(|row| words.contains(row.linux)).map(|row| row.name).collect(),
            Isa::Other => Self::default(),
        }
    }

    /// Out of the leaves of the instruction `cpuid`. It does not say whether the system keeps wide registers:
    /// [`Features::without`] takes away what it does not.
    #[must_use]
    pub fn from_cpuid(table: &CpuidTable) -> Self {
        let set = |bit: &Bit| {
            let register = table.leaf(bit.0, bit.1)[bit.2];
            register >> bit.3 & 1 == 1
        };
        X86.iter().filter(|row| set(&row.cpuid)).map(|row| row.name).collect()
    }

    /// Out of the words that `sysctl machdep.cpu` has for an Intel processor under macOS.
    #[must_use]
    pub fn from_mac_words(words: &str) -> Self {
        let words: BTreeSet<String> = words.split_whitespace().map(|word| word.to_lowercase()).collect();
        let known = |row: &&X86Row| match row.name {
            "avx" => words.contains("avx1.0"),
            "sse3" => words.contains("sse3"),
            "sha" => words.contains("sha"),
            "lzcnt" => words.contains("lzcnt"),
            name => words.contains(name) || words.contains(row.linux),
        };
        X86.iter().filter(known).map(|row| row.name).collect()
    }

    /// Out of Apple's names, such as `FEAT_DotProd`, each known to be there.
    #[must_use]
    pub fn from_apple_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<&str> = names.into_iter().collect();
        ARM.iter().filter(|row| names.contains(row.apple)).map(|row| row.name).collect()
    }

    /// Out of Rust's own names, each known to be there; others are left out.
    #[must_use]
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let all = X86.iter().map(|row| row.name).chain(ARM.iter().map(|row| row.name));
        all.filter(|name| names.contains(name)).collect()
    }

    /// Without those whose names begin so.
    #[must_use]
    pub fn without(self, prefixes: &[&str]) -> Self {
        self.iter().filter(|name| !prefixes.iter().any(|prefix| name.starts_with(prefix))).collect()
    }
}

impl FromIterator<&'static str> for Features {
    fn from_iter<I: IntoIterator<Item = &'static str>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// Answers of `cpuid`: leaf, subleaf, and the registers eax, ebx, ecx, edx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuidTable(pub Vec<(u32, u32, [u32; 4])>);

/// What is read of `cpuid`.
const CPUID_LEAVES: &[(u32, u32)] = &[
    (0, 0),
    (1, 0),
    (7, 0),
    (7, 1),
    (0x8000_0000, 0),
    (0x8000_0001, 0),
    (0x8000_0002, 0),
    (0x8000_0003, 0),
    (0x8000_0004, 0),
];

impl CpuidTable {
    /// What `ask` answers for a leaf and a subleaf, of all leaves that are of use here.
    pub fn read(ask: impl Fn(u32, u32) -> [u32; 4]) -> Self {
        Self(CPUID_LEAVES.iter().map(|&(leaf, subleaf)| (leaf, subleaf, ask(leaf, subleaf))).collect())
    }

    /// The registers of a leaf; zeros where it is absent or beyond the highest one that the processor has.
    #[must_use]
    pub fn leaf(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        let at = |leaf, subleaf| self.0.iter().find(|row| (row.0, row.1) == (leaf, subleaf)).map(|row| row.2);
        let highest = at(leaf & 0x8000_0000, 0).map_or(0, |registers| registers[0]);
        if leaf > highest { [0; 4] } else { at(leaf, subleaf).unwrap_or_default() }
    }

    /// Such as `GenuineIntel`.
    #[must_use]
    pub fn vendor(&self) -> String {
        let [_, ebx, ecx, edx] = self.leaf(0, 0);
        text(&[ebx, edx, ecx])
    }

    /// What the maker calls the processor; empty where it does not tell.
    #[must_use]
    pub fn brand(&self) -> String {
        let words: Vec<u32> = (0x8000_0002..=0x8000_0004).flat_map(|leaf| self.leaf(leaf, 0)).collect();
        text(&words)
    }

    /// Family, model and stepping, with the extended parts added as the makers say.
    #[must_use]
    pub fn signature(&self) -> (u32, u32, u32) {
        let [eax, ..] = self.leaf(1, 0);
        let (base, model) = (eax >> 8 & 0xF, eax >> 4 & 0xF);
        let family = if base == 0xF { base + (eax >> 20 & 0xFF) } else { base };
        let extended = if base == 0xF || base == 6 { (eax >> 16 & 0xF) << 4 } else { 0 };
        (family, extended + model, eax & 0xF)
    }
}

fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Leaf, subleaf, register (eax, ebx, ecx, edx), bit.
type Bit = (u32, u32, usize, u32);

struct X86Row {
    name: &'static str,
    linux: &'static str,
    cpuid: Bit,
}

struct ArmRow {
    name: &'static str,
    linux: &'static str,
    apple: &'static str,
}

const fn x86(name: &'static str, linux: &'static str, cpuid: Bit) -> X86Row {
    X86Row { name, linux, cpuid }
}

const fn arm(name: &'static str, linux: &'static str, apple: &'static str) -> ArmRow {
    ArmRow { name, linux, apple }
}

/// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, instruction CPUID.
const X86: &[X86Row] = &[
    x86("sse3", "pni", (1, 0, 2, 0)),
    x86("pclmulqdq", "pclmulqdq", (1, 0, 2, 1)),
    x86("ssse3", "ssse3", (1, 0, 2, 9)),
    x86("fma", "fma", (1, 0, 2, 12)),
    x86("sse4.1", "sse4_1", (1, 0, 2, 19)),
    x86("sse4.2", "sse4_2", (1, 0, 2, 20)),
    x86("movbe", "movbe", (1, 0, 2, 22)),
    x86("popcnt", "popcnt", (1, 0, 2, 23)),
    x86("aes", "aes", (1, 0, 2, 25)),
    x86("avx", "avx", (1, 0, 2, 28)),
    x86("f16c", "f16c", (1, 0, 2, 29)),
    x86("lzcnt", "abm", (0x8000_0001, 0, 2, 5)),
    x86("bmi1", "bmi1", (7, 0, 1, 3)),
    x86("avx2", "avx2", (7, 0, 1, 5)),
    x86("bmi2", "bmi2", (7, 0, 1, 8)),
    x86("avx512f", "avx512f", (7, 0, 1, 16)),
    x86("avx512dq", "avx512dq", (7, 0, 1, 17)),
    x86("rdseed", "rdseed", (7, 0, 1, 18)),
    x86("adx", "adx", (7, 0, 1, 19)),
    x86("avx512ifma", "avx512ifma", (7, 0, 1, 21)),
    x86("clflushopt", "clflushopt", (7, 0, 1, 23)),
    x86("clwb", "clwb", (7, 0, 1, 24)),
    x86("avx512cd", "avx512cd", (7, 0, 1, 28)),
    x86("sha", "sha_ni", (7, 0, 1, 29)),
    x86("avx512bw", "avx512bw", (7, 0, 1, 30)),
    x86("avx512vl", "avx512vl", (7, 0, 1, 31)),
    x86("avx512vbmi", "avx512vbmi", (7, 0, 2, 1)),
    x86("avx512vbmi2", "avx512_vbmi2", (7, 0, 2, 6)),
    x86("gfni", "gfni", (7, 0, 2, 8)),
    x86("vaes", "vaes", (7, 0, 2, 9)),
    x86("vpclmulqdq", "vpclmulqdq", (7, 0, 2, 10)),
    x86("avx512vnni", "avx512_vnni", (7, 0, 2, 11)),
    x86("avx512bitalg", "avx512_bitalg", (7, 0, 2, 12)),
    x86("avx512vpopcntdq", "avx512_vpopcntdq", (7, 0, 2, 14)),
    x86("movdiri", "movdiri", (7, 0, 2, 27)),
    x86("avx512vp2intersect", "avx512_vp2intersect", (7, 0, 3, 8)),
    x86("amx-bf16", "amx_bf16", (7, 0, 3, 22)),
    x86("avx512fp16", "avx512_fp16", (7, 0, 3, 23)),
    x86("amx-tile", "amx_tile", (7, 0, 3, 24)),
    x86("amx-int8", "amx_int8", (7, 0, 3, 25)),
    x86("avxvnni", "avx_vnni", (7, 1, 0, 4)),
    x86("avx512bf16", "avx512_bf16", (7, 1, 0, 5)),
    x86("amx-fp16", "amx_fp16", (7, 1, 0, 21)),
    x86("avxifma", "avx_ifma", (7, 1, 0, 23)),
    x86("avxvnniint8", "avx_vnni_int8", (7, 1, 3, 4)),
    x86("avxneconvert", "avx_ne_convert", (7, 1, 3, 5)),
    x86("avxvnniint16", "avx_vnni_int16", (7, 1, 3, 10)),
];

/// Linux: Documentation/arch/arm64/elf_hwcaps.rst; macOS: `sysctl hw.optional.arm`.
const ARM: &[ArmRow] = &[
    arm("neon", "asimd", "AdvSIMD"),
    arm("fp16", "asimdhp", "FEAT_FP16"),
    arm("dotprod", "asimddp", "FEAT_DotProd"),
    arm("i8mm", "i8mm", "FEAT_I8MM"),
    arm("bf16", "bf16", "FEAT_BF16"),
    arm("fhm", "asimdfhm", "FEAT_FHM"),
    arm("rdm", "asimdrdm", "FEAT_RDM"),
    arm("fcma", "fcma", "FEAT_FCMA"),
    arm("lse", "atomics", "FEAT_LSE"),
    arm("crc", "crc32", "FEAT_CRC32"),
    arm("aes", "aes", "FEAT_AES"),
    arm("sha2", "sha2", "FEAT_SHA256"),
    arm("sve", "sve", "FEAT_SVE"),
    arm("sve2", "sve2", "FEAT_SVE2"),
    arm("sme", "sme", "FEAT_SME"),
    arm("sme2", "sme2", "FEAT_SME2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_linux_become_names_of_rust() {
        let found = Features::from_cpuinfo(Isa::X86_64, "fpu pni avx2 avx512_vnni abm sha_ni nonsense");
        assert_eq!(found.iter().collect::<Vec<_>>(), ["avx2", "avx512vnni", "lzcnt", "sha", "sse3"]);
        let found = Features::from_cpuinfo(Isa::Aarch64, "fp asimd asimddp i8mm sve2");
        assert_eq!(found.iter().collect::<Vec<_>>(), ["dotprod", "i8mm", "neon", "sve2"]);
        assert_eq!(Features::from_cpuinfo(Isa::Other, "avx2"), Features::default());
    }

    /// `ebx` of vendor strings is their first four letters, `edx` the next, `ecx` the last.
    fn table(signature: u32, features: [u32; 4], subleaf_1: [u32; 4]) -> CpuidTable {
        let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
        CpuidTable(vec![
            (0, 0, [7, word(b"Genu"), word(b"ntel"), word(b"ineI")]),
            (1, 0, [signature, 0, 1 << 28 | 1 << 12, 0]),
            (7, 0, features),
            (7, 1, subleaf_1),
            (0x8000_0000, 0, [0x8000_0004, 0, 0, 0]),
            (0x8000_0002, 0, [word(b"Inte"), word(b"l(R)"), word(b"   C"), word(b"ore\0")]),
        ])
    }

    #[test]
    fn leaves_of_cpuid_are_read_bit_by_bit() {
        let table = table(0x000B_06F2, [1, 1 << 5, 1 << 11, 0], [1 << 4, 0, 0, 1 << 5]);
        assert_eq!(table.vendor(), "GenuineIntel");
        assert_eq!(table.brand(), "Intel(R) Core");
        assert_eq!(table.signature(), (6, 0xBF, 2));
        let found = Features::from_cpuid(&table);
        let expected = ["avx", "avx2", "avx512vnni", "avxneconvert", "avxvnni", "fma"];
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        assert_eq!(found.without(&["avx512"]).iter().count(), 5);
    }

    #[test]
    fn leaves_beyond_the_highest_are_zero() {
        let mut table = table(0x00A2_0F12, [0, u32::MAX, 0, 0], [0; 4]);
        assert_eq!(table.signature(), (0x19, 0x21, 2));
        table.0[0].2[0] = 1;
        assert!(!Features::from_cpuid(&table).has("avx2"));
        assert_eq!(CpuidTable::default().brand(), "");
    }

    #[test]
    fn names_do_not_repeat() {
        let names: BTreeSet<&str> = X86.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), X86.len());
        let bits: BTreeSet<Bit> = X86.iter().map(|row| row.cpuid).collect();
        assert_eq!(bits.len(), X86.len());
        let names: BTreeSet<&str> = ARM.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ARM.len());
    }

    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn the_processor_and_the_system_agree_with_rust() {
        let table = CpuidTable::read(|leaf, subleaf| {
            let answer = std::arch::x86_64::__cpuid_count(leaf, subleaf);
            [answer.eax, answer.ebx, answer.ecx, answer.edx]
        });
        let cpu = crate::cpu();
        let (family, model, stepping) = table.signature();
        let said = format!("{}, family {family}, model {model}, stepping {stepping}", table.vendor());
        assert!(cpu.basis[0].contains(&said), "{said}: {:?}", cpu.basis);
        assert_eq!(table.brand(), cpu.name);
        let processor = Features::from_cpuid(&table);
        let beyond: Vec<_> = cpu.features.iter().filter(|name| !processor.has(name)).collect();
        assert_eq!(beyond, Vec::<&str>::new());
        for (name, found) in [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avxvnni", is_x86_feature_detected!("avxvnni")),
            ("lzcnt", is_x86_feature_detected!("lzcnt")),
            ("sha", is_x86_feature_detected!("sha")),
        ] {
            assert_eq!(cpu.features.has(name), found, "{name}");
        }
    }
}
