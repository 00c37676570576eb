//! Prebuilt libraries, from an npm that the test writes and, where there is one, from the real one.

use super::support::{Ran, assert_refused, command, finish};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use torchless::hardware::{Isa, OperatingSystem, is_library_name, package_platform};

/// A machine with a folder for data and an npm, or none.
struct Machine {
    folder: tempfile::TempDir,
}

/// Writes what it was asked, answers with files that lie beside it, and fails where the one for the answer is missing.
const NPM: &str = "#!/bin/sh
echo \"$*\" >> \"$NPM_FOLDER/asked\"
if test -e .npmrc; then echo 'it runs where a project is' >&2; exit 9; fi
case \"$1\" in
view) cat \"$NPM_FOLDER/view.json\" 2>/dev/null && exit 0 ;;
pack) cp \"$NPM_FOLDER/package.tgz\" some-name.tgz 2>/dev/null && echo '[{\"filename\":\"../../evil.tgz\"}]' && exit 0 ;;
esac
echo 'npm error code ENOTFOUND' >&2
echo 'npm error network request to the registry failed' >&2
exit 1
";

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.path("bin")).unwrap();
        let npm = machine.path("bin/npm");
        fs::write(&npm, NPM).unwrap();
        fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has `package` in its registry under `version`, with this checksum.
    fn publish(&self, version: &str, integrity: &str, package: &[(&str, &[u8])]) {
        let answer = format!("{{\"version\": \"{version}\", \"dist.integrity\": \"{integrity}\"}}");
        fs::write(self.path("view.json"), answer).unwrap();
        fs::write(self.path("package.tgz"), packed(package)).unwrap();
    }

    fn run(&self, words: &[&str]) -> Ran {
        let path = std::env::join_paths([self.path("bin"), "/bin".into(), "/usr/bin".into()]).unwrap();
        finish(self.command(words, &path))
    }

    fn command(&self, words: &[&str], path: &std::ffi::OsStr) -> Command {
        let mut command = command(&[&["libllama"], words].concat());
        command.env("PATH", path).env("NPM_FOLDER", self.folder.path());
        command.env("XDG_DATA_HOME", self.path("data"));
        command
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Names in the folder of libraries.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("data/torchless/libllama")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn checksum(package: &[(&str, &[u8])]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package.tgz");
    fs::write(&path, packed(package)).unwrap();
    // An implementation of somebody else's.
    let script = format!("openssl dgst -sha512 -binary '{}' | openssl base64 -A", path.display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    format!("sha512-{}", String::from_utf8(output.stdout).unwrap().trim())
}

fn has_openssl() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: openssl cannot be run");
    }
    there
}

const LIBRARY: &[(&str, &[u8])] = &[
    ("package/LICENSE", b"MIT"),
    ("package/bins/linux-x64/libllama.v0.5.0.so", b"not really"),
    ("package/bins/linux-x64/libggml-base.so", b"nor this"),
];

#[test]
fn a_package_is_installed_once_and_then_found() {
    if !has_openssl() {
        return;
    }
    let machine = Machine::new();
    machine.publish("3.20.0", &checksum(LIBRARY), LIBRARY);
    let words = ["install", "--version", "3.20.0", "--package", "linux-x64"];
    let ran = machine.run(&words);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let library = machine.path("data/torchless/libllama/linux-x64-3.20.0/libllama.v0.5.0.so");
    assert_eq!(ran.out, format!("{}\n", library.display()));
    assert_eq!(fs::read(&library).unwrap(), b"not really");
    let asked = machine.asked();
    assert_eq!(asked[0], "view @node-llama-cpp/linux-x64@3.20.0 version dist.integrity --json");
    assert_eq!(asked[1], "pack @node-llama-cpp/linux-x64@3.20.0 --ignore-scripts --json");
    assert_eq!(machine.names(), ["linux-x64-3.20.0"], "nothing unfinished stays");

    let again = machine.run(&words);
    assert_eq!((again.code, again.out), (Some(0), ran.out.clone()));
    assert_eq!(machine.asked().len(), 2, "npm is not asked again");
    if package_platform(OperatingSystem::here(), Isa::here()) == Some("linux-x64") {
        assert_eq!(machine.run(&["path"]).out, ran.out);
        let list = machine.run(&["list", "--json"]).out;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["installed"][0]["version"], "3.20.0");
    }
}

#[test]
fn what_is_not_what_was_published_is_not_installed() {
    let machine = Machine::new();
    machine.publish("3.20.0", "sha512-AAAA", LIBRARY);
    let ran = machine.run(&["install", "--version", "3.20.0", "--package", "linux-x64"]);
    assert_refused(&ran, 1, &["what was downloaded is not the package that was published", "sha512-AAAA"]);
    assert_eq!(machine.names(), Vec::<String>::new());
}

