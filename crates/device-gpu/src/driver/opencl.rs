//! OpenCL 1.2, of any vendor. The loader library is opened at run time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use opencl3::command_queue::{CommandQueue, enqueue_copy_buffer, enqueue_fill_buffer, enqueue_write_buffer};
use opencl3::context::Context;
use opencl3::device::{
    CL_DEVICE_TYPE_ALL, CL_DEVICE_TYPE_CPU, CL_DEVICE_TYPE_GPU, CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT,
    Device as ClDevice,
};
use opencl3::error_codes::{
    CL_INVALID_BUFFER_SIZE, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY, ClError,
    DLOPEN_FUNCTION_NOT_AVAILABLE, DLOPEN_RUNTIME_LOAD_FAILED,
};
use opencl3::event::Event;
use opencl3::kernel::Kernel;
use opencl3::memory::{Buffer, CL_MEM_READ_WRITE, ClMem};
use opencl3::platform::{Platform, get_platforms};
use opencl3::program::Program as ClProgram;
use opencl3::types::{CL_BLOCKING, cl_device_id, cl_event, cl_mem};

use super::budget::Budget;
use super::compiled::{CompiledPrograms, Key};
use super::{
    Arg, DeviceInfo, Dialect, Driver, Hardware, KernelId, Launch, Limits, MemoryId, Place, ProgramId,
};
use crate::source::Program;
use crate::{Backend, GpuError};

/// Loaders and PoCL make their lists of devices, and compile, for one thread at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Devices of all platforms; graphics processors have the first numbers.
///
/// # Errors
/// There is no OpenCL here.
pub fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    let _alone = alone();
    Ok(found()?.into_iter().map(|(_, info)| info).collect())
}

/// What can be used, in the order of its numbers. A platform or device that fails hides none of the others: a driver that does not match
/// the kernel's module stays behind on many machines.
fn found() -> Result<Vec<(cl_device_id, DeviceInfo)>, GpuError> {
    let mut failures = Vec::new();
    let platforms = get_platforms().map_err(|error| unavailable(error, std::env::var(LIBRARY).ok()))?;
    let called = |what, name: Result<String, ClError>| match name {
        Ok(name) => format!("{what} {}", trimmed(&name)),
        Err(_) => format!("{what} without a name"),
    };
    let devices_of = |platform: &Platform| platform.get_devices(CL_DEVICE_TYPE_ALL);
    let ids = working(&platforms, devices_of, |one| called("platform", one.name()), &mut failures).concat();
    let describe = |id: &cl_device_id| read_info(&ClDevice::new(*id)).map(|info| (*id, info));
    let name = |id: &cl_device_id| called("device", ClDevice::new(*id).name());
    let mut devices = working(&ids, describe, name, &mut failures);
    if devices.is_empty() {
        if failures.is_empty() {
            failures.push(format!("{} platforms without a device", platforms.len()));
        }
        return Err(no_driver(failures.join("; ")));
    }
    if !failures.is_empty() {
        // Devices are looked for several times.
        static TOLD: Once = Once::new();
        TOLD.call_once(|| tracing::warn!("OpenCL: left out, as it failed: {}", failures.join("; ")));
    }
    devices.sort_by_key(|(_, info)| info.hardware != Hardware::Gpu);
    for (ordinal, (_, info)) in devices.iter_mut().enumerate() {
        info.ordinal = ordinal;
    }
    Ok(devices)
}

/// What is got from those that answer; the others are named in `failures`, with why.
fn working<T, U>(
    all: &[T],
    ask: impl Fn(&T) -> Result<U, ClError>,
    name: impl Fn(&T) -> String,
    failures: &mut Vec<String>,
) -> Vec<U> {
    let mut got = Vec::new();
    for one in all {
        match ask(one) {
            Ok(answer) => got.push(answer),
            Err(error) => failures.push(format!("{}: {error}", name(one))),
        }
    }
    got
}

/// Names the library to be loaded instead of the system's.
const LIBRARY: &str = "OPENCL_DYLIB_PATH";

