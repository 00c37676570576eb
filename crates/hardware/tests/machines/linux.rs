//! Trees of files, read as a machine.

use crate::tree::Tree;
use tabagent_hardware::{CacheKind, CpuVendor, GpuVendor, Isa, MemoryLimit};

const ZEN4_FLAGS: &str = "pni ssse3 fma movbe popcnt avx f16c abm bmi1 avx2 bmi2 avx512f avx512dq rdseed adx avx512ifma \
    clflushopt clwb avx512cd sha_ni avx512bw avx512vl avx512_bf16 avx512vbmi avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni \
    avx512_bitalg avx512_vpopcntdq";

#[test]
fn a_desktop_with_a_graphics_card_of_amd() {
    let tree = Tree::new();
    tree.x86(("AuthenticAMD", 25, 97), "AMD Ryzen 5 7600", ZEN4_FLAGS, &[&[0, 2], &[1, 3]]);
    for cpu in 0..4 {
        let pair = if cpu % 2 == 0 { "0,2" } else { "1,3" };
        tree.cache(cpu, 0, (1, "Data", "32K", pair));
        tree.cache(cpu, 2, (2, "Unified", "1024K", pair));
        tree.cache(cpu, 3, (3, "Unified", "32M", "0-3"));
    }
    tree.meminfo(32 << 20, 30 << 20);
    tree.write("/sys/devices/system/node/node0/cpulist", "0-3\n");
    tree.write("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: 33554432 kB\n");
    tree.pci(
        "0000:03:00.0",
        ("0x030000", "0x1002", "0x744c"),
        &[
            ("mem_info_vram_total", "25753026560\n"),
            ("mem_info_vram_used", "1000000\n"),
            ("uevent", "DRIVER=amdgpu\nPCI_CLASS=30000\n"),
        ],
    );
    tree.pci("0000:04:00.0", ("0x040300", "0x1002", "0xab30"), &[]);

    let files = tree.files();
    let cpu = files.cpu(Isa::X86_64, 4);
    assert_eq!((cpu.vendor, cpu.name.as_str()), (CpuVendor::Amd, "AMD Ryzen 5 7600"));
    assert_eq!(cpu.microarchitecture.map(|design| design.name), Some("Zen 4"));
    assert_eq!(cpu.basis, ["/proc/cpuinfo: AuthenticAMD, family 25, model 97, stepping 2: Zen 4"]);
    assert_eq!((cpu.cores.logical, cpu.cores.physical, cpu.cores.usable), (4, 2, 2));
    let caches: Vec<_> = cpu
        .caches
        .iter()
        .map(|cache| (cache.level, cache.kind, cache.bytes >> 10, cache.instances))
        .collect();
    let unified = CacheKind::Unified;
    assert_eq!(caches, [(1, CacheKind::Data, 32, 2), (2, unified, 1024, 2), (3, unified, 32768, 1)]);
    assert_eq!(files.memory().map(|memory| (memory.total, memory.available)), Some((32 << 30, 30 << 30)));
    assert_eq!(files.numa().len(), 1);
    assert_eq!(files.numa()[0].memory, 32 << 30);
    let gpus = files.gpus();
    assert_eq!(gpus.len(), 1);
    assert_eq!((gpus[0].vendor, gpus[0].memory), (GpuVendor::Amd, Some(25_753_026_560)));
    assert_eq!((gpus[0].name.as_str(), gpus[0].driver.as_deref()), ("AMD 1002:744c", Some("amdgpu")));
    assert_eq!(tabagent_hardware::cpu_variants(&cpu)[0].name, "bitnet-amd-zen4");
}

#[test]
fn affinity_limits_the_cores_that_are_worth_using() {
    let tree = Tree::new();
    tree.x86(("AuthenticAMD", 25, 97), "AMD", ZEN4_FLAGS, &[&[0, 4], &[1, 5], &[2, 6], &[3, 7]]);
    let usable = |allowed| tree.files().cpu(Isa::X86_64, allowed).cores.usable;
    assert_eq!((usable(8), usable(3), usable(1)), (4, 3, 1));
}

#[test]
fn a_mixture_of_intel_and_its_graphics() {
    let tree = Tree::new();
    let flags = "avx2 fma f16c avx_vnni";
    tree.x86(
        ("GenuineIntel", 6, 151),
        "12th Gen Intel(R) Core(TM) i5",
        flags,
        &[&[0, 1], &[2, 3], &[4], &[5]],
    );
    tree.write("/sys/devices/cpu_core/cpus", "0-3\n");
    tree.write("/sys/devices/cpu_atom/cpus", "4-5\n");
    tree.pci("0000:00:02.0", ("0x030000", "0x8086", "0x4680"), &[("uevent", "DRIVER=i915\n")]);
    tree.pci(
        "0000:03:00.0",
        ("0x030000", "0x8086", "0x56a0"),
        &[("drm/card1/lmem_total_bytes", "17079205888\n")],
    );
    tree.write("/usr/share/misc/pci.ids", "8086  Intel Corporation\n\t56a0  DG2 [Arc A770]\n");

    let cpu = tree.files().cpu(Isa::X86_64, 6);
    assert_eq!(cpu.microarchitecture.map(|design| design.name), Some("Alder Lake"));
    assert_eq!((cpu.cores.physical, cpu.cores.performance, cpu.cores.efficiency), (4, 2, 2));
    assert_eq!(cpu.basis[1], "/sys/devices/cpu_core: 2 cores for speed, 2 for saving power");
    let gpus = tree.files().gpus();
    assert_eq!(
        (gpus[0].name.as_str(), gpus[0].shares_memory, gpus[0].memory),
        ("Intel 8086:4680", true, None)
    );
    assert_eq!((gpus[1].name.as_str(), gpus[1].memory), ("Intel Arc A770", Some(17_079_205_888)));
    assert!(!gpus[1].shares_memory);
}

