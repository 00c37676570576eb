//! CUDA's driver API and HIP: one driver over a table of functions that differ in their names.
//!
//! `TORCHLESS_GPU_DEBUG` helps with reports of faults: a list, separated by commas, of `wait` (wait after every kernel, so that an
//! error names the kernel that made it), `no-graphs` (start every kernel by itself) and `no-overlap` (no kernel starts before the
//! one before it has ended).

pub mod ahead;
mod api;
mod collective;
mod compiler;
mod graphs;
mod library;
mod session;
mod staging;
#[cfg(test)]
mod tests;

pub use collective::Collective;

use std::collections::HashMap;
use std::path::PathBuf;

use self::api::{Api, Handle, Status};
use self::compiler::Compiler;
use self::graphs::{Found, Graphs};
use self::session::{OUT_OF_MEMORY, Session};
use self::staging::Staging;
use super::budget::Budget;
use super::compiled::{CompiledPrograms, Key};
use super::parameters::{Parameter, parameters};
use super::{Arg, DeviceInfo, Dialect, Driver, KernelId, Launch, Limits, MemoryId, Place, ProgramId};
use crate::GpuError;
use crate::source::Program;
use torchless_device::Lent;

/// Whose interface it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// CUDA.
    Nvidia,
    /// HIP.
    Amd,
}

impl Vendor {
    fn pick<T>(self, nvidia: T, amd: T) -> T {
        match self {
            Self::Nvidia => nvidia,
            Self::Amd => amd,
        }
    }
}

/// What can be switched off for reports of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Switches {
    graphs: bool,
    overlap: bool,
    wait: bool,
}

impl Switches {
    fn parse(words: &str) -> Result<Self, String> {
        let mut switches = Self { graphs: true, overlap: true, wait: false };
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "wait" => switches.wait = true,
                "no-graphs" => switches.graphs = false,
                "no-overlap" => switches.overlap = false,
                _ => return Err(format!("unknown word '{word}' (known: wait, no-graphs, no-overlap)")),
            }
        }
        Ok(switches)
    }
}

/// Where the vendor's libraries lie; `None` looks in the usual places.
#[derive(Clone, Debug, Default)]
struct Libraries {
    interface: Option<Vec<PathBuf>>,
    compiler: Option<Vec<PathBuf>>,
}

/// The vendor's devices.
///
/// # Errors
/// The interface cannot be used here.
pub fn devices(vendor: Vendor) -> Result<Vec<DeviceInfo>, GpuError> {
    devices_through(vendor, &Libraries::default())
}

fn devices_through(vendor: Vendor, libraries: &Libraries) -> Result<Vec<DeviceInfo>, GpuError> {
    let (api, count) = load(vendor, libraries)?;
    let described = (0..count).map(|ordinal| session::describe(&api, ordinal).map(|(info, _)| info));
    described.collect::<Result<_, _>>().map_err(|reason| unusable(vendor, reason))
}

/// Opens device number `ordinal` of the vendor.
///
/// # Errors
/// The interface cannot be used here, there is no such device, or it refused.
pub fn open(vendor: Vendor, ordinal: usize, limits: &Limits) -> Result<Box<dyn Driver>, GpuError> {
    let words = std::env::var("TORCHLESS_GPU_DEBUG").unwrap_or_default();
    let switches = Switches::parse(&words).map_err(|reason| GpuError::Unavailable {
        backend: vendor.backend(),
        reason: format!("TORCHLESS_GPU_DEBUG has an {reason}"),
        advice: "mend or remove the variable".to_owned(),
    })?;
    Ok(Box::new(Gpu::open(vendor, ordinal, limits, (&Libraries::default(), switches))?))
}