/// `named` is the library that the user names. The binding reads the variable itself, and takes an empty one for a library.
fn unavailable(error: ClError, named: Option<String>) -> GpuError {
    let (reason, advice) = match (error.0, named) {
        (DLOPEN_FUNCTION_NOT_AVAILABLE, Some(named)) if named.is_empty() => {
            (format!("{LIBRARY} is empty"), "unset it, or name the OpenCL library there")
        }
        (DLOPEN_FUNCTION_NOT_AVAILABLE, Some(named)) => (
            format!("{LIBRARY} names {named}, which is no OpenCL library"),
            "name another one there, or unset it",
        ),
        (DLOPEN_RUNTIME_LOAD_FAILED, _) => {
            let advice = "install the OpenCL loader, such as the package ocl-icd-libopencl1, and the driver of the GPU's vendor";
            ("the OpenCL library cannot be loaded".to_owned(), advice)
        }
        _ => return no_driver(error.to_string()),
    };
    GpuError::Unavailable { backend: Backend::OpenCl, reason, advice: advice.to_owned() }
}

fn no_driver(reason: String) -> GpuError {
    let advice = "install the OpenCL driver of the GPU's vendor".to_owned();
    GpuError::Unavailable { backend: Backend::OpenCl, reason, advice }
}

/// But for its number.
fn read_info(device: &ClDevice) -> Result<DeviceInfo, ClError> {
    let ty = device.dev_type()?;
    let hardware = match ty {
        ty if ty & CL_DEVICE_TYPE_GPU != 0 => Hardware::Gpu,
        ty if ty & CL_DEVICE_TYPE_CPU != 0 => Hardware::Cpu,
        _ => Hardware::Other,
    };
    Ok(DeviceInfo {
        backend: Backend::OpenCl,
        ordinal: 0,
        name: trimmed(&device.name()?),
        driver: trimmed(&format!("{} {}", device.version()?, device.driver_version()?)),
        hardware,
        dialect: Dialect::OpenCl,
        memory: device.global_mem_size()?,
        max_alloc: device.max_mem_alloc_size()?,
        units: device.max_compute_units()?,
        // OpenCL 1.2 does not tell before a kernel is compiled, and the portable kernels do not ask.
        warp: 1,
        max_group: saturated(device.max_work_group_size()? as u64),
        max_local: saturated(device.local_mem_size()?),
    })
}

fn trimmed(text: &str) -> String {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}

