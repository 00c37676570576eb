//! The functions of CUDA's driver API and of HIP that the driver calls: one table, two spellings.
//!
//! Names ending in `_v2` are what the header of CUDA makes of the plain ones. HIP's functions have the same parameters
//! where a row has both; where it has one only, the other interface does without.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use libloading::Library;

use super::Vendor;

/// `CUresult` and `hipError_t`; 0 is success.
pub type Status = c_int;

/// A handle that the interface gave out.
pub type Handle = *mut c_void;

/// `CUlaunchConfig` of cuda.h: 56 bytes.
#[repr(C)]
pub struct LaunchConfig {
    pub grid: [c_uint; 3],
    pub block: [c_uint; 3],
    pub shared: c_uint,
    pub stream: Handle,
    pub attributes: *const LaunchAttribute,
    pub attribute_count: c_uint,
}

/// `CUlaunchAttribute` of cuda.h: an id, four bytes of nothing, a union of 64 bytes whose flags lie at its start.
#[repr(C, align(8))]
pub struct LaunchAttribute {
    pub id: c_uint,
    pub nothing: [u8; 4],
    pub flag: c_int,
    pub rest: [u8; 60],
}

const _: () = {
    assert!(size_of::<LaunchConfig>() == 56);
    assert!(std::mem::offset_of!(LaunchConfig, stream) == 32);
    assert!(std::mem::offset_of!(LaunchConfig, attributes) == 40);
    assert!(std::mem::offset_of!(LaunchConfig, attribute_count) == 48);
    assert!(size_of::<LaunchAttribute>() == 72 && align_of::<LaunchAttribute>() == 8);
    assert!(std::mem::offset_of!(LaunchAttribute, flag) == 8);
};

/// `CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION`.
const EARLY_START: c_uint = 6;

/// Lets a kernel start while the one before it ends; it waits itself where that matters.
pub const START_EARLY: LaunchAttribute =
    LaunchAttribute { id: EARLY_START, nothing: [0; 4], flag: 1, rest: [0; 60] };

macro_rules! table {
    (
        both { $($name:ident($($arg:ty),*) = $cuda:literal, $hip:literal;)* }
        cuda { $($only_cuda:ident($($cuda_arg:ty),*) = $cuda_name:literal;)* }
        hip { $($only_hip:ident($($hip_arg:ty),*) $(-> $returned:ty)? = $hip_name:literal;)* }
    ) => {
        /// Pointers into a loaded library, which stays loaded as long as they do.
        pub struct Api {
            pub vendor: Vendor,
            $(pub $name: unsafe extern "C" fn($($arg),*) -> Status,)*
            $(pub $only_cuda: Option<unsafe extern "C" fn($($cuda_arg),*) -> Status>,)*
            $(pub $only_hip: Option<unsafe extern "C" fn($($hip_arg),*) -> returned!($($returned)?)>,)*
            _library: Library,
        }

        impl Api {
            /// Finds every function; the error is the name of the one that is missing.
            pub fn of(vendor: Vendor, library: Library) -> Result<Self, String> {
                Ok(Self {
                    vendor,
                    $($name: {
                        let name = vendor.pick($cuda, $hip);
                        // SAFETY: the headers of both interfaces declare this name with these parameters.
                        unsafe { symbol(&library, name) }.ok_or_else(|| name.to_owned())?
                    },)*
                    // SAFETY: as above, for names that only cuda.h declares.
                    $($only_cuda: vendor.pick(Some($cuda_name), None).and_then(|name| unsafe { symbol(&library, name) }),)*
                    // SAFETY: as above, for names that only HIP's header declares.
                    $($only_hip: vendor.pick(None, Some($hip_name)).and_then(|name| unsafe { symbol(&library, name) }),)*
                    _library: library,
                })
            }
        }
    };
}

macro_rules! returned {
    () => {
        Status
    };
    ($ty:ty) => {
        $ty
    };
}