fn load(vendor: Vendor, libraries: &Libraries) -> Result<(Api, usize), GpuError> {
    let absent = |reason: String, advice: &str| GpuError::Unavailable {
        backend: vendor.backend(),
        reason,
        advice: advice.to_owned(),
    };
    let usual = vendor.pick(library::cuda as fn() -> Vec<PathBuf>, library::hip);
    let candidates = libraries.interface.clone().unwrap_or_else(usual);
    let install = vendor.pick("install NVIDIA's driver", "install AMD's ROCm runtime");
    let library = library::load(&candidates).map_err(|reason| absent(reason, install))?;
    let update = vendor.pick("update NVIDIA's driver", "update AMD's ROCm runtime");
    let missing = |name: String| absent(format!("its library has no function {name}"), update);
    let api = Api::of(vendor, library).map_err(missing)?;
    let count = session::count(&api).map_err(|reason| unusable(vendor, reason))?;
    if count == 0 {
        return Err(unusable(vendor, "no device is there".to_owned()));
    }
    Ok((api, count))
}

fn unusable(vendor: Vendor, reason: String) -> GpuError {
    let advice = vendor.pick(
        "see what nvidia-smi shows, and whether CUDA_VISIBLE_DEVICES hides devices",
        "see what rocminfo shows, whether HIP_VISIBLE_DEVICES hides devices, and whether /dev/kfd may be opened",
    );
    GpuError::Unavailable { backend: vendor.backend(), reason, advice: advice.to_owned() }
}

struct Memory {
    address: u64,
    bytes: u64,
}

struct LoadedProgram {
    name: String,
    text: String,
    module: Handle,
}

struct LoadedKernel {
    name: String,
    function: Handle,
    parameters: Option<Vec<Parameter>>,
    /// Bytes of shared memory that were asked for already.
    shared: u32,
}

/// A device of NVIDIA's or AMD's.
struct Gpu {
    session: Session,
    vendor: Vendor,
    memories: Vec<Option<Memory>>,
    programs: Vec<LoadedProgram>,
    kernels: Vec<LoadedKernel>,
    by_text: HashMap<String, ProgramId>,
    staging: Staging,
    graphs: Graphs,
    budget: Budget,
    compiled: CompiledPrograms,
    compiler: Option<Result<Compiler, String>>,
    libraries: Libraries,
    switches: Switches,
    /// The kernel that was started last: the first suspect.
    last: Option<KernelId>,
}

// SAFETY: handles are used by one thread at a time, since every use takes `&mut self`, and each entry makes the context current on its
// thread. Pinned memory belongs to the process.
unsafe impl Send for Gpu {}

impl Gpu {
    fn open(
        vendor: Vendor,
        ordinal: usize,
        limits: &Limits,
        (libraries, switches): (&Libraries, Switches),
    ) -> Result<Self, GpuError> {
        let (api, count) = load(vendor, libraries)?;
        if ordinal >= count {
            return Err(GpuError::NoDevice { backend: vendor.backend(), asked: ordinal, found: count });
        }
        let session = Session::open(api, ordinal, &switches)?;
        let memory = session.info().memory;
        Ok(Self {
            vendor,
            memories: Vec::new(),
            programs: Vec::new(),
            kernels: Vec::new(),
            by_text: HashMap::new(),
            staging: Staging::default(),
            graphs: Graphs::default(),
            budget: Budget::new(limits.memory.map_or(memory, |limit| limit.min(memory)), memory),
            compiled: CompiledPrograms::new(limits.programs.clone()),
            compiler: None,
            libraries: libraries.clone(),
            switches,
            last: None,
            session,
        })
    }

    fn memory(&self, id: MemoryId) -> &Memory {
        match self.memories.get(id.0 as usize) {
            Some(Some(memory)) => memory,
            _ => panic!("memory {} is not in use", id.0),
        }
    }

    /// The address of a place, once the range is known to lie within its memory.
    fn address(&self, at: Place, bytes: u64) -> u64 {
        let memory = self.memory(at.memory);
        at.check(bytes, memory.bytes);
        memory.address + at.offset
    }

    /// What a failure that shows up late is blamed on.
    fn suspect(&self, what: &str) -> String {
        match self.last {
            Some(kernel) => format!("{what} after {}", self.kernels[kernel.0 as usize].name),
            None => what.to_owned(),
        }
    }

