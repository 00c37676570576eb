//! A machine under Linux, out of the files of `/proc` and `/sys`.

mod cpuinfo;
mod gpus;
mod memory;
mod topology;

pub use cpuinfo::{CpuInfo, parse_cpuinfo};
pub use gpus::{nvidia_model, pci_names};
pub use memory::{CgroupPaths, parse_cgroup_paths, parse_meminfo};

use crate::arm_cores::arm_core;
use crate::cores::{CoreKind, CoreSet};
use crate::features::{Features, Isa};
use crate::gpu::Gpu;
use crate::machine::{Cores, Cpu, Memory, NumaNode};
use crate::microarchitecture::{Identity, identify};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files of a machine below a folder, which is `/` for the one this program runs on.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

/// Larger than any of these files is on a machine of today; what is larger is cut, and read as far as it goes.
const LARGEST: u64 = 16 << 20;

impl Files {
    /// Those below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text; `None` where it cannot be read.
    fn text(&self, path: &str) -> Option<String> {
        use std::io::Read as _;
        let file = fs::File::open(self.path(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.trim().parse().ok()
    }

    /// A number such as `0x10de`.
    fn hexadecimal(&self, path: &str) -> Option<u32> {
        u32::from_str_radix(self.text(path)?.trim().trim_start_matches("0x"), 16).ok()
    }

    /// Names in a folder that begin with `prefix` and go on with digits, in the order of their numbers.
    fn numbered(&self, folder: &str, prefix: &str) -> Vec<(usize, String)> {
        let number = |name: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let mut found: Vec<(usize, String)> =
            self.names(folder).into_iter().filter_map(|name| Some((number(&name)?, name))).collect();
        found.sort_unstable();
        found
    }

    /// All names in a folder, in alphabetical order.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The processors. `allowed` is how many threads this process may run at once.
    #[must_use]
    pub fn cpu(&self, isa: Isa, allowed: usize) -> Cpu {
        let info = self.text("/proc/cpuinfo").map(|text| parse_cpuinfo(&text)).unwrap_or_default();
        let features = Features::from_cpuinfo(isa, &info.features);
        let identity = match &info.x86 {
            Some((vendor, family, model, stepping)) => {
                Identity::X86 { vendor, family: *family, model: *model, stepping: *stepping }
            }
            None => Identity::Midr(&info.midr),
        };
        let (vendor, microarchitecture, basis) = identify(identity, &features);
        let set = self.cores(&info);
        let basis = vec![format!("/proc/cpuinfo: {basis}"), self.basis_of_kinds(&set)];
        Cpu {
            isa,
            vendor,
            name: self.name(&info),
            microarchitecture,
            features,
            cores: Cores::new(&set, allowed),
            caches: topology::caches(self),
            basis: basis.into_iter().filter(|line| !line.is_empty()).collect(),
        }
    }

    /// ARM's processors have no name there; the board does.
    fn name(&self, info: &CpuInfo) -> String {
        let board = || self.text("/sys/firmware/devicetree/base/model");
        let core = || {
            let cores = info.midr.iter().filter_map(|&(implementer, part)| arm_core(implementer, part));
            cores.max_by_key(|core| core.rank).map(|core| core.name.to_owned())
        };
        let clean = |text: String| text.trim_matches(['\0', '\n', ' ']).to_owned();
        match info.name.is_empty() {
            false => info.name.clone(),
            true => board().map(clean).or_else(core).unwrap_or_default(),
        }
    }

    fn cores(&self, info: &CpuInfo) -> CoreSet {
        let siblings = topology::siblings(self);
        if siblings.is_empty() {
            return CoreSet::counted(info.physical(), 0, info.processors);
        }
        CoreSet::new(&siblings, &self.kinds(info))
    }

    fn kinds(&self, info: &CpuInfo) -> BTreeMap<usize, CoreKind> {
        let told = topology::kinds(self);
        if told.is_empty() { info.kinds() } else { told }
    }

    fn basis_of_kinds(&self, set: &CoreSet) -> String {
        match set.by_kind() {
            (0, 0) => String::new(),
            (fast, slow) => {
                format!("{}: {fast} cores for speed, {slow} for saving power", topology::source(self))
            }
        }
    }

    /// The physical cores among all, as far as the files tell.
    #[must_use]
    pub fn physical_cores(&self) -> Option<usize> {
        let siblings = topology::siblings(self);
        (!siblings.is_empty()).then(|| CoreSet::new(&siblings, &BTreeMap::new()).physical())
    }

    /// Memory, limits of this process's control group counted in.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        let (total, available) = parse_meminfo(&self.text("/proc/meminfo")?)?;
        Some(Memory::new(total, available, memory::limit(self)))
    }

    /// How memory belongs to processors.
    #[must_use]
    pub fn numa(&self) -> Vec<NumaNode> {
        topology::numa(self)
    }

    /// Graphics processors on the bus.
    #[must_use]
    pub fn gpus(&self) -> Vec<Gpu> {
        gpus::gpus(self)
    }
}

/// The files of the machine that this program runs on.
impl Default for Files {
    fn default() -> Self {
        Self::new(Path::new("/"))
    }
}
