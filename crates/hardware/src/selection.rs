//! The choice among builds of libllama: BitNet on a GPU, then standard on a GPU, then BitNet on the CPU, then standard on the CPU.

use crate::detect;
use crate::gpu::GpuVendor;
use crate::library_files::newest_library;
use crate::machine::{Machine, OperatingSystem};
use crate::variants::{CPU_VARIANTS, GPU_VARIANTS, GpuVariant, cpu_variants};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What a build computes, and on what; the ones to prefer come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// BitNet's kernels on a graphics processor.
    BitnetGpu,
    /// llama.cpp on a graphics processor.
    StandardGpu,
    /// BitNet's kernels on the processor.
    BitnetCpu,
    /// llama.cpp on the processor.
    StandardCpu,
}

impl Kind {
    /// Whether it runs on a graphics processor.
    #[must_use]
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::BitnetGpu | Self::StandardGpu)
    }

    /// Whether it has BitNet's kernels.
    #[must_use]
    pub fn is_bitnet(self) -> bool {
        matches!(self, Self::BitnetGpu | Self::BitnetCpu)
    }

    fn folder(self) -> &'static str {
        if self.is_gpu() { "gpu" } else { "cpu" }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.is_bitnet() { "BitNet" } else { "standard" };
        write!(f, "{family} {}", if self.is_gpu() { "GPU" } else { "CPU" })
    }
}

/// A build that suits a machine, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What it computes, and on what.
    pub kind: Kind,
    /// The name of its folder.
    pub variant: &'static str,
    /// Why it suits, and why it stands where it stands.
    pub reason: String,
}

/// A build in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The library.
    #[serde(serialize_with = "crate::library_files::readable")]
    pub path: PathBuf,
    /// `cpu` or `gpu`.
    pub place: &'static str,
    /// The name of its folder.
    pub variant: String,
}

/// A build that was not chosen, or is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Such as `gpu/bitnet-cuda`.
    pub variant: String,
    /// Why.
    pub reason: String,
}

/// The build to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The library.
    #[serde(serialize_with = "crate::library_files::readable")]
    pub path: PathBuf,
    /// What it computes, and on what.
    pub kind: Kind,
    /// The name of its folder.
    pub variant: String,
    /// Why it suits.
    pub reason: String,
    /// What would have come first, and why it did not.
    pub passed_over: Vec<PassedOver>,
}

/// No build can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The folder cannot be read.
    #[error("{}: {source}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder has no build for this system.
    #[error(
        "{}: there is no build of libllama for {system} below it (looked for {looked_for})",
        folder.display()
    )]
    NoBuild {
        /// The folder.
        folder: PathBuf,
        /// The system.
        system: &'static str,
        /// Where a build would be.
        looked_for: String,
    },
    /// The folder has builds, and none of them runs here.
    #[error("{}: none of its builds runs on this machine: {}; it would run {wanted}", folder.display(), listed(.found))]
    NoneRuns {
        /// The folder.
        folder: PathBuf,
        /// What is there, and why it does not run.
        found: Vec<PassedOver>,
        /// Names of builds that would.
        wanted: String,
    },
}

fn listed(found: &[PassedOver]) -> String {
    let one = |build: &PassedOver| format!("{} ({})", build.variant, build.reason);
    found.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The name of the build for this machine's processor, such as `bitnet-amd-zen2`; `standard` where none was made for it.
#[must_use]
pub fn get_cpu_variant() -> &'static str {
    cpu_variants(&detect::cpu()).first().map_or("standard", |suited| suited.name)
}

/// The best build for this machine of those in a folder: `{folder}/cpu/{Windows,Linux,macOS}/{variant}/` and
/// `{folder}/gpu/{Windows,Linux,macOS}/{variant}/`. Capitals in the names of folders do not matter.
///
/// # Errors
/// The folder cannot be read, or has nothing that runs here.
pub fn get_optimal_binary(folder: impl AsRef<Path>) -> Result<Choice, SelectError> {
    let machine = detect::detect();
    let mut ranked = choose(folder.as_ref(), &machine)?;
    Ok(ranked.swap_remove(0))
}

/// All builds of a folder that run on a machine, the best first; at least one.
///
/// # Errors
/// The folder cannot be read, or has nothing that runs there.
pub fn choose(folder: &Path, machine: &Machine) -> Result<Vec<Choice>, SelectError> {
    let unreadable = |source| SelectError::Unreadable { folder: folder.to_owned(), source };
    let builds = builds(folder, machine.os).map_err(unreadable)?;
    if builds.is_empty() {
        let looked_for =
            ["cpu", "gpu"].map(|place| format!("{place}/{}/NAME", machine.os.name())).join(" and ");
        let (folder, system) = (folder.to_owned(), machine.os.name());
        return Err(SelectError::NoBuild { folder, system, looked_for });
    }
    let ranked = rank(&builds, machine);
    if ranked.is_empty() {
        let found = builds.iter().map(|build| passed_over(build, machine)).collect();
        let wanted = candidates(machine).iter().map(|one| one.variant).collect::<Vec<_>>().join(", ");
        return Err(SelectError::NoneRuns { folder: folder.to_owned(), found, wanted });
    }
    Ok(ranked)
}

