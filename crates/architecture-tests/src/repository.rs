//! Reads the repository once: its packages (from `cargo metadata`) and its text files. Judges nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Names of what was built, fetched or recorded rather than written (`.git` is a file in a linked worktree).
const NOT_SOURCE: &[&str] = &[".git", "target", "book", "dist", "node_modules", "__pycache__", ".venv"];

/// Larger files are data, not text that somebody wrote.
const LARGEST_TEXT: u64 = 1 << 20;

/// One dependency line of a manifest.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Package name, whatever name it is imported under.
    pub name: String,
    /// True for a `[dev-dependencies]` line; build dependencies count as ordinary ones.
    pub only_for_tests: bool,
}

/// One member of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Directory below the repository root, with `/` between its parts.
    pub directory: String,
    /// All dependencies, ours and foreign.
    pub dependencies: Vec<Dependency>,
    /// Feature name to what it switches on.
    pub features: BTreeMap<String, Vec<String>>,
    /// Crate roots of the library and of the binaries, relative to the repository root.
    pub roots: Vec<String>,
}

/// One text file of the repository.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// Path below the repository root, with `/` between its parts.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

impl TextFile {
    /// Whether the name ends in `.rs`.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it lies in `directory`.
    #[must_use]
    pub fn lies_in(&self, directory: &str) -> bool {
        self.path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The repository as the rules see it.
#[derive(Debug)]
pub struct Repository {
    /// Members of the workspace.
    pub packages: Vec<Package>,
    /// Every text file that is not a build product, in path order.
    pub files: Vec<TextFile>,
}

impl Repository {
    /// Reads the repository that this crate is part of.
    ///
    /// # Errors
    /// What could not be run or read.
    pub fn open() -> Result<Self, String> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("no directory above crates/")?;
        let mut files = Vec::new();
        collect_text(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { packages: packages_of(&metadata(root)?)?, files })
    }

    /// The text of the file at `path`, if it exists.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Rust files of one package.
    pub fn rust_files<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a TextFile> {
        self.files.iter().filter(move |file| file.is_rust() && file.lies_in(&package.directory))
    }
}

fn metadata(root: &Path) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// Reads what `cargo metadata --no-deps` printed.
///
/// # Errors
/// Names the first field that is missing.
pub fn packages_of(metadata: &Value) -> Result<Vec<Package>, String> {
    let root = text_at(metadata, "workspace_root")?;
    let list = metadata["packages"].as_array().ok_or("cargo metadata: no packages")?;
    list.iter().map(|package| package_of(package, &root)).collect()
}

fn package_of(value: &Value, root: &str) -> Result<Package, String> {
    let below_root = |path: &str| {
        let path = Path::new(path);
        slashed(path.strip_prefix(root).unwrap_or(path))
    };
    let manifest = text_at(value, "manifest_path")?;
    let directory = Path::new(&manifest).parent().map(PathBuf::from).ok_or("manifest without a directory")?;
    let dependencies = value["dependencies"].as_array().ok_or("cargo metadata: no dependencies")?;
    let targets = value["targets"].as_array().ok_or("cargo metadata: no targets")?;
    let is_root = |target: &&Value| {
        let kinds = target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str);
        kinds.into_iter().any(|kind| matches!(kind, "lib" | "bin" | "cdylib" | "proc-macro"))
    };
    Ok(Package {
        name: text_at(value, "name")?,
        directory: below_root(&directory.to_string_lossy()),
        dependencies: dependencies
            .iter()
            .map(|dependency| {
                let only_for_tests = dependency["kind"].as_str() == Some("dev");
                Ok(Dependency { name: text_at(dependency, "name")?, only_for_tests })
            })
            .collect::<Result<_, String>>()?,
        features: serde_json::from_value(value["features"].clone()).map_err(|error| error.to_string())?,
        roots: targets
            .iter()
            .filter(is_root)
            .map(|target| text_at(target, "src_path").map(|path| below_root(&path)))
            .collect::<Result<_, String>>()?,
    })
}

fn text_at(value: &Value, key: &str) -> Result<String, String> {
    value[key].as_str().map(String::from).ok_or_else(|| format!("cargo metadata: no '{key}'"))
}

fn collect_text(root: &Path, directory: &Path, files: &mut Vec<TextFile>) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(say)? {
        let entry = entry.map_err(say)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(say)?);
        if NOT_SOURCE.iter().any(|skipped| entry.file_name() == *skipped) {
            continue;
        }
        if kind.is_dir() {
            collect_text(root, &path, files)?;
        } else if kind.is_file() && entry.metadata().map_err(say)?.len() <= LARGEST_TEXT {
            let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile { path: slashed(path.strip_prefix(root).unwrap_or(&path)), text });
            }
        }
    }
    Ok(())
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_metadata() {
        let metadata = serde_json::json!({
            "workspace_root": "/r",
            "packages": [{
                "name": "a", "manifest_path": "/r/crates/a/Cargo.toml", "features": {"x": ["y"]},
                "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}],
                "targets": [{"kind": ["lib"], "src_path": "/r/crates/a/src/lib.rs"},
                            {"kind": ["test"], "src_path": "/r/crates/a/tests/t.rs"}],
            }],
        });
        let packages = packages_of(&metadata).unwrap();
        assert_eq!(packages[0].directory, "crates/a");
        assert_eq!(packages[0].roots, ["crates/a/src/lib.rs"]);
        assert_eq!(
            packages[0].dependencies.iter().map(|d| d.only_for_tests).collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!(packages[0].features["x"], ["y"]);
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = packages_of(&serde_json::json!({"workspace_root": "/r", "packages": [{}]})).unwrap_err();
        assert!(error.contains("manifest_path"), "{error}");
    }

    #[test]
    fn a_directory_is_not_a_prefix_of_its_neighbour() {
        let file = TextFile { path: "crates/model-loader/src/lib.rs".into(), text: String::new() };
        assert!(file.lies_in("crates/model-loader"));
        assert!(!file.lies_in("crates/model"));
    }
}
