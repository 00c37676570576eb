//! What the vendor of a GPU has to bring: memory, programs, launches. Everything above exists once.
//!
//! Work is done in the order in which it is asked for. Calls may return before it is done; [`Driver::read`] and
//! [`Driver::finish`] wait.

mod budget;
mod compiled;
mod cuda;
mod first;
#[cfg(target_os = "macos")]
mod metal;
mod open;
mod opencl;
mod opened;
mod parameters;

pub use cuda::ahead;
pub use first::{MEMORY_FRACTION, first_gpu, open_within};
pub use open::{Found, Limits, devices, list, measured_free, open, usual_folder};
pub use opened::{Opened, Shortage};

use crate::source::Program;
use crate::{Backend, GpuError};
use torchless_device::{Exchange, Lent, ThroughHost};

/// What adds up for devices of one interface that compute at once: the library of their vendor, or the host where there is none such.
///
/// # Errors
/// The vendor's library is not there, or refuses the devices.
pub fn exchange(backend: Backend, ordinals: &[usize]) -> Result<Box<dyn Exchange>, GpuError> {
    match backend {
        Backend::Cuda => Ok(Box::new(cuda::Collective::open(cuda::Vendor::Nvidia, ordinals)?)),
        Backend::Rocm => Ok(Box::new(cuda::Collective::open(cuda::Vendor::Amd, ordinals)?)),
        Backend::Metal | Backend::OpenCl => Ok(Box::<ThroughHost>::default()),
    }
}

/// Memory on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryId(pub u32);

/// A compiled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub u32);

/// One kernel of a compiled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelId(pub u32);

/// A place in memory, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which memory.
    pub memory: MemoryId,
    /// Bytes from its start.
    pub offset: u64,
}

impl Place {
    /// Panics if `bytes` bytes from here do not lie in a memory of `size` bytes.
    fn check(self, bytes: u64, size: u64) {
        let end = self.offset.checked_add(bytes);
        assert!(
            end.is_some_and(|end| end <= size),
            "{bytes} bytes at {} do not lie in memory of {size} bytes",
            self.offset
        );
    }
}

/// How the source of kernels is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// CUDA C++, for devices of this compute capability (major, minor).
    Cuda(u32, u32),
    /// HIP C++, for devices of which so many threads run in step.
    Hip(u32),
    /// OpenCL C 1.2.
    OpenCl,
    /// Metal Shading Language.
    Metal,
}

/// What kind of hardware a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// A graphics processor.
    Gpu,
    /// The machine's own processor behind a GPU's interface, such as PoCL: right, and slower than the CPU backend.
    Cpu,
    /// Anything else.
    Other,
}

/// What is known of a device before anything runs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Through which interface.
    pub backend: Backend,
    /// Its number there.
    pub ordinal: usize,
    /// Its maker's name for it.
    pub name: String,
    /// Driver and its version, for messages.
    pub driver: String,
    /// What it is.
    pub hardware: Hardware,
    /// How kernels are spelt.
    pub dialect: Dialect,
    /// Bytes of memory.
    pub memory: u64,
    /// The largest single allocation.
    pub max_alloc: u64,
    /// Multiprocessors, compute units, cores.
    pub units: u32,
    /// Threads that run in step.
    pub warp: u32,
    /// The largest group of threads.
    pub max_group: u32,
    /// Bytes of memory that a group can share.
    pub max_local: u32,
}

impl DeviceInfo {
    /// For messages, such as `CUDA 0 (NVIDIA H200)`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {} ({})", self.backend, self.ordinal, self.name)
    }
}

/// One argument of a kernel, in the order of its declaration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// A pointer to the start of this memory.
    Memory(MemoryId),
    /// `int`.
    Int(i32),
    /// `float`.
    Float(f32),
}

