//! The emulated device: its memory is the CPU's, a launch is done when it returns.

use crate::compile::Compiler;
use crate::library::{Argument, Call, Library};
use crate::memory::Memory;
use std::sync::Arc;
use torchless_device_gpu::driver::{
    Arg, DeviceInfo, Dialect, Driver, Hardware, KernelId, Launch, Limits, MemoryId, Place, ProgramId,
};
use torchless_device_gpu::{Backend, GpuError, Program};

/// What the emulated device says of its memory.
const MEMORY: u64 = 4 << 30;
/// Interface, name, threads that run in step, and bytes that a group may share on devices of a dialect, the least of them.
fn kind(dialect: Dialect) -> (Backend, String, u32, u32) {
    match dialect {
        Dialect::Cuda(major, minor) => {
            let local = match (major, minor) {
                (..8, _) => 64,
                (8, 0) => 163,
                (8 | 12, _) => 99,
                _ => 227,
            };
            (Backend::Cuda, format!("emulated device {major}.{minor}"), 32, local << 10)
        }
        Dialect::Hip(wave) => (Backend::Rocm, format!("emulated device hip-{wave}"), wave, 64 << 10),
        Dialect::Metal => (Backend::Metal, "emulated device metal".to_owned(), 32, 32 << 10),
        Dialect::OpenCl => (Backend::OpenCl, "emulated device opencl".to_owned(), 1, 32 << 10),
    }
}

/// A device that is none, of CUDA's dialect, HIP's or Metal's.
pub struct Emulator {
    info: DeviceInfo,
    compiler: Compiler,
    memory: Vec<Option<Memory>>,
    used: u64,
    programs: Vec<(Program, Arc<Library>)>,
    kernels: Vec<Kernel>,
}

struct Kernel {
    program: usize,
    name: String,
}

impl Emulator {
    /// A device of this dialect, whose programs `compiler` compiles. Of `limits` it keeps the one of memory.
    #[must_use]
    pub fn new(compiler: Compiler, dialect: Dialect, limits: &Limits) -> Self {
        let (backend, name, warp, max_local) = kind(dialect);
        let memory = limits.memory.map_or(MEMORY, |most| most.min(MEMORY));
        let info = DeviceInfo {
            backend,
            ordinal: 0,
            name,
            driver: compiler.version.clone(),
            hardware: Hardware::Cpu,
            dialect,
            memory,
            max_alloc: memory,
            units: 4,
            warp,
            max_group: 1024,
            max_local,
        };
        Self { info, compiler, memory: Vec::new(), used: 0, programs: Vec::new(), kernels: Vec::new() }
    }

    fn bytes(&mut self, at: Place, len: u64) -> &mut [u8] {
        let Some(memory) = &mut self.memory[at.memory.0 as usize] else {
            panic!("memory {} was given back", at.memory.0)
        };
        memory.slice(at.offset, len)
    }

    fn failed(&self, what: &str, reason: impl Into<String>) -> GpuError {
        GpuError::Failed { device: self.info.name.clone(), what: what.to_owned(), reason: reason.into() }
    }

    fn start(&self, launch: &Launch) -> Result<(), GpuError> {
        let kernel = &self.kernels[launch.kernel.0 as usize];
        if launch.groups.contains(&0) {
            return Err(self.failed(&kernel.name, "a launch of no group"));
        }
        if launch.local > self.info.max_local {
            return Err(self.failed(&kernel.name, format!("{} bytes of shared memory", launch.local)));
        }
        let pointers = launch.args.iter().map(|arg| match arg {
            Arg::Memory(id) => Ok(Argument::Pointer(
                self.memory[id.0 as usize]
                    .as_ref()
                    .ok_or_else(|| self.failed(&kernel.name, "memory that was given back"))?
                    .start(),
            )),
            Arg::Int(value) => Ok(Argument::Int(*value)),
            Arg::Float(value) => Ok(Argument::Float(*value)),
        });
        let arguments = pointers.collect::<Result<Vec<_>, GpuError>>()?;
        let call =
            Call { groups: launch.groups, threads: launch.threads, local: launch.local as usize, arguments };
        self.programs[kernel.program]
            .1
            .run(&kernel.name, &call)
            .map_err(|reason| self.failed(&kernel.name, reason))
    }

    /// Every memory that a kernel wrote beyond.
    fn check_memory(&self, what: &str) -> Result<(), GpuError> {
        let damaged = self.memory.iter().flatten().find(|memory| memory.is_damaged());
        match damaged {
            Some(memory) => Err(self.failed(what, format!("{} was written beyond its end", memory.what))),
            None => Ok(()),
        }
    }
}

impl Driver for Emulator {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn free_memory(&self) -> u64 {
        self.info.memory - self.used
    }

    fn alloc(&mut self, bytes: u64, what: &str) -> Result<MemoryId, GpuError> {
        let none = |free| GpuError::OutOfMemory {
            device: self.info.name.clone(),
            bytes,
            what: what.to_owned(),
            free,
        };
        if bytes > self.free_memory() {
            return Err(none(self.free_memory()));
        }
        let memory = Memory::new(bytes, what).ok_or_else(|| none(self.free_memory()))?;
        self.used += bytes;
        self.memory.push(Some(memory));
        Ok(MemoryId(self.memory.len() as u32 - 1))
    }

    fn free(&mut self, memory: MemoryId) {
        let Some(given) = self.memory[memory.0 as usize].take() else {
            panic!("memory {} was given back twice", memory.0)
        };
        assert!(!given.is_damaged(), "{} was written beyond its end", given.what);
        self.used -= given.len();
    }

    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<(), GpuError> {
        self.bytes(to, bytes.len() as u64).copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, from: Place, out: &mut [u8]) -> Result<(), GpuError> {
        out.copy_from_slice(self.bytes(from, out.len() as u64));
        Ok(())
    }

    fn copy(&mut self, from: Place, to: Place, bytes: u64) -> Result<(), GpuError> {
        let copied = self.bytes(from, bytes).to_vec();
        self.bytes(to, bytes).copy_from_slice(&copied);
        Ok(())
    }

    fn zero(&mut self, at: Place, bytes: u64) -> Result<(), GpuError> {
        self.bytes(at, bytes).fill(0);
        Ok(())
    }

    fn program(&mut self, program: &Program) -> Result<ProgramId, GpuError> {
        if let Some(index) = self.programs.iter().position(|(known, _)| known == program) {
            return Ok(ProgramId(index as u32));
        }
        let library = self.compiler.load(program, self.info.dialect).map_err(|reason| GpuError::Compile {
            device: self.info.name.clone(),
            program: program.name.clone(),
            reason,
        })?;
        let id = ProgramId(self.programs.len() as u32);
        self.programs.push((program.clone(), library));
        Ok(id)
    }

    fn kernel(&mut self, program: ProgramId, name: &str) -> Result<KernelId, GpuError> {
        let index = program.0 as usize;
        let (program, library) = &self.programs[index];
        if !library.has(name) {
            return Err(self.failed(name, format!("{} has no kernel of this name", program.name)));
        }
        self.kernels.push(Kernel { program: index, name: name.to_owned() });
        Ok(KernelId(self.kernels.len() as u32 - 1))
    }

    fn launch(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        for launch in launches {
            self.start(launch)?;
            self.check_memory(&self.kernels[launch.kernel.0 as usize].name)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), GpuError> {
        Ok(())
    }
}
