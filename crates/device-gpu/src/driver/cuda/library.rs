//! Where the vendors' libraries lie.

use std::env;
use std::path::{Path, PathBuf};

use libloading::Library;

use super::Vendor;

/// Loads the first of several libraries that can be loaded. The error is what the loader said of the first one.
pub fn load(candidates: &[PathBuf]) -> Result<Library, String> {
    load_where(candidates).map(|(library, _)| library)
}

/// As [`load`], with the libraries of the same folder that a compiler looks for by name when it runs. The loader does not find those
/// by itself outside of its own folders, but takes one that is loaded already.
pub fn load_compiler(candidates: &[PathBuf]) -> Result<(Library, Vec<Library>), String> {
    let (library, path) = load_where(candidates)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = folder.and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let builtins = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(BUILTINS));
    // SAFETY: the vendor's own libraries. One that cannot be loaded is missed when the compiler runs, which says so.
    let loaded = builtins.filter_map(|entry| unsafe { Library::new(entry.path()) }.ok()).collect();
    Ok((library, loaded))
}

const BUILTINS: &str = if cfg!(windows) { "nvrtc-builtins64" } else { "libnvrtc-builtins.so" };

fn load_where(candidates: &[PathBuf]) -> Result<(Library, &Path), String> {
    let mut first = None;
    for candidate in candidates {
        // SAFETY: these are the vendors' own libraries, or what the user named in their place.
        match unsafe { Library::new(candidate) } {
            Ok(library) => return Ok((library, candidate)),
            Err(error) => first = first.or_else(|| Some(words(&error))),
        }
    }
    Err(first.unwrap_or_else(|| "no library is known for this platform".to_owned()))
}

fn words(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

/// NVIDIA's driver.
pub fn cuda() -> Vec<PathBuf> {
    paths(if cfg!(windows) {
        &["nvcuda.dll"]
    } else {
        &["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", "libcuda.so"]
    })
}

/// AMD's HIP.
pub fn hip() -> Vec<PathBuf> {
    paths(if cfg!(windows) {
        &["amdhip64_7.dll", "amdhip64_6.dll", "amdhip64.dll"]
    } else {
        &[
            "libamdhip64.so.7",
            "libamdhip64.so.6",
            "libamdhip64.so.5",
            "libamdhip64.so",
            "/opt/rocm/lib/libamdhip64.so",
        ]
    })
}

const NVRTC: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
} else {
    &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
};

const HIPRTC: &[&str] = if cfg!(windows) {
    &["hiprtc0700.dll", "hiprtc0604.dll", "hiprtc0602.dll", "hiprtc0507.dll"]
} else {
    // The oldest ones have the compiler in the library of the interface.
    &[
        "libhiprtc.so.7",
        "libhiprtc.so.6",
        "libhiprtc.so.5",
        "libhiprtc.so",
        "/opt/rocm/lib/libhiprtc.so",
        "libamdhip64.so.5",
    ]
};

const NCCL: &[&str] = if cfg!(windows) { &["nccl.dll"] } else { &["libnccl.so.2", "libnccl.so"] };

const RCCL: &[&str] =
    if cfg!(windows) { &["rccl.dll"] } else { &["librccl.so.1", "librccl.so", "/opt/rocm/lib/librccl.so"] };

/// Where Python's packages and installations of the toolkit keep libraries, below a folder that the user names.
const BELOW: &[&str] =
    &["", "lib", "lib64", "bin", "nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib", "nvidia/nccl/lib"];

/// NVIDIA's compiler: first what `TORCHLESS_NVRTC` names, a file or a folder, then what the loader finds.
pub fn nvrtc() -> Vec<PathBuf> {
    let mut candidates = named("TORCHLESS_NVRTC", NVRTC);
    candidates.extend(paths(NVRTC));
    candidates.extend(NVRTC.iter().map(|name| Path::new("/usr/local/cuda/lib64").join(name)));
    candidates
}

/// AMD's compiler: first what `TORCHLESS_HIPRTC` names, a file or a folder, then what the loader finds.
pub fn hiprtc() -> Vec<PathBuf> {
    let mut candidates = named("TORCHLESS_HIPRTC", HIPRTC);
    candidates.extend(paths(HIPRTC));
    candidates
}

/// The vendor's library for sums over devices: first what `TORCHLESS_NCCL` names, a file or a folder, then what the loader finds.
pub fn collective(vendor: Vendor) -> Vec<PathBuf> {
    let names = vendor.pick(NCCL, RCCL);
    let mut candidates = named("TORCHLESS_NCCL", names);
    candidates.extend(paths(names));
    candidates
}

fn named(variable: &str, names: &[&str]) -> Vec<PathBuf> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else { return Vec::new() };
    let path = PathBuf::from(value);
    if path.is_dir() { within(&path, names) } else { vec![path] }
}

fn within(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    let all = BELOW.iter().flat_map(|below| names.iter().map(move |name| folder.join(below).join(name)));
    all.filter(|path| path.is_file()).collect()
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = load(&[PathBuf::from("libno-such-library.so.1")]).unwrap_err();
        assert!(error.contains("libno-such-library"), "{error}");
        assert!(load(&[]).is_err());
    }

    #[test]
    fn folders_of_python_packages_are_searched() {
        let folder = env::temp_dir().join(format!("torchless-nvrtc-{}", std::process::id()));
        let inner = folder.join("nvidia").join("cu13").join("lib");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join(NVRTC[0]), "").unwrap();
        assert_eq!(within(&folder, NVRTC), [inner.join(NVRTC[0])]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
