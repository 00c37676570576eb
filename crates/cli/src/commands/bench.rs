//! `torchless bench`: tokens per second, and what share of the machine that is.

use crate::args::BenchArgs;
use crate::exit::Usage;
use crate::{open, output, progress};
use anyhow::Result;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Instant;
use torchless::{BenchRun, Ceilings, CeilingsOf, Error, MemoryGauge, MemoryUse, Mix, SHAPES, Shape};

/// The type of random weights.
const USUAL_TYPE: &str = "Q4_0";

/// Refuses options on random weights where a model is measured. They conflict with it only by way of `--shape`, which clap passes over.
fn refuse_without_shape(args: &BenchArgs) -> Result<(), Usage> {
    let given = [("--type", args.ty.is_some()), ("--write", args.write.is_some())];
    match given.iter().find(|(_, given)| *given && args.shape.is_none()) {
        Some((option, _)) => {
            Err(Usage(format!("{option} is for random weights: give --shape instead of a model")))
        }
        None => Ok(()),
    }
}

/// Refuses tests that are longer than the context that is asked for.
fn refuse_longer(longest: usize, context: Option<usize>) -> Result<(), Usage> {
    match context.filter(|most| *most < longest) {
        Some(most) => Err(Usage(format!(
            "a test of {longest} positions does not fit into --max-seq-len {most}: leave it out, or give a shorter -p, -n or -d"
        ))),
        None => Ok(()),
    }
}

/// Runs the verb.
pub fn run(args: &BenchArgs) -> Result<()> {
    refuse_without_shape(args)?;
    let tests = tests(args);
    let longest = tests.iter().map(Test::positions).max().unwrap_or(0);
    refuse_longer(longest, args.open.max_seq_len)?;
    if longest == 0 && args.write.is_none() {
        return Err(Usage("nothing to measure: -p and -n are both 0".to_owned()).into());
    }
    let random = args.shape.as_ref().map(|name| RandomModel::new(name, args)).transpose()?;
    if let (Some(model), Some(output)) = (&random, &args.write) {
        torchless::write_whole(output, |out| model.write(out))?;
        return Ok(());
    }
    // It is there for the run alone.
    let random =
        random.map(|model| torchless::write_temporary(&std::env::temp_dir(), |out| model.write(out)));
    let random = random.transpose()?;
    let path = random.as_ref().map(|file| file.path().to_owned()).or_else(|| args.model.clone());
    let source = open::source_as(Some(&path.unwrap_or_default()), &args.open)?;
    let mut options = open::options(&args.open)?;
    options.max_seq_len = Some(args.open.max_seq_len.unwrap_or(longest));
    options.sequences = args.batch;
    let ceilings = Ceilings::measure(&options)?;
    forget_peak();
    let mut bar = progress::LoadProgress::new(!args.json);
    let loading = Instant::now();
    let mut bench = BenchRun::open(&source, &options, &mut |done, total| bar.update(done, total))?;
    let load_seconds = loading.elapsed().as_secs_f64();
    drop(bar);
    open::warn_beyond(longest, bench.spec().context);
    let mut results = Vec::new();
    for test in &tests {
        output::note(&format!("measuring {}...", test.name()));
        results.push(test.measure(&mut bench, args.repetitions)?);
    }
    let facts = Facts { load_seconds, peak: peak_memory(), ceilings };
    if args.json {
        return Ok(output::json(&report(args, &bench, &facts, &results))?);
    }
    for result in &results {
        output::write(&result.line(&bench, &facts.ceilings))?;
    }
    Ok(output::write(&footer(&bench, &facts))?)
}

/// What is known besides speed.
struct Facts {
    load_seconds: f64,
    peak: Option<u64>,
    ceilings: Ceilings,
}

/// A model of random weights.
struct RandomModel {
    shape: &'static Shape,
    mix: Mix,
}

