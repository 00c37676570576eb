//! Builds in a folder, and which of them a machine gets.

use crate::tree::Tree;
use tabagent_hardware::{
    Choice, Gpu, GpuVendor, Isa, Kind, Machine, Memory, OperatingSystem, SelectError, candidates, choose,
    get_cpu_variant, get_optimal_binary,
};

const ZEN2_FLAGS: &str = "fma movbe popcnt avx f16c abm bmi1 avx2 bmi2 rdseed adx clflushopt clwb sha_ni";

fn machine(os: OperatingSystem, gpus: &[GpuVendor]) -> Machine {
    let tree = Tree::new();
    tree.x86(("AuthenticAMD", 23, 113), "AMD Ryzen 7 3700X", ZEN2_FLAGS, &[&[0, 1]]);
    let gpu = |vendor: &GpuVendor| Gpu {
        vendor: *vendor,
        name: format!("card of {vendor}"),
        memory: Some(8 << 30),
        used: None,
        shares_memory: false,
        compute_capability: None,
        driver: None,
        source: "test",
    };
    Machine {
        os,
        cpu: tree.files().cpu(Isa::X86_64, 2),
        memory: Memory::new(16 << 30, 8 << 30, None),
        numa: vec![],
        gpus: gpus.iter().map(gpu).collect(),
        notes: vec![],
    }
}

fn folder(paths: &[&str]) -> Tree {
    let tree = Tree::new();
    paths.iter().for_each(|path| tree.write(path, ""));
    tree
}

const ALL_OF_LINUX: &[&str] = &[
    "cpu/Linux/standard/libllama.so",
    "cpu/Linux/bitnet-portable/libllama.so",
    "cpu/Linux/bitnet-amd-zen1/libllama.so",
    "cpu/Linux/bitnet-amd-zen2/libllama.so",
    "cpu/Linux/bitnet-amd-zen4/libllama.so",
    "cpu/Linux/bitnet-intel-haswell/libllama.so",
    "cpu/Windows/bitnet-amd-zen2/llama.dll",
    "gpu/Linux/bitnet-cuda/libllama.so",
    "gpu/Linux/standard-cuda-vulkan/libllama.so",
    "gpu/Linux/standard-opencl/libllama.so",
];

fn chosen(tree: &Tree, machine: &Machine) -> Vec<String> {
    choose(tree.path(), machine).expect("a build").into_iter().map(|choice| choice.variant).collect()
}

#[test]
fn bitnet_comes_before_standard_and_a_gpu_before_the_cpu() {
    let tree = folder(ALL_OF_LINUX);
    let nvidia = machine(OperatingSystem::Linux, &[GpuVendor::Nvidia]);
    let expected = [
        "bitnet-cuda",
        "standard-cuda-vulkan",
        "bitnet-amd-zen2",
        "bitnet-amd-zen1",
        "bitnet-portable",
        "standard",
    ];
    assert_eq!(chosen(&tree, &nvidia), expected);
    assert_eq!(chosen(&tree, &machine(OperatingSystem::Linux, &[GpuVendor::Amd]))[0], "standard-cuda-vulkan");
    assert_eq!(chosen(&tree, &machine(OperatingSystem::Linux, &[GpuVendor::Intel]))[0], "standard-opencl");
    assert_eq!(chosen(&tree, &machine(OperatingSystem::Linux, &[]))[0], "bitnet-amd-zen2");
}

fn first(tree: &Tree, machine: &Machine) -> Choice {
    choose(tree.path(), machine).expect("a build").swap_remove(0)
}

#[test]
fn a_choice_says_what_it_is_based_on() {
    let choice = first(&folder(ALL_OF_LINUX), &machine(OperatingSystem::Linux, &[]));
    assert_eq!(choice.kind, Kind::BitnetCpu);
    assert_eq!(choice.reason, "BitNet CPU: made for Zen 2, or the newest that runs on it");
    let why = |name: &str| {
        let passed = choice.passed_over.iter().find(|passed| passed.variant == name);
        passed.map(|passed| passed.reason.as_str()).unwrap_or_default()
    };
    assert_eq!(why("gpu/bitnet-cuda"), "no graphics processor of NVIDIA was found");
    assert_eq!(why("cpu/bitnet-intel-haswell"), "it is for processors of Intel");
    assert!(why("cpu/bitnet-amd-zen4").starts_with("this processor lacks vaes, vpclmulqdq, gfni, avx512f"));
}

#[test]
fn each_system_has_its_folder_and_its_names() {
    let tree = folder(&[
        "CPU/windows/Standard/llama.dll",
        "cpu/Linux/standard/libllama.b8179.so",
        "cpu/macos/standard/libllama.dylib",
        "gpu/Darwin/standard-metal/libllama.0.dylib",
    ]);
    let path = |os, gpus: &[GpuVendor]| {
        let choice = first(&tree, &machine(os, gpus));
        let path = choice.path.strip_prefix(tree.path()).unwrap().to_owned();
        path.to_str().unwrap().replace('\\', "/")
    };
    assert_eq!(path(OperatingSystem::Windows, &[]), "CPU/windows/Standard/llama.dll");
    assert_eq!(path(OperatingSystem::Linux, &[]), "cpu/Linux/standard/libllama.b8179.so");
    assert_eq!(path(OperatingSystem::MacOs, &[]), "cpu/macos/standard/libllama.dylib");
    assert_eq!(
        path(OperatingSystem::MacOs, &[GpuVendor::Apple]),
        "gpu/Darwin/standard-metal/libllama.0.dylib"
    );
}

#[test]
fn what_is_missing_is_named() {
    let empty = folder(&["cpu/Linux/standard/readme.txt"]);
    let error = choose(empty.path(), &machine(OperatingSystem::Linux, &[])).unwrap_err();
    assert!(matches!(error, SelectError::NoBuild { .. }));
    assert!(error.to_string().ends_with("(looked for cpu/Linux/NAME and gpu/Linux/NAME)"), "{error}");
    let gone = choose(&empty.path().join("gone"), &machine(OperatingSystem::Linux, &[])).unwrap_err();
    assert!(matches!(gone, SelectError::Unreadable { .. }));
    let others = folder(&["cpu/Linux/bitnet-amd-zen5/libllama.so", "cpu/Linux/mine/libllama.so"]);
    let error = choose(others.path(), &machine(OperatingSystem::Linux, &[])).unwrap_err().to_string();
    assert!(error.contains("cpu/mine (no build of this name is known)"), "{error}");
    assert!(
        error.ends_with("it would run bitnet-amd-zen2, bitnet-amd-zen1, bitnet-portable, standard"),
        "{error}"
    );
}

#[test]
fn standard_is_the_last_resort_of_every_machine() {
    for os in [OperatingSystem::Linux, OperatingSystem::Windows, OperatingSystem::MacOs] {
        let all = candidates(&machine(os, &[GpuVendor::Nvidia, GpuVendor::Apple]));
        assert_eq!(all.last().map(|last| last.variant), Some("standard"));
        assert!(all.is_sorted_by_key(|candidate| candidate.kind));
    }
}

#[test]
fn this_machine_gets_the_build_of_its_variant() {
    let system = OperatingSystem::here();
    let library = match system {
        OperatingSystem::Windows => "llama.dll",
        OperatingSystem::MacOs => "libllama.dylib",
        _ => "libllama.so",
    };
    let path = format!("cpu/{}/{}/{library}", system.name(), get_cpu_variant());
    let tree = folder(&[&path]);
    assert_eq!(get_optimal_binary(tree.path()).unwrap().path, tree.path().join(path));
}