#[test]
fn a_registry_that_gives_another_checksum_for_the_tested_version_is_refused() {
    let machine = Machine::new();
    machine.publish("3.22.1", "sha512-AAAA", LIBRARY);
    let ran = machine.run(&["install", "--package", "linux-x64"]);
    assert_refused(&ran, 1, &["@node-llama-cpp/linux-x64@3.22.1: the registry's checksum is not", "mirror"]);
    assert_eq!(machine.asked().len(), 1, "nothing is downloaded");
}

#[test]
fn a_package_without_the_library_is_refused() {
    if !has_openssl() {
        return;
    }
    let machine = Machine::new();
    let other: &[(&str, &[u8])] = &[("package/bins/linux-x64/libggml.so", b"")];
    machine.publish("3.20.0", &checksum(other), other);
    let ran = machine.run(&["install", "--version", "3.20.0", "--package", "linux-x64"]);
    assert_refused(&ran, 1, &["@node-llama-cpp/linux-x64@3.20.0 has no libllama"]);
    assert_eq!(machine.names(), Vec::<String>::new());
}

#[test]
fn without_npm_or_network_it_is_said_what_would_help() {
    let machine = Machine::new();
    let ran = machine.run(&["install", "--package", "linux-x64"]);
    assert_refused(
        &ran,
        1,
        &["npm view @node-llama-cpp/linux-x64@3.22.1 failed", "request to the registry failed"],
    );
    let empty = machine.path("empty");
    fs::create_dir(&empty).unwrap();
    let ran = finish(machine.command(&["install", "--package", "linux-x64"], empty.as_os_str()));
    assert_refused(&ran, 1, &["npm was not found: install Node.js", "TORCHLESS_LLAMA_LIB"]);
    assert_eq!(machine.names(), Vec::<String>::new());
}

#[test]
fn npm_is_told_versions_and_nothing_else() {
    let machine = Machine::new();
    for version in ["file:../x", "--registry=x", "^3.0.0", "../../x"] {
        let ran = machine.run(&["install", &format!("--version={version}")]);
        assert_refused(&ran, 2, &["is no version"]);
    }
    assert_refused(
        &machine.run(&["install", "--package", "left-pad"]),
        2,
        &["no package 'left-pad' is known"],
    );
    assert!(machine.asked().is_empty());
}

#[test]
fn nothing_installed_is_said() {
    let machine = Machine::new();
    let list = machine.run(&["list"]);
    assert_eq!((list.code, list.out.as_str()), (Some(0), ""));
    assert!(list.err.contains("`torchless libllama install` gets one"), "{}", list.err);
    let path = machine.run(&["path"]);
    // Some systems bring one.
    if path.code != Some(0) {
        assert_refused(&path, 2, &["`torchless libllama install`"]);
    }
}

#[test]
fn a_folder_that_is_no_text_is_shown_as_well_as_it_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::new();
    let home = machine.path("").join(std::ffi::OsStr::from_bytes(b"bad\xff"));
    for verb in [&["libllama", "list"][..], &["doctor"]] {
        let mut command = command(&[verb, &["--json"]].concat());
        command.env("XDG_DATA_HOME", &home);
        let ran = finish(command);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let folder = report["folder"].as_str();
        assert!(folder.is_none_or(|folder| folder.ends_with("bad\u{fffd}/torchless/libllama")), "{report}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_not_said_to_be_empty() {
    let machine = Machine::new();
    fs::create_dir(machine.path("data")).unwrap();
    fs::write(machine.path("data/torchless"), "").unwrap();
    for more in [&[][..], &["--json"]] {
        assert_refused(
            &machine.run(&[&["list"], more].concat()),
            1,
            &["torchless/libllama: Not a directory"],
        );
    }
}

/// Whether npm is there and its registry answers.
fn npm_answers() -> bool {
    let view = Command::new("npm").args(["view", "@node-llama-cpp/linux-x64@3.22.1", "version"]).output();
    let answers = view.is_ok_and(|output| output.status.success() && !output.stdout.is_empty());
    if !answers {
        eprintln!("skipped: there is no npm, or it reaches no registry");
    }
    answers
}

#[test]
fn the_real_npm_gives_a_library() {
    let platform = package_platform(OperatingSystem::here(), Isa::here());
    if !platform.is_some_and(|platform| platform.starts_with("linux")) || !npm_answers() {
        return;
    }
    let machine = Machine::new();
    let path = std::env::var_os("PATH").unwrap();
    let ran = finish(machine.command(&["install", "--json"], &path));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let done: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let library = Path::new(done["path"].as_str().unwrap());
    let name = library.file_name().unwrap().to_str().unwrap();
    assert!(is_library_name(OperatingSystem::Linux, name), "{name}");
    assert_eq!(fs::read(library).unwrap()[..4], *b"\x7fELF");
    assert!(library.with_file_name("libggml-base.so").is_file());
    assert_eq!(finish(machine.command(&["path"], &path)).out, format!("{}\n", library.display()));
}
