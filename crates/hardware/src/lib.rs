//! What this machine is: processor, memory, graphics processors, and which build of a library suits them.
//!
//! [`detect`] looks at the machine it runs on, [`get_cpu_variant`] names the build of libllama that was made for its processor, and
//! [`get_optimal_binary`] finds the best one in a folder of builds. Looking never fails: what cannot be read is missing, and
//! [`Machine::notes`] says so. Files and system calls are read in `linux`, `macos`, `windows` and `nvml`; what they mean is decided
//! by functions of text and tables, so that machines that are not here can be tested.

#![deny(unsafe_code)]

mod arm_cores;
mod cores;
mod detect;
mod features;
mod gpu;
mod library_files;
pub mod linux;
mod machine;
pub mod macos;
#[cfg(target_os = "macos")]
mod metal;
mod microarchitecture;
mod nvml;
mod selection;
mod variants;
pub mod windows;

pub use arm_cores::{ArmCore, arm_core};
pub use cores::{CoreKind, CoreSet, LogicalProcessor, parse_list};
pub use detect::{cpu, detect, memory, usable_cores};
pub use features::{CpuidTable, Features, Isa};
pub use gpu::{Gpu, GpuVendor};
pub use library_files::{
    Installed, data_folder, installed_libraries, is_library_name, libraries_folder, newest_library,
    package_platform,
};
pub use machine::{
    Cache, CacheKind, Cores, Cpu, CpuVendor, Machine, Memory, MemoryLimit, NumaNode, OperatingSystem,
};
pub use microarchitecture::{Identity, MICROARCHITECTURES, Microarchitecture, identify};
pub use selection::{
    Candidate, Choice, Kind, PassedOver, SelectError, candidates, choose, get_cpu_variant, get_optimal_binary,
};
pub use variants::{CPU_VARIANTS, CpuVariant, GPU_VARIANTS, GpuVariant, Suited, cpu_variants};
