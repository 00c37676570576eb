//! What the tests of whole models share: where fixtures are, and a runner driven by hand.

use std::path::{Path, PathBuf};
use torchless::{ModelOptions, Place, Placement, Residency, RunPrecision, Source, open_runner};
use torchless_base::{BlockId, Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_model::NativeRunner;

/// The folder of extra fixtures; `None`, said aloud, where there is none.
pub fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
    }
    folder
}

/// Raw little-endian f32.
pub fn floats(path: &Path) -> Vec<f32> {
    floats_of(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// The same from memory.
pub fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Largest distance of two lists of the same length.
pub fn max_distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "as many values on both sides");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) })
}

/// Root of the mean square distance.
pub fn rms_distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many values on both sides");
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

/// The first largest value.
pub fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (i, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = i;
        }
    }
    best as u32
}

/// Exact options with one thread; tests change what they are about.
pub fn exact() -> ModelOptions {
    ModelOptions { precision: RunPrecision::Exact, threads: Some(1), ..ModelOptions::default() }
}

/// All ways to run that must agree: every table of kernels, resident and mapped; exact runs on every kind of GPU too.
pub fn ways(base: &ModelOptions) -> Vec<ModelOptions> {
    let mut all = if base.precision == RunPrecision::Exact { on_gpus(base) } else { Vec::new() };
    for table in torchless_kernels::available() {
        for residency in [Residency::Resident, Residency::Mapped { limit: None }] {
            all.push(ModelOptions { kernels: Some(table.name.to_owned()), residency, ..base.clone() });
        }
    }
    all
}

/// On the GPU that `TORCHLESS_TEST_GPU` names, such as `cuda:0`; otherwise on the first of each kind that is found.
pub fn on_gpus(base: &ModelOptions) -> Vec<ModelOptions> {
    let on = |backend, device| {
        let placement =
            Placement { place: Place::Gpu(backend), devices: vec![device], ..Placement::default() };
        ModelOptions { placement, ..base.clone() }
    };
    let all = torchless_device_gpu::driver::list();
    if let Ok(asked) = std::env::var("TORCHLESS_TEST_GPU") {
        let (name, device) = asked.split_once(':').unwrap_or((&asked, "0"));
        let named = all.iter().find(|found| found.backend.to_string().eq_ignore_ascii_case(name));
        return vec![on(named.expect("a backend's name").backend, device.parse().expect("a number"))];
    }
    let usable = all.iter().filter(|found| match &found.devices {
        Ok(devices) => !devices.is_empty(),
        Err(e) => {
            eprintln!("skipped on {}: {e}", found.backend);
            false
        }
    });
    usable.map(|found| on(found.backend, 0)).collect()
}

/// A runner and what is in its cache.
pub struct Session {
    pub runner: NativeRunner,
    plan: StepPlan,
    logits: Logits,
}

impl Session {
    pub fn open(path: &Path, options: &ModelOptions) -> Self {
        Self::try_open(path, options).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn try_open(path: &Path, options: &ModelOptions) -> Result<Self, torchless::Error> {
        let source = Source::Path(path.to_owned());
        let checkpoint = source.checkpoint()?;
        let runner = open_runner(&source, &checkpoint, options, &mut |_, _| {})?;
        Ok(Self::of(runner))
    }

    pub fn of(runner: NativeRunner) -> Self {
        Self { runner, plan: StepPlan::default(), logits: Logits::default() }
    }

    /// The blocks of sequence `seq`: each has as many as a sequence of full length needs.
    fn blocks(&self, seq: u32) -> Vec<BlockId> {
        let info = self.runner.info();
        let each = info.max_seq_len.div_ceil(info.block_len) as u32;
        (seq * each..(seq + 1) * each).map(BlockId).collect()
    }

    /// Runs one step of several sequences: (sequence, first position, tokens). Logits of every position.
    pub fn step(&mut self, slices: &[(u32, usize, &[u32])]) -> Vec<f32> {
        self.step_of(slices, 0)
    }

    /// The same, where each sequence has so many known tokens.
    fn step_of(&mut self, slices: &[(u32, usize, &[u32])], known: usize) -> Vec<f32> {
        self.run(slices, (Wanted::All, known));
        self.logits.as_slice().to_vec()
    }

    /// What a step of several sequences gives where so much is wanted of each.
    pub fn step_wanting(&mut self, slices: &[(u32, usize, &[u32])], wanted: Wanted) -> Logits {
        self.run(slices, (wanted, 0));
        self.logits.clone()
    }

    fn run(&mut self, slices: &[(u32, usize, &[u32])], (wanted, known): (Wanted, usize)) {
        self.plan.clear();
        for &(seq, start, ids) in slices {
            let tokens: Vec<_> = ids.iter().map(|&id| TokenId(id)).collect();
            let blocks = self.blocks(seq);
            self.plan.push((SeqId(seq), start), &tokens, &blocks, wanted);
            self.plan.announce(known);
        }
        self.runner.step(&self.plan, &mut self.logits).unwrap();
    }

    /// Logits of every position of one fresh sequence, in chunks of `chunk` tokens.
    pub fn prefill(&mut self, ids: &[u32], chunk: usize) -> Vec<f32> {
        let mut all = Vec::new();
        for (i, part) in ids.chunks(chunk).enumerate() {
            all.extend(self.step_of(&[(0, i * chunk, part)], ids.len()));
        }
        all
    }

    /// Greedy continuation of a fresh sequence.
    pub fn greedy(&mut self, ids: &[u32], n: usize) -> Vec<u32> {
        let vocab = self.runner.info().vocab;
        let turning_point = self.runner.info().turning_point;
        let mut known = ids.to_vec();
        let mut logits = self.prefill(ids, 512);
        while known.len() < ids.len() + n {
            known.push(argmax(&logits[logits.len() - vocab..]));
            let at = known.len() - 1;
            let turns = turning_point == Some(at);
            logits = if turns { self.prefill(&known, 512) } else { self.step(&[(0, at, &known[at..])]) };
        }
        known.split_off(ids.len())
    }
}
