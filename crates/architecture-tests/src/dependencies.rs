//! Which crate may depend on which. The table is the rule; ARCHITECTURE.md draws it.

use std::collections::BTreeSet;

use crate::repository::Package;

/// A crate and the crates of ours that its manifest may name.
pub type Row = (&'static str, &'static [&'static str]);

/// Dependencies of what ships. A crate without a row is an error, so that a new crate gets its place here.
pub const ALLOWED: &[Row] = &[
    ("torchless-base", &[]),
    ("torchless-quant", &["torchless-base"]),
    ("torchless-formats", &["torchless-quant"]),
    ("torchless-kernels", &["torchless-quant", "torchless-base"]),
    ("torchless-device", &["torchless-kernels", "torchless-quant", "torchless-base"]),
    ("torchless-device-gpu", &["torchless-device", "torchless-quant", "torchless-base"]),
    ("torchless-gpu-emulator", &["torchless-device-gpu"]),
    ("torchless-model", &["torchless-device", "torchless-formats", "torchless-quant", "torchless-base"]),
    ("torchless-tokenizer", &["torchless-base"]),
    ("torchless-sampler", &["torchless-base"]),
    ("torchless-engine", &["torchless-sampler", "torchless-base"]),
    ("torchless-chat", &["torchless-sampler", "torchless-base"]),
    ("llamafirewall-core", &[]),
    ("llamafirewall-codeshield", &[]),
    (
        "llamafirewall-ml",
        &[
            "llamafirewall-core",
            "llamafirewall-tch",
            "torchless-base",
            "torchless-device",
            "torchless-device-gpu",
            "torchless-formats",
            "torchless-kernels",
            "torchless-model",
            "torchless-tokenizer",
        ],
    ),
    ("llamafirewall-tch", &["llamafirewall-core", "torchless-tokenizer"]),
    ("llamafirewall", &["llamafirewall-codeshield", "llamafirewall-core", "llamafirewall-ml"]),
    ("tabagent-hardware", &[]),
    (
        "model-loader",
        &[
            "tabagent-hardware",
            "torchless-base",
            "torchless-formats",
            "torchless-sampler",
            "torchless-tokenizer",
        ],
    ),
    (
        "torchless",
        &[
            "model-loader",
            "tabagent-hardware",
            "torchless-base",
            "torchless-quant",
            "torchless-formats",
            "torchless-kernels",
            "torchless-device",
            "torchless-device-gpu",
            "torchless-model",
            "torchless-tokenizer",
            "torchless-sampler",
            "torchless-engine",
            "torchless-chat",
            "llamafirewall",
            "llamafirewall-core",
        ],
    ),
    ("torchless-cli", &["torchless", "llamafirewall-core", "llamafirewall-ml"]),
    ("torchless-python", &["torchless", "torchless-cli", "tabagent-hardware", "model-loader"]),
    ("xtask", &["torchless-device-gpu"]),
    ("torchless-architecture-tests", &[]),
    ("torchless-guide-tests", &[]),
];

/// What tests may name beyond [`ALLOWED`].
pub const ALLOWED_IN_TESTS: &[Row] = &[
    ("torchless-cli", &["torchless-base", "torchless-guide-tests"]),
    ("torchless-guide-tests", &["llamafirewall", "model-loader", "torchless", "torchless-quant"]),
    ("torchless-device-gpu", &["torchless-gpu-emulator", "torchless-kernels"]),
    ("torchless-model", &["torchless-kernels"]),
    ("torchless", &["torchless-gpu-emulator"]),
    ("llamafirewall-ml", &["torchless-gpu-emulator"]),
    ("model-loader", &["torchless-engine", "torchless-quant"]),
    ("llamafirewall-tch", &["llamafirewall", "llamafirewall-ml"]),
];

/// Edges between members that neither table has, and members without a row.
#[must_use]
pub fn forbidden_edges(packages: &[Package], allowed: &[Row], in_tests: &[Row]) -> Vec<String> {
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let row =
        |table: &[Row], name: &str| table.iter().find(|(crate_name, _)| *crate_name == name).map(|row| row.1);
    let mut findings = Vec::new();
    for package in packages {
        let Some(shipped) = row(allowed, &package.name) else {
            findings.push(format!("{} has no row in the table of dependencies", package.name));
            continue;
        };
        let tests = row(in_tests, &package.name).unwrap_or_default();
        for dependency in package.dependencies.iter().filter(|d| members.contains(d.name.as_str())) {
            let name = dependency.name.as_str();
            let is_allowed = shipped.contains(&name) || (dependency.only_for_tests && tests.contains(&name));
            if !is_allowed {
                findings.push(format!("{} must not depend on {name} (allowed: {shipped:?})", package.name));
            }
        }
    }
    findings
}

/// Every member that `from` reaches through what ships, itself excluded.
#[must_use]
pub fn reached<'a>(packages: &'a [Package], from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        let Some(package) = packages.iter().find(|package| package.name == name) else { continue };
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.only_for_tests) {
            if packages.iter().any(|member| member.name == dependency.name)
                && seen.insert(dependency.name.as_str())
            {
                open.push(&dependency.name);
            }
        }
    }
    seen
}