impl RandomModel {
    fn new(name: &str, args: &BenchArgs) -> Result<Self> {
        let known = || SHAPES.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
        let shape = Shape::by_name(name)
            .ok_or_else(|| Usage(format!("no shape '{name}' (there are: {})", known())))?;
        let ty = args.ty.as_deref().unwrap_or(USUAL_TYPE);
        let mix = Mix::from_name(ty)
            .ok_or_else(|| Usage(format!("no type '{ty}' (there are: {})", Mix::names().join(", "))))?;
        Ok(Self { shape, mix })
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        Ok(self.shape.write(self.mix, out)?)
    }
}

/// One thing to measure.
#[derive(Clone, Copy)]
struct Test {
    prompt: usize,
    generate: usize,
    depth: usize,
    batch: usize,
}

/// What came out.
struct Measured {
    test: Test,
    rates: Vec<f64>,
}

fn tests(args: &BenchArgs) -> Vec<Test> {
    let (depth, batch) = (args.depth, args.batch);
    let all = [
        Test { prompt: args.prompt, generate: 0, depth, batch },
        Test { prompt: 0, generate: args.generate, depth, batch },
    ];
    all.into_iter().filter(|t| t.prompt + t.generate > 0).collect()
}

impl Test {
    fn positions(&self) -> usize {
        // More than can be counted is more than is possible, as the model says when it is opened.
        self.depth.saturating_add(self.prompt).saturating_add(self.generate)
    }

    fn name(&self) -> String {
        let mut name =
            if self.prompt > 0 { format!("pp{}", self.prompt) } else { format!("tg{}", self.generate) };
        if self.depth > 0 {
            name += &format!("@d{}", self.depth);
        }
        if self.batch > 1 {
            name += &format!("x{}", self.batch);
        }
        name
    }

    /// One unmeasured run first: pages, caches and clocks come up. Before it some steps, among which weights are packed.
    fn measure(&self, bench: &mut BenchRun, repetitions: usize) -> Result<Measured> {
        let mut rates = Vec::new();
        bench.reset(self.batch);
        bench.decode(self.positions().min(8))?;
        for repetition in 0..=repetitions {
            bench.reset(self.batch);
            bench.prefill(self.depth)?;
            let start = Instant::now();
            bench.prefill(self.prompt)?;
            bench.decode(if repetition == 0 { self.generate.min(8) } else { self.generate })?;
            let tokens = (self.prompt + self.generate) * self.batch;
            if repetition > 0 {
                rates.push(tokens as f64 / start.elapsed().as_secs_f64());
            }
        }
        Ok(Measured { test: *self, rates })
    }
}

