//! Metal, on macOS. Memory is shared with the CPU, so writes and reads are copies by the CPU once the queue is empty.

use std::collections::HashMap;
use std::ptr::NonNull;

use objc2::rc::{Retained, autoreleasepool};
use objc2::runtime::ProtocolObject;
use objc2_foundation::{NSError, NSRange, NSString};
use objc2_metal::{
    MTLBlitCommandEncoder, MTLBuffer, MTLCommandBuffer, MTLCommandBufferStatus, MTLCommandEncoder,
    MTLCommandQueue, MTLCompileOptions, MTLComputeCommandEncoder, MTLComputePipelineState, MTLCopyAllDevices,
    MTLDevice, MTLLibrary, MTLResourceOptions, MTLSize,
};

use super::budget::Budget;
use super::parameters::{Parameter, parameters};
use super::{
    Arg, DeviceInfo, Dialect, Driver, Hardware, KernelId, Launch, Limits, MemoryId, Place, ProgramId,
};
use crate::source::Program;
use crate::{Backend, GpuError};

/// Metal does not tell; it is the same on every GPU that Apple makes.
const WARP: u32 = 32;

/// The devices of this machine.
///
/// # Errors
/// There is none.
pub fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    Ok(found()?.iter().enumerate().map(|(ordinal, device)| describe(device, ordinal)).collect())
}

fn found() -> Result<Vec<Retained<ProtocolObject<dyn MTLDevice>>>, GpuError> {
    let all = MTLCopyAllDevices().to_vec();
    if all.is_empty() {
        return Err(GpuError::Unavailable {
            backend: Backend::Metal,
            reason: "no device is there".to_owned(),
            advice: "a virtual machine may hide it".to_owned(),
        });
    }
    Ok(all)
}

fn describe(device: &ProtocolObject<dyn MTLDevice>, ordinal: usize) -> DeviceInfo {
    let group = device.maxThreadsPerThreadgroup();
    DeviceInfo {
        backend: Backend::Metal,
        ordinal,
        name: device.name().to_string(),
        driver: "Metal".to_owned(),
        hardware: Hardware::Gpu,
        dialect: Dialect::Metal,
        memory: device.recommendedMaxWorkingSetSize(),
        max_alloc: device.maxBufferLength() as u64,
        // Metal does not tell how many cores there are.
        units: 1,
        warp: WARP,
        max_group: u32::try_from(group.width).unwrap_or(u32::MAX),
        max_local: u32::try_from(device.maxThreadgroupMemoryLength()).unwrap_or(u32::MAX),
    }
}

fn words(error: &NSError) -> String {
    error.localizedDescription().to_string()
}

struct Memory {
    buffer: Retained<ProtocolObject<dyn MTLBuffer>>,
    bytes: u64,
}

struct LoadedProgram {
    name: String,
    text: String,
    library: Retained<ProtocolObject<dyn MTLLibrary>>,
}

struct LoadedKernel {
    name: String,
    pipeline: Retained<ProtocolObject<dyn MTLComputePipelineState>>,
    parameters: Option<Vec<Parameter>>,
}

/// Work that was given to the queue, and what it was.
struct Committed {
    work: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
    what: String,
}

/// A device with one queue.
pub struct Metal {
    device: Retained<ProtocolObject<dyn MTLDevice>>,
    queue: Retained<ProtocolObject<dyn MTLCommandQueue>>,
    memories: Vec<Option<Memory>>,
    programs: Vec<LoadedProgram>,
    kernels: Vec<LoadedKernel>,
    by_text: HashMap<String, ProgramId>,
    committed: Vec<Committed>,
    budget: Budget,
    info: DeviceInfo,
}

// SAFETY: Metal's objects may be used from any thread, encoders from one at a time; none outlives a call that has `&mut self`.
unsafe impl Send for Metal {}

impl Metal {
    /// Opens a device.
    ///
    /// # Errors
    /// There is no such device, or it refused.
    pub fn open(ordinal: usize, limits: &Limits) -> Result<Self, GpuError> {
        let mut all = found()?;
        if ordinal >= all.len() {
            return Err(GpuError::NoDevice { backend: Backend::Metal, asked: ordinal, found: all.len() });
        }
        let device = all.swap_remove(ordinal);
        let info = describe(&device, ordinal);
        let queue = device.newCommandQueue().ok_or_else(|| GpuError::Failed {
            device: info.name.clone(),
            what: "newCommandQueue".to_owned(),
            reason: "it gave none".to_owned(),
        })?;
        let limit = limits.memory.map_or(info.memory, |limit| limit.min(info.memory));
        Ok(Self {
            device,
            queue,
            memories: Vec::new(),
            programs: Vec::new(),
            kernels: Vec::new(),
            by_text: HashMap::new(),
            committed: Vec::new(),
            budget: Budget::new(limit, info.max_alloc),
            info,
        })
    }

