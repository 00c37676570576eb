//! A model whose layers are shared by devices gives what it gives on one, but for the order of sums.

use super::support::{Session, fixtures};
use std::path::{Path, PathBuf};
use torchless_device::{CpuDevice, CpuOptions, Device, Recorder, Sharded, ThroughHost};
use torchless_device_gpu::GpuDevice;
use torchless_device_gpu::driver::Limits;
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

fn shared(devices: Vec<Box<dyn Device>>) -> Box<dyn Device> {
    Box::new(Sharded::new(devices, Box::<ThroughHost>::default()))
}

/// A prompt and one more token.
fn logits(runner: NativeRunner) -> Vec<f32> {
    let mut session = Session::of(runner);
    let mut all = session.step(&[(0, 0, &IDS[..10])]);
    all.extend(session.step(&[(0, 10, &IDS[10..])]));
    all
}

/// Compares so many devices with one.
fn check(path: &Path, counts: &[usize]) {
    let checkpoint = open(path, &OpenOptions::default()).unwrap();
    let alone = logits(runner(&checkpoint, cpu()));
    let largest = alone.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
    for &count in counts {
        let together = logits(runner(&checkpoint, shared((0..count).map(|_| cpu()).collect())));
        let apart = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(alone.len() == together.len(), "{} on {count}", path.display());
        assert!(apart <= 1e-4 * largest, "{} on {count}: {apart} of {largest}", path.display());
    }
}

fn story() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/story/story.gguf")
}

#[test]
fn the_model_inside_is_the_same_on_devices_that_share_it() {
    // Two heads of keys and values: three devices share all but attention, whose heads each of them has.
    check(&story(), &[2, 3, 5]);
}

/// Emulated devices of the kinds that there are; none where there is no C++ compiler.
#[test]
fn gpus_share_the_model_inside() {
    let checkpoint = open(&story(), &OpenOptions::default()).unwrap();
    let alone = logits(runner(&checkpoint, cpu()));
    let gpus = || -> Vec<Box<dyn Device>> {
        let drivers = torchless_gpu_emulator::drivers(&Limits::default());
        let open = |driver| Box::new(GpuDevice::new(driver, Precision::Exact).unwrap()) as Box<dyn Device>;
        drivers.into_iter().filter(|driver| driver.info().name.starts_with("emulated")).map(open).collect()
    };
    let (first, second) = (gpus(), gpus());
    if first.is_empty() {
        eprintln!("skipped: no emulated device");
    }
    for pair in first.into_iter().zip(second) {
        let together = logits(runner(&checkpoint, shared(vec![pair.0, pair.1])));
        let apart = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 2e-3, "{apart}");
    }
}

#[test]
fn every_decoder_is_the_same_on_devices_that_share_it() {
    let Some(fixtures) = fixtures() else { return };
    let folders = std::fs::read_dir(fixtures.join("goldens")).unwrap();
    let mut cases: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    let is_decoder = |case: &PathBuf| {
        open(case, &OpenOptions::default()).is_ok_and(|checkpoint| spec(&checkpoint).is_ok())
    };
    cases.retain(is_decoder);
    assert!(cases.len() > 60, "{} decoders", cases.len());
    cases.iter().for_each(|case| check(case, &[2, 3]));
}

/// Bytes of weights and cache of a model's layers on each of so many devices.
fn layers(count: usize) -> Vec<(u64, u64)> {
    let checkpoint = open(&story(), &OpenOptions::default()).unwrap();
    let recorders: Vec<Recorder> = (0..count).map(|_| Recorder::new()).collect();
    let needs: Vec<_> = recorders.iter().map(Recorder::needs).collect();
    let devices: Vec<Box<dyn Device>> =
        recorders.into_iter().map(|r| Box::new(r) as Box<dyn Device>).collect();
    runner(&checkpoint, if count == 1 { devices.into_iter().next().unwrap() } else { shared(devices) });
    let sums = |needs: &torchless_device::Needs| {
        needs.layers.iter().fold((0, 0), |(weights, cache), l| (weights + l.weights, cache + l.cache))
    };
    needs.iter().map(|needs| sums(&needs.lock().unwrap())).collect()
}

#[test]
fn devices_have_equal_parts_of_layers_and_cache() {
    let [(weights, cache)] = layers(1)[..] else { panic!("one device") };
    let halves = layers(2);
    for (half_of_weights, half_of_cache) in halves {
        // Norms are everywhere.
        assert!(
            (weights / 2..weights / 2 + weights / 50).contains(&half_of_weights),
            "{half_of_weights} of {weights}"
        );
        assert_eq!(half_of_cache, cache / 2);
    }
}
