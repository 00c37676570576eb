use crate::doctor::advice::Advice;
use crate::doctor::findings::{BackendFound, DeviceFound, Findings, LibllamaFound};
use crate::doctor::text::{ranges, report};
use crate::doctor::verdict::{ModelNeeds, Verdict};
use torchless::hardware::{
    Cache, CacheKind, CoreSet, Cores, Cpu, Features, Gpu, GpuVendor, Identity, Installed, Isa, Machine,
    Memory, MemoryLimit, NumaNode, OperatingSystem, cpu_variants, identify,
};

fn cpu(identity: Identity<'_>, isa: Isa, features: &[&str], cores: &CoreSet) -> Cpu {
    let features = Features::from_names(features.iter().copied());
    let (vendor, microarchitecture, basis) = identify(identity, &features);
    let allowed = cores.logical();
    Cpu {
        isa,
        vendor,
        name: "A processor".to_owned(),
        microarchitecture,
        features,
        cores: Cores::new(cores, allowed),
        caches: vec![
            Cache { level: 1, kind: CacheKind::Data, bytes: 32 << 10, instances: 8 },
            Cache { level: 3, kind: CacheKind::Unified, bytes: 32 << 20, instances: 1 },
        ],
        basis: vec![basis],
    }
}

fn findings(machine: Machine, kernels: &'static str) -> Findings {
    let first = cpu_variants(&machine.cpu).swap_remove(0);
    Findings {
        kernels,
        available_kernels: vec!["scalar", "avx2", "avx512-vnni"],
        threads: machine.cpu.cores.usable,
        backends: vec![],
        libllama: LibllamaFound {
            path: None,
            reason: "TORCHLESS_LLAMA_LIB is not set, and none is installed".to_owned(),
            variant: first.name,
            variant_reason: first.reason,
            installed: vec![],
        },
        machine,
    }
}

fn unreachable(name: &str) -> BackendFound {
    BackendFound {
        name: name.to_owned(),
        devices: vec![],
        error: Some("its library is not there".to_owned()),
    }
}

const ZEN4: Identity<'static> = Identity::X86 { vendor: "AuthenticAMD", family: 25, model: 97, stepping: 2 };

/// A desktop with a card of NVIDIA's.
fn desktop() -> Findings {
    let features = ["avx2", "avx512f", "avx512vnni", "bmi1", "bmi2", "f16c", "fma"];
    let machine = Machine {
        os: OperatingSystem::Linux,
        cpu: cpu(ZEN4, Isa::X86_64, &features, &CoreSet::counted(8, 0, 16)),
        memory: Memory::new(64 << 30, 48 << 30, None),
        numa: vec![NumaNode { number: 0, processors: (0..16).collect(), memory: 64 << 30 }],
        gpus: vec![Gpu {
            vendor: GpuVendor::Nvidia,
            name: "NVIDIA GeForce RTX 4090".to_owned(),
            memory: Some(24 << 30),
            used: Some(1 << 30),
            shares_memory: false,
            compute_capability: Some((8, 9)),
            driver: Some("NVIDIA 580.1".to_owned()),
            source: "NVML",
        }],
        notes: vec![],
    };
    let mut found = findings(machine, "avx512-vnni");
    let device = DeviceFound {
        number: 0,
        name: "NVIDIA GeForce RTX 4090".to_owned(),
        driver: "CUDA 13.0".to_owned(),
        memory: 24 << 30,
        is_gpu: true,
        line: "0  NVIDIA GeForce RTX 4090, 24.0 GiB, CUDA 13.0".to_owned(),
    };
    found.backends = vec![
        BackendFound { name: "cuda".to_owned(), devices: vec![device], error: None },
        unreachable("opencl"),
    ];
    found.libllama.path = Some("/data/libllama.so".into());
    found.libllama.reason = "installed: linux-x64-cuda 3.22.1".to_owned();
    found.libllama.installed = vec![Installed {
        package: "linux-x64-cuda".to_owned(),
        version: "3.22.1".to_owned(),
        path: "/data/libllama.so".into(),
    }];
    found
}