/// Builds that suit a machine, the best first; `standard` for the processor is always among them, as the last.
#[must_use]
pub fn candidates(machine: &Machine) -> Vec<Candidate> {
    let of_gpu = GPU_VARIANTS.iter().filter_map(|variant| {
        let kind = if variant.is_bitnet() { Kind::BitnetGpu } else { Kind::StandardGpu };
        let reason = suits(variant, machine).ok()?;
        Some(Candidate { kind, variant: variant.name, reason })
    });
    let of_cpu = cpu_variants(&machine.cpu).into_iter().map(|suited| {
        let kind = if suited.name == "standard" { Kind::StandardCpu } else { Kind::BitnetCpu };
        Candidate { kind, variant: suited.name, reason: suited.reason }
    });
    let mut all: Vec<Candidate> = of_gpu.chain(of_cpu).collect();
    all.sort_by_key(|candidate| candidate.kind);
    all
}

/// What a GPU's build would run on, or why it would not.
fn suits(variant: &GpuVariant, machine: &Machine) -> Result<String, String> {
    if !variant.systems.contains(&machine.os) {
        return Err(format!("it is not for {}", machine.os.name()));
    }
    let found = |vendor: &GpuVendor| machine.gpus.iter().find(|gpu| gpu.vendor == *vendor);
    match variant.vendors.iter().find_map(found) {
        Some(gpu) => Ok(format!("for {}", gpu.name)),
        None => {
            let vendors: Vec<String> = variant.vendors.iter().map(ToString::to_string).collect();
            Err(format!("no graphics processor of {} was found", vendors.join(", ")))
        }
    }
}

/// Builds below a folder, for one system.
///
/// # Errors
/// The folder cannot be read.
pub fn builds(folder: &Path, os: OperatingSystem) -> std::io::Result<Vec<Build>> {
    let mut found = Vec::new();
    for (name, path) in folders(folder)? {
        let Some(place) = ["cpu", "gpu"].into_iter().find(|place| name.eq_ignore_ascii_case(place)) else {
            continue;
        };
        for (_, system) in folders(&path)?.into_iter().filter(|(name, _)| is_system(os, name)) {
            let variants = folders(&system)?.into_iter();
            found.extend(variants.filter_map(|(variant, path)| {
                Some(Build { path: newest_library(os, &path)?, place, variant: variant.to_lowercase() })
            }));
        }
    }
    Ok(found)
}

fn is_system(os: OperatingSystem, name: &str) -> bool {
    name.eq_ignore_ascii_case(os.name())
        || (os == OperatingSystem::MacOs && name.eq_ignore_ascii_case("darwin"))
}

/// Folders in a folder, in alphabetical order.
fn folders(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        if let Some(name) = name.filter(|_| path.is_dir()) {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

fn rank(builds: &[Build], machine: &Machine) -> Vec<Choice> {
    let mut passed: Vec<PassedOver> = builds
        .iter()
        .filter(|build| !is_candidate(build, machine))
        .map(|build| passed_over(build, machine))
        .collect();
    let mut ranked = Vec::new();
    for candidate in candidates(machine) {
        let name = format!("{}/{}", candidate.kind.folder(), candidate.variant);
        let is_it =
            |build: &&Build| build.place == candidate.kind.folder() && build.variant == candidate.variant;
        let Some(build) = builds.iter().find(is_it) else {
            passed.push(PassedOver { variant: name, reason: "the folder does not have it".to_owned() });
            continue;
        };
        ranked.push(Choice {
            path: build.path.clone(),
            kind: candidate.kind,
            variant: build.variant.clone(),
            reason: format!("{}: {}", candidate.kind, candidate.reason),
            passed_over: passed.clone(),
        });
        passed.push(PassedOver { variant: name, reason: "it was tried before".to_owned() });
    }
    ranked
}

fn is_candidate(build: &Build, machine: &Machine) -> bool {
    candidates(machine).iter().any(|one| one.kind.folder() == build.place && one.variant == build.variant)
}

/// Why a build of a folder is no candidate.
fn passed_over(build: &Build, machine: &Machine) -> PassedOver {
    let on_gpu = || GPU_VARIANTS.iter().find(|variant| variant.name == build.variant);
    let on_cpu = || CPU_VARIANTS.iter().find(|variant| variant.name == build.variant);
    let reason = match build.place {
        "gpu" => on_gpu().map(|variant| suits(variant, machine).err()),
        _ => on_cpu().map(|variant| variant.objection(&machine.cpu)),
    };
    let reason = match reason {
        None => "no build of this name is known".to_owned(),
        Some(Some(reason)) => reason,
        Some(None) => "it is for a newer design than this processor's".to_owned(),
    };
    PassedOver { variant: format!("{}/{}", build.place, build.variant), reason }
}
