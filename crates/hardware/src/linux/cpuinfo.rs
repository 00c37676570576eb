//! `/proc/cpuinfo`, whose keys differ between x86 and ARM.

use crate::arm_cores::arm_core;
use crate::cores::CoreKind;
use std::collections::{BTreeMap, BTreeSet};

/// What `/proc/cpuinfo` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuInfo {
    /// Vendor, family, model and stepping, of x86.
    pub x86: Option<(String, u32, u32, u32)>,
    /// Each different pair of implementer and part, of ARM, in the order in which they come.
    pub midr: Vec<(u32, u32)>,
    /// The maker's name; empty on most ARM machines.
    pub name: String,
    /// Words of the system for features that all cores have.
    pub features: String,
    /// Logical processors.
    pub processors: usize,
    /// Pairs of socket and core, of x86.
    cores: BTreeSet<(u32, u32)>,
    /// Implementer and part of each logical processor, of ARM.
    parts: Vec<(usize, (u32, u32))>,
}

impl CpuInfo {
    /// Physical cores, where it tells; otherwise as many as there are logical processors.
    #[must_use]
    pub fn physical(&self) -> usize {
        if self.cores.is_empty() { self.processors } else { self.cores.len() }
    }

    /// Which processors are the fast ones, of ARM's mixtures.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<usize, CoreKind> {
        let rank = |(implementer, part): (u32, u32)| arm_core(implementer, part).map(|core| core.rank);
        let ranks: Vec<(usize, u8)> =
            self.parts.iter().filter_map(|(number, part)| Some((*number, rank(*part)?))).collect();
        let lowest = ranks.iter().map(|(_, rank)| *rank).min().unwrap_or(0);
        let mixed = ranks.iter().any(|(_, rank)| *rank != lowest);
        let kind = |rank| if rank == lowest { CoreKind::Efficiency } else { CoreKind::Performance };
        ranks.into_iter().filter(|_| mixed).map(|(number, rank)| (number, kind(rank))).collect()
    }
}

/// Reads the text of `/proc/cpuinfo`. Lines that it does not know are left out; damaged numbers count as absent.
#[must_use]
pub fn parse_cpuinfo(text: &str) -> CpuInfo {
    let mut info = CpuInfo::default();
    let mut features: Option<BTreeSet<&str>> = None;
    for block in text.split("\n\n") {
        let fields: BTreeMap<&str, &str> =
            block.lines().filter_map(|line| line.split_once(':')).map(trimmed).collect();
        let Some(number) = fields.get("processor").and_then(|n| n.parse::<usize>().ok()) else {
            info.name = later_name(&fields, info.name);
            continue;
        };
        info.processors += 1;
        one_processor(&mut info, number, &fields);
        if let Some(words) = fields.get("flags").or_else(|| fields.get("Features")) {
            let words: BTreeSet<&str> = words.split_whitespace().collect();
            features = Some(match features {
                None => words,
                Some(others) => others.intersection(&words).copied().collect(),
            });
        }
    }
    info.features = features.unwrap_or_default().into_iter().collect::<Vec<_>>().join(" ");
    info
}

fn trimmed<'a>((key, value): (&'a str, &'a str)) -> (&'a str, &'a str) {
    (key.trim(), value.trim())
}

/// Older ARM systems have a block of their own for the board.
fn later_name(fields: &BTreeMap<&str, &str>, name: String) -> String {
    match fields.get("Model").or_else(|| fields.get("Hardware")) {
        Some(board) if name.is_empty() => (*board).to_owned(),
        _ => name,
    }
}

fn one_processor(info: &mut CpuInfo, number: usize, fields: &BTreeMap<&str, &str>) {
    let decimal = |key: &str| fields.get(key).and_then(|value| value.parse::<u32>().ok());
    let hexadecimal = |key: &str| {
        let value = fields.get(key)?;
        u32::from_str_radix(value.strip_prefix("0x")?, 16).ok()
    };
    if info.name.is_empty() {
        let name = fields.get("model name").or_else(|| fields.get("Processor")).copied().unwrap_or_default();
        info.name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if let (None, Some(vendor)) = (&info.x86, fields.get("vendor_id")) {
        let numbers = (decimal("cpu family"), decimal("model"), decimal("stepping"));
        if let (Some(family), Some(model), stepping) = numbers {
            info.x86 = Some(((*vendor).to_owned(), family, model, stepping.unwrap_or(0)));
        }
    }
    if let (Some(socket), Some(core)) = (decimal("physical id"), decimal("core id")) {
        info.cores.insert((socket, core));
    }
    if let (Some(implementer), Some(part)) = (hexadecimal("CPU implementer"), hexadecimal("CPU part")) {
        info.parts.push((number, (implementer, part)));
        if !info.midr.contains(&(implementer, part)) {
            info.midr.push((implementer, part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x86_block(number: usize, core: usize, flags: &str) -> String {
        format!(
            "processor\t: {number}\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 97\n\
             model name\t: AMD Ryzen 9   7950X 16-Core Processor\nstepping\t: 2\nphysical id\t: 0\ncore id\t\t: {core}\n\
             flags\t\t: {flags}\npower management: ts ttp\n\n"
        )
    }

    #[test]
    fn processors_of_x86_are_read() {
        let text: String = (0..4).map(|i| x86_block(i, i / 2, "fpu avx2 avx512f")).collect();
        let info = parse_cpuinfo(&text);
        assert_eq!(info.x86, Some(("AuthenticAMD".to_owned(), 25, 97, 2)));
        assert_eq!(info.name, "AMD Ryzen 9 7950X 16-Core Processor");
        assert_eq!((info.processors, info.physical()), (4, 2));
        assert_eq!(info.features, "avx2 avx512f fpu");
        assert!(info.kinds().is_empty());
    }

    #[test]
    fn only_features_of_all_cores_count() {
        let text = x86_block(0, 0, "avx2 avx512f") + &x86_block(1, 1, "avx2");
        assert_eq!(parse_cpuinfo(&text).features, "avx2");
    }

    fn arm_block(number: usize, part: &str) -> String {
        format!(
            "processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\n\
             CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part}\nCPU revision\t: 0\n\n"
        )
    }

    #[test]
    fn mixtures_of_arm_are_read() {
        let text: String = [("0xd05", 4), ("0xd41", 2)]
            .iter()
            .flat_map(|(part, count)| std::iter::repeat_n(*part, *count))
            .enumerate()
            .map(|(i, part)| arm_block(i, part))
            .collect::<String>()
            + "Hardware\t: A board\n";
        let info = parse_cpuinfo(&text);
        assert_eq!(info.midr, [(0x41, 0xD05), (0x41, 0xD41)]);
        assert_eq!((info.processors, info.physical(), info.name.as_str()), (6, 6, "A board"));
        let kinds = info.kinds();
        assert_eq!(kinds[&0], CoreKind::Efficiency);
        assert_eq!(kinds[&5], CoreKind::Performance);
    }

    #[test]
    fn damaged_text_is_no_panic() {
        for text in
            ["", ":\n:", "processor: x", "processor: 0\nCPU part: 0x\ncpu family: 99999999999", "\n\n\n"]
        {
            assert_eq!(parse_cpuinfo(text).x86, None);
        }
    }
}
