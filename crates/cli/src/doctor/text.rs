//! The doctor's findings for people: names at the margin, and what belongs to them beside.

use super::advice::{Advice, CONTEXT, Quantised};
use super::findings::Findings;
use super::verdict::{Place, Verdict};
use crate::output::size;
use std::fmt::Write as _;
use torchless::hardware::{Cache, CacheKind, Cores, Gpu, Machine};

/// Where what belongs to a name begins.
const MARGIN: usize = 11;
/// Where lists of words are broken.
const WIDTH: usize = 110;

/// The whole report.
pub fn report(findings: &Findings, advice: &Advice, verdict: Option<&Verdict>) -> String {
    let mut out = Rows::default();
    machine(&mut out, &findings.machine);
    programs(&mut out, findings);
    out.text.push('\n');
    advised(&mut out, advice);
    if let Some(verdict) = verdict {
        out.text.push('\n');
        judged(&mut out, verdict);
    }
    out.text
}

/// Lines behind names; a name that repeats is left out.
#[derive(Default)]
struct Rows {
    text: String,
    last: &'static str,
}

impl Rows {
    fn add(&mut self, name: &'static str, line: &str) {
        let shown = if self.last == name { "" } else { name };
        self.last = name;
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{}", format!("{shown:MARGIN$}{line}").trim_end());
    }

    fn words<'a>(&mut self, name: &'static str, words: impl Iterator<Item = &'a str>) {
        let mut line = String::new();
        for word in words {
            if MARGIN + line.len() + word.len() > WIDTH {
                self.add(name, &line);
                line.clear();
            }
            line += word;
            line.push(' ');
        }
        self.add(name, if line.is_empty() { "none that is known here" } else { &line });
    }
}

fn machine(out: &mut Rows, machine: &Machine) {
    let cpu = &machine.cpu;
    out.add("system", &format!("{}, {}", machine.os.name(), cpu.isa.name()));
    let design = cpu.microarchitecture.map_or("design not known", |design| design.name);
    let name = if cpu.name.is_empty() { "without a name" } else { &cpu.name };
    out.add("cpu", &format!("{name} ({}, {design})", cpu.vendor));
    cpu.basis.iter().for_each(|line| out.add("cpu", line));
    out.words("features", cpu.features.iter());
    out.add("cores", &cores(&cpu.cores));
    out.add("caches", &cpu.caches.iter().map(cache).collect::<Vec<_>>().join(", "));
    let memory = &machine.memory;
    out.add("memory", &format!("{}, of which {} are available", size(memory.total), size(memory.available)));
    if let Some(limit) = &memory.limit {
        out.add(
            "memory",
            &format!("limited to {}, {} in use ({})", size(limit.bytes), size(limit.used), limit.source),
        );
    }
    for node in machine.numa.iter().filter(|_| machine.numa.len() > 1) {
        let line = format!(
            "node {}: {} with processors {}",
            node.number,
            size(node.memory),
            ranges(&node.processors)
        );
        out.add("numa", &line);
    }
    if machine.gpus.is_empty() {
        out.add("gpus", "none found");
    }
    machine.gpus.iter().for_each(|gpu| out.add("gpus", &gpu_line(gpu)));
    machine.notes.iter().for_each(|note| out.add("notes", note));
}

fn cores(cores: &Cores) -> String {
    let kinds = match (cores.performance, cores.efficiency) {
        (0, 0) => String::new(),
        (fast, slow) => format!(" ({fast} for speed, {slow} for saving power)"),
    };
    let Cores { physical, logical, allowed, usable, .. } = cores;
    format!(
        "{physical} physical{kinds}, {logical} logical; {allowed} may be used at once, {usable} are worth using"
    )
}

fn cache(cache: &Cache) -> String {
    let kind = match cache.kind {
        CacheKind::Data => "d",
        CacheKind::Instruction => "i",
        CacheKind::Unified => "",
    };
    let times = if cache.instances > 1 { format!("{} x ", cache.instances) } else { String::new() };
    format!("L{}{kind} {times}{}", cache.level, size(cache.bytes))
}