    fn checked<T>(&mut self, result: Result<T, Status>, what: &str) -> Result<T, GpuError> {
        if result.is_ok() {
            return self.session.check(result, what);
        }
        let what = self.suspect(what);
        self.session.check(result, &what)
    }

    /// Runs `launches`, whose kernels and arguments were checked.
    fn start_all(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        for launch in launches {
            let result = self.start(launch);
            self.last = Some(launch.kernel);
            let result = if self.switches.wait { result.and_then(|()| self.session.wait()) } else { result };
            if result.is_err() {
                let what = format!("{} ({})", self.kernels[launch.kernel.0 as usize].name, launch.shape());
                return self.session.check(result, &what);
            }
        }
        Ok(())
    }

    fn start(&mut self, launch: &Launch) -> Result<(), Status> {
        let (function, mut values) = (self.kernels[launch.kernel.0 as usize].function, self.values(launch));
        let mut arguments: Vec<Handle> =
            values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        // SAFETY: the function is of a module that stays loaded, and `check` has compared the arguments with its parameters.
        unsafe { self.session.launch(function, launch, arguments.as_mut_ptr()) }
    }

    /// Arguments, each at the start of eight bytes. Both interfaces run on little-endian machines only.
    fn values(&self, launch: &Launch) -> Vec<u64> {
        let value = |arg: &Arg| match *arg {
            Arg::Memory(id) => self.memory(id).address,
            Arg::Int(value) => u64::from(value.cast_unsigned()),
            Arg::Float(value) => u64::from(value.to_bits()),
        };
        launch.args.iter().map(value).collect()
    }

    fn check(&mut self, launch: &Launch) -> Result<(), GpuError> {
        let at = launch.kernel.0 as usize;
        let kernel = &self.kernels[at];
        let checked = launch.check(self.session.info()).and_then(|()| {
            kernel.parameters.as_deref().map_or(Ok(()), |all| Parameter::check(all, &launch.args))
        });
        if let Err(reason) = checked {
            return Err(GpuError::Failed {
                device: self.session.info().name.clone(),
                what: kernel.name.clone(),
                reason,
            });
        }
        if launch.local > kernel.shared {
            // SAFETY: the function is of a module that stays loaded.
            let result = unsafe { self.session.allow_shared(kernel.function, launch.local) };
            let what = format!("{} ({} bytes of shared memory)", kernel.name, launch.local);
            self.session.check(result, &what)?;
            self.kernels[at].shared = launch.local;
        }
        Ok(())
    }

    /// Makes a graph of a list that comes again, and starts it; a list that makes none is started kernel by kernel.
    fn capture(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        let prepared: Vec<(Handle, Vec<u64>)> = launches
            .iter()
            .map(|launch| (self.kernels[launch.kernel.0 as usize].function, self.values(launch)))
            .collect();
        let captured = self.session.capture(|session| {
            for (launch, (function, mut values)) in launches.iter().zip(prepared) {
                let mut arguments: Vec<Handle> =
                    values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
                // SAFETY: as in `start`; a captured launch keeps copies of its arguments.
                unsafe { session.launch(function, launch, arguments.as_mut_ptr())? };
            }
            Ok(())
        });
        self.graphs.keep(captured.as_ref().ok().copied());
        match captured {
            Ok(graph) => self.replay(graph, launches),
            Err(status) => {
                if let Err(error) = self.session.check::<()>(Err(status), "making a graph") {
                    tracing::warn!("{error}; kernels are started one by one");
                }
                self.start_all(launches)
            }
        }
    }

    fn replay(&mut self, graph: Handle, launches: &[Launch]) -> Result<(), GpuError> {
        // SAFETY: the graph's list mentions only memory that is in use, or it would have been forgotten.
        let result = unsafe { self.session.replay(graph) };
        self.last = launches.last().map(|launch| launch.kernel);
        let result = if self.switches.wait { result.and_then(|()| self.session.wait()) } else { result };
        self.checked(result, "a graph")
    }

