//! The output of `sysctl hw machdep.cpu`, lines such as `hw.memsize: 17179869184`, and that of `vm_stat`.

use crate::cores::CoreSet;
use crate::features::{Features, Isa};
use crate::machine::{Cache, CacheKind, Cores, Cpu};
use crate::microarchitecture::{Identity, identify};
use std::collections::BTreeMap;

/// What `sysctl` printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sysctl(BTreeMap<String, String>);

impl Sysctl {
    /// Reads its output; lines that are no pairs are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Self(pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect())
    }

    fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key).parse().ok()
    }

    fn count(&self, key: &str) -> usize {
        self.number(key)
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= 1 << 16)
            .unwrap_or(0)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.number("hw.memsize")
    }

    /// The cores.
    #[must_use]
    pub fn cores(&self) -> CoreSet {
        let logical = self.count("hw.logicalcpu");
        match self.count("hw.nperflevels") {
            0 | 1 => CoreSet::counted(self.count("hw.physicalcpu"), 0, logical),
            levels => {
                let of = |level: usize| self.count(&format!("hw.perflevel{level}.physicalcpu"));
                CoreSet::counted(of(0), (1..levels.min(8)).map(of).sum(), logical)
            }
        }
    }

    /// The processor. `allowed` is how many threads this process may run at once.
    #[must_use]
    pub fn cpu(&self, isa: Isa, allowed: usize) -> Cpu {
        let name = self.text("machdep.cpu.brand_string").to_owned();
        let features = self.features(isa);
        let number = |key: &str| self.number(key).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let identity = match isa {
            Isa::X86_64 => Identity::X86 {
                vendor: self.text("machdep.cpu.vendor"),
                family: number("machdep.cpu.family"),
                model: number("machdep.cpu.model"),
                stepping: number("machdep.cpu.stepping"),
            },
            Isa::Aarch64 | Isa::Other => Identity::Brand(&name),
        };
        let (vendor, microarchitecture, basis) = identify(identity, &features);
        let basis = vec![format!("sysctl: {basis}")];
        let cores = Cores::new(&self.cores(), allowed);
        Cpu { isa, vendor, microarchitecture, features, cores, caches: self.caches(), basis, name }
    }

    fn features(&self, isa: Isa) -> Features {
        match isa {
            Isa::X86_64 => {
                let keys = ["features", "leaf7_features", "extfeatures"];
                let words = keys.map(|key| self.text(&format!("machdep.cpu.{key}")));
                Features::from_mac_words(&words.join(" "))
            }
            Isa::Aarch64 | Isa::Other => {
                let there = self.0.iter().filter(|(_, value)| *value == "1");
                Features::from_apple_names(there.filter_map(|(key, _)| key.strip_prefix("hw.optional.arm.")))
            }
        }
    }

    /// Sizes of both kinds of cores, where there are two; how many processors share one is told for these only.
    fn caches(&self) -> Vec<Cache> {
        let kinds =
            [("l1d", 1, CacheKind::Data), ("l1i", 1, CacheKind::Instruction), ("l2", 2, CacheKind::Unified)];
        let levels = self.count("hw.nperflevels").min(8);
        let mut caches: BTreeMap<(u8, CacheKind, u64), usize> = BTreeMap::new();
        for (name, level, kind) in kinds {
            let mut add = |size: Option<u64>, instances: usize| {
                if let Some(bytes) = size.filter(|bytes| *bytes > 0) {
                    *caches.entry((level, kind, bytes)).or_default() += instances;
                }
            };
            for perflevel in 0..levels {
                let key = |what: &str| format!("hw.perflevel{perflevel}.{what}");
                let cores = self.count(&key("physicalcpu"));
                let sharing = self.count(&key(&format!("cpusper{name}"))).max(1);
                add(self.number(&key(&format!("{name}cachesize"))), cores.div_ceil(sharing));
            }
            if levels == 0 {
                add(self.number(&format!("hw.{name}cachesize")), self.count("hw.physicalcpu"));
            }
        }
        if let Some(bytes) = self.number("hw.l3cachesize").filter(|bytes| *bytes > 0) {
            caches.insert((3, CacheKind::Unified, bytes), self.count("hw.packages").max(1));
        }
        caches
            .into_iter()
            .map(|((level, kind, bytes), instances)| Cache { level, kind, bytes, instances })
            .collect()
    }
}