/// A container on a server of two sockets, with a card that no driver leads to.
fn container() -> Findings {
    let identity = Identity::X86 { vendor: "GenuineIntel", family: 6, model: 167, stepping: 1 };
    let node = |number: usize| NumaNode {
        number,
        processors: (number * 2..number * 2 + 2).chain([number + 8]).collect(),
        memory: 128 << 30,
    };
    let source = "/sys/fs/cgroup/memory.max".to_owned();
    let limit = MemoryLimit { bytes: 4 << 30, used: 1 << 30, source };
    let mut machine = Machine {
        os: OperatingSystem::Linux,
        cpu: cpu(identity, Isa::X86_64, &["avx2", "fma", "amx-tile"], &CoreSet::counted(6, 0, 12)),
        memory: Memory::new(256 << 30, 200 << 30, Some(limit)),
        numa: vec![node(0), node(1)],
        gpus: vec![Gpu {
            vendor: GpuVendor::Amd,
            name: "AMD Instinct MI210".to_owned(),
            memory: None,
            used: None,
            shares_memory: false,
            compute_capability: None,
            driver: None,
            source: "sysfs",
        }],
        notes: vec!["NVML: nvmlInit_v2 failed with status 9".to_owned()],
    };
    machine.cpu.cores.allowed = 2;
    machine.cpu.cores.usable = 2;
    let mut found = findings(machine, "avx2");
    found.backends = vec![unreachable("cuda"), unreachable("rocm")];
    found
}

fn model(weights: u64) -> ModelNeeds {
    ModelNeeds {
        path: "model.gguf".to_owned(),
        architecture: "llama".to_owned(),
        weights,
        parameters: weights / 2,
        layers: 32,
        caches: [512, 2048, 8192, 131_072]
            .map(|positions| (positions, positions as u64 * (128 << 10)))
            .to_vec(),
        gpu_caches: [512, 2048, 8192, 131_072]
            .map(|positions| (positions, positions as u64 * (128 << 10)))
            .to_vec(),
    }
}

#[test]
fn a_desktop_is_described() {
    let found = desktop();
    let advice = Advice::of(&found);
    let verdict = Verdict::of(model(30 << 30), &found, &advice);
    assert!(verdict.fits());
    insta::assert_snapshot!("desktop", report(&found, &advice, Some(&verdict)));
}

#[test]
fn a_container_is_described() {
    let found = container();
    let advice = Advice::of(&found);
    let verdict = Verdict::of(model(16 << 30), &found, &advice);
    assert!(!verdict.fits());
    insta::assert_snapshot!("container", report(&found, &advice, Some(&verdict)));
}

#[test]
fn a_phone_is_described() {
    let midr = [(0x41, 0xD05), (0x41, 0xD44)];
    let machine = Machine {
        os: OperatingSystem::Linux,
        cpu: cpu(Identity::Midr(&midr), Isa::Aarch64, &["neon", "dotprod"], &CoreSet::counted(4, 4, 8)),
        memory: Memory::new(8 << 30, 3 << 30, None),
        numa: vec![],
        gpus: vec![],
        notes: vec![],
    };
    let mut found = findings(machine, "neon");
    found.available_kernels = vec!["scalar", "neon"];
    insta::assert_snapshot!("phone", report(&found, &Advice::of(&found), None));
}

#[test]
fn all_of_it_is_told_to_programs_too() {
    let found = desktop();
    let advice = Advice::of(&found);
    let json = serde_json::json!({ "findings": found, "advice": advice });
    assert_eq!(json["findings"]["machine"]["cpu"]["microarchitecture"], "Zen 4");
    assert_eq!(json["findings"]["machine"]["gpus"][0]["compute_capability"][1], 9);
    assert_eq!(json["advice"]["backend"], "cuda");
    assert_eq!(json["advice"]["fits"][2]["gpu"]["name"], "F16");
}

#[test]
fn runs_of_numbers_are_ranges() {
    assert_eq!(ranges(&[0, 1, 2, 8, 10, 11]), "0-2,8,10-11");
    assert_eq!(ranges(&[]), "");
}