/// Members outside `allowed` that name the foreign crate `foreign`, be it only for tests.
#[must_use]
pub fn users_of<'a>(packages: &'a [Package], foreign: &str, allowed: &[&str]) -> Vec<&'a str> {
    let names = |package: &&Package| package.dependencies.iter().any(|dependency| dependency.name == foreign);
    let found = packages.iter().filter(names).map(|package| package.name.as_str());
    found.filter(|name| !allowed.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Dependency;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, only_for_tests)| Dependency {
                name: (*name).into(),
                only_for_tests: *only_for_tests,
            })
            .collect();
        Package {
            name: name.into(),
            directory: String::new(),
            dependencies,
            features: Default::default(),
            roots: vec![],
        }
    }

    const TABLE: &[Row] = &[("low", &[]), ("middle", &["low"]), ("high", &["middle"])];

    #[test]
    fn edges_of_the_table_pass() {
        let packages =
            [package("low", &[("serde", false)]), package("middle", &[("low", false)]), package("high", &[])];
        assert_eq!(forbidden_edges(&packages, TABLE, &[]), Vec::<String>::new());
    }

    #[test]
    fn an_edge_upwards_is_found() {
        let packages = [package("low", &[("high", false)]), package("high", &[])];
        let findings = forbidden_edges(&packages, TABLE, &[]);
        assert_eq!(findings, ["low must not depend on high (allowed: [])"]);
    }

    #[test]
    fn tests_may_name_only_what_their_table_has() {
        let packages = [package("low", &[("middle", true)]), package("middle", &[])];
        assert_eq!(forbidden_edges(&packages, TABLE, &[]).len(), 1);
        assert_eq!(forbidden_edges(&packages, TABLE, &[("low", &["middle"])]).len(), 0);
        let shipped = [package("low", &[("middle", false)]), package("middle", &[])];
        assert_eq!(forbidden_edges(&shipped, TABLE, &[("low", &["middle"])]).len(), 1);
    }

    #[test]
    fn a_member_without_a_row_is_found() {
        assert_eq!(forbidden_edges(&[package("new", &[])], TABLE, &[]).len(), 1);
    }

    #[test]
    fn reach_is_transitive_and_leaves_tests_out() {
        let packages = [
            package("low", &[]),
            package("middle", &[("low", false)]),
            package("high", &[("middle", false)]),
        ];
        assert_eq!(reached(&packages, "high").into_iter().collect::<Vec<_>>(), ["low", "middle"]);
        let packages = [package("low", &[]), package("middle", &[("low", true)])];
        assert!(reached(&packages, "middle").is_empty());
    }

    #[test]
    fn users_of_a_foreign_crate_are_found() {
        let packages = [package("low", &[("anyhow", true)]), package("high", &[("anyhow", false)])];
        assert_eq!(users_of(&packages, "anyhow", &["high"]), ["low"]);
    }
}
