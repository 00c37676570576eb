//! Models on devices that a test puts together.

use super::support::{Session, fixtures};
use std::path::PathBuf;
use torchless_device::{CpuDevice, CpuOptions, Device};
use torchless_formats::{Checkpoint, OpenOptions, open};
use torchless_kernels::Precision;
use torchless_model::{LoadOptions, NativeRunner, load, spec};

const IDS: [u32; 11] = [3, 7, 1, 9, 4, 4, 2, 8, 6, 5, 3];

/// A device for exact runs.
pub fn cpu() -> Box<dyn Device> {
    let options = CpuOptions { kernels: torchless_kernels::best(), threads: 1, precision: Precision::Exact };
    Box::new(CpuDevice::new(options))
}

/// A model on a device.
pub fn runner(checkpoint: &Checkpoint, device: Box<dyn Device>) -> NativeRunner {
    loaded(checkpoint, device, &LoadOptions::default())
}

/// The same with options.
pub fn loaded(checkpoint: &Checkpoint, device: Box<dyn Device>, options: &LoadOptions<'_>) -> NativeRunner {
    load(checkpoint, spec(checkpoint).unwrap(), device, options, &mut |_, _| {}).unwrap()
}

/// Logits of a prompt and of one more token.
pub fn logits(runner: NativeRunner) -> Vec<f32> {
    let mut session = Session::of(runner);
    let mut all = session.step(&[(0, 0, &IDS[..10])]);
    all.extend(session.step(&[(0, 10, &IDS[10..])]));
    all
}

/// The decoders among the golden outputs, more than sixty; none where there are no fixtures.
pub fn golden_decoders() -> Vec<PathBuf> {
    let Some(fixtures) = fixtures() else { return Vec::new() };
    let folders = std::fs::read_dir(fixtures.join("goldens")).unwrap();
    let mut cases: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    let is_decoder = |case: &PathBuf| {
        open(case, &OpenOptions::default()).is_ok_and(|checkpoint| spec(&checkpoint).is_ok())
    };
    cases.retain(is_decoder);
    assert!(cases.len() > 60, "{} decoders", cases.len());
    cases
}
