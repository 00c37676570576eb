//! What files of libllama are called, and where an installed one lies.

use crate::machine::OperatingSystem;
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
}
