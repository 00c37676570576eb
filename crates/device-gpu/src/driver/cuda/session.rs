//! One device with its context and one stream: calls, and what their failures mean.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::null_mut;

use super::api::{Api, Handle, LaunchConfig, START_EARLY, Status};
use super::{Switches, Vendor};
use crate::driver::{DeviceInfo, Dialect, Hardware, Launch};
use crate::{Backend, GpuError};

/// Statuses after which no call on the context succeeds: faults of kernels, errors of the hardware, a device that fell off.
const STICKY: &[Status] = &[4, 46, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999];
/// `CUDA_ERROR_OUT_OF_MEMORY` and `hipErrorOutOfMemory`.
pub const OUT_OF_MEMORY: Status = 2;

/// A call on a device that failed, which other calls may not.
fn failure(status: Status, (device, what): (String, &str), reason: String) -> GpuError {
    let what = what.to_owned();
    match status {
        OUT_OF_MEMORY => GpuError::Exhausted { device, what, reason },
        _ => GpuError::Failed { device, what, reason },
    }
}

/// Attributes of a device: their numbers in cuda.h and in HIP's header.
struct Attribute {
    cuda: c_int,
    hip: c_int,
}

const WARP: Attribute = Attribute { cuda: 10, hip: 87 };
const UNITS: Attribute = Attribute { cuda: 16, hip: 63 };
const MAX_THREADS: Attribute = Attribute { cuda: 1, hip: 56 };
const SHARED: Attribute = Attribute { cuda: 8, hip: 74 };
const SHARED_AT_MOST: Attribute = Attribute { cuda: 97, hip: 74 };
const MAJOR: Attribute = Attribute { cuda: 75, hip: 23 };
const MINOR: Attribute = Attribute { cuda: 76, hip: 61 };

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const MAX_DYNAMIC_SHARED: c_int = 8;
/// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: other threads may go on allocating.
const CAPTURE_THREAD_LOCAL: c_int = 1;
/// `CU_STREAM_NON_BLOCKING`, in HIP too.
const NON_BLOCKING: u32 = 1;
/// `CU_EVENT_DISABLE_TIMING`, in HIP too.
const NO_TIMING: u32 = 2;
/// First version of CUDA whose graphs keep that kernels may start early.
const EARLY_IN_GRAPHS: c_int = 12_030;

/// A context and a stream on one device.
pub struct Session {
    api: Api,
    ordinal: c_int,
    device: c_int,
    context: Handle,
    stream: Handle,
    version: c_int,
    start_early: bool,
    is_capturing: bool,
    lost: Option<String>,
    info: DeviceInfo,
    /// `gfx90a`, `sm_90a`: for compilers.
    pub architecture: String,
}