    fn failed(&self, what: &str, reason: impl Into<String>) -> GpuError {
        GpuError::Failed { device: self.info.name.clone(), what: what.to_owned(), reason: reason.into() }
    }

    fn memory(&self, id: MemoryId) -> &Memory {
        match self.memories.get(id.0 as usize) {
            Some(Some(memory)) => memory,
            _ => panic!("memory {} is not in use", id.0),
        }
    }

    /// The buffer of a place, once the range is known to lie within.
    fn range(&self, at: Place, bytes: u64) -> &ProtocolObject<dyn MTLBuffer> {
        let memory = self.memory(at.memory);
        at.check(bytes, memory.bytes);
        &memory.buffer
    }

    /// Gives work to the queue, which does it after all earlier work.
    fn commit(
        &mut self,
        what: &str,
        encode: impl FnOnce(&Self, &ProtocolObject<dyn MTLCommandBuffer>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let work = self.queue.commandBuffer().ok_or_else(|| self.failed(what, "no command buffer"))?;
        encode(self, &work)?;
        work.commit();
        self.committed.push(Committed { work, what: what.to_owned() });
        Ok(())
    }

    fn blit(
        &mut self,
        what: &str,
        encode: impl FnOnce(&Self, &ProtocolObject<dyn MTLBlitCommandEncoder>),
    ) -> Result<(), GpuError> {
        self.commit(what, |metal, work| {
            let encoder = work.blitCommandEncoder().ok_or_else(|| metal.failed(what, "no encoder"))?;
            encode(metal, &encoder);
            encoder.endEncoding();
            Ok(())
        })
    }

    fn check(&self, launch: &Launch) -> Result<(), GpuError> {
        let kernel = &self.kernels[launch.kernel.0 as usize];
        let most = u32::try_from(kernel.pipeline.maxTotalThreadsPerThreadgroup()).unwrap_or(u32::MAX);
        let checked = launch.check(&DeviceInfo { max_group: most, ..self.info.clone() }).and_then(|()| {
            if launch.local != 0 {
                return Err("Metal shares only memory that the kernel declares".to_owned());
            }
            kernel.parameters.as_deref().map_or(Ok(()), |all| Parameter::check(all, &launch.args))
        });
        checked.map_err(|reason| self.failed(&kernel.name, reason))
    }

    fn encode(&self, encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>, launch: &Launch) {
        encoder.setComputePipelineState(&self.kernels[launch.kernel.0 as usize].pipeline);
        for (index, arg) in launch.args.iter().enumerate() {
            match arg {
                // SAFETY: a live buffer from its start; the index is that of the parameter.
                Arg::Memory(id) => unsafe {
                    encoder.setBuffer_offset_atIndex(Some(&self.memory(*id).buffer), 0, index);
                },
                Arg::Int(value) => set(encoder, value, index),
                Arg::Float(value) => set(encoder, value, index),
            }
        }
        let size = |[width, height, depth]: [u32; 3]| MTLSize {
            width: width as usize,
            height: height as usize,
            depth: depth as usize,
        };
        encoder.dispatchThreadgroups_threadsPerThreadgroup(size(launch.groups), size(launch.threads));
    }
}

/// Copies four bytes into the work.
fn set<T: Copy>(encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>, value: &T, index: usize) {
    // SAFETY: the bytes are read by the call; the index is that of the parameter.
    unsafe { encoder.setBytes_length_atIndex(NonNull::from(value).cast(), size_of::<T>(), index) };
}

impl Driver for Metal {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn free_memory(&self) -> u64 {
        self.measured_free().map_or(self.budget.free(), |free| free.min(self.budget.free()))
    }

    /// Of what Metal recommends to use; other programs' use does not show.
    fn measured_free(&self) -> Option<u64> {
        Some(self.info.memory.saturating_sub(self.device.currentAllocatedSize() as u64))
    }

    fn alloc(&mut self, bytes: u64, what: &str) -> Result<MemoryId, GpuError> {
        let device = self.info.name.clone();
        self.budget.take(bytes, &device, what)?;
        let shared = MTLResourceOptions::StorageModeShared;
        match self.device.newBufferWithLength_options(bytes.max(1) as usize, shared) {
            Some(buffer) => {
                self.memories.push(Some(Memory { buffer, bytes }));
                Ok(MemoryId(self.memories.len() as u32 - 1))
            }
            None => {
                self.budget.give(bytes);
                let free = self.free_memory();
                Err(GpuError::OutOfMemory { device, bytes, what: what.to_owned(), free })
            }
        }
    }

