//! Which devices tests ask.

use std::env;
use torchless_device_gpu::Backend;
use torchless_device_gpu::driver::{Driver, Limits, devices, open};

/// The first device of every interface that leads to one here, and the emulated one; says what was not found. With
/// `TORCHLESS_TEST_GPU=opencl:1` or `emulated` that device alone. Panics where a device cannot be opened.
pub fn drivers(limits: &Limits) -> Vec<Box<dyn Driver>> {
    if let Ok(asked) = env::var("TORCHLESS_TEST_GPU") {
        return vec![named(&asked, limits)];
    }
    let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
    for backend in Backend::ALL {
        match devices(backend) {
            Ok(found) if found.is_empty() => eprintln!("skipped on {backend}: it has no device"),
            Ok(_) => drivers.push(opened(backend, 0, limits)),
            Err(error) => eprintln!("skipped on {backend}: {error}"),
        }
    }
    match emulated(limits) {
        Ok(driver) => drivers.push(driver),
        Err(reason) => eprintln!("skipped on the emulated device: {reason}"),
    }
    drivers
}

fn named(asked: &str, limits: &Limits) -> Box<dyn Driver> {
    if asked == "emulated" {
        return emulated(limits).unwrap_or_else(|reason| panic!("TORCHLESS_TEST_GPU={asked}: {reason}"));
    }
    let (name, ordinal) = asked.split_once(':').unwrap_or((asked, "0"));
    let backend = Backend::ALL.into_iter().find(|backend| backend.to_string().eq_ignore_ascii_case(name));
    match (backend, ordinal.parse()) {
        (Some(backend), Ok(ordinal)) => opened(backend, ordinal, limits),
        _ => panic!("TORCHLESS_TEST_GPU={asked}: not a backend and the number of a device"),
    }
}

fn opened(backend: Backend, ordinal: usize, limits: &Limits) -> Box<dyn Driver> {
    open(backend, ordinal, limits).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(unix)]
fn emulated(limits: &Limits) -> Result<Box<dyn Driver>, String> {
    Ok(Box::new(crate::Emulator::new(crate::find_compiler()?, (9, 0), limits)))
}

#[cfg(not(unix))]
fn emulated(_: &Limits) -> Result<Box<dyn Driver>, String> {
    Err("it runs on Unix only".to_owned())
}
