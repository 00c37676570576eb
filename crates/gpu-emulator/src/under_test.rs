//! Which devices tests ask.

use std::env;
use torchless_device_gpu::Backend;
use torchless_device_gpu::driver::{Dialect, Driver, Limits, devices, open};

/// What is emulated: CUDA's newest and oldest capability whose instructions kernels use, both sizes of HIP's waves, Metal.
const DIALECTS: [Dialect; 5] =
    [Dialect::Cuda(9, 0), Dialect::Cuda(7, 5), Dialect::Hip(32), Dialect::Hip(64), Dialect::Metal];

/// The first device of every interface that leads to one here, and an emulated one; says what was not found. With
/// `TORCHLESS_TEST_GPU=opencl:1`, `emulated` or `emulated:7.5` that device alone. Panics where a device cannot be opened.
pub fn drivers(limits: &Limits) -> Vec<Box<dyn Driver>> {
    with_emulated(limits, &DIALECTS[..1])
}

/// As [`drivers`], with an emulated device for every set of instructions that kernels are written for.
pub fn drivers_of_every_overlay(limits: &Limits) -> Vec<Box<dyn Driver>> {
    with_emulated(limits, &DIALECTS)
}

fn with_emulated(limits: &Limits, dialects: &[Dialect]) -> Vec<Box<dyn Driver>> {
    if let Ok(asked) = env::var("TORCHLESS_TEST_GPU") {
        return named(&asked, limits, dialects);
    }
    let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
    for backend in Backend::ALL {
        match devices(backend) {
            Ok(found) if found.is_empty() => eprintln!("skipped on {backend}: it has no device"),
            Ok(_) => drivers.push(opened(backend, 0, limits)),
            Err(error) => eprintln!("skipped on {backend}: {error}"),
        }
    }
    match emulated(limits, dialects) {
        Ok(emulated) => drivers.extend(emulated),
        Err(reason) => eprintln!("skipped on emulated devices: {reason}"),
    }
    drivers
}

fn named(asked: &str, limits: &Limits, dialects: &[Dialect]) -> Vec<Box<dyn Driver>> {
    let (name, which) = asked.split_once(':').unwrap_or((asked, ""));
    if name == "emulated" {
        let all = emulated(limits, if which.is_empty() { dialects } else { &DIALECTS });
        let mut all = all.unwrap_or_else(|reason| panic!("TORCHLESS_TEST_GPU={asked}: {reason}"));
        all.retain(|driver| driver.info().name.ends_with(which));
        assert!(!all.is_empty(), "TORCHLESS_TEST_GPU={asked}: emulated are {DIALECTS:?}");
        return all;
    }
    let backend = Backend::ALL.into_iter().find(|backend| backend.to_string().eq_ignore_ascii_case(name));
    match (backend, if which.is_empty() { Ok(0) } else { which.parse() }) {
        (Some(backend), Ok(ordinal)) => vec![opened(backend, ordinal, limits)],
        _ => panic!("TORCHLESS_TEST_GPU={asked}: not a backend and the number of a device"),
    }
}

fn opened(backend: Backend, ordinal: usize, limits: &Limits) -> Box<dyn Driver> {
    open(backend, ordinal, limits).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(unix)]
fn emulated(limits: &Limits, dialects: &[Dialect]) -> Result<Vec<Box<dyn Driver>>, String> {
    let compiler = crate::find_compiler()?;
    let device = |&dialect: &Dialect| {
        Box::new(crate::Emulator::new(compiler.clone(), dialect, limits)) as Box<dyn Driver>
    };
    Ok(dialects.iter().map(device).collect())
}

#[cfg(not(unix))]
fn emulated(_: &Limits, _: &[Dialect]) -> Result<Vec<Box<dyn Driver>>, String> {
    Err("it runs on Unix only".to_owned())
}