    fn drop_forgotten_graphs(&mut self) {
        for graph in std::mem::take(&mut self.graphs.forgotten) {
            // SAFETY: the graph is forgotten.
            unsafe { self.session.drop_graph(graph) };
        }
    }

    /// Code from this program's own store, from the folder, or from the compiler.
    fn load_program(&mut self, name: &str, text: &str) -> Result<Handle, GpuError> {
        let capability = match self.session.info().dialect {
            Dialect::Cuda(major, minor) => major * 10 + minor,
            _ => 0,
        };
        for image in ahead::find(ahead::digest(text), &self.session.architecture, capability) {
            match self.session.load(image.code()) {
                Ok(module) => return Ok(module),
                Err(reason) => tracing::warn!("{name}, compiled ahead ({:?}): {reason}", image.target),
            }
        }
        self.compile(name, text)
    }

    fn compile(&mut self, name: &str, text: &str) -> Result<Handle, GpuError> {
        let device = self.session.info().name.clone();
        let refused =
            |reason: String| GpuError::Compile { device: device.clone(), program: name.to_owned(), reason };
        let (vendor, libraries) = (self.vendor, &self.libraries);
        let compiler = self
            .compiler
            .get_or_insert_with(|| Compiler::load(vendor, libraries.compiler.as_deref()))
            .as_ref()
            .map_err(|reason| refused(format!("{reason} ({})", no_compiler(vendor))))?;
        let options = compiler::options(vendor, &self.session.architecture);
        let (joined, target) = (options.join(" "), format!("{} {}", vendor.backend(), compiler.name));
        let key = Key { source: text, options: &joined, target: &target };
        if let Some(Ok(module)) = self.compiled.get(key).map(|code| self.session.load(&code)) {
            return Ok(module);
        }
        let code = compiler.compile(name, text, &options).map_err(&refused)?;
        let module = self.session.load(&code).map_err(&refused)?;
        self.compiled.put(key, &code);
        Ok(module)
    }
}

fn no_compiler(vendor: Vendor) -> &'static str {
    vendor.pick(
        "install NVRTC, such as Python's nvidia-cuda-nvrtc, and set TORCHLESS_NVRTC to its folder",
        "install hipRTC with ROCm, or set TORCHLESS_HIPRTC to its folder",
    )
}

impl Driver for Gpu {
    fn info(&self) -> &DeviceInfo {
        self.session.info()
    }

    fn free_memory(&self) -> u64 {
        self.measured_free().map_or(self.budget.free(), |free| free.min(self.budget.free()))
    }

    fn measured_free(&self) -> Option<u64> {
        self.session.free_memory()
    }

    fn alloc(&mut self, bytes: u64, what: &str) -> Result<MemoryId, GpuError> {
        self.session.enter()?;
        let device = self.info().name.clone();
        self.budget.take(bytes, &device, what)?;
        match self.session.alloc(bytes.max(1)) {
            Ok(address) => {
                self.memories.push(Some(Memory { address, bytes }));
                Ok(MemoryId(self.memories.len() as u32 - 1))
            }
            Err(status) => {
                self.budget.give(bytes);
                if status == OUT_OF_MEMORY {
                    let free = self.free_memory();
                    return Err(GpuError::OutOfMemory { device, bytes, what: what.to_owned(), free });
                }
                self.checked(Err(status), &format!("allocating {what}"))
            }
        }
    }

    fn free(&mut self, memory: MemoryId) {
        let (address, bytes) = (self.memory(memory).address, self.memory(memory).bytes);
        self.graphs.forget(memory);
        self.budget.give(bytes);
        self.memories[memory.0 as usize] = None;
        if self.session.enter().is_err() {
            // A lost device has no memory to give back.
            return;
        }
        self.drop_forgotten_graphs();
        // SAFETY: nobody can name this memory any more, and the call waits for kernels that use it.
        let result = unsafe { self.session.free(address) };
        if let Err(error) = self.checked(result, "freeing memory") {
            tracing::warn!("{error}");
        }
    }

    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<(), GpuError> {
        let address = self.address(to, bytes.len() as u64);
        self.session.enter()?;
        // SAFETY: the range lies in its memory.
        let result = unsafe { self.staging.write(&mut self.session, address, bytes) };
        self.checked(result, "copying to the device")
    }

