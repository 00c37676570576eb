//! A [`Driver`](torchless_device_gpu::driver::Driver) that runs kernels in the dialect of CUDA on the CPU, so that their results can
//! be tested without a GPU.
//!
//! Programs are compiled by the machine's C++ compiler together with `emulate.h` of the device's crate, which says what the instructions
//! of a GPU do, and loaded. It is for tests: no other crate ships with it, and it shows what is computed, not how fast.

#[cfg(unix)]
mod compile;
#[cfg(unix)]
mod emulator;
#[cfg(unix)]
mod library;
#[cfg(unix)]
mod memory;
mod under_test;

#[cfg(unix)]
pub use compile::{Compiler, find_compiler};
#[cfg(unix)]
pub use emulator::Emulator;
pub use under_test::{drivers, drivers_of_every_overlay};
