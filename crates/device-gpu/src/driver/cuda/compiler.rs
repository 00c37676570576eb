//! NVRTC and hipRTC: source in, code for one device out.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::PathBuf;
use std::ptr::{null, null_mut};

use libloading::Library;

use super::api::{Handle, Status, symbol};
use super::{Vendor, library};

type Get = unsafe extern "C" fn(Handle, *mut c_char) -> Status;
type GetSize = unsafe extern "C" fn(Handle, *mut usize) -> Status;
type Create = unsafe extern "C" fn(
    *mut Handle,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;

/// What programs are compiled with. Each operation is rounded on its own: where one rounding for two is wanted, kernels say so.
pub fn options(vendor: Vendor, architecture: &str) -> Vec<String> {
    let alone = vendor.pick("--fmad=false", "-ffp-contract=off");
    vec![format!("--gpu-architecture={architecture}"), "--std=c++17".to_owned(), alone.to_owned()]
}

/// A loaded compiler.
pub struct Compiler {
    create: Create,
    compile: unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> Status,
    destroy: unsafe extern "C" fn(*mut Handle) -> Status,
    log_size: GetSize,
    log: Get,
    code_size: GetSize,
    code: Get,
    words: unsafe extern "C" fn(Status) -> *const c_char,
    /// With its version.
    pub name: String,
    _library: Library,
    _builtins: Vec<Library>,
}

impl Compiler {
    /// Loads the first of `candidates`, or what is usual for the vendor.
    ///
    /// # Errors
    /// What the loader said, or which function is missing.
    pub fn load(vendor: Vendor, candidates: Option<&[PathBuf]>) -> Result<Self, String> {
        let usual = vendor.pick(library::nvrtc as fn() -> Vec<PathBuf>, library::hiprtc);
        let libraries = match candidates {
            Some(candidates) => library::load_compiler(candidates)?,
            None => library::load_compiler(&usual())?,
        };
        Self::of(vendor, libraries)
    }

    fn of(vendor: Vendor, (library, builtins): (Library, Vec<Library>)) -> Result<Self, String> {
        // SAFETY: the vendor's header declares the function with this type.
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status =
            unsafe { find(&library, vendor.pick("nvrtcVersion", "hiprtcVersion"))? };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: it writes two integers.
        unsafe { version(&raw mut major, &raw mut minor) };
        let name = format!("{} {major}.{minor}", vendor.pick("NVRTC", "hipRTC"));
        // SAFETY: the vendors' headers declare these names with the types of the fields.
        unsafe {
            Ok(Self {
                create: find(&library, vendor.pick("nvrtcCreateProgram", "hiprtcCreateProgram"))?,
                compile: find(&library, vendor.pick("nvrtcCompileProgram", "hiprtcCompileProgram"))?,
                destroy: find(&library, vendor.pick("nvrtcDestroyProgram", "hiprtcDestroyProgram"))?,
                log_size: find(&library, vendor.pick("nvrtcGetProgramLogSize", "hiprtcGetProgramLogSize"))?,
                log: find(&library, vendor.pick("nvrtcGetProgramLog", "hiprtcGetProgramLog"))?,
                code_size: find(&library, vendor.pick("nvrtcGetCUBINSize", "hiprtcGetCodeSize"))?,
                code: find(&library, vendor.pick("nvrtcGetCUBIN", "hiprtcGetCode"))?,
                words: find(&library, vendor.pick("nvrtcGetErrorString", "hiprtcGetErrorString"))?,
                name,
                _library: library,
                _builtins: builtins,
            })
        }
    }

    /// Machine code of `source` for the architecture that `options` name.
    ///
    /// # Errors
    /// The compiler's words, its log included.
    pub fn compile(&self, name: &str, source: &str, options: &[String]) -> Result<Vec<u8>, String> {
        let zero = |text: &str| CString::new(text).map_err(|_| "the source has a zero byte".to_owned());
        let (source, name) = (zero(source)?, zero(&format!("{name}.cu"))?);
        let options = options.iter().map(|option| zero(option)).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = null_mut();
        // SAFETY: both texts end with a zero and outlive the call; there are no headers.
        let status =
            unsafe { (self.create)(&raw mut program, source.as_ptr(), name.as_ptr(), 0, null(), null()) };
        self.done(status)?;
        // SAFETY: the program was just made; the options end with zeros and outlive the call.
        let status = unsafe { (self.compile)(program, options.len() as c_int, options.as_ptr()) };
        let result = match self.done(status) {
            Ok(()) => self.text_of(program, self.code_size, self.code),
            Err(words) => Err(match self.text_of(program, self.log_size, self.log) {
                Ok(log) if log.len() > 1 => {
                    format!("{words}: {}", String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']))
                }
                _ => words,
            }),
        };
        // SAFETY: the program is not used again.
        unsafe { (self.destroy)(&raw mut program) };
        result
    }

    fn text_of(&self, program: Handle, size_of: GetSize, get: Get) -> Result<Vec<u8>, String> {
        let mut size = 0;
        // SAFETY: a live program and a place for one number.
        self.done(unsafe { size_of(program, &raw mut size) })?;
        let mut bytes = vec![0_u8; size];
        // SAFETY: the function writes as many bytes as it said.
        self.done(unsafe { get(program, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }

    fn done(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the function returns a constant string for every status.
        let words = unsafe { (self.words)(status) };
        if words.is_null() {
            return Err(format!("{} error {status}", self.name));
        }
        // SAFETY: a constant string of the library's.
        Err(unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
    }
}

/// # Safety
/// `T` is the type of a pointer to the function of this name.
unsafe fn find<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: the caller's promise.
    unsafe { symbol(library, name) }.ok_or_else(|| format!("it has no function {name}"))
}
