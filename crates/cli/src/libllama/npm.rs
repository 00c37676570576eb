//! The npm client of this machine, as another program: what it is asked, and what its answers mean.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// What to do where npm is of no use.
pub const OTHERWISE: &str =
    "or get a libllama another way, such as from a package manager, and name it in TORCHLESS_LLAMA_LIB";

/// A version of a package in the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// The version.
    pub version: String,
    /// Its checksum, `sha512-` and base64.
    pub integrity: String,
}

/// Asks the registry for a version of a package. `folder` is where npm runs, so that no project's configuration changes what it asks.
///
/// # Errors
/// There is no npm, no network, no such version, or no checksum.
pub fn view(specification: &str, folder: &Path) -> Result<Published> {
    let output = npm(folder, &["view", specification, "version", "dist.integrity", "--json"])?;
    published(&output.stdout).with_context(|| format!("npm view {specification}"))
}

/// Downloads a package into a folder and gives the file.
///
/// # Errors
/// There is no npm, no network, or no such version.
pub fn pack(specification: &str, folder: &Path) -> Result<PathBuf> {
    npm(folder, &["pack", specification, "--ignore-scripts", "--json"])?;
    // What it says the file is called comes from the package: the folder says it better.
    let entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    files.next().with_context(|| format!("npm pack {specification} wrote no package"))
}

fn npm(folder: &Path, words: &[&str]) -> Result<Output> {
    let output = match Command::new(PROGRAM).args(words).current_dir(folder).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("npm was not found: install Node.js, which brings it, {OTHERWISE}")
        }
        Err(error) => return Err(error).context("npm cannot be started"),
    };
    if !output.status.success() {
        let said = complaint(&output.stdout, &output.stderr);
        bail!("npm {} failed ({}): {said}", words[..2].join(" "), output.status);
    }
    Ok(output)
}

/// The one object that `npm view` printed.
fn published(printed: &[u8]) -> Result<Published> {
    let value: Value = serde_json::from_slice(printed).context("npm's answer is no JSON")?;
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let version = field("version").context("npm's answer names no version")?;
    let integrity = field("dist.integrity").unwrap_or_default();
    if !integrity.starts_with("sha512-") {
        bail!("the registry has no sha512 checksum of version {version}: nothing is installed without");
    }
    Ok(Published { version, integrity })
}

/// What npm says went wrong: of its JSON the summary, else the first line that says anything.
fn complaint(out: &[u8], err: &[u8]) -> String {
    let error = serde_json::from_slice::<Value>(out).ok().and_then(|value| value.get("error").cloned());
    if let Some(error) = error {
        let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        return shown(&format!("{}: {}", field("code"), field("summary")));
    }
    let err = String::from_utf8_lossy(err);
    let lines = err.lines().map(|line| {
        let line = line.trim();
        ["npm error ", "npm ERR! "].iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line)
    });
    let mut telling =
        lines.filter(|line| !line.is_empty() && !line.starts_with("code ") && !line.contains("_logs"));
    telling.next().map_or_else(|| "it says nothing of why".to_owned(), shown)
}

/// One line, not endless, nothing that a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let answer = br#"{"version": "3.22.1", "dist.integrity": "sha512-abc=="}"#;
        let expected = Published { version: "3.22.1".to_owned(), integrity: "sha512-abc==".to_owned() };
        assert_eq!(published(answer).unwrap(), expected);
        for (bad, words) in [
            (&b""[..], "no JSON"),
            (b"[]", "no version"),
            (br#"{"version": "1.0.0"}"#, "no sha512 checksum"),
            (br#"{"version": "1.0.0", "dist.integrity": "sha1-x"}"#, "no sha512 checksum"),
        ] {
            let error = published(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_complaint_is_one_line() {
        let json = br#"{"error": {"code": "E404", "summary": "No match found for version 9.9.9", "detail": "long"}}"#;
        assert_eq!(complaint(json, b""), "E404: No match found for version 9.9.9");
        let text = b"npm error code ENOTFOUND\nnpm error network request failed\nnpm error A complete log is in _logs\n";
        assert_eq!(complaint(b"", text), "network request failed");
        assert_eq!(complaint(b"", b""), "it says nothing of why");
        assert_eq!(complaint(b"", b"\x1b[31mred"), "[31mred");
    }
}
