//! Structs of unknown size, by value: passed as a blob that is larger, returned through the pointer that callers hand in.

use std::ffi::c_void;

/// Room for any of the library's parameter structs. The largest known one has 168 bytes.
pub const BLOB_BYTES: usize = 512;

/// A struct of the library, somewhere at the beginning of more bytes than it has. Aligned as one that holds pointers.
#[derive(Clone)]
#[repr(C, align(8))]
pub struct Blob(pub [u8; BLOB_BYTES]);

/// `*_default_params`, whose result is a struct that we do not know.
///
/// It is never called under this type: see [`returned_into`].
pub type ReturnsStruct = unsafe extern "C" fn();

/// Calls `function`, which returns a struct of more than 16 bytes, and lets it write into `blob`. Bytes that the struct does not
/// have, or that its maker leaves alone, keep what they were.
///
/// # Safety
/// `function` has to take no arguments and return a C struct of 17 to [`BLOB_BYTES`] bytes without members of C++.
#[cfg(target_arch = "x86_64")]
pub unsafe fn returned_into(function: ReturnsStruct, blob: &mut Blob) {
    type ThroughPointer = unsafe extern "C" fn(*mut Blob) -> *mut c_void;
    // SAFETY: both are pointers to functions of the C convention. In the System V convention for x86-64 (class MEMORY) and in that of
    // Windows, a function that returns such a struct *is* one that takes the address for it as its first argument and returns
    // that address, so this is its type as the machine sees it.
    let function = unsafe { std::mem::transmute::<ReturnsStruct, ThroughPointer>(function) };
    // SAFETY: the caller promises what it is; it writes no more than its struct has, which fits the blob, and the blob is
    // aligned for pointers, the strictest members that C structs of this library have.
    unsafe { function(blob) };
}

/// As on x86-64.
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
pub unsafe fn returned_into(function: ReturnsStruct, blob: &mut Blob) {
    let target: *mut c_void = std::ptr::from_mut(blob).cast();
    // SAFETY: in the procedure call standard of AArch64 (and on Windows and macOS, which follow it here) the address for a result of more
    // than 16 bytes that is no homogeneous aggregate of floats comes in x8, and nothing else is passed. All registers that a C function may change are
    // declared as clobbered, the stack is aligned as asm blocks are without `nostack`, and what the function writes lies in
    // the blob, as the caller promises.
    unsafe {
        std::arch::asm!(
            "blr {function}",
            function = in(reg) function,
            inout("x8") target => _,
            clobber_abi("C"),
        );
    }
}

/// Whether this machine's convention is one of those above.
pub const SUPPORTED: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Elsewhere nothing is called; [`SUPPORTED`] is asked first.
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub unsafe fn returned_into(_function: ReturnsStruct, _blob: &mut Blob) {}