/// A kernel with everything it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Which kernel.
    pub kernel: KernelId,
    /// Groups in each direction.
    pub groups: [u32; 3],
    /// Threads of a group in each direction.
    pub threads: [u32; 3],
    /// Bytes of memory that each group shares beyond what the kernel declares. CUDA and HIP only.
    pub local: u32,
    /// Its arguments.
    pub args: Vec<Arg>,
}

impl Launch {
    /// Groups and threads, for messages.
    fn shape(&self) -> String {
        format!("{:?} groups of {:?} threads", self.groups, self.threads)
    }

    /// Whether a device has room for such groups; some drivers crash where others refuse.
    fn check(&self, info: &DeviceInfo) -> Result<(), String> {
        let threads = self.threads.iter().try_fold(1_u32, |product, n| product.checked_mul(*n));
        if self.groups.contains(&0) || threads == Some(0) {
            return Err(format!("{} are none", self.shape()));
        }
        if threads.is_none_or(|threads| threads > info.max_group) {
            return Err(format!("{}: a group has at most {} threads", self.shape(), info.max_group));
        }
        if self.local > info.max_local {
            return Err(format!(
                "{} bytes of shared memory: a group has at most {}",
                self.local, info.max_local
            ));
        }
        Ok(())
    }
}

/// Memory, programs and launches on one device.
pub trait Driver: Send {
    /// What the device is.
    fn info(&self) -> &DeviceInfo;

    /// Bytes that may be taken: what the limit leaves, and no more than [`Driver::measured_free`].
    fn free_memory(&self) -> u64;

    /// Bytes that are free on the device right now, other programs' use counted; `None` where the interface does not tell.
    fn measured_free(&self) -> Option<u64> {
        None
    }

    /// Memory of `bytes` bytes, aligned as the interface aligns (128 bytes or more), content undefined. `what` is for messages.
    ///
    /// # Errors
    /// It does not fit.
    fn alloc(&mut self, bytes: u64, what: &str) -> Result<MemoryId, GpuError>;

    /// Gives memory back, once everything that was asked for before is done. Panics if it is not in use.
    fn free(&mut self, memory: MemoryId);

    /// Copies from the host. `bytes` may be reused when this returns.
    ///
    /// # Errors
    /// The device failed. Panics if the place lies beyond the memory.
    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<(), GpuError>;

    /// Copies to the host, after everything that was asked for before.
    ///
    /// # Errors
    /// The device failed, now or in earlier work. Panics if the place lies beyond the memory.
    fn read(&mut self, from: Place, out: &mut [u8]) -> Result<(), GpuError>;

    /// Copies on the device; the places do not overlap.
    ///
    /// # Errors
    /// The device failed. Panics if a place lies beyond its memory.
    fn copy(&mut self, from: Place, to: Place, bytes: u64) -> Result<(), GpuError>;

    /// Sets bytes to zero.
    ///
    /// # Errors
    /// The device failed. Panics if the place lies beyond the memory.
    fn zero(&mut self, at: Place, bytes: u64) -> Result<(), GpuError>;

    /// Compiles a program, or finds it compiled.
    ///
    /// # Errors
    /// No compiler is there, or it refused; its own words are in the error.
    fn program(&mut self, program: &Program) -> Result<ProgramId, GpuError>;

    /// A kernel of a program.
    ///
    /// # Errors
    /// There is none of this name.
    fn kernel(&mut self, program: ProgramId, name: &str) -> Result<KernelId, GpuError>;

    /// Starts kernels, one after the other. A driver may keep what it made of a list and use it again for an equal one.
    ///
    /// # Errors
    /// The device refused; the error names the kernel.
    fn launch(&mut self, launches: &[Launch]) -> Result<(), GpuError>;

    /// Where memory lies, and the queue that orders the work, for other libraries of the vendor; `None` where there are none such.
    /// Panics if it is not in use.
    fn lend(&mut self, _memory: MemoryId) -> Option<Lent> {
        None
    }

    /// Waits until everything is done.
    ///
    /// # Errors
    /// The device failed, now or in earlier work.
    fn finish(&mut self) -> Result<(), GpuError>;
}