impl Measured {
    fn median(&self) -> f64 {
        let mut sorted = self.rates.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n % 2 == 1 { sorted[n / 2] } else { (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0 }
    }

    fn spread(&self) -> (f64, f64) {
        self.rates.iter().fold((f64::INFINITY, 0.0), |(lo, hi), &r| (lo.min(r), hi.max(r)))
    }

    /// Bytes that one decoded step reads, over the whole batch.
    fn bytes_per_step(&self, bench: &BenchRun) -> u64 {
        let middle = self.test.depth + self.test.generate / 2;
        bench.weight_bytes_per_step() + bench.cache_bytes_per_token() * (middle * self.test.batch) as u64
    }

    /// GB/s of a decode, or GOP/s of a prefill, and its share of what the machine can do.
    fn use_of_machine(&self, bench: &BenchRun, ceilings: &Ceilings) -> (f64, f64) {
        if self.test.prompt > 0 {
            let gops = self.median() * bench.ops_per_token() as f64 / 1e9;
            (gops, gops / bench.ceiling_gops(ceilings))
        } else {
            let gbps = self.median() / self.test.batch as f64 * self.bytes_per_step(bench) as f64 / 1e9;
            (gbps, gbps / ceilings.read_gbps)
        }
    }

    fn line(&self, bench: &BenchRun, ceilings: &Ceilings) -> String {
        let (low, high) = self.spread();
        let (rate, share) = self.use_of_machine(bench, ceilings);
        let rate = match self.test.prompt {
            0 => format!("{rate:.1} GB/s at {} a step", output::size(self.bytes_per_step(bench))),
            _ => operations(rate),
        };
        let (name, share) = (self.test.name(), share * 100.0);
        let whose = if ceilings.of == CeilingsOf::Cpu { "machine" } else { "device" };
        format!(
            "{name:<16} {:>9.2} tok/s  ({low:.2} to {high:.2})  {rate}, {share:.0} % of this {whose}\n",
            self.median()
        )
    }

    fn json(&self, bench: &BenchRun, ceilings: &Ceilings) -> Value {
        let (rate, share) = self.use_of_machine(bench, ceilings);
        let (low, high) = self.spread();
        let unit = if self.test.prompt > 0 { "tflops" } else { "gbps" };
        let rate = if self.test.prompt > 0 { rate / 1e3 } else { rate };
        json!({
            "test": self.test.name(), "n_prompt": self.test.prompt, "n_gen": self.test.generate,
            "n_depth": self.test.depth, "n_batch": self.test.batch, "tokens_per_second": self.rates,
            "median": self.median(), "min": low, "max": high, unit: rate, "share_of_ceiling": share,
            "bytes_per_step": self.bytes_per_step(bench),
        })
    }
}

fn report(args: &BenchArgs, bench: &BenchRun, facts: &Facts, results: &[Measured]) -> Value {
    let c = &facts.ceilings;
    let model = args.model.as_ref().map(|m| m.display().to_string()).or_else(|| args.shape.clone());
    json!({
        "model": model, "device": bench.device_name(), "threads": bench.threads(),
        "weight_bytes": bench.weight_bytes(), "bytes_per_token": bench.weight_bytes_per_step(),
        "load_seconds": facts.load_seconds,
        "ceilings": { "read_gbps": c.read_gbps, "int8_gops": c.int8_gops, "f32_gflops": c.f32_gflops, "half_gflops": c.half_gflops },
        "results": results.iter().map(|r| r.json(bench, &facts.ceilings)).collect::<Vec<_>>(),
        "peak_rss_bytes": facts.peak,
        "device_memory": bench.memory().iter().map(memory_json).collect::<Vec<_>>(),
    })
}

fn footer(bench: &BenchRun, facts: &Facts) -> String {
    let c = &facts.ceilings;
    let measured = match c.of {
        CeilingsOf::Cpu => format!(
            "this machine, measured just now: {:.1} GB/s read; {} int8, {} f32, {} f16 and bf16",
            c.read_gbps,
            operations(c.int8_gops),
            operations(c.f32_gflops),
            operations(c.half_gflops)
        ),
        CeilingsOf::Gpu => format!(
            "this device, measured just now: {:.1} GB/s copied; {} in a product of halves",
            c.read_gbps,
            operations(c.f32_gflops)
        ),
    };
    let memory: String = bench.memory().iter().map(|gauge| format!("memory of {gauge}\n")).collect();
    format!(
        "{}; {} read per token; loaded in {:.2} s; peak memory {}\n{memory}{measured}\n",
        bench.device_name(),
        output::size(bench.weight_bytes_per_step()),
        facts.load_seconds,
        facts.peak.map_or("unknown".to_owned(), output::size),
    )
}

/// Multiplications and additions, from 10^9 of them per second.
fn operations(giga: f64) -> String {
    if giga < 1e3 { format!("{giga:.1} GFLOP/s") } else { format!("{:.2} TFLOP/s", giga / 1e3) }
}

fn memory_json(gauge: &MemoryGauge) -> Value {
    let numbers = gauge.read();
    let used = |what| numbers.used(what);
    json!({
        "device": gauge.device(), "limit": numbers.limit, "held": numbers.held(), "in_use": numbers.in_use(),
        "weights": used(MemoryUse::Weights), "cache": used(MemoryUse::Cache),
        "activations": used(MemoryUse::Activations), "scratch": used(MemoryUse::Scratch),
        "kept": numbers.kept, "most": numbers.most, "pressed_out": numbers.pressed_out,
    })
}

/// The probes of the machine needed memory of their own, which is given back by now. Elsewhere than on Linux it counts.
fn forget_peak() {
    // A system that refuses leaves the figure as it was.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Largest resident set so far, where the system says.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