fn saturated(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

struct Memory {
    buffer: Buffer<u8>,
    bytes: u64,
}

struct LoadedKernel {
    kernel: Kernel,
    name: String,
    /// What the arguments are set to; setting one again costs a call.
    set: Vec<Option<Arg>>,
}

/// One OpenCL device with one in-order queue.
pub struct OpenCl {
    // Fields are dropped in this order: what is on the queue first.
    memories: Vec<Option<Memory>>,
    kernels: Vec<LoadedKernel>,
    programs: Vec<(String, ClProgram)>,
    queue: CommandQueue,
    context: Context,
    id: cl_device_id,
    by_text: HashMap<String, ProgramId>,
    compiled: CompiledPrograms,
    options: String,
    budget: Budget,
    info: DeviceInfo,
}

// SAFETY: OpenCL's calls may come from any thread but for clSetKernelArg on one kernel, and every use of a kernel takes `&mut self`.
unsafe impl Send for OpenCl {}

impl OpenCl {
    /// Opens a device.
    ///
    /// # Errors
    /// There is no OpenCL here, no such device, or it refused.
    pub fn open(ordinal: usize, limits: &Limits) -> Result<Self, GpuError> {
        let _alone = alone();
        let mut devices = found()?;
        if ordinal >= devices.len() {
            let (backend, found) = (Backend::OpenCl, devices.len());
            return Err(GpuError::NoDevice { backend, asked: ordinal, found });
        }
        let (id, info) = devices.swap_remove(ordinal);
        let device = &info.name;
        let failed = |what: &'static str| move |error| failure(device, what, error);
        let context = Context::from_device(&ClDevice::new(id)).map_err(failed("clCreateContext"))?;
        let queue = CommandQueue::create_default(&context, 0).map_err(failed("clCreateCommandQueue"))?;
        let limit = limits.memory.map_or(info.memory, |limit| limit.min(info.memory));
        Ok(Self {
            memories: Vec::new(),
            kernels: Vec::new(),
            programs: Vec::new(),
            queue,
            context,
            id,
            by_text: HashMap::new(),
            compiled: CompiledPrograms::new(limits.programs.clone()),
            options: options(id),
            budget: Budget::new(limit, info.max_alloc),
            info,
        })
    }

    fn failed(&self, what: &str) -> impl FnOnce(ClError) -> GpuError + use<> {
        let (device, what) = (self.info.name.clone(), what.to_owned());
        move |error| failure(&device, &what, error)
    }

    fn memory(&self, id: MemoryId) -> &Memory {
        match self.memories.get(id.0 as usize) {
            Some(Some(memory)) => memory,
            _ => panic!("memory {} is not in use", id.0),
        }
    }

    /// The buffer of a place and the offset in it, once the range is known to lie within.
    fn range(&self, at: Place, bytes: u64) -> (&Buffer<u8>, usize) {
        let memory = self.memory(at.memory);
        at.check(bytes, memory.bytes);
        // Offsets within a buffer fit the address space that it was made in.
        (&memory.buffer, at.offset as usize)
    }

    /// The order of the queue is enough; an event that nobody waits for is given back.
    fn forget_event(&self, result: Result<cl_event, i32>, what: &str) -> Result<(), GpuError> {
        match result {
            Ok(event) => {
                drop(Event::new(event));
                Ok(())
            }
            Err(code) => Err(self.failed(what)(ClError(code))),
        }
    }

    fn target(&self) -> String {
        format!("OpenCL {} {}", self.info.name, self.info.driver)
    }

    fn load_binary(&self, binary: &[u8]) -> Option<ClProgram> {
        // SAFETY: the device belongs to the context, and the API checks the binary.
        let made = unsafe { ClProgram::create_from_binary(&self.context, &[self.id], &[binary]) };
        let mut program = made.ok()?;
        program.build(&[self.id], &self.options).ok()?;
        Some(program)
    }

    fn compile(&self, name: &str, text: &str) -> Result<ClProgram, GpuError> {
        let refused = |error: ClError, log: &str| {
            let device = self.info.name.clone();
            match SHORT.contains(&error.0) {
                true => failure(&device, &format!("compiling {name}"), error),
                false => {
                    GpuError::Compile { device, program: name.to_owned(), reason: format!("{error}{log}") }
                }
            }
        };
        let mut program =
            ClProgram::create_from_source(&self.context, text).map_err(|error| refused(error, ""))?;
        if let Err(error) = program.build(&[self.id], &self.options) {
            let log = program.get_build_log(self.id).unwrap_or_default();
            return Err(refused(error, &format!(": {}", trimmed(&log))));
        }
        Ok(program)
    }

    fn set_args(&mut self, launch: &Launch) -> Result<(), GpuError> {
        let at = launch.kernel.0 as usize;
        let expected = self.kernels[at].set.len();
        if expected != launch.args.len() {
            return Err(self.refused(at, format!("it takes {expected} arguments, not {}", launch.args.len())));
        }
        for (index, arg) in launch.args.iter().enumerate() {
            if self.kernels[at].set[index] != Some(*arg) {
                self.set_arg(at, index, *arg)?;
            }
        }
        Ok(())
    }

    fn set_arg(&mut self, at: usize, index: usize, arg: Arg) -> Result<(), GpuError> {
        let kernel = &self.kernels[at].kernel;
        let position = index as u32;
        let result = match arg {
            Arg::Memory(id) => {
                let mem: cl_mem = self.memory(id).buffer.get();
                // SAFETY: a live buffer of this context.
                unsafe { kernel.set_arg(position, &mem) }
            }
            // SAFETY: a value of four bytes; the API compares the size with the declaration.
            Arg::Int(value) => unsafe { kernel.set_arg(position, &value) },
            // SAFETY: as above.
            Arg::Float(value) => unsafe { kernel.set_arg(position, &value) },
        };
        // An argument that was refused may be half set.
        self.kernels[at].set[index] = result.is_ok().then_some(arg);
        let what = || format!("{} (argument {index}, {arg:?})", self.kernels[at].name);
        result.map_err(|error| failure(&self.info.name, &what(), error))
    }

    fn refused(&self, kernel: usize, reason: String) -> GpuError {
        GpuError::Failed { device: self.info.name.clone(), what: self.kernels[kernel].name.clone(), reason }
    }

    fn start(&mut self, launch: &Launch) -> Result<(), GpuError> {
        let at = launch.kernel.0 as usize;
        if launch.local != 0 {
            return Err(self.refused(at, "OpenCL shares only memory that the kernel declares".to_owned()));
        }
        launch.check(&self.info).map_err(|reason| self.refused(at, reason))?;
        self.set_args(launch)?;
        let threads = launch.threads.map(|n| n as usize);
        let all = [0, 1, 2].map(|axis| launch.groups[axis] as usize * threads[axis]);
        // SAFETY: all arguments are set, and the two arrays have three sizes each.
        let result = unsafe {
            self.queue.enqueue_nd_range_kernel(
                self.kernels[at].kernel.get(),
                3,
                std::ptr::null(),
                all.as_ptr(),
                threads.as_ptr(),
                &[],
            )
        };
        let what = || format!("{} ({})", self.kernels[at].name, launch.shape());
        result.map(drop).map_err(|error| failure(&self.info.name, &what(), error))
    }
}

/// What the interface answers where memory is short, be it in a call that does not ask for any: some drivers make a buffer when it is
/// first used.
const SHORT: [i32; 2] = [CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY];

fn failure(device: &str, what: &str, error: ClError) -> GpuError {
    let (device, what, reason) = (device.to_owned(), what.to_owned(), error.to_string());
    match SHORT.contains(&error.0) {
        true => GpuError::Exhausted { device, what, reason },
        false => GpuError::Failed { device, what, reason },
    }
}

/// Correctly rounded divisions and roots where the device can: results then agree with the CPU's more often.
fn options(id: cl_device_id) -> String {
    let rounded = CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    let can = ClDevice::new(id).single_fp_config().is_ok_and(|config| config & rounded != 0);
    let more = if can { " -cl-fp32-correctly-rounded-divide-sqrt" } else { "" };
    format!("-cl-std=CL1.2{more}")
}

impl Driver for OpenCl {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn free_memory(&self) -> u64 {
        self.budget.free()
    }

    fn alloc(&mut self, bytes: u64, what: &str) -> Result<MemoryId, GpuError> {
        let device = self.info.name.clone();
        self.budget.take(bytes, &device, what)?;
        // The API has no empty buffers. Beyond the address space is beyond every budget.
        let size = bytes.max(1) as usize;
        // SAFETY: no host memory is given.
        let made = unsafe { Buffer::create(&self.context, CL_MEM_READ_WRITE, size, std::ptr::null_mut()) };
        match made {
            Ok(buffer) => {
                self.memories.push(Some(Memory { buffer, bytes }));
                Ok(MemoryId(self.memories.len() as u32 - 1))
            }
            Err(error) => {
                self.budget.give(bytes);
                Err(if SHORT.contains(&error.0) || error.0 == CL_INVALID_BUFFER_SIZE {
                    GpuError::OutOfMemory { device, bytes, what: what.to_owned(), free: self.budget.free() }
                } else {
                    self.failed(&format!("clCreateBuffer for {what}"))(error)
                })
            }
        }
    }

    fn free(&mut self, memory: MemoryId) {
        // Commands on the queue hold the buffer until they are done.
        self.budget.give(self.memory(memory).bytes);
        self.memories[memory.0 as usize] = None;
    }

    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<(), GpuError> {
        let (buffer, offset) = self.range(to, bytes.len() as u64);
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: the range lies in the buffer, and the call returns when the bytes were read.
        let result = unsafe {
            enqueue_write_buffer(
                self.queue.get(),
                buffer.get(),
                CL_BLOCKING,
                offset,
                bytes.len(),
                bytes.as_ptr().cast_mut().cast(),
                0,
                std::ptr::null(),
            )
        };
        self.forget_event(result, "clEnqueueWriteBuffer")
    }

    fn read(&mut self, from: Place, out: &mut [u8]) -> Result<(), GpuError> {
        let (buffer, offset) = self.range(from, out.len() as u64);
        if out.is_empty() {
            return self.finish();
        }
        // SAFETY: the range lies in the buffer, and the call returns when `out` is written.
        let result = unsafe { self.queue.enqueue_read_buffer(buffer, CL_BLOCKING, offset, out, &[]) };
        result.map(drop).map_err(self.failed("clEnqueueReadBuffer"))
    }

    fn copy(&mut self, from: Place, to: Place, bytes: u64) -> Result<(), GpuError> {
        let (source, source_at) = self.range(from, bytes);
        let (target, target_at) = self.range(to, bytes);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both ranges lie in their buffers.
        let result = unsafe {
            enqueue_copy_buffer(
                self.queue.get(),
                source.get(),
                target.get(),
                source_at,
                target_at,
                bytes as usize,
                0,
                std::ptr::null(),
            )
        };
        self.forget_event(result, "clEnqueueCopyBuffer")
    }

    fn zero(&mut self, at: Place, bytes: u64) -> Result<(), GpuError> {
        let (buffer, offset) = self.range(at, bytes);
        if bytes == 0 {
            return Ok(());
        }
        let pattern = [0_u8];
        // SAFETY: the range lies in the buffer; the pattern is copied by the call.
        let result = unsafe {
            enqueue_fill_buffer(
                self.queue.get(),
                buffer.get(),
                pattern.as_ptr() as cl_mem,
                1,
                offset,
                bytes as usize,
                0,
                std::ptr::null(),
            )
        };
        self.forget_event(result, "clEnqueueFillBuffer")
    }

    fn program(&mut self, program: &Program) -> Result<ProgramId, GpuError> {
        let text = program.text(Dialect::OpenCl);
        if let Some(id) = self.by_text.get(&text) {
            return Ok(*id);
        }
        let target = self.target();
        let key = Key { source: &text, options: &self.options, target: &target };
        let _alone = alone();
        let kept = self.compiled.get(key).and_then(|binary| self.load_binary(&binary));
        let made = match kept {
            Some(program) => program,
            None => {
                let made = self.compile(&program.name, &text)?;
                // A driver that gives no binary out is one that compiles each time.
                if let Some(binary) = made.get_binaries().ok().and_then(|mut all| all.pop()) {
                    self.compiled.put(key, &binary);
                }
                made
            }
        };
        let id = ProgramId(self.programs.len() as u32);
        self.programs.push((program.name.clone(), made));
        self.by_text.insert(text, id);
        Ok(id)
    }

    fn kernel(&mut self, program: ProgramId, name: &str) -> Result<KernelId, GpuError> {
        let (of, made) = &self.programs[program.0 as usize];
        let failed = self.failed(&format!("kernel {name} of {of}"));
        let loaded = Kernel::create(made, name).and_then(|kernel| Ok((kernel.num_args()?, kernel)));
        let (args, kernel) = loaded.map_err(failed)?;
        let set = vec![None; args as usize];
        self.kernels.push(LoadedKernel { kernel, name: name.to_owned(), set });
        Ok(KernelId(self.kernels.len() as u32 - 1))
    }

    fn launch(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        launches.iter().try_for_each(|launch| self.start(launch))?;
        self.queue.flush().map_err(self.failed("clFlush"))
    }

    fn finish(&mut self) -> Result<(), GpuError> {
        self.queue.finish().map_err(self.failed("clFinish"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_hides_nothing_else() {
        let mut failures = Vec::new();
        let devices: [(_, Result<_, i32>); 3] =
            [("good", Ok([1, 2])), ("stale", Err(CL_OUT_OF_HOST_MEMORY)), ("other", Ok([3, 4]))];
        let got = working(&devices, |one| one.1.map_err(ClError), |one| one.0.to_owned(), &mut failures);
        assert_eq!(got.concat(), [1, 2, 3, 4]);
        assert_eq!(failures, ["stale: CL_OUT_OF_HOST_MEMORY"]);
    }

    #[test]
    fn a_variable_that_names_no_library_is_told() {
        let told =
            |code, named: Option<&str>| unavailable(ClError(code), named.map(str::to_owned)).to_string();
        let missing = DLOPEN_FUNCTION_NOT_AVAILABLE;
        assert!(told(missing, Some("")).contains("OPENCL_DYLIB_PATH is empty (unset it"));
        assert!(told(missing, Some("libm.so.6")).contains("OPENCL_DYLIB_PATH names libm.so.6, which is no"));
        assert!(!told(missing, None).contains("OPENCL_DYLIB_PATH"));
        assert!(told(DLOPEN_RUNTIME_LOAD_FAILED, Some("")).contains("install the OpenCL loader"));
    }

    #[test]
    fn memory_runs_out_in_whatever_call() {
        for (code, is_memory) in [(-4, true), (-6, true), (-5, false), (-36, false)] {
            let error = failure("gpu", "clEnqueueWriteBuffer", ClError(code));
            assert_eq!(matches!(error, GpuError::Exhausted { .. }), is_memory, "{error}");
        }
    }
}
