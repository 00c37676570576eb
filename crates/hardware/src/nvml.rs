//! NVIDIA's management library, which knows the memory of its graphics processors. It is loaded at run time, and where it is absent
//! there is nothing to tell. It is one of the two modules of this crate with `unsafe`.

#![expect(unsafe_code, reason = "calls into NVIDIA's library")]

use crate::gpu::{Gpu, GpuVendor};
use libloading::Library;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// More than fit into a machine.
const MOST: u32 = 256;
/// The longest name that the library writes, its final zero included.
const NAME: usize = 96;

const NAMES: &[&str] = if cfg!(windows) {
    &["nvml.dll", "C:\\Program Files\\NVIDIA Corporation\\NVSMI\\nvml.dll"]
} else {
    &["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"]
};

type Device = *mut c_void;

/// `nvmlMemory_t`, in bytes.
#[repr(C)]
#[derive(Default)]
struct MemoryInfo {
    total: u64,
    free: u64,
    used: u64,
}

/// The functions that are used; `nvml.h` has their types. All return 0 for success.
struct Functions {
    shutdown: unsafe extern "C" fn() -> c_int,
    count: unsafe extern "C" fn(*mut c_uint) -> c_int,
    handle: unsafe extern "C" fn(c_uint, *mut Device) -> c_int,
    name: unsafe extern "C" fn(Device, *mut c_char, c_uint) -> c_int,
    memory: unsafe extern "C" fn(Device, *mut MemoryInfo) -> c_int,
    capability: unsafe extern "C" fn(Device, *mut c_int, *mut c_int) -> c_int,
    driver: unsafe extern "C" fn(*mut c_char, c_uint) -> c_int,
}

/// NVIDIA's graphics processors, or why the library says nothing; `Ok` without any where the library is not there.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    // SAFETY: NVIDIA's own library; loading it runs nothing but its initialisers.
    let Some(library) = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok()) else {
        return Ok(Vec::new());
    };
    let functions = start(&library)?;
    let found = list(&functions);
    // SAFETY: the library was started, and no handle is used from here on.
    unsafe { (functions.shutdown)() };
    found
}

fn start(library: &Library) -> Result<Functions, String> {
    let missing = |error: libloading::Error| format!("NVML lacks a function: {error}");
    // SAFETY: names and types are those of nvml.h, which has kept these functions since driver 319.
    let functions = unsafe {
        Functions {
            shutdown: *library.get(b"nvmlShutdown\0").map_err(missing)?,
            count: *library.get(b"nvmlDeviceGetCount_v2\0").map_err(missing)?,
            handle: *library.get(b"nvmlDeviceGetHandleByIndex_v2\0").map_err(missing)?,
            name: *library.get(b"nvmlDeviceGetName\0").map_err(missing)?,
            memory: *library.get(b"nvmlDeviceGetMemoryInfo\0").map_err(missing)?,
            capability: *library.get(b"nvmlDeviceGetCudaComputeCapability\0").map_err(missing)?,
            driver: *library.get(b"nvmlSystemGetDriverVersion\0").map_err(missing)?,
        }
    };
    // SAFETY: as above; it takes nothing.
    let status = unsafe {
        let init = library.get::<unsafe extern "C" fn() -> c_int>(b"nvmlInit_v2\0").map_err(missing)?;
        init()
    };
    check(status, "nvmlInit_v2")?;
    Ok(functions)
}

fn list(functions: &Functions) -> Result<Vec<Gpu>, String> {
    let mut count: c_uint = 0;
    // SAFETY: it writes one number to where one is.
    check(unsafe { (functions.count)(&raw mut count) }, "nvmlDeviceGetCount_v2")?;
    // SAFETY: the buffer has as many bytes as it is said to have.
    let driver = text(|buffer, size| unsafe { (functions.driver)(buffer, size) });
    (0..count.min(MOST)).map(|number| gpu(functions, number, driver.clone())).collect()
}

fn gpu(functions: &Functions, number: c_uint, driver: Option<String>) -> Result<Gpu, String> {
    let mut device: Device = std::ptr::null_mut();
    // SAFETY: it writes one handle to where one is.
    check(unsafe { (functions.handle)(number, &raw mut device) }, "nvmlDeviceGetHandleByIndex_v2")?;
    // SAFETY: the handle is good until the library is shut down, and the buffer has as many bytes as it is said to have.
    let name = text(|buffer, size| unsafe { (functions.name)(device, buffer, size) });
    let mut memory = MemoryInfo::default();
    // SAFETY: the handle is good, and the struct is the one of nvml.h.
    let told = unsafe { (functions.memory)(device, &raw mut memory) } == 0;
    let (mut major, mut minor): (c_int, c_int) = (0, 0);
    // SAFETY: the handle is good, and it writes two numbers to where two are.
    let capable = unsafe { (functions.capability)(device, &raw mut major, &raw mut minor) } == 0;
    let capability = (u32::try_from(major), u32::try_from(minor));
    Ok(Gpu {
        vendor: GpuVendor::Nvidia,
        name: name.unwrap_or_else(|| format!("NVIDIA {number}")),
        memory: told.then_some(memory.total),
        used: told.then_some(memory.used),
        shares_memory: false,
        compute_capability: match capability {
            (Ok(major), Ok(minor)) if capable => Some((major, minor)),
            _ => None,
        },
        driver: driver.map(|version| format!("NVIDIA {version}")),
        source: "NVML",
    })
}

/// What a function writes into a buffer of [`NAME`] bytes.
fn text(write: impl FnOnce(*mut c_char, c_uint) -> c_int) -> Option<String> {
    let mut buffer = [0u8; NAME];
    let status = write(buffer.as_mut_ptr().cast(), NAME as c_uint);
    let end = buffer.iter().position(|byte| *byte == 0)?;
    (status == 0).then(|| String::from_utf8_lossy(&buffer[..end]).into_owned())
}

fn check(status: c_int, what: &str) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("NVML: {what} failed with status {status}")) }
}
