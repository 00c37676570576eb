//! A machine, written down.

use crate::cores::CoreSet;
use crate::features::{Features, Isa};
use crate::gpu::Gpu;
use crate::microarchitecture::Microarchitecture;
use serde::Serialize;
use std::fmt;

/// A system that a library can be built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum OperatingSystem {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    #[serde(rename = "macOS")]
    MacOs,
    /// Anything else; libraries are named as under Linux.
    Other,
}

impl OperatingSystem {
    /// The one this program was compiled for.
    #[must_use]
    pub fn here() -> Self {
        match std::env::consts::OS {
            "linux" => Self::Linux,
            "windows" => Self::Windows,
            "macos" => Self::MacOs,
            _ => Self::Other,
        }
    }

    /// As it is called, and as folders of builds call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux | Self::Other => "Linux",
            Self::Windows => "Windows",
            Self::MacOs => "macOS",
        }
    }
}

/// Who made a processor, or designed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum CpuVendor {
    /// Intel.
    Intel,
    /// AMD, and Hygon, whose processors are AMD's design.
    #[serde(rename = "AMD")]
    Amd,
    /// Apple.
    Apple,
    /// ARM's own design, or another maker's of that instruction set.
    #[serde(rename = "ARM")]
    Arm,
    /// Not known.
    #[serde(rename = "unknown")]
    Unknown,
}

impl fmt::Display for CpuVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intel => "Intel",
            Self::Amd => "AMD",
            Self::Apple => "Apple",
            Self::Arm => "ARM",
            Self::Unknown => "unknown",
        })
    }
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cpu {
    /// Its instruction set.
    pub isa: Isa,
    /// Its maker.
    pub vendor: CpuVendor,
    /// What the maker calls it; empty where the system does not tell.
    pub name: String,
    /// Its design, where that is known. Of several kinds of cores, the fastest.
    pub microarchitecture: Option<Microarchitecture>,
    /// What it can do, and the system lets programs do.
    pub features: Features,
    /// How many cores of which kind.
    pub cores: Cores,
    /// Its caches, the fastest first.
    pub caches: Vec<Cache>,
    /// What the statements above rest on.
    pub basis: Vec<String>,
}

/// How many cores there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// Threads that the processors run at once.
    pub logical: usize,
    /// Physical cores.
    pub physical: usize,
    /// Of these, cores made for speed; 0 where all are of one kind.
    pub performance: usize,
    /// Of these, cores made for saving power; 0 where all are of one kind.
    pub efficiency: usize,
    /// Threads that this process may run at once: its affinity and the quota of its container.
    pub allowed: usize,
    /// Physical cores among those that this process may use: as many threads as are worth having.
    pub usable: usize,
}

impl Cores {
    /// Out of all processors, of which the process may use `allowed`.
    #[must_use]
    pub fn new(set: &CoreSet, allowed: usize) -> Self {
        let (performance, efficiency) = set.by_kind();
        let physical = set.physical().max(1);
        Self {
            logical: set.logical().max(1),
            physical,
            performance,
            efficiency,
            allowed,
            usable: physical.min(allowed).max(1),
        }
    }
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
}

/// Caches of one level, kind and size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cache {
    /// 1 is the fastest.
    pub level: u8,
    /// What it holds.
    pub kind: CacheKind,
    /// Bytes of one.
    pub bytes: u64,
    /// How many of these there are.
    pub instances: usize,
}

/// Memory that belongs to some of the processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumaNode {
    /// Its number.
    pub number: usize,
    /// Logical processors that it is near to.
    pub processors: Vec<usize>,
    /// Bytes of its memory.
    pub memory: u64,
}

/// The machine's memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All that the system has.
    pub total: u64,
    /// What can be had without swapping, limits counted in.
    pub available: u64,
    /// What a container may use, where that is less than the system has.
    pub limit: Option<MemoryLimit>,
}

/// A limit on the memory of this process and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryLimit {
    /// Bytes that may be used.
    pub bytes: u64,
    /// Bytes that are in use and cannot be given back.
    pub used: u64,
    /// Where the limit was read.
    pub source: String,
}

impl Memory {
    /// The system's numbers under a limit.
    #[must_use]
    pub fn new(total: u64, available: u64, limit: Option<MemoryLimit>) -> Self {
        let limit = limit.filter(|limit| limit.bytes < total);
        let within = limit.as_ref().map_or(u64::MAX, |limit| limit.bytes.saturating_sub(limit.used));
        Self { total, available: available.min(within), limit }
    }

    /// The most that a program could ever use here.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.limit.as_ref().map_or(self.total, |limit| limit.bytes)
    }
}

/// A machine as programs see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Its system.
    pub os: OperatingSystem,
    /// Its processor.
    pub cpu: Cpu,
    /// Its memory.
    pub memory: Memory,
    /// How memory belongs to processors; one node, or none where the system does not tell.
    pub numa: Vec<NumaNode>,
    /// Its graphics processors.
    pub gpus: Vec<Gpu>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_only_below_the_total() {
        let limit = |bytes, used| Some(MemoryLimit { bytes, used, source: "here".to_owned() });
        assert_eq!(Memory::new(100, 60, None).available, 60);
        assert_eq!(Memory::new(100, 60, limit(100, 90)).limit, None);
        assert_eq!(Memory::new(100, 60, limit(50, 30)).available, 20);
        assert_eq!(Memory::new(100, 10, limit(50, 30)).available, 10);
        assert_eq!(Memory::new(100, 60, limit(50, 70)).available, 0);
        assert_eq!(Memory::new(100, 60, limit(50, 30)).most(), 50);
    }
}
