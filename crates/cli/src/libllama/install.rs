//! From a package to a library that is found.

use super::packages::{Package, SCOPE};
use super::{integrity, npm, unpack};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use torchless::hardware::{Installed, newest_library};

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// What is there now.
    pub installed: Installed,
    /// Whether it was there before.
    pub was_there: bool,
    /// The checksum that the package had; none where it was there before.
    pub integrity: Option<String>,
}

/// Gets a version of a package and puts it into `folder`, all of it or nothing.
///
/// # Errors
/// There is no npm, no network or no such version, the package is not the one that was published, or it has no library.
pub fn install(package: &Package, version: &str, folder: &Path) -> Result<Done> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    if let Some(installed) = there(package, version, folder) {
        return Ok(Done { installed, was_there: true, integrity: None });
    }
    let workshop = Workshop::new(folder)?;
    let published = npm::view(&format!("{}@{version}", package.full_name()), &workshop.0)?;
    if let Some(installed) = there(package, &published.version, folder) {
        return Ok(Done { installed, was_there: true, integrity: None });
    }
    let specification = format!("{}@{}", package.full_name(), published.version);
    check(
        package.checksum_of(&published.version),
        &published.integrity,
        &specification,
        "the registry's checksum",
    )?;
    let file = npm::pack(&specification, &workshop.0)?;
    let found = integrity::of_file(&file)?;
    check(Some(&published.integrity), &found, &specification, "what was downloaded")?;
    let contents = workshop.0.join("contents");
    fs::create_dir(&contents)?;
    unpack::unpack(&file, &contents).with_context(|| specification.clone())?;
    if newest_library(package.os(), &contents).is_none() {
        bail!("{specification} has no libllama");
    }
    let target = target(package, &published.version, folder);
    if target.exists() {
        // Without a library, or it would have been there: what an earlier program left.
        fs::remove_dir_all(&target).with_context(|| target.display().to_string())?;
    }
    fs::rename(&contents, &target).with_context(|| target.display().to_string())?;
    let installed = there(package, &published.version, folder).context("the library vanished")?;
    Ok(Done { installed, was_there: false, integrity: Some(found) })
}

fn target(package: &Package, version: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{}-{version}", package.name))
}

fn there(package: &Package, version: &str, folder: &Path) -> Option<Installed> {
    let path = newest_library(package.os(), &target(package, version, folder))?;
    Some(Installed { package: package.name.to_owned(), version: version.to_owned(), path })
}

fn check(expected: Option<&str>, found: &str, specification: &str, what: &str) -> Result<()> {
    match expected {
        Some(expected) if expected != found => bail!(
            "{specification}: {what} is not the package that was published: its checksum is {found}, and it has to be {expected}. \
            Nothing was installed; if {SCOPE} is served by a mirror, ask who runs it"
        ),
        _ => Ok(()),
    }
}

/// A folder for what is not finished, beside the finished ones so that it can be moved there; it is deleted at the end.
struct Workshop(PathBuf);

impl Workshop {
    fn new(folder: &Path) -> Result<Self> {
        let path = folder.join(format!(".unfinished-{}", std::process::id()));
        // One of the same number is a dead process's.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be deleted is not found either: its name begins with a point.
        let _ = fs::remove_dir_all(&self.0);
    }
}
