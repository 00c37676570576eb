//! A model whose parts lie on several devices gives the bits that it gives on one.

use super::support::{Session, fixtures};
use std::path::{Path, PathBuf};
use torchless_device::{CpuDevice, CpuOptions, Device, Parts, Placed};
use torchless_formats::{Checkpoint, OpenOptions, open};
use torchless_kernels::Precision;
use torchless_model::{LoadOptions, NativeRunner, load, spec};

const IDS: [u32; 11] = [3, 7, 1, 9, 4, 4, 2, 8, 6, 5, 3];

fn cpu() -> Box<dyn Device> {
    let options = CpuOptions { kernels: torchless_kernels::best(), threads: 1, precision: Precision::Exact };
    Box::new(CpuDevice::new(options))
}

fn runner(checkpoint: &Checkpoint, device: Box<dyn Device>) -> NativeRunner {
    let spec = spec(checkpoint).unwrap();
    load(checkpoint, spec, device, &LoadOptions::default(), &mut |_, _| {}).unwrap()
}

/// A prompt and one more token.
fn logits(runner: NativeRunner) -> Vec<f32> {
    let mut session = Session::of(runner);
    let mut all = session.step(&[(0, 0, &IDS[..10])]);
    all.extend(session.step(&[(0, 10, &IDS[10..])]));
    all
}

/// The first layers on one device and the last on another, and layer by layer in turn.
fn ways(layers: usize) -> Vec<Parts> {
    let halves = |i: usize| usize::from(2 * i >= layers);
    vec![
        Parts { start: 0, layers: (0..layers).map(halves).collect(), end: 1 },
        Parts { start: 0, layers: (0..layers).map(|i| 1 - i % 2).collect(), end: 0 },
        Parts { start: 1, layers: vec![0; layers], end: 2 },
    ]
}

fn check(path: &Path) {
    let checkpoint = open(path, &OpenOptions::default()).unwrap();
    let alone = logits(runner(&checkpoint, cpu()));
    for parts in ways(spec(&checkpoint).unwrap().layers.len()) {
        let devices = (0..3).map(|_| cpu()).collect();
        let apart = logits(runner(&checkpoint, Box::new(Placed::new(devices, parts.clone()))));
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(&alone) == bits(&apart), "{} {parts:?}", path.display());
    }
}

#[test]
fn the_model_inside_apart_equals_itself_together() {
    check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/story/story.gguf")));
}

#[test]
fn every_decoder_apart_equals_itself_together() {
    let Some(fixtures) = fixtures() else { return };
    let folders = std::fs::read_dir(fixtures.join("goldens")).unwrap();
    let mut cases: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    let mut checked = 0;
    for case in cases {
        let is_decoder = open(&case, &OpenOptions::default()).is_ok_and(|c| spec(&c).is_ok());
        if is_decoder {
            check(&case);
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} decoders");
}
