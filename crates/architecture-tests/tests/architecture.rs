//! Applies the rules of ARCHITECTURE.md to this repository, one test per rule.

use torchless_architecture_tests::repository::{Package, Repository, TextFile};
use torchless_architecture_tests::{dependencies, manifest, rust_source, wording};

/// Crates that may contain `unsafe`.
const MAY_BE_UNSAFE: &[&str] = &[
    "torchless-kernels",
    "torchless-formats",
    "torchless-device-gpu",
    "torchless-gpu-emulator",
    "tabagent-hardware",
    "model-loader",
];

/// Crates whose errors a person reads at once.
const MAY_USE_ANYHOW: &[&str] = &["torchless-cli", "xtask"];

/// Foreign crates that open connections.
const NETWORK_CRATES: &[&str] = &["hyper", "reqwest", "ureq", "tokio", "axum", "curl", "mio", "socket2"];

/// Feature names from the documented build commands. They are accepted and change nothing: the CPU's level and
/// the vendors are found at run time.
const DOCUMENTED_FEATURES: &[&str] =
    &["accelerate", "cuda", "metal-gpu", "opencl", "openblas", "parallel", "rocm", "simd"];

/// Families whose names the decoder must not know, beside those that have a file.
const FAMILIES: &[&str] = &[
    "llama", "mistral", "mixtral", "qwen", "gemma", "phi", "deepseek", "smollm", "falcon", "granite", "olmo",
];

fn open() -> Repository {
    Repository::open().expect("the repository can be read")
}

fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

fn package<'a>(repository: &'a Repository, name: &str) -> &'a Package {
    repository.packages.iter().find(|package| package.name == name).expect("a member of that name")
}

/// `path:line` for each line that `rule` finds in each of `files`.
fn scan<'a>(files: impl Iterator<Item = &'a TextFile>, rule: impl Fn(&str) -> Vec<usize>) -> Vec<String> {
    files.flat_map(|file| rule(&file.text).into_iter().map(|line| format!("{}:{line}", file.path))).collect()
}

#[test]
fn dependencies_follow_the_table() {
    let repository = open();
    let findings = dependencies::forbidden_edges(
        &repository.packages,
        dependencies::ALLOWED,
        dependencies::ALLOWED_IN_TESTS,
    );
    assert_none("dependency directions", &findings);
}

#[test]
fn the_engine_sees_neither_tensors_nor_text() {
    let repository = open();
    let reached = dependencies::reached(&repository.packages, "torchless-engine");
    for hidden in ["quant", "formats", "kernels", "device", "model", "tokenizer"] {
        assert!(!reached.contains(format!("torchless-{hidden}").as_str()), "engine reaches {hidden}");
    }
}

#[test]
fn the_firewall_core_depends_on_no_crate_of_ours() {
    let repository = open();
    assert_eq!(dependencies::reached(&repository.packages, "llamafirewall-core").len(), 0);
}

#[test]
fn anyhow_stays_at_the_edge() {
    let users = dependencies::users_of(&open().packages, "anyhow", MAY_USE_ANYHOW).join(", ");
    assert!(users.is_empty(), "anyhow in {users}; libraries have typed errors");
}

#[test]
fn c_grammars_stay_in_their_crate() {
    let users =
        dependencies::users_of(&open().packages, "tree-sitter", &["llamafirewall-codeshield"]).join(", ");
    assert!(users.is_empty(), "tree-sitter in {users}");
}

#[test]
fn unsafe_stays_in_its_crates() {
    let repository = open();
    let safe = repository.packages.iter().filter(|package| !MAY_BE_UNSAFE.contains(&package.name.as_str()));
    for package in safe {
        assert_none(
            "unsafe outside its crates",
            &scan(repository.rust_files(package), rust_source::unsafe_lines),
        );
        let forbids = |root: &&String| repository.text(root).is_some_and(rust_source::forbids_unsafe);
        let open: Vec<String> = package.roots.iter().filter(|root| !forbids(root)).cloned().collect();
        assert_none("crate roots without #![forbid(unsafe_code)]", &open);
    }
}

/// The one client, for judges that a policy names.
const NETWORK_CLIENT: (&str, &str) = ("llamafirewall", "ureq");