/// Starts the interface and counts devices.
///
/// # Errors
/// The interface's words, such as that no device is there.
pub fn count(api: &Api) -> Result<usize, String> {
    let mut count = 0;
    // SAFETY: flags are 0 in every version; the count is written to a local.
    let result = Api::done(unsafe { (api.init)(0) })
        .and_then(|()| Api::done(unsafe { (api.device_count)(&raw mut count) }));
    result.map_err(|status| api.words(status))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// What is known of a device without opening it.
///
/// # Errors
/// The interface's words.
pub fn describe(api: &Api, ordinal: usize) -> Result<(DeviceInfo, String), String> {
    read_info(api, ordinal).map_err(|status| api.words(status))
}

fn read_info(api: &Api, ordinal: usize) -> Result<(DeviceInfo, String), Status> {
    let (mut device, mut memory, mut version) = (0, 0, 0);
    let mut name = [0_u8; 256];
    // SAFETY: every pointer is to a local of the declared type, and the name's length is given.
    unsafe {
        Api::done((api.device_get)(&raw mut device, ordinal as c_int))?;
        Api::done((api.device_name)(name.as_mut_ptr().cast(), name.len() as c_int, device))?;
        Api::done((api.device_memory)(&raw mut memory, device))?;
        Api::done((api.driver_version)(&raw mut version))?;
    }
    let get = |attribute: &Attribute| -> Result<u32, Status> {
        let mut value = 0;
        let number = api.vendor.pick(attribute.cuda, attribute.hip);
        // SAFETY: one integer is written.
        Api::done(unsafe { (api.device_attribute)(&raw mut value, number, device) })?;
        Ok(u32::try_from(value).unwrap_or(0))
    };
    let (major, minor) = (get(&MAJOR)?, get(&MINOR)?);
    let architecture = match api.vendor {
        // From sm_90 on, some instructions are of one architecture only.
        Vendor::Nvidia => format!("sm_{major}{minor}{}", if major >= 9 { "a" } else { "" }),
        Vendor::Amd => gfx(api, device).unwrap_or_default(),
    };
    let warp = get(&WARP)?;
    let info = DeviceInfo {
        backend: api.vendor.backend(),
        ordinal,
        name: until_zero(&name),
        driver: driver_name(api.vendor, version, &architecture),
        hardware: Hardware::Gpu,
        dialect: api.vendor.pick(Dialect::Cuda(major, minor), Dialect::Hip(warp)),
        memory: memory as u64,
        max_alloc: memory as u64,
        units: get(&UNITS)?,
        warp,
        max_group: get(&MAX_THREADS)?,
        max_local: get(&SHARED_AT_MOST).or_else(|_| get(&SHARED))?,
    };
    Ok((info, architecture))
}

fn driver_name(vendor: Vendor, version: c_int, architecture: &str) -> String {
    match vendor {
        Vendor::Nvidia => format!("CUDA {}.{}, {architecture}", version / 1000, version % 1000 / 10),
        Vendor::Amd => {
            format!("HIP {}.{}, {architecture}", version / 10_000_000, version / 100_000 % 100)
        }
    }
}

/// The architecture's name stands in a record whose layout changed between versions; it is found by how it begins.
fn gfx(api: &Api, device: c_int) -> Option<String> {
    let function = api.properties_new.or(api.properties_old)?;
    // Both records are smaller than half of this.
    let mut record = vec![0_u64; 1024];
    // SAFETY: the record has room for either layout and the alignment of its largest field.
    Api::done(unsafe { function(record.as_mut_ptr().cast(), device) }).ok()?;
    let bytes: Vec<u8> = record.iter().flat_map(|word| word.to_ne_bytes()).collect();
    // The device's own name comes first.
    let at = 256 + bytes[256..].windows(3).position(|three| three == b"gfx")?;
    Some(until_zero(&bytes[at..]))
}

fn until_zero(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

impl Session {
    /// Opens device `ordinal`, which [`count`] has counted.
    ///
    /// # Errors
    /// The interface's words.
    pub fn open(api: Api, ordinal: usize, switches: &Switches) -> Result<Self, GpuError> {
        let backend = api.vendor.backend();
        let (label, what) = (|| format!("{backend} device {ordinal}"), "opening");
        let failed = |reason: String| GpuError::Failed { device: label(), what: what.to_owned(), reason };
        let (info, architecture) = describe(&api, ordinal).map_err(failed)?;
        let (mut device, mut version) = (0, 0);
        // SAFETY: two integers are written.
        let result = Api::done(unsafe { (api.device_get)(&raw mut device, ordinal as c_int) })
            .and_then(|()| Api::done(unsafe { (api.driver_version)(&raw mut version) }));
        result.map_err(|status| failed(api.words(status)))?;
        let can_start_early = matches!(info.dialect, Dialect::Cuda(9.., _)) && api.launch_with.is_some();
        let mut session = Self {
            ordinal: ordinal as c_int,
            device,
            context: null_mut(),
            stream: null_mut(),
            version,
            start_early: can_start_early && switches.overlap,
            is_capturing: false,
            lost: None,
            info,
            architecture,
            api,
        };
        session.start().map_err(|status| failure(status, (label(), what), session.api.words(status)))?;
        Ok(session)
    }

    fn start(&mut self) -> Result<(), Status> {
        if let Some(retain) = self.api.context_retain {
            // SAFETY: the handle is written to a field of ours.
            Api::done(unsafe { retain(&raw mut self.context, self.device) })?;
        }
        self.make_current()?;
        // SAFETY: as above; the context is current.
        Api::done(unsafe { (self.api.stream_create)(&raw mut self.stream, NON_BLOCKING) })
    }

    fn make_current(&self) -> Result<(), Status> {
        let status = match (self.api.context_use, self.api.device_use) {
            // SAFETY: the context was retained by `start`.
            (Some(function), _) => unsafe { function(self.context) },
            // SAFETY: the device exists.
            (None, Some(function)) => unsafe { function(self.ordinal) },
            (None, None) => 0,
        };
        Api::done(status)
    }

    /// What the device is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// The stream that orders the work.
    pub fn stream(&self) -> Handle {
        self.stream
    }

    /// Makes the context current on this thread.
    ///
    /// # Errors
    /// The device is lost.
    pub fn enter(&mut self) -> Result<(), GpuError> {
        if let Some(reason) = &self.lost {
            return Err(self.lost_after("earlier work", reason.clone()));
        }
        let result = self.make_current();
        self.check(result, "making the context current")
    }

    /// Gives a failure its words, and remembers one that nothing survives.
    pub fn check<T>(&mut self, result: Result<T, Status>, what: &str) -> Result<T, GpuError> {
        let status = match result {
            Ok(value) => return Ok(value),
            Err(status) => status,
        };
        let reason = self.api.words(status);
        if STICKY.contains(&status) {
            self.lost = Some(reason.clone());
            return Err(self.lost_after(what, reason));
        }
        Err(failure(status, (self.info.name.clone(), what), reason))
    }

    fn lost_after(&self, what: &str, reason: String) -> GpuError {
        GpuError::Lost { device: self.info.name.clone(), what: what.to_owned(), reason }
    }

    /// Bytes that are free on the device, other programs' use included.
    pub fn free_memory(&self) -> Option<u64> {
        let (mut free, mut total) = (0, 0);
        self.make_current().ok()?;
        // SAFETY: two numbers are written.
        Api::done(unsafe { (self.api.memory_info)(&raw mut free, &raw mut total) }).ok()?;
        Some(free as u64)
    }

    /// Memory on the device.
    pub fn alloc(&mut self, bytes: u64) -> Result<u64, Status> {
        let mut address = 0;
        let bytes = usize::try_from(bytes).map_err(|_| OUT_OF_MEMORY)?;
        // SAFETY: one address is written.
        Api::done(unsafe { (self.api.memory_alloc)(&raw mut address, bytes) }).map(|()| address)
    }

    /// # Safety
    /// The address came from [`Session::alloc`] and is not used again.
    pub unsafe fn free(&mut self, address: u64) -> Result<(), Status> {
        // SAFETY: the caller's promise; the call waits for what still runs.
        Api::done(unsafe { (self.api.memory_free)(address) })
    }

    /// Memory of the host that the device reads by itself.
    pub fn host_alloc(&mut self, bytes: usize) -> Result<*mut u8, Status> {
        let mut pointer = null_mut();
        // SAFETY: one pointer is written.
        Api::done(unsafe { (self.api.host_alloc)(&raw mut pointer, bytes, 0) }).map(|()| pointer.cast())
    }

    /// # Safety
    /// The pointer came from [`Session::host_alloc`] and is not used again.
    pub unsafe fn host_free(&mut self, pointer: *mut u8) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.host_free)(pointer.cast()) })
    }

    /// # Safety
    /// Both ranges exist, and the host's stays as it is until the stream has passed the copy.
    pub unsafe fn copy_in(&mut self, to: u64, from: *const u8, bytes: usize) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.copy_in)(to, from.cast(), bytes, self.stream) })
    }

    /// # Safety
    /// Both ranges exist, and nobody looks at the host's until the stream has passed the copy.
    pub unsafe fn copy_out(&mut self, to: *mut u8, from: u64, bytes: usize) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.copy_out)(to.cast(), from, bytes, self.stream) })
    }

    /// # Safety
    /// Both ranges exist and do not overlap.
    pub unsafe fn copy_within(&mut self, to: u64, from: u64, bytes: usize) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.copy_within)(to, from, bytes, self.stream) })
    }

    /// # Safety
    /// The range exists.
    pub unsafe fn zero(&mut self, at: u64, bytes: usize) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.fill)(at, 0, bytes, self.stream) })
    }

    /// Waits for everything on the stream.
    pub fn wait(&mut self) -> Result<(), Status> {
        // SAFETY: the stream lives as long as the session.
        Api::done(unsafe { (self.api.stream_wait)(self.stream) })
    }

    /// An event that can be recorded and waited for.
    pub fn event(&mut self) -> Result<Handle, Status> {
        let mut event = null_mut();
        // SAFETY: one handle is written.
        Api::done(unsafe { (self.api.event_create)(&raw mut event, NO_TIMING) }).map(|()| event)
    }

    /// # Safety
    /// The event came from [`Session::event`] and is live.
    pub unsafe fn record(&mut self, event: Handle) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.event_record)(event, self.stream) })
    }

    /// # Safety
    /// The event came from [`Session::event`] and is live.
    pub unsafe fn wait_for(&mut self, event: Handle) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.event_wait)(event) })
    }

    /// # Safety
    /// The event came from [`Session::event`] and is not used again.
    pub unsafe fn drop_event(&mut self, event: Handle) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.event_destroy)(event) })
    }

    /// Loads code for this device. The error is the interface's and its compiler's words.
    pub fn load(&mut self, image: &[u8]) -> Result<Handle, String> {
        let Some(load) = self.api.module_load_logged else {
            let mut module = null_mut();
            // SAFETY: one handle is written; the interface checks the image.
            let status = unsafe { (self.api.module_load)(&raw mut module, image.as_ptr().cast()) };
            return Api::done(status).map(|()| module).map_err(|status| self.api.words(status));
        };
        // `CU_JIT_ERROR_LOG_BUFFER` and its size in bytes, which the call overwrites with what it used.
        let (mut log, mut options) = (vec![0_u8; 8192], [5, 6]);
        let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), log.len() as Handle];
        // Text must end with a zero; machine code knows its own length.
        let image = [image, &[0]].concat();
        let mut module = null_mut();
        // SAFETY: two options with their values; the log has the size that is said; the interface checks the image.
        let status = unsafe {
            load(&raw mut module, image.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr())
        };
        Api::done(status).map(|()| module).map_err(|status| {
            let (words, log) = (self.api.words(status), until_zero(&log));
            if log.is_empty() { words } else { format!("{words}: {log}") }
        })
    }

    /// # Safety
    /// The module came from [`Session::load`] and is not used again.
    pub unsafe fn unload(&mut self, module: Handle) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        Api::done(unsafe { (self.api.module_unload)(module) })
    }

    /// # Safety
    /// The module came from [`Session::load`] and is live.
    pub unsafe fn function(&mut self, module: Handle, name: &str) -> Result<Handle, Status> {
        /// `CUDA_ERROR_NOT_FOUND` and `hipErrorNotFound`.
        const NOT_FOUND: Status = 500;
        let name = CString::new(name).map_err(|_| NOT_FOUND)?;
        let mut function = null_mut();
        // SAFETY: the caller's promise; the name ends with a zero.
        Api::done(unsafe {
            (self.api.module_function)(&raw mut function, module, name.as_ptr().cast::<c_char>())
        })
        .map(|()| function)
    }

    /// # Safety
    /// The function came from [`Session::function`] of a live module.
    pub unsafe fn allow_shared(&mut self, function: Handle, bytes: u32) -> Result<(), Status> {
        match self.api.function_set {
            // SAFETY: the caller's promise.
            Some(set) => Api::done(unsafe { set(function, MAX_DYNAMIC_SHARED, bytes as c_int) }),
            None => Ok(()),
        }
    }

    /// # Safety
    /// The function came from [`Session::function`] of a live module, and `arguments` points to a value of the right type for
    /// each of its parameters.
    pub unsafe fn launch(
        &mut self,
        function: Handle,
        launch: &Launch,
        arguments: *mut Handle,
    ) -> Result<(), Status> {
        let early = self.start_early && !(self.is_capturing && self.version < EARLY_IN_GRAPHS);
        if let Some(launch_with) = self.api.launch_with.filter(|_| early) {
            let config = LaunchConfig {
                grid: launch.groups,
                block: launch.threads,
                shared: launch.local,
                stream: self.stream,
                attributes: &START_EARLY,
                attribute_count: 1,
            };
            // SAFETY: the caller's promise; the attribute is a constant.
            return Api::done(unsafe { launch_with(&raw const config, function, arguments, null_mut()) });
        }
        let ([gx, gy, gz], [tx, ty, tz]) = (launch.groups, launch.threads);
        // SAFETY: the caller's promise.
        let status = unsafe {
            (self.api.launch)(
                function,
                gx,
                gy,
                gz,
                tx,
                ty,
                tz,
                launch.local,
                self.stream,
                arguments,
                null_mut(),
            )
        };
        Api::done(status)
    }

    /// Whether lists of launches can be kept as graphs.
    pub fn has_graphs(&self) -> bool {
        self.api.capture_begin.is_some()
            && self.api.capture_end.is_some()
            && self.api.graph_instantiate.is_some()
            && self.api.graph_launch.is_some()
            && self.api.graph_destroy.is_some()
            && self.api.graph_exec_destroy.is_some()
    }

    /// What `launches` puts on the stream, as a graph; nothing of it runs.
    pub fn capture(
        &mut self,
        launches: impl FnOnce(&mut Self) -> Result<(), Status>,
    ) -> Result<Handle, Status> {
        /// `CUDA_ERROR_NOT_SUPPORTED`.
        const NOT_SUPPORTED: Status = 801;
        let (Some(begin), Some(end), Some(instantiate), Some(destroy)) = (
            self.api.capture_begin,
            self.api.capture_end,
            self.api.graph_instantiate,
            self.api.graph_destroy,
        ) else {
            return Err(NOT_SUPPORTED);
        };
        // SAFETY: the stream is ours, and only this thread uses it.
        Api::done(unsafe { begin(self.stream, CAPTURE_THREAD_LOCAL) })?;
        self.is_capturing = true;
        let put = launches(self);
        self.is_capturing = false;
        let (mut graph, mut exec) = (null_mut(), null_mut());
        // SAFETY: ends what was begun, also after an error, so that the stream can be used again.
        let ended = Api::done(unsafe { end(self.stream, &raw mut graph) });
        let made = put.and(ended).and_then(|()| {
            // SAFETY: the graph was just captured.
            Api::done(unsafe { instantiate(&raw mut exec, graph, 0) })
        });
        if !graph.is_null() {
            // SAFETY: what was instantiated does not need the graph.
            unsafe { destroy(graph) };
        }
        made.map(|()| exec)
    }

    /// # Safety
    /// The graph came from [`Session::capture`], and the memory it mentions is live.
    pub unsafe fn replay(&mut self, graph: Handle) -> Result<(), Status> {
        match self.api.graph_launch {
            // SAFETY: the caller's promise.
            Some(launch) => Api::done(unsafe { launch(graph, self.stream) }),
            None => Ok(()),
        }
    }

    /// # Safety
    /// The graph came from [`Session::capture`] and is not used again.
    pub unsafe fn drop_graph(&mut self, graph: Handle) {
        if let Some(destroy) = self.api.graph_exec_destroy {
            // SAFETY: the caller's promise; a graph that still runs is destroyed when it is done.
            unsafe { destroy(graph) };
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Failures here have no one to tell, and on a lost device every call fails.
        if self.make_current().is_ok() && !self.stream.is_null() {
            // SAFETY: the stream is ours and not used again.
            unsafe { (self.api.stream_destroy)(self.stream) };
        }
        if let Some(release) = self.api.context_release.filter(|_| !self.context.is_null()) {
            // SAFETY: gives back what `start` retained.
            unsafe { release(self.device) };
        }
    }
}

impl Vendor {
    /// The interface of this vendor.
    pub fn backend(self) -> Backend {
        self.pick(Backend::Cuda, Backend::Rocm)
    }
}