fn gpu_line(gpu: &Gpu) -> String {
    let memory = match (gpu.memory, gpu.used) {
        (Some(memory), Some(used)) => format!(", {} of which {} are in use", size(memory), size(used)),
        (Some(memory), None) => format!(", {}", size(memory)),
        (None, _) => String::new(),
    };
    let shared = if gpu.shares_memory { ", in the machine's memory" } else { "" };
    let capability = gpu
        .compute_capability
        .map_or(String::new(), |(major, minor)| format!(", compute capability {major}.{minor}"));
    let driver = gpu.driver.as_deref().map_or(String::new(), |driver| format!(", {driver}"));
    format!("{}{memory}{shared}{capability}{driver} ({})", gpu.name, gpu.source)
}

/// `0-3,8`.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

fn programs(out: &mut Rows, findings: &Findings) {
    let available = findings.available_kernels.join(", ");
    out.add("kernels", &format!("{} (this processor runs {available})", findings.kernels));
    for backend in &findings.backends {
        let name = &backend.name;
        backend.devices.iter().for_each(|device| out.add("backends", &format!("{name:<6}  {}", device.line)));
        if let Some(error) = &backend.error {
            out.add("backends", &format!("{name:<6}  {error}"));
        }
    }
    let libllama = &findings.libllama;
    match &libllama.path {
        Some(path) => out.add("libllama", &format!("{path} ({})", libllama.reason)),
        None => out.add("libllama", &format!("none: {}", libllama.reason)),
    }
    let found =
        format!("a folder of builds is searched for {} first: {}", libllama.variant, libllama.variant_reason);
    out.add("libllama", &found);
}

fn advised(out: &mut Rows, advice: &Advice) {
    out.add("advice", &format!("--backend {}: {}", advice.backend, advice.backend_reason));
    out.add("advice", &format!("--threads {}: {}", advice.threads, advice.threads_reason));
    advice.hints.iter().for_each(|hint| out.add("advice", hint));
    let has_gpu = advice.backend != "cpu";
    out.add(
        "fits",
        &format!(
            "best quantisation with a context of {CONTEXT}{}",
            if has_gpu { ", in memory and on the GPU" } else { "" }
        ),
    );
    for fit in &advice.fits {
        let gpu = if has_gpu { quantised(fit.gpu.as_ref()) } else { String::new() };
        out.add("fits", &format!("{:>4}  {:<22}{gpu}", fit.size, quantised(fit.memory.as_ref())));
    }
}

fn quantised(quantised: Option<&Quantised>) -> String {
    quantised.map_or("none".to_owned(), |best| format!("{:<7}{:>9}", best.name, size(best.bytes)))
}

fn judged(out: &mut Rows, verdict: &Verdict) {
    let needs = &verdict.needs;
    out.add(
        "model",
        &format!(
            "{}: {}, {} layers, weights {}",
            needs.path,
            needs.architecture,
            needs.layers,
            size(needs.weights)
        ),
    );
    let trained = needs.caches.last().map_or(0, |(positions, _)| *positions);
    verdict.places.iter().for_each(|place| out.add("model", &place_line(place, trained, needs.layers)));
    verdict.hints.iter().for_each(|hint| out.add("model", hint));
}

fn place_line(place: &Place, trained: usize, layers: usize) -> String {
    let (bytes, usable) = (size(place.bytes), size(place.usable));
    match place.context {
        Some(context) if context == trained => {
            format!("{}: fits with its whole context of {trained}: {bytes} of {usable}", place.place)
        }
        Some(context) => {
            format!("{}: fits with a context of {context} of {trained}: {bytes} of {usable}", place.place)
        }
        None => format!(
            "{}: does not fit: {bytes} are needed, {usable} can be had; {} of {layers} layers fit",
            place.place, place.layers
        ),
    }
}

#[cfg(test)]
mod tests;
