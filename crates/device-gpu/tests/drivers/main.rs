//! What every driver has to do, asked of each one that works on this machine.
//!
//! `TORCHLESS_TEST_GPU=opencl:1` asks one device only, and fails where it cannot be opened.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod suite;

use std::env;

use torchless_device_gpu::Backend;
use torchless_device_gpu::driver::{Driver, Limits, devices, open};

/// Runs a check on every device that is asked for; says so where there is none.
fn on_every_driver(check: &dyn Fn(&mut dyn Driver)) {
    on_every_driver_within(&Limits::default(), check);
}

fn on_every_driver_within(limits: &Limits, check: &dyn Fn(&mut dyn Driver)) {
    if let Ok(asked) = env::var("TORCHLESS_TEST_GPU") {
        let (backend, ordinal) = parse(&asked);
        return check(&mut *open(backend, ordinal, limits).unwrap());
    }
    for backend in Backend::ALL {
        match devices(backend) {
            Ok(_) => check(&mut *open(backend, 0, limits).unwrap()),
            Err(error) => eprintln!("skipped on {backend}: {error}"),
        }
    }
    #[cfg(unix)]
    match torchless_gpu_emulator::find_compiler() {
        Ok(compiler) => check(&mut torchless_gpu_emulator::Emulator::new(compiler, (9, 0), limits)),
        Err(reason) => eprintln!("skipped on the emulated device: {reason}"),
    }
}

fn parse(asked: &str) -> (Backend, usize) {
    let (name, ordinal) = asked.split_once(':').unwrap_or((asked, "0"));
    let backend = Backend::ALL.into_iter().find(|backend| backend.to_string().eq_ignore_ascii_case(name));
    (backend.expect("TORCHLESS_TEST_GPU names a backend"), ordinal.parse().expect("a number after the colon"))
}