#[test]
fn only_judges_talk_to_a_network() {
    let repository = open();
    // Tests may open a pair of sockets of their own, to see what the program does with one.
    let shipped = |file: &&TextFile| file.is_rust() && !file.path.contains("/tests/");
    let rust = repository.files.iter().filter(shipped);
    assert_none("sockets", &scan(rust, rust_source::socket_lines));
    for package in &repository.packages {
        let talks = package.dependencies.iter().find(|dependency| {
            let edge = (package.name.as_str(), dependency.name.as_str());
            NETWORK_CRATES.contains(&edge.1) && edge != NETWORK_CLIENT
        });
        assert!(talks.is_none(), "{} depends on {talks:?}", package.name);
    }
}

#[test]
fn nothing_switches_the_proof_beside_unsafe_off() {
    let repository = open();
    let rust = || repository.files.iter().filter(|file| file.is_rust());
    for lint in ["undocumented_unsafe_blocks", "unsafe_op_in_unsafe_fn"] {
        assert_none("lint switched off", &scan(rust(), |text| rust_source::lines_naming(text, lint)));
    }
}

#[test]
fn the_workspace_sets_the_lints_and_every_member_inherits_them() {
    let repository = open();
    let text = |path: &str| repository.text(path).expect("a manifest");
    assert_eq!(manifest::missing_lints(text("Cargo.toml")), Vec::<&str>::new());
    for package in &repository.packages {
        let path = format!("{}/Cargo.toml", package.directory);
        assert!(manifest::inherits_lints(text(&path)), "{path} lacks [lints] workspace = true");
    }
}

#[test]
fn the_decoder_names_no_architecture() {
    let repository = open();
    let stem = |file: &TextFile| {
        let name = file.path.strip_prefix("crates/model/src/arch/")?.strip_suffix(".rs")?;
        (name != "mod" && !name.contains('/')).then(|| name.to_string())
    };
    let mut names: Vec<String> = repository.files.iter().filter_map(stem).collect();
    names.extend(FAMILIES.iter().map(|name| (*name).to_string()));
    let is_decoder = |file: &&TextFile| {
        file.path == "crates/model/src/decoder.rs" || file.path.starts_with("crates/model/src/decoder/")
    };
    let decoder: Vec<_> = repository.files.iter().filter(is_decoder).collect();
    assert!(!decoder.is_empty(), "there is no decoder.rs");
    for file in decoder {
        let lines = rust_source::lines_with_names(&file.text, &names);
        assert!(lines.is_empty(), "{} names an architecture on lines {lines:?}", file.path);
    }
}

#[test]
fn module_names_say_what_is_inside() {
    let repository = open();
    let rust = repository.files.iter().filter(|file| file.is_rust());
    let named = |file: &TextFile| {
        let banned = rust_source::banned_modules(&file.path, &file.text);
        banned.into_iter().map(|name| format!("{}: {name}", file.path)).collect::<Vec<_>>()
    };
    assert_none("banned module names", &rust.flat_map(named).collect::<Vec<_>>());
}

#[test]
fn every_module_opens_with_what_it_is() {
    let repository = open();
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let rust = repository.files.iter().filter(|file| file.is_rust() && file.path.contains("/src/"));
    let silent = rust
        .filter(|file| !is_test(&file.path))
        .filter(|file| !rust_source::opens_with_docs(&file.text))
        .map(|file| file.path.clone());
    assert_none("modules without a first line of //!", &silent.collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    let repository = open();
    let rust = repository.files.iter().filter(|file| file.is_rust());
    assert_none("placeholders", &scan(rust, rust_source::placeholder_lines));
    let scripts = repository.files.iter().filter(|file| {
        file.path == ".ci/run" || [".py", ".sh", ".toml"].iter().any(|ending| file.path.ends_with(ending))
    });
    assert_none("promises", &scan(scripts, rust_source::promise_lines));
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    let repository = open();
    assert_none("paths of a machine", &scan(repository.files.iter(), wording::machine_path_lines));
}

#[test]
fn documented_features_are_accepted_and_change_nothing() {
    let repository = open();
    for name in ["torchless", "torchless-cli"] {
        let features = &package(&repository, name).features;
        for documented in DOCUMENTED_FEATURES {
            let switched_on = features.get(*documented);
            assert_eq!(
                switched_on.map(Vec::len),
                Some(0),
                "{name}: feature '{documented}' must exist and be empty"
            );
        }
    }
    let reads_one = |text: &str| {
        let has = |line: &str| {
            DOCUMENTED_FEATURES.iter().any(|name| line.contains(&format!("feature = \"{name}\"")))
        };
        text.lines().enumerate().filter(|(_, line)| has(line)).map(|(line, _)| line + 1).collect()
    };
    let rust = repository.files.iter().filter(|file| file.is_rust());
    assert_none("code behind a documented feature", &scan(rust, reads_one));
}
