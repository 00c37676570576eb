//! A model whose layers are shared by devices gives what it gives on one, but for the order of sums.

use super::listed::lists_begin_rows;
use super::on_devices::{cpu, golden_decoders, loaded, logits, runner};
use super::support::{Session, fixtures};
use std::path::{Path, PathBuf};
use torchless_device::{Device, Recorder, Sharded, ThroughHost};
use torchless_device_gpu::GpuDevice;
use torchless_device_gpu::driver::Limits;
use torchless_formats::{OpenOptions, open};
use torchless_kernels::Precision;
use torchless_model::{LoadOptions, RunnerOptions};

pub fn shared(devices: Vec<Box<dyn Device>>) -> Box<dyn Device> {
    Box::new(Sharded::new(devices, Box::<ThroughHost>::default()))
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

/// Pairs of emulated devices of the kinds that there are; none where there is no C++ compiler.
fn emulated_pairs() -> Vec<Box<dyn Device>> {
    let gpus = || -> Vec<Box<dyn Device>> {
        let drivers = torchless_gpu_emulator::drivers(&Limits::default());
        let open = |driver| Box::new(GpuDevice::new(driver, Precision::Exact).unwrap()) as Box<dyn Device>;
        drivers.into_iter().filter(|driver| driver.info().name.starts_with("emulated")).map(open).collect()
    };
    let pairs: Vec<_> = gpus().into_iter().zip(gpus()).map(|(a, b)| shared(vec![a, b])).collect();
    if pairs.is_empty() {
        eprintln!("skipped: no emulated device");
    }
    pairs
}

#[test]
fn gpus_share_the_model_inside() {
    let checkpoint = open(&story(), &OpenOptions::default()).unwrap();
    let alone = logits(runner(&checkpoint, cpu()));
    for pair in emulated_pairs() {
        let together = logits(runner(&checkpoint, pair));
        let apart = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 2e-3, "{apart}");
    }
}

#[test]
fn gpus_that_share_the_head_list_what_whole_rows_begin_with() {
    let checkpoint = open(&story(), &OpenOptions::default()).unwrap();
    let room = RunnerOptions { sequences: 4, max_seq_len: Some(32), ..RunnerOptions::default() };
    let options = LoadOptions { runner: room, ..LoadOptions::default() };
    for pair in emulated_pairs() {
        lists_begin_rows(&mut Session::of(loaded(&checkpoint, pair, &options)), 5);
    }
}

#[test]
fn every_decoder_is_the_same_on_devices_that_share_it() {
    golden_decoders().iter().for_each(|case| check(case, &[2, 3]));
}

/// Bytes of weights and cache of a model's layers on each of so many devices.
fn layers(path: &Path, count: usize) -> Vec<(u64, u64)> {
    let checkpoint = open(path, &OpenOptions::default()).unwrap();
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
    let [(weights, cache)] = layers(&story(), 1)[..] else { panic!("one device") };
    let halves = layers(&story(), 2);
    for (half_of_weights, half_of_cache) in halves {
        // Norms are everywhere.
        assert!(
            (weights / 2..weights / 2 + weights / 50).contains(&half_of_weights),
            "{half_of_weights} of {weights}"
        );
        assert_eq!(half_of_cache, cache / 2);
    }
}

/// What leads to latents is everywhere, and so are they; the heads that read them are not, nor is the rest of a layer.
#[test]
fn devices_have_some_of_the_heads_that_read_latents() {
    let Some(fixtures) = fixtures() else { return };
    let path = fixtures.join("goldens/deepseek_v2");
    let [(weights, cache)] = layers(&path, 1)[..] else { panic!("one device") };
    for (half_of_weights, half_of_cache) in layers(&path, 2) {
        assert!(half_of_weights < weights * 3 / 5, "{half_of_weights} of {weights}");
        assert_eq!(half_of_cache, cache);
    }
}
