//! Calls of Windows, which write into memory that is handed to them. It is one of the two modules of this crate with `unsafe`.

#![expect(unsafe_code, reason = "calls of the system")]

use crate::machine::Memory;
use windows_sys::Win32::System::SystemInformation::{
    GetLogicalProcessorInformationEx, GlobalMemoryStatusEx, MEMORYSTATUSEX, RelationAll,
};

/// Physical memory.
#[must_use]
pub fn memory() -> Option<Memory> {
    // SAFETY: a struct of numbers, for which zeros are values.
    let mut status: MEMORYSTATUSEX = unsafe { std::mem::zeroed() };
    status.dwLength = size_of::<MEMORYSTATUSEX>() as u32;
    // SAFETY: the struct says its size, as the call demands.
    let done = unsafe { GlobalMemoryStatusEx(&raw mut status) } != 0;
    done.then(|| Memory::new(status.ullTotalPhys, status.ullAvailPhys, None))
}

/// The table of processors, caches and nodes; empty where the system does not give it.
#[must_use]
pub fn processor_table() -> Vec<u8> {
    let mut size = 0u32;
    // SAFETY: without a buffer the call says how large one has to be.
    unsafe { GetLogicalProcessorInformationEx(RelationAll, std::ptr::null_mut(), &raw mut size) };
    // Records begin at multiples of eight.
    let mut buffer = vec![0u64; (size as usize).div_ceil(8)];
    // SAFETY: the buffer has `size` bytes, and the call writes at most that many.
    let done =
        unsafe { GetLogicalProcessorInformationEx(RelationAll, buffer.as_mut_ptr().cast(), &raw mut size) };
    let bytes = buffer.iter().flat_map(|word| word.to_ne_bytes());
    if done == 0 { Vec::new() } else { bytes.take(size as usize).collect() }
}