/// Bytes that can be had without swapping, of the output of `vm_stat`.
#[must_use]
pub fn available_memory(vm_stat: &str) -> Option<u64> {
    let after = vm_stat.split_once("page size of ")?.1;
    let page: u64 = after.split_whitespace().next()?.parse().ok()?;
    let pages = |name: &str| {
        let line = vm_stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches('.').parse::<u64>().ok()
    };
    let names = ["Pages free", "Pages inactive", "Pages speculative", "Pages purgeable"];
    let sum = names.iter().filter_map(|name| pages(name)).fold(0u64, u64::saturating_add);
    pages("Pages free").and_then(|_| sum.checked_mul(page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::CpuVendor;

    fn m2_pro() -> String {
        "hw.memsize: 17179869184\nhw.logicalcpu: 10\nhw.physicalcpu: 10\nhw.nperflevels: 2\nhw.packages: 1\n\
         hw.perflevel0.physicalcpu: 6\nhw.perflevel0.l1dcachesize: 131072\nhw.perflevel0.l2cachesize: 16777216\n\
         hw.perflevel0.cpusperl2: 3\nhw.perflevel1.physicalcpu: 4\nhw.perflevel1.l1dcachesize: 65536\n\
         hw.perflevel1.l2cachesize: 4194304\nhw.perflevel1.cpusperl2: 4\nhw.optional.arm.FEAT_DotProd: 1\n\
         hw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_SME: 0\nhw.optional.arm.AdvSIMD: 1\n\
         machdep.cpu.brand_string: Apple M2 Pro\n"
            .to_owned()
    }

    #[test]
    fn an_apple_processor_is_read() {
        let cpu = Sysctl::parse(&m2_pro()).cpu(Isa::Aarch64, 10);
        assert_eq!(cpu.vendor, CpuVendor::Apple);
        assert_eq!(cpu.microarchitecture.map(|design| design.name), Some("Apple M2"));
        assert_eq!(cpu.features.iter().collect::<Vec<_>>(), ["dotprod", "i8mm", "neon"]);
        assert_eq!((cpu.cores.performance, cpu.cores.efficiency, cpu.cores.usable), (6, 4, 10));
        let l2: Vec<_> = cpu.caches.iter().filter(|cache| cache.level == 2).collect();
        assert_eq!(
            l2.iter().map(|cache| (cache.bytes >> 20, cache.instances)).collect::<Vec<_>>(),
            [(4, 1), (16, 2)]
        );
        assert_eq!(Sysctl::parse(&m2_pro()).memory(), Some(16 << 30));
    }

    #[test]
    fn an_intel_mac_is_read() {
        let text = "hw.logicalcpu: 12\nhw.physicalcpu: 6\nhw.l1dcachesize: 32768\nhw.l2cachesize: 262144\nhw.l3cachesize: 12582912\n\
            machdep.cpu.vendor: GenuineIntel\nmachdep.cpu.family: 6\nmachdep.cpu.model: 158\nmachdep.cpu.stepping: 10\n\
            machdep.cpu.features: FPU SSE3 SSE4.1 SSE4.2 MOVBE POPCNT AVX1.0 F16C FMA\n\
            machdep.cpu.leaf7_features: BMI1 AVX2 BMI2 RDSEED ADX CLFSOPT\nmachdep.cpu.extfeatures: LZCNT\n\
            machdep.cpu.brand_string: Intel(R) Core(TM) i7-8700B CPU @ 3.20GHz\n";
        let cpu = Sysctl::parse(text).cpu(Isa::X86_64, 12);
        assert_eq!(cpu.microarchitecture.map(|design| design.name), Some("Kaby Lake"));
        for name in ["avx", "avx2", "fma", "f16c", "lzcnt", "sse3", "sse4.1"] {
            assert!(cpu.features.has(name), "{name}");
        }
        assert_eq!((cpu.cores.logical, cpu.cores.physical, cpu.cores.usable), (12, 6, 6));
        assert_eq!(cpu.caches.len(), 3);
    }

    #[test]
    fn pages_become_bytes() {
        let text = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:      100.\n\
            Pages active:    50.\nPages inactive:  200.\nPages speculative: 10.\n";
        assert_eq!(available_memory(text), Some(310 * 16384));
        assert_eq!(available_memory("nothing"), None);
    }
}
