//! Which package has the library for which platform.

use clap::ValueEnum;
use torchless::hardware::{Isa, OperatingSystem, package_platform};

/// Where the packages are published.
pub const SCOPE: &str = "@node-llama-cpp";

/// The version that the tests of this program ran with; it has llama.cpp 0.5.0.
pub const TESTED: &str = "3.22.1";

/// What a library computes on beside the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// The processor alone
    Cpu,
    /// NVIDIA's GPUs
    Cuda,
    /// GPUs of any vendor
    Vulkan,
    /// Apple's GPUs
    Metal,
}

/// A package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name below the scope.
    pub name: &'static str,
    platform: &'static str,
    accelerator: Accelerator,
    /// The checksum of [`TESTED`], where it was seen: whatever the registry says, it has to be this one.
    pub pinned: Option<&'static str>,
}

const fn package(name: &'static str, platform: &'static str, accelerator: Accelerator) -> Package {
    Package { name, platform, accelerator, pinned: None }
}

const fn pinned(package: Package, checksum: &'static str) -> Package {
    Package { pinned: Some(checksum), ..package }
}

const PACKAGES: &[Package] = &[
    pinned(
        package("linux-x64", "linux-x64", Accelerator::Cpu),
        "sha512-5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==",
    ),
    pinned(
        package("linux-x64-cuda", "linux-x64", Accelerator::Cuda),
        "sha512-8rQCjyNNLZJUFit+YpjwlC4hwkKgOMIkB2wuycKBf8NU2O3ySKbiWZQ8aw9ku2nUTXjSnUIrE6KB88itduTBuA==",
    ),
    pinned(
        package("linux-x64-vulkan", "linux-x64", Accelerator::Vulkan),
        "sha512-bBxqU+JOcBu1nb5Qj2zcMci+JByT1E8EajHvYodyNfVIPkEhXh+/HMwR1/BT7xP08YK0hks+kM8fglER0P8JEg==",
    ),
    pinned(
        package("linux-arm64", "linux-arm64", Accelerator::Cpu),
        "sha512-W+7naKCXX9/eEjjFmRS8vvx91QyLXDbeFxexZc3bh/PtQABZgmRL3C0AtYYXn4YGTj/3Qor4lWZn2tpjZFPLdQ==",
    ),
    package("mac-arm64-metal", "mac-arm64", Accelerator::Metal),
    package("mac-x64", "mac-x64", Accelerator::Cpu),
    package("win-x64", "win-x64", Accelerator::Cpu),
    package("win-x64-cuda", "win-x64", Accelerator::Cuda),
    package("win-x64-vulkan", "win-x64", Accelerator::Vulkan),
    package("win-arm64", "win-arm64", Accelerator::Cpu),
];

impl Package {
    /// What npm calls it.
    pub fn full_name(&self) -> String {
        format!("{SCOPE}/{}", self.name)
    }

    /// Whether a computer of this kind can load what is in it.
    pub fn suits(&self, os: OperatingSystem, isa: Isa) -> bool {
        package_platform(os, isa) == Some(self.platform)
    }

    /// The system it is for.
    pub fn os(&self) -> OperatingSystem {
        match self.platform.split('-').next() {
            Some("win") => OperatingSystem::Windows,
            Some("mac") => OperatingSystem::MacOs,
            _ => OperatingSystem::Linux,
        }
    }

    /// The checksum that a version must have, whatever the registry says.
    pub fn checksum_of(&self, version: &str) -> Option<&'static str> {
        self.pinned.filter(|_| version == TESTED)
    }
}

/// The package of this name.
pub fn by_name(name: &str) -> Result<Package, String> {
    PACKAGES.iter().find(|package| package.name == name).copied().ok_or_else(|| {
        let known: Vec<_> = PACKAGES.iter().map(|package| package.name).collect();
        format!("no package '{name}' is known (there are: {})", known.join(", "))
    })
}

/// The package for a computer; without an accelerator, the platform's usual one.
pub fn for_platform(
    os: OperatingSystem,
    isa: Isa,
    accelerator: Option<Accelerator>,
) -> Result<Package, String> {
    let all: Vec<&Package> = PACKAGES.iter().filter(|package| package.suits(os, isa)).collect();
    let Some(usual) = all.first() else {
        let (system, isa) = (os.name(), isa.name());
        return Err(format!(
            "there is no prebuilt libllama for {system} on {isa}: build llama.cpp, and name its library in TORCHLESS_LLAMA_LIB"
        ));
    };
    let Some(wanted) = accelerator else { return Ok(**usual) };
    all.iter().find(|package| package.accelerator == wanted).map(|package| **package).ok_or_else(|| {
        let name = |accelerator: Accelerator| {
            accelerator.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
        };
        let there: Vec<_> = all.iter().map(|package| name(package.accelerator)).collect();
        format!(
            "there is no prebuilt libllama with {} for {} (there are: {})",
            name(wanted),
            usual.platform,
            there.join(", ")
        )
    })
}

/// Whether npm would take this for a version and nothing else: it also takes files and addresses.
pub fn is_version(version: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    version == "latest" || (version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_has_its_package() {
        let name = |os, isa, accelerator| for_platform(os, isa, accelerator).map(|package| package.name);
        let (linux, mac, windows) =
            (OperatingSystem::Linux, OperatingSystem::MacOs, OperatingSystem::Windows);
        assert_eq!(name(linux, Isa::X86_64, None), Ok("linux-x64"));
        assert_eq!(name(linux, Isa::X86_64, Some(Accelerator::Cuda)), Ok("linux-x64-cuda"));
        assert_eq!(name(linux, Isa::Aarch64, None), Ok("linux-arm64"));
        assert_eq!(name(mac, Isa::Aarch64, None), Ok("mac-arm64-metal"));
        assert_eq!(name(mac, Isa::X86_64, None), Ok("mac-x64"));
        assert_eq!(name(windows, Isa::X86_64, Some(Accelerator::Vulkan)), Ok("win-x64-vulkan"));
        let error = name(linux, Isa::Aarch64, Some(Accelerator::Cuda)).unwrap_err();
        assert_eq!(error, "there is no prebuilt libllama with cuda for linux-arm64 (there are: cpu)");
        assert!(name(linux, Isa::Other, None).unwrap_err().contains("TORCHLESS_LLAMA_LIB"));
    }

    #[test]
    fn a_version_is_neither_a_file_nor_an_address() {
        for good in ["3.22.1", "3.0.0-beta.44", "latest", "3"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "../x", "file:x", "3.0.0 --registry=x", "git+ssh://x", "^3", "beta", "3/../.."] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn a_checksum_is_pinned_for_one_version_only() {
        let package = by_name("linux-x64").unwrap();
        assert!(package.checksum_of(TESTED).is_some());
        assert_eq!(package.checksum_of("3.22.0"), None);
        assert!(by_name("linux-x65").unwrap_err().contains("linux-x64, linux-x64-cuda"));
    }
}