    fn free(&mut self, memory: MemoryId) {
        // Work on the queue holds the buffer until it is done.
        self.budget.give(self.memory(memory).bytes);
        self.memories[memory.0 as usize] = None;
    }

    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<(), GpuError> {
        self.range(to, bytes.len() as u64);
        self.finish()?;
        let start = self.memory(to.memory).buffer.contents().cast::<u8>();
        // SAFETY: the range lies in the buffer, and no work is left that uses it.
        unsafe {
            let target = start.add(to.offset as usize).as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        Ok(())
    }

    fn read(&mut self, from: Place, out: &mut [u8]) -> Result<(), GpuError> {
        self.range(from, out.len() as u64);
        self.finish()?;
        let start = self.memory(from.memory).buffer.contents().cast::<u8>();
        // SAFETY: the range lies in the buffer, and no work is left that writes it.
        unsafe {
            let source = start.add(from.offset as usize).as_ptr();
            std::ptr::copy_nonoverlapping(source, out.as_mut_ptr(), out.len());
        }
        Ok(())
    }

    fn copy(&mut self, from: Place, to: Place, bytes: u64) -> Result<(), GpuError> {
        self.range(from, bytes);
        self.range(to, bytes);
        if bytes == 0 {
            return Ok(());
        }
        autoreleasepool(|_| {
            self.blit("copying", |metal, encoder| {
                let (source, target) = (metal.range(from, bytes), metal.range(to, bytes));
                let (source_at, target_at) = (from.offset as usize, to.offset as usize);
                // SAFETY: both ranges lie in their buffers.
                unsafe {
                    encoder.copyFromBuffer_sourceOffset_toBuffer_destinationOffset_size(
                        source,
                        source_at,
                        target,
                        target_at,
                        bytes as usize,
                    );
                }
            })
        })
    }

    fn zero(&mut self, at: Place, bytes: u64) -> Result<(), GpuError> {
        self.range(at, bytes);
        if bytes == 0 {
            return Ok(());
        }
        autoreleasepool(|_| {
            self.blit("filling", |metal, encoder| {
                let range = NSRange::new(at.offset as usize, bytes as usize);
                encoder.fillBuffer_range_value(metal.range(at, bytes), range, 0);
            })
        })
    }

    fn program(&mut self, program: &Program) -> Result<ProgramId, GpuError> {
        let text = program.text(Dialect::Metal);
        if let Some(id) = self.by_text.get(&text) {
            return Ok(*id);
        }
        let options = MTLCompileOptions::new();
        // The newer setting of this is missing before macOS 15.
        #[expect(deprecated, reason = "it works on every version")]
        options.setFastMathEnabled(false);
        let source = NSString::from_str(&text);
        let library =
            self.device.newLibraryWithSource_options_error(&source, Some(&options)).map_err(|error| {
                GpuError::Compile {
                    device: self.info.name.clone(),
                    program: program.name.clone(),
                    reason: words(&error),
                }
            })?;
        let id = ProgramId(self.programs.len() as u32);
        self.by_text.insert(text.clone(), id);
        self.programs.push(LoadedProgram { name: program.name.clone(), text, library });
        Ok(id)
    }

    fn kernel(&mut self, program: ProgramId, name: &str) -> Result<KernelId, GpuError> {
        let of = &self.programs[program.0 as usize];
        let what = format!("kernel {name} of {}", of.name);
        let function = of
            .library
            .newFunctionWithName(&NSString::from_str(name))
            .ok_or_else(|| self.failed(&what, "there is none of this name"))?;
        let pipeline = self
            .device
            .newComputePipelineStateWithFunction_error(&function)
            .map_err(|error| self.failed(&what, words(&error)))?;
        let parameters = parameters(&of.text, name);
        self.kernels.push(LoadedKernel { name: name.to_owned(), pipeline, parameters });
        Ok(KernelId(self.kernels.len() as u32 - 1))
    }

    fn launch(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        launches.iter().try_for_each(|launch| self.check(launch))?;
        let Some(last) = launches.last() else { return Ok(()) };
        let what = self.kernels[last.kernel.0 as usize].name.clone();
        autoreleasepool(|_| {
            self.commit(&what, |metal, work| {
                // Launches of one encoder run one after the other.
                let encoder =
                    work.computeCommandEncoder().ok_or_else(|| metal.failed(&what, "no encoder"))?;
                launches.iter().for_each(|launch| metal.encode(&encoder, launch));
                encoder.endEncoding();
                Ok(())
            })
        })
    }

    fn finish(&mut self) -> Result<(), GpuError> {
        for Committed { work, what } in std::mem::take(&mut self.committed) {
            work.waitUntilCompleted();
            if work.status() == MTLCommandBufferStatus::Error {
                let reason = work.error().map_or("it gave no reason".to_owned(), |error| words(&error));
                return Err(self.failed(&format!("work up to {what}"), reason));
            }
        }
        Ok(())
    }
}
