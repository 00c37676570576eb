//! `torchless libllama`: prebuilt libraries of llama.cpp, installed and listed.

use crate::exit::Usage;
use crate::libllama::install::install;
use crate::libllama::packages::{by_name, for_platform, is_version};
use crate::libllama_args::{InstallArgs, LibllamaArgs, LibllamaVerb, ListArgs};
use crate::output;
use anyhow::{Context, Result};
use serde_json::json;
use std::io::ErrorKind;
use std::path::PathBuf;
use torchless::hardware::{Installed, Isa, OperatingSystem, installed_libraries, libraries_folder};

/// Does what was asked for.
pub fn run(args: &LibllamaArgs) -> Result<()> {
    match &args.verb {
        LibllamaVerb::Install(args) => get(args),
        LibllamaVerb::List(args) => list(args),
        LibllamaVerb::Path => path(),
    }
}

fn folder() -> Result<PathBuf> {
    libraries_folder().context("there is no folder for data: set HOME, or XDG_DATA_HOME to an absolute path")
}

fn installed() -> Result<Vec<Installed>> {
    Ok(installed_libraries(&folder()?, OperatingSystem::here(), Isa::here()))
}

fn get(args: &InstallArgs) -> Result<()> {
    if !is_version(&args.version) {
        return Err(Usage(format!("'{}' is no version (such as 3.22.1, or latest)", args.version)).into());
    }
    let package = match &args.package {
        Some(name) => by_name(name),
        None => for_platform(OperatingSystem::here(), Isa::here(), args.backend),
    };
    let package = package.map_err(Usage)?;
    let done = install(&package, &args.version, &folder()?)?;
    let Installed { package: name, version, path } = &done.installed;
    if args.json {
        return Ok(output::json(&json!({
            "package": name, "version": version, "path": path.to_string_lossy(), "was_there": done.was_there, "integrity": done.integrity,
        }))?);
    }
    let what = if done.was_there { "was there" } else { "is installed" };
    output::note(&format!("{} {version} {what}", package.full_name()));
    if !package.suits(OperatingSystem::here(), Isa::here()) {
        output::note("It is for another machine: this one does not use it.");
    }
    Ok(output::write(&format!("{}\n", path.display()))?)
}

fn list(args: &ListArgs) -> Result<()> {
    let (folder, found) = (folder()?, installed()?);
    // What cannot be read may hold some.
    if let Err(error) = std::fs::read_dir(&folder)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| folder.display().to_string());
    }
    if args.json {
        return Ok(output::json(&json!({ "folder": folder.to_string_lossy(), "installed": found }))?);
    }
    if found.is_empty() {
        output::note(&format!(
            "none is installed in {}: `torchless libllama install` gets one",
            folder.display()
        ));
    }
    let line = |one: &Installed| format!("{}  {}  {}\n", one.package, one.version, one.path.display());
    Ok(output::write(&found.iter().map(line).collect::<String>())?)
}

fn path() -> Result<()> {
    let path = torchless::llama_library(None)?;
    Ok(output::write(&format!("{}\n", path.display()))?)
}
