//! A folder that looks like the root of a machine under Linux.

use std::fs;
use tabagent_hardware::linux::Files;
use tempfile::TempDir;

/// The folder; it is deleted at the end.
pub struct Tree(TempDir);

impl Tree {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a folder for the test")).expect("a folder for the test");
        fs::write(path, text).expect("a folder for the test");
    }

    pub fn files(&self) -> Files {
        Files::new(self.0.path())
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// Cores of x86, each with the numbers of its threads.
    pub fn x86(&self, identity: (&str, u32, u32), name: &str, flags: &str, cores: &[&[usize]]) {
        let (vendor, family, model) = identity;
        let mut text = String::new();
        let mut threads: Vec<(usize, usize)> =
            cores.iter().enumerate().flat_map(|(core, of)| of.iter().map(move |n| (*n, core))).collect();
        threads.sort_unstable();
        for (number, core) in threads {
            text += &format!(
                "processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
                 model name\t: {name}\nstepping\t: 2\nphysical id\t: 0\ncore id\t\t: {core}\nflags\t\t: {flags}\n\n"
            );
            let list: Vec<String> = cores[core].iter().map(ToString::to_string).collect();
            let folder = format!("/sys/devices/system/cpu/cpu{number}");
            self.write(&format!("{folder}/topology/core_cpus_list"), &(list.join(",") + "\n"));
        }
        self.write("/proc/cpuinfo", &text);
    }

    pub fn cache(&self, cpu: usize, index: usize, values: (u8, &str, &str, &str)) {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
        let (level, kind, size, shared) = values;
        self.write(&format!("{folder}/level"), &format!("{level}\n"));
        self.write(&format!("{folder}/type"), &format!("{kind}\n"));
        self.write(&format!("{folder}/size"), &format!("{size}\n"));
        self.write(&format!("{folder}/shared_cpu_list"), &format!("{shared}\n"));
    }

    pub fn meminfo(&self, total_kib: u64, available_kib: u64) {
        let text = format!("MemTotal: {total_kib} kB\nMemFree: 1 kB\nMemAvailable: {available_kib} kB\n");
        self.write("/proc/meminfo", &text);
    }

    pub fn pci(&self, slot: &str, numbers: (&str, &str, &str), more: &[(&str, &str)]) {
        let folder = format!("/sys/bus/pci/devices/{slot}");
        for (file, text) in [("class", numbers.0), ("vendor", numbers.1), ("device", numbers.2)] {
            self.write(&format!("{folder}/{file}"), &format!("{text}\n"));
        }
        for (file, text) in more {
            self.write(&format!("{folder}/{file}"), text);
        }
    }
}