table! {
    both {
        init(c_uint) = "cuInit", "hipInit";
        driver_version(*mut c_int) = "cuDriverGetVersion", "hipDriverGetVersion";
        device_count(*mut c_int) = "cuDeviceGetCount", "hipGetDeviceCount";
        device_get(*mut c_int, c_int) = "cuDeviceGet", "hipDeviceGet";
        device_name(*mut c_char, c_int, c_int) = "cuDeviceGetName", "hipDeviceGetName";
        device_memory(*mut usize, c_int) = "cuDeviceTotalMem_v2", "hipDeviceTotalMem";
        device_attribute(*mut c_int, c_int, c_int) = "cuDeviceGetAttribute", "hipDeviceGetAttribute";
        stream_create(*mut Handle, c_uint) = "cuStreamCreate", "hipStreamCreateWithFlags";
        stream_destroy(Handle) = "cuStreamDestroy_v2", "hipStreamDestroy";
        stream_wait(Handle) = "cuStreamSynchronize", "hipStreamSynchronize";
        event_create(*mut Handle, c_uint) = "cuEventCreate", "hipEventCreateWithFlags";
        event_record(Handle, Handle) = "cuEventRecord", "hipEventRecord";
        event_wait(Handle) = "cuEventSynchronize", "hipEventSynchronize";
        event_destroy(Handle) = "cuEventDestroy_v2", "hipEventDestroy";
        memory_alloc(*mut u64, usize) = "cuMemAlloc_v2", "hipMalloc";
        memory_free(u64) = "cuMemFree_v2", "hipFree";
        memory_info(*mut usize, *mut usize) = "cuMemGetInfo_v2", "hipMemGetInfo";
        host_alloc(*mut Handle, usize, c_uint) = "cuMemHostAlloc", "hipHostMalloc";
        host_free(Handle) = "cuMemFreeHost", "hipHostFree";
        copy_in(u64, *const c_void, usize, Handle) = "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync";
        copy_out(*mut c_void, u64, usize, Handle) = "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync";
        copy_within(u64, u64, usize, Handle) = "cuMemcpyDtoDAsync_v2", "hipMemcpyDtoDAsync";
        fill(u64, u8, usize, Handle) = "cuMemsetD8Async", "hipMemsetD8Async";
        module_load(*mut Handle, *const c_void) = "cuModuleLoadData", "hipModuleLoadData";
        module_unload(Handle) = "cuModuleUnload", "hipModuleUnload";
        module_function(*mut Handle, Handle, *const c_char) = "cuModuleGetFunction", "hipModuleGetFunction";
        launch(Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut Handle, *mut Handle)
            = "cuLaunchKernel", "hipModuleLaunchKernel";
    }
    cuda {
        context_retain(*mut Handle, c_int) = "cuDevicePrimaryCtxRetain";
        context_release(c_int) = "cuDevicePrimaryCtxRelease_v2";
        context_use(Handle) = "cuCtxSetCurrent";
        module_load_logged(*mut Handle, *const c_void, c_uint, *mut c_int, *mut Handle) = "cuModuleLoadDataEx";
        function_set(Handle, c_int, c_int) = "cuFuncSetAttribute";
        launch_with(*const LaunchConfig, Handle, *mut Handle, *mut Handle) = "cuLaunchKernelEx";
        capture_begin(Handle, c_int) = "cuStreamBeginCapture_v2";
        capture_end(Handle, *mut Handle) = "cuStreamEndCapture";
        graph_instantiate(*mut Handle, Handle, u64) = "cuGraphInstantiateWithFlags";
        graph_launch(Handle, Handle) = "cuGraphLaunch";
        graph_destroy(Handle) = "cuGraphDestroy";
        graph_exec_destroy(Handle) = "cuGraphExecDestroy";
        error_name(Status, *mut *const c_char) = "cuGetErrorName";
        error_words(Status, *mut *const c_char) = "cuGetErrorString";
    }
    hip {
        device_use(c_int) = "hipSetDevice";
        properties_new(*mut c_void, c_int) = "hipGetDevicePropertiesR0600";
        properties_old(*mut c_void, c_int) = "hipGetDeviceProperties";
        hip_error_name(Status) -> *const c_char = "hipGetErrorName";
        hip_error_words(Status) -> *const c_char = "hipGetErrorString";
    }
}

/// # Safety
/// `T` is the type of a pointer to the function of this name.
pub unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Option<T> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<T>(name) }.ok().map(|symbol| *symbol)
}

impl Api {
    /// `Err` unless the call succeeded.
    pub fn done(status: Status) -> Result<(), Status> {
        if status == 0 { Ok(()) } else { Err(status) }
    }

    /// An error's name and words, as the interface has them.
    pub fn words(&self, status: Status) -> String {
        let cuda = |function: Option<unsafe extern "C" fn(Status, *mut *const c_char) -> Status>| {
            let mut text: *const c_char = null_mut();
            // SAFETY: the function writes one pointer to a constant string, or none.
            function.and_then(|function| (unsafe { function(status, &raw mut text) } == 0).then_some(text))
        };
        let hip = |function: Option<unsafe extern "C" fn(Status) -> *const c_char>| {
            // SAFETY: the function returns a constant string.
            function.map(|function| unsafe { function(status) })
        };
        let name = cuda(self.error_name).or_else(|| hip(self.hip_error_name));
        let words = cuda(self.error_words).or_else(|| hip(self.hip_error_words));
        let mut parts: Vec<String> = [name, words].into_iter().flatten().filter_map(owned).collect();
        // Some versions of HIP have no words.
        parts.dedup();
        if parts.is_empty() { format!("error {status}") } else { parts.join(": ") }
    }
}

fn owned(text: *const c_char) -> Option<String> {
    // SAFETY: a constant string of the library's that ends with a zero.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
