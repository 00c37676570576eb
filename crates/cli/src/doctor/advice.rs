//! What to do with a machine: where to run, with how many threads, and models of which size in which quantisation.

use super::findings::Findings;
use serde::Serialize;

/// Models of a usual size.
struct Size {
    name: &'static str,
    /// Weights.
    parameters: f64,
    /// Bytes of the KV cache in F16 for each position, as such models usually have it.
    cache: u64,
}

const fn size(name: &'static str, billions: f64, kibibytes: u64) -> Size {
    Size { name, parameters: billions * 1e9, cache: kibibytes << 10 }
}

/// Caches are those of Llama 3.2 1B and 3B, Llama 3.1 8B and 70B, and Qwen 2.5 14B and 32B.
const SIZES: &[Size] = &[
    size("1B", 1.24, 32),
    size("3B", 3.21, 112),
    size("8B", 8.03, 128),
    size("14B", 14.8, 192),
    size("32B", 32.8, 256),
    size("70B", 70.6, 320),
];

/// Kinds of quantised files with the bits that a weight takes on average, the best first.
const QUANTISATIONS: &[(&str, f64)] = &[
    ("F16", 16.0),
    ("Q8_0", 8.5),
    ("Q6_K", 6.56),
    ("Q5_K_M", 5.7),
    ("Q4_K_M", 4.85),
    ("Q3_K_M", 3.9),
    ("Q2_K", 3.0),
];

/// Positions that a cache is counted for.
pub const CONTEXT: u64 = 8192;
/// The part of what is free that a model may take: other programs go on living.
const SHARE: f64 = 0.9;
/// Program, tokenizer, buffers.
const FIXED: u64 = 256 << 20;

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The value for `--backend`.
    pub backend: String,
    /// Why.
    pub backend_reason: String,
    /// The value for `--threads`.
    pub threads: usize,
    /// Why.
    pub threads_reason: String,
    /// Where models of which size fit, and how.
    pub fits: Vec<Fit>,
    /// Whatever else would help.
    pub hints: Vec<String>,
}

/// The best quantisations of a size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Such as `8B`.
    pub size: &'static str,
    /// What fits into the machine's memory; `None` where nothing does.
    pub memory: Option<Quantised>,
    /// What fits into the memory of the GPU that the advice is about; `None` where nothing does or there is none.
    pub gpu: Option<Quantised>,
}

/// A quantisation and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantised {
    /// Such as `Q4_K_M`.
    pub name: &'static str,
    /// Bytes of weights and of a cache of [`CONTEXT`] positions.
    pub bytes: u64,
}

impl Advice {
    /// For what was found.
    pub fn of(findings: &Findings) -> Self {
        let gpu = findings.backends.iter().find_map(|backend| {
            let device = backend.devices.first().filter(|device| device.is_gpu)?;
            Some((backend, device))
        });
        let (backend, backend_reason) = match gpu {
            Some((backend, device)) => (backend.name.clone(), format!("{} is there", device.name)),
            None => ("cpu".to_owned(), "no interface leads to a GPU".to_owned()),
        };
        let cores = &findings.machine.cpu.cores;
        let threads = findings.threads;
        let threads_reason = match () {
            () if threads != cores.usable => "as --threads says".to_owned(),
            () if cores.usable < cores.physical => {
                format!("this process may use {} of {} cores", cores.usable, cores.physical)
            }
            () => "one per physical core; a second one on the same core adds nothing".to_owned(),
        };
        let available = findings.machine.memory.available;
        let free = gpu.map(|(_, device)| free_memory(findings, &device.name, device.memory));
        let fits = SIZES.iter().map(|size| Fit {
            size: size.name,
            memory: best(size, available),
            gpu: free.and_then(|free| best(size, free)),
        });
        Self {
            backend,
            backend_reason,
            threads,
            threads_reason,
            fits: fits.collect(),
            hints: hints(findings),
        }
    }
}

/// What is free on a device: where the machine's description knows the device by its name, what is used there counts.
pub fn free_memory(findings: &Findings, name: &str, memory: u64) -> u64 {
    let used = findings.machine.gpus.iter().find(|gpu| gpu.name == name).and_then(|gpu| gpu.used);
    memory.saturating_sub(used.unwrap_or(0))
}

/// What a model may take of `free` bytes.
pub fn usable(free: u64) -> u64 {
    ((free as f64 * SHARE) as u64).saturating_sub(FIXED)
}

fn best(size: &Size, free: u64) -> Option<Quantised> {
    let fits = |(name, bits): &(&'static str, f64)| {
        let bytes = (size.parameters * bits / 8.0) as u64 + size.cache * CONTEXT;
        (bytes <= usable(free)).then_some(Quantised { name, bytes })
    };
    QUANTISATIONS.iter().find_map(fits)
}

fn hints(findings: &Findings) -> Vec<String> {
    let mut hints = Vec::new();
    let machine = &findings.machine;
    let reached = findings.backends.iter().flat_map(|backend| &backend.devices).any(|device| device.is_gpu);
    for gpu in machine.gpus.iter().filter(|_| !reached) {
        hints.push(format!(
            "{} is there, and no interface leads to it: its driver may be missing (docs/gpu/backends.md)",
            gpu.name
        ));
    }
    if findings.kernels == "scalar" {
        hints.push(
            "the slowest kernels run, as the processor (or the virtual machine) has no AVX2".to_owned(),
        );
    }
    if findings.available_kernels.last().is_some_and(|best| *best != findings.kernels) {
        hints.push(format!(
            "kernels {} are chosen; the best here are {}",
            findings.kernels,
            findings.available_kernels.last().unwrap_or(&"")
        ));
    }
    if let Some(limit) = &machine.memory.limit {
        hints.push(format!("memory is limited by {}: what goes beyond ends the program", limit.source));
    }
    if machine.numa.len() > 1 {
        hints.push("memory belongs to several nodes: `numactl --cpunodebind=0 --membind=0 torchless ...` keeps a model in one".to_owned());
    }
    if findings.libllama.path.is_none() {
        hints.push(
            "--engine llama.cpp needs libllama: `torchless libllama install` gets one through npm".to_owned(),
        );
    }
    hints
}