    fn read(&mut self, from: Place, out: &mut [u8]) -> Result<(), GpuError> {
        let address = self.address(from, out.len() as u64);
        self.session.enter()?;
        if out.is_empty() {
            return self.finish();
        }
        // SAFETY: the range lies in its memory.
        let result = unsafe { self.staging.read(&mut self.session, address, out) };
        self.checked(result, "copying from the device")
    }

    fn copy(&mut self, from: Place, to: Place, bytes: u64) -> Result<(), GpuError> {
        let (source, target) = (self.address(from, bytes), self.address(to, bytes));
        self.session.enter()?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both ranges lie in their memories.
        let result = unsafe { self.session.copy_within(target, source, bytes as usize) };
        self.checked(result, "copying on the device")
    }

    fn zero(&mut self, at: Place, bytes: u64) -> Result<(), GpuError> {
        let address = self.address(at, bytes);
        self.session.enter()?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range lies in its memory.
        let result = unsafe { self.session.zero(address, bytes as usize) };
        self.checked(result, "filling memory")
    }

    fn program(&mut self, program: &Program) -> Result<ProgramId, GpuError> {
        self.session.enter()?;
        let text = program.text(self.info().dialect);
        if let Some(id) = self.by_text.get(&text) {
            return Ok(*id);
        }
        let module = self.load_program(&program.name, &text)?;
        let id = ProgramId(self.programs.len() as u32);
        self.by_text.insert(text.clone(), id);
        self.programs.push(LoadedProgram { name: program.name.clone(), text, module });
        Ok(id)
    }

    fn kernel(&mut self, program: ProgramId, name: &str) -> Result<KernelId, GpuError> {
        self.session.enter()?;
        let of = &self.programs[program.0 as usize];
        // SAFETY: modules stay loaded as long as the driver lives.
        let result = unsafe { self.session.function(of.module, name) };
        let (parameters, what) = (parameters(&of.text, name), format!("kernel {name} of {}", of.name));
        let function = self.session.check(result, &what)?;
        self.kernels.push(LoadedKernel { name: name.to_owned(), function, parameters, shared: 0 });
        Ok(KernelId(self.kernels.len() as u32 - 1))
    }

    fn launch(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        self.session.enter()?;
        let makes_graphs = self.switches.graphs && self.session.has_graphs();
        let found = if makes_graphs { self.graphs.find(launches) } else { Found::Run };
        self.drop_forgotten_graphs();
        if let Found::Replay(graph) = found {
            return self.replay(graph, launches);
        }
        launches.iter().try_for_each(|launch| self.check(launch))?;
        if found == Found::Capture { self.capture(launches) } else { self.start_all(launches) }
    }

    fn lend(&mut self, memory: MemoryId) -> Option<Lent> {
        let address = self.memory(memory).address;
        Some(Lent { address, queue: self.session.stream().addr() as u64 })
    }

    fn finish(&mut self) -> Result<(), GpuError> {
        self.session.enter()?;
        let result = self.session.wait();
        self.checked(result, "waiting")
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.graphs.clear();
        if self.session.enter().is_err() || self.session.wait().is_err() {
            // What a lost device held goes with the process.
            return;
        }
        self.drop_forgotten_graphs();
        self.staging.release(&mut self.session);
        for memory in self.memories.drain(..).flatten() {
            // SAFETY: the stream is empty, and nobody can name this memory any more.
            let _ = unsafe { self.session.free(memory.address) };
        }
        for program in self.programs.drain(..) {
            // SAFETY: the stream is empty, and its kernels are not started again.
            let _ = unsafe { self.session.unload(program.module) };
        }
    }
}
