//! Runs the build scripts as far as they go without building anything.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output};

/// Runs a script with `cargo` replaced by a command that prints its arguments; `None` where there is no bash.
fn run(arguments: &[&str]) -> Option<Output> {
    run_in(None, arguments)
}

/// The same with another folder for what is built.
fn run_in(target: Option<&Path>, arguments: &[&str]) -> Option<Output> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new("bash");
    command.args(arguments).current_dir(root).env("CARGO", "echo").env_remove("CARGO_TARGET_DIR");
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let result = command.output();
    if result.is_err() {
        eprintln!("skipped: bash cannot be run");
    }
    result.ok()
}

fn check(arguments: &[&str], status: i32, wanted: &[&str]) {
    check_output(run(arguments), arguments, (status, wanted));
}

fn check_output(output: Option<Output>, arguments: &[&str], (status, wanted): (i32, &[&str])) {
    let Some(output) = output else { return };
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    for part in wanted {
        assert!(said.contains(part), "{arguments:?} does not say '{part}':\n{said}");
    }
}

#[test]
fn every_script_parses() {
    let scripts = [
        "build",
        "build_releases",
        "check_gpu_kernels",
        "compile_ahead",
        "libllama",
        "nvrtc",
        "python",
        "test_libllama",
        "valgrind_libllama",
    ];
    let scripts = scripts.map(|name| format!("scripts/{name}.sh"));
    for script in scripts.iter().map(String::as_str).chain([".ci/run"]) {
        check(&["-n", script], 0, &[]);
    }
}

#[test]
fn build_script_builds_one_binary_whatever_the_documented_option() {
    for options in [&[][..], &["--cpu-only"], &["--gpu"]] {
        let arguments: Vec<&str> = ["scripts/build.sh"].iter().chain(options).copied().collect();
        check(
            &arguments,
            0,
            &["build --release --locked --package torchless-cli", "target/release/torchless"],
        );
    }
}

#[test]
fn build_guided_by_a_profile_does_not_go_on_without_its_first_program() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guided");
    let arguments = ["scripts/build.sh", "--pgo"];
    let wanted = ["--package torchless-cli --target", "the first build left no program at"];
    check_output(run_in(Some(&target), &arguments), &arguments, (1, &wanted));
}

#[test]
fn build_script_refuses_what_it_cannot_do() {
    check(&["scripts/build.sh", "--fast"], 2, &["unknown option '--fast'", "usage:"]);
    check(&["scripts/build.sh", "--gpu", "--cpu-only"], 2, &["takes one option, got 2"]);
}

#[test]
fn kernel_check_names_what_it_knows() {
    check(&["scripts/check_gpu_kernels.sh"], 2, &["nvrtc", "hiprtc", "opencl", "metal"]);
    check(&["scripts/check_gpu_kernels.sh", "vulkan"], 2, &["check_gpu_kernels.sh nvrtc"]);
}

#[test]
fn python_script_names_what_it_does() {
    for arguments in
        [&["scripts/python.sh"][..], &["scripts/python.sh", "bake"], &["scripts/python.sh", "build", "now"]]
    {
        check(arguments, 2, &["usage: scripts/python.sh build | test"]);
    }
}

#[test]
fn release_script_says_what_it_would_do() {
    let archive = format!("dist/torchless-{}-", env!("CARGO_PKG_VERSION"));
    let wanted =
        ["would build  target/release/torchless", "would write", &archive, ".tar.gz.sha256", "LICENSE"];
    check(&["scripts/build_releases.sh", "--dry-run"], 0, &wanted);
    check(&["scripts/build_releases.sh", "--wet-run"], 2, &["unknown option '--wet-run'"]);
}
