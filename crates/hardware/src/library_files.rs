//! What files of libllama are called, and where an installed one lies.

use crate::features::Isa;
use crate::machine::OperatingSystem;
use serde::{Serialize, Serializer};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Whether a file of this name is libllama: `llama.dll`, `libllama.so` or `libllama.dylib`, with or without a version before or after
/// its ending.
#[must_use]
pub fn is_library_name(os: OperatingSystem, name: &str) -> bool {
    let between = |rest: &str, ending: &str| {
        rest == ending
            || (rest.starts_with('.')
                && rest.ends_with(ending)
                && is_version(&rest[1..rest.len() - ending.len()]))
    };
    match os {
        OperatingSystem::Windows => ["llama.dll", "libllama.dll"].contains(&name.to_lowercase().as_str()),
        OperatingSystem::MacOs => name.strip_prefix("libllama").is_some_and(|rest| between(rest, ".dylib")),
        OperatingSystem::Linux | OperatingSystem::Other => name
            .strip_prefix("libllama")
            .is_some_and(|rest| between(rest, ".so") || rest.strip_prefix(".so.").is_some_and(is_version)),
    }
}

/// `b8179`, `v0.5.0` or `0.0.6`.
fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix(['b', 'v']).unwrap_or(text);
    !digits.is_empty()
        && digits.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// libllama in a folder: the one without a version in its name, else the one with the highest.
#[must_use]
pub fn newest_library(os: OperatingSystem, folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let libraries = names.filter(|name| is_library_name(os, name) && folder.join(name).is_file());
    let best = libraries.max_by(|a, b| {
        let plain = |name: &str| !name.bytes().any(|byte| byte.is_ascii_digit());
        plain(a).cmp(&plain(b)).then_with(|| by_numbers(a, b)).then_with(|| b.cmp(a))
    })?;
    Some(folder.join(best))
}

/// Compares texts by the numbers in them, so that 10 comes after 9.
pub(crate) fn by_numbers(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
        runs.map(|run| run.parse().unwrap_or(u64::MAX)).collect()
    };
    numbers(a).cmp(&numbers(b))
}

/// Where this program keeps what it was told to install for a user: `torchless` in the user's folder for data. `None` where the system
/// names no such folder.
#[must_use]
pub fn data_folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || {
        let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        set("HOME").map(|home| home.join(below))
    };
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(data.or_else(|| set("LOCALAPPDATA")).or_else(home)?.join("torchless"))
}

/// Where [`data_folder`] keeps builds of libllama: a folder for each, named `{package}-{version}`.
#[must_use]
pub fn libraries_folder() -> Option<PathBuf> {
    Some(data_folder()?.join("libllama"))
}

/// A build of libllama that was installed for a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Such as `linux-x64-vulkan`.
    pub package: String,
    /// Of the package.
    pub version: String,
    /// The library.
    #[serde(serialize_with = "readable")]
    pub path: PathBuf,
}

/// Writes a path as messages have it: serde refuses one that is no UTF-8.
pub(crate) fn readable<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Builds in a folder such as [`libraries_folder`] that are for this system and instruction set: the newest first, and of one version the
/// one that was asked for by name (`linux-x64-cuda`) before the plain one.
#[must_use]
pub fn installed_libraries(folder: &Path, os: OperatingSystem, isa: Isa) -> Vec<Installed> {
    let Some(platform) = package_platform(os, isa) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Installed> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (package, version) = split_version(&name)?;
            let suits = package == platform || package.strip_prefix(platform)?.starts_with('-');
            let (package, version) = (package.to_owned(), version.to_owned());
            suits.then_some(())?;
            Some(Installed { package, version, path: newest_library(os, &entry.path())? })
        })
        .collect();
    found.sort_by(|a, b| {
        let newer = by_numbers(&b.version, &a.version);
        newer.then_with(|| b.package.len().cmp(&a.package.len())).then_with(|| a.path.cmp(&b.path))
    });
    found
}

/// What packages of prebuilt libraries call a platform: `linux-x64`, `mac-arm64`, `win-x64`.
#[must_use]
pub fn package_platform(os: OperatingSystem, isa: Isa) -> Option<&'static str> {
    match (os, isa) {
        (OperatingSystem::Linux, Isa::X86_64) => Some("linux-x64"),
        (OperatingSystem::Linux, Isa::Aarch64) => Some("linux-arm64"),
        (OperatingSystem::MacOs, Isa::X86_64) => Some("mac-x64"),
        (OperatingSystem::MacOs, Isa::Aarch64) => Some("mac-arm64"),
        (OperatingSystem::Windows, Isa::X86_64) => Some("win-x64"),
        (OperatingSystem::Windows, Isa::Aarch64) => Some("win-arm64"),
        _ => None,
    }
}

/// `linux-x64-cuda-3.22.1`: the version begins with a digit behind a hyphen.
fn split_version(name: &str) -> Option<(&str, &str)> {
    let begins = |(at, _): &(usize, &str)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let (at, _) = name.match_indices('-').find(begins)?;
    Some((&name[..at], &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_each_system_are_known() {
        let linux = |name| is_library_name(OperatingSystem::Linux, name);
        for name in ["libllama.so", "libllama.so.0.0.6", "libllama.b8179.so", "libllama.v0.5.0.so"] {
            assert!(linux(name), "{name}");
        }
        for name in
            ["libllama-common.so", "libllama.so.bak", "libllama.x.so", "libllama..so", "llama.so", "libllama"]
        {
            assert!(!linux(name), "{name}");
        }
        assert!(is_library_name(OperatingSystem::Windows, "Llama.dll"));
        assert!(is_library_name(OperatingSystem::MacOs, "libllama.0.0.6.dylib"));
        assert!(!is_library_name(OperatingSystem::MacOs, "libllama.so"));
    }

    #[test]
    fn the_plain_name_comes_first_and_then_the_highest_version() {
        let folder = tempfile::tempdir().unwrap();
        let newest = || {
            let path = newest_library(OperatingSystem::Linux, folder.path())?;
            Some(path.file_name()?.to_str()?.to_owned())
        };
        assert_eq!(newest(), None);
        for name in ["libggml.so", "libllama.b999.so", "libllama.b8179.so"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest().as_deref(), Some("libllama.b8179.so"));
        fs::write(folder.path().join("libllama.so"), "").unwrap();
        assert_eq!(newest().as_deref(), Some("libllama.so"));
    }

    #[test]
    fn installed_builds_are_listed_with_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "linux-x64-3.9.0/libllama.so",
            "linux-x64-3.22.1/libllama.v0.5.0.so",
            "linux-x64-cuda-3.22.1/libllama.so",
            "linux-x64-3.0.0-beta.4/libllama.so",
            "linux-arm64-9.0.0/libllama.so",
            "linux-x64-9.0.0/readme",
            "win-x64-9.0.0/llama.dll",
            ".partial-1/libllama.so",
        ];
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = installed_libraries(folder.path(), OperatingSystem::Linux, Isa::X86_64);
        let shown: Vec<String> = found.iter().map(|one| format!("{} {}", one.package, one.version)).collect();
        let expected =
            ["linux-x64-cuda 3.22.1", "linux-x64 3.22.1", "linux-x64 3.9.0", "linux-x64 3.0.0-beta.4"];
        assert_eq!(shown, expected);
        assert!(
            installed_libraries(&folder.path().join("gone"), OperatingSystem::Linux, Isa::X86_64).is_empty()
        );
    }
}