#[test]
fn a_small_board_of_arm() {
    let tree = Tree::new();
    let block = |n: usize| {
        format!(
            "processor\t: {n}\nFeatures\t: fp asimd crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
        )
    };
    tree.write("/proc/cpuinfo", &(0..4).map(block).collect::<String>());
    for n in 0..4 {
        tree.write(&format!("/sys/devices/system/cpu/cpu{n}/topology/core_cpus_list"), &format!("{n}\n"));
        tree.write(&format!("/sys/devices/system/cpu/cpu{n}/cpu_capacity"), "1024\n");
    }
    tree.write("/sys/firmware/devicetree/base/model", "Raspberry Pi 5 Model B Rev 1.0\0");
    let cpu = tree.files().cpu(Isa::Aarch64, 4);
    assert_eq!((cpu.vendor, cpu.name.as_str()), (CpuVendor::Arm, "Raspberry Pi 5 Model B Rev 1.0"));
    assert_eq!(cpu.microarchitecture.map(|design| design.name), Some("Cortex-A76"));
    assert_eq!((cpu.cores.physical, cpu.cores.performance), (4, 0));
    assert!(cpu.features.has("neon") && !cpu.features.has("dotprod"));
}

#[test]
fn capacities_tell_fast_cores_from_slow_ones() {
    let tree = Tree::new();
    tree.write("/proc/cpuinfo", "processor: 0\n\nprocessor: 1\n\nprocessor: 2\n\n");
    for (n, capacity) in [(0, 446), (1, 871), (2, 1024)] {
        tree.write(
            &format!("/sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list"),
            &format!("{n}\n"),
        );
        tree.write(&format!("/sys/devices/system/cpu/cpu{n}/cpu_capacity"), &format!("{capacity}\n"));
    }
    let cores = tree.files().cpu(Isa::Aarch64, 3).cores;
    assert_eq!((cores.performance, cores.efficiency), (2, 1));
}

fn limit(tree: &Tree) -> Option<MemoryLimit> {
    tree.files().memory().expect("memory").limit
}

#[test]
fn limits_of_version_2_count_in_every_group_above() {
    let tree = Tree::new();
    tree.meminfo(16 << 20, 12 << 20);
    tree.write("/proc/self/cgroup", "0::/kube/pod/job\n");
    tree.write("/sys/fs/cgroup/kube/pod/job/memory.max", "max\n");
    assert_eq!(limit(&tree), None);
    tree.write("/sys/fs/cgroup/kube/pod/memory.max", "4294967296\n");
    tree.write("/sys/fs/cgroup/kube/pod/memory.current", "3221225472\n");
    tree.write("/sys/fs/cgroup/kube/pod/memory.stat", "anon 1\ninactive_file 1073741824\nactive_file 5\n");
    let found = limit(&tree).unwrap();
    assert_eq!((found.bytes >> 30, found.used >> 30), (4, 2));
    assert_eq!(found.source, "/sys/fs/cgroup/kube/pod/memory.max");
    assert_eq!(tree.files().memory().unwrap().available >> 30, 2);
}

#[test]
fn limits_of_version_1_are_found_in_a_container_of_another_path() {
    let tree = Tree::new();
    tree.meminfo(16 << 20, 12 << 20);
    tree.write("/proc/self/cgroup", "4:cpu,memory:/docker/0123\n1:name=systemd:/\n0::/\n");
    tree.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
    tree.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
    let found = limit(&tree).unwrap();
    assert_eq!((found.bytes >> 30, found.used >> 30), (2, 1));
    tree.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!(limit(&tree), None);
}

#[test]
fn an_empty_machine_is_described_as_far_as_it_goes() {
    let tree = Tree::new();
    let cpu = tree.files().cpu(Isa::X86_64, 3);
    assert_eq!((cpu.cores.logical, cpu.cores.usable), (1, 1));
    assert_eq!((cpu.microarchitecture, cpu.caches.len()), (None, 0));
    assert_eq!(tree.files().memory(), None);
    assert!(tree.files().numa().is_empty() && tree.files().gpus().is_empty());
}

#[test]
fn damaged_files_count_as_absent() {
    let tree = Tree::new();
    tree.write("/proc/cpuinfo", "processor\t: 0\nmodel\t: \u{0}\n");
    tree.write("/proc/meminfo", "MemTotal: many kB\n");
    tree.write("/sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-99999999999\n");
    tree.cache(0, 0, (1, "Data", "-1K", "0"));
    tree.pci("0000:01:00.0", ("0x03zz", "0x10de", "0x1"), &[]);
    assert_eq!(tree.files().cpu(Isa::X86_64, 1).cores.physical, 1);
    assert_eq!(tree.files().memory(), None);
    assert!(tree.files().gpus().is_empty());
}

#[test]
fn this_machine_has_a_processor_and_memory() {
    let machine = tabagent_hardware::detect();
    assert!(machine.cpu.cores.usable >= 1);
    assert!(machine.memory.total > 0 && machine.memory.available <= machine.memory.total);
    assert_eq!(machine.cpu.cores.usable, tabagent_hardware::usable_cores());
    let json = serde_json::to_value(&machine).unwrap();
    assert!(json["cpu"]["features"].is_array() && json["memory"]["total"].is_u64());
}
