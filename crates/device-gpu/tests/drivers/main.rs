//! What every driver has to do, asked of each one that works on this machine.
//!
//! `TORCHLESS_TEST_GPU=opencl:1` or `emulated` asks one device only, and fails where it cannot be opened.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod suite;

use torchless_device_gpu::driver::{Driver, Limits};
use torchless_gpu_emulator::drivers;

/// Runs a check on every device that is asked for; says so where there is none.
fn on_every_driver(check: &dyn Fn(&mut dyn Driver)) {
    on_every_driver_within(&Limits::default(), check);
}

fn on_every_driver_within(limits: &Limits, check: &dyn Fn(&mut dyn Driver)) {
    drivers(limits).iter_mut().for_each(|driver| check(&mut **driver));
}
