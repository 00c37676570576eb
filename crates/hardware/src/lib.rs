//! What this machine is: processor, memory, graphics processors, and which build of a library suits them.

#![deny(unsafe_code)]

mod arm_cores;
mod cores;
mod detect;
mod features;
mod gpu;
pub mod linux;
mod machine;
pub mod macos;
#[cfg(target_os = "macos")]
mod metal;
mod microarchitecture;
mod nvml;
pub mod windows;

pub use arm_cores::{ArmCore, arm_core};
pub use cores::{CoreKind, CoreSet, LogicalProcessor, parse_list};
pub use detect::{cpu, detect, usable_cores};
pub use features::{CpuidTable, Features, Isa};
pub use gpu::{Gpu, GpuVendor};
pub use machine::{
    Cache, CacheKind, Cores, Cpu, CpuVendor, Machine, Memory, MemoryLimit, NumaNode, OperatingSystem,
};
pub use microarchitecture::{Identity, MICROARCHITECTURES, Microarchitecture, identify};
