//! A loaded library: opened once per process, checked, its back-ends registered, its layouts measured.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::abi::call;
use crate::abi::footprint::Footprint;
use crate::abi::layout::{CONTEXT_ROWS, MODEL_ROWS};
use crate::abi::params::ParamsType;
use crate::functions::{Functions, GgmlFunctions};
use crate::lookup::Places;
use crate::{Error, binary, logs};

/// llama.cpp's shared library. A copy of this value is another name for the same library.
///
/// A library stays loaded until the process ends: its threads, its plug-ins and what they leave for the end of the process would
/// otherwise run in memory that is gone.
#[derive(Clone, Copy)]
pub struct Library {
    loaded: &'static Loaded,
}

/// What is known of a library.
struct Loaded {
    path: PathBuf,
    functions: Functions,
    ggml: GgmlFunctions,
    model_params: ParamsType,
    context_params: ParamsType,
    devices: Vec<String>,
}

/// Libraries of this process, in the order in which they were loaded.
static LOADED: Mutex<Vec<&'static Loaded>> = Mutex::new(Vec::new());

impl Library {
    /// Loads the library that [`Places::here`] finds.
    ///
    /// # Errors
    /// There is none, or as [`Library::open`].
    pub fn find() -> Result<Self, Error> {
        Self::open(&Places::here().find()?)
    }

    /// Loads a library, or gives the one that is loaded from this path already.
    ///
    /// Code that the library runs when it is loaded runs with all rights of this process: only name files that you trust.
    ///
    /// # Errors
    /// The file is missing, of another kind, for another machine, no llama.cpp or too old a one; it has no back-end; or the
    /// process uses a library from another folder.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !call::SUPPORTED {
            return Err(Error::Architecture);
        }
        let path = Places::default().with_explicit(Some(path.to_owned())).find()?;
        let reason = |e: std::io::Error| Error::CannotLoad { path: path.clone(), reason: e.to_string() };
        let path = fs::canonicalize(&path).map_err(reason)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = loaded.iter().find(|library| library.path == path) {
            return Ok(Self { loaded: same });
        }
        binary::check(&path)?;
        // The loader takes parts of ggml that have the same name for the same; in one folder they are.
        if let Some(other) = loaded.iter().find(|library| library.path.parent() != path.parent()) {
            return Err(Error::AnotherLibrary { loaded: other.path.clone(), asked: path });
        }
        let new: &'static Loaded = Box::leak(Box::new(Loaded::load(path)?));
        loaded.push(new);
        Ok(Self { loaded: new })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.loaded.path
    }

    /// Devices that its back-ends have, by ggml's names (`CPU`, `CUDA0`, ...).
    pub fn devices(&self) -> &[String] {
        &self.loaded.devices
    }

    /// Whether one of them is a GPU that layers can be put on.
    pub fn supports_gpu(&self) -> bool {
        // SAFETY: it takes nothing and asks for the list of devices.
        unsafe { (self.functions().supports_gpu_offload)() }
    }

    /// Its version in its own words; releases before the summer of 2026 do not say.
    pub fn version(&self) -> Option<String> {
        let version = self.functions().version?;
        // SAFETY: it takes nothing, and returns a string that lives as long as the library.
        let text = unsafe { version() };
        // SAFETY: it is not null, and a C string.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }

    /// What was measured of its parameters, and which releases have them so.
    pub fn layouts(&self) -> String {
        let of = |params: &ParamsType| match params.releases() {
            [] => format!("unknown ({})", params.footprint()),
            releases => format!("that of {} ({})", releases.join(" or "), params.footprint()),
        };
        format!("model {}, context {}", of(&self.loaded.model_params), of(&self.loaded.context_params))
    }

    /// Whether options can be set: both layouts are known.
    pub fn takes_options(&self) -> bool {
        [&self.loaded.model_params, &self.loaded.context_params]
            .iter()
            .all(|params| !params.releases().is_empty())
    }

    pub(crate) fn functions(&self) -> &'static Functions {
        &self.loaded.functions
    }

    pub(crate) fn model_params(&self) -> &'static ParamsType {
        &self.loaded.model_params
    }

    pub(crate) fn context_params(&self) -> &'static ParamsType {
        &self.loaded.context_params
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("path", &self.loaded.path)
            .field("devices", &self.loaded.devices)
            .field("layouts", &self.layouts())
            .finish_non_exhaustive()
    }
}

impl Loaded {
    fn load(path: PathBuf) -> Result<Self, Error> {
        let library = open(&path)?;
        let functions = Functions::of(&library)
            .map_err(|symbols| Error::MissingSymbols { path: path.clone(), symbols })?;
        let exports = |symbol: &str| {
            // SAFETY: the address is compared with nothing and never called.
            unsafe { library.get::<*const ()>(symbol) }.is_ok()
        };
        // SAFETY: both are functions of llama.h that take nothing and return a struct of C; every release has had more than 17 and
        // fewer than 200 bytes in it.
        let (model, context) = unsafe {
            (Footprint::of(functions.model_default_params), Footprint::of(functions.context_default_params))
        };
        let model_params = ParamsType::new("llama_model_params", model, MODEL_ROWS, &exports);
        let context_params = ParamsType::new("llama_context_params", context, CONTEXT_ROWS, &exports);
        let ggml = ggml_functions(&path, &library);
        // Its functions stay valid only while it is loaded, and so do its threads.
        std::mem::forget(library);
        let mut loaded = Self { path, functions, ggml, model_params, context_params, devices: Vec::new() };
        loaded.start()?;
        Ok(loaded)
    }

    /// Takes the logs over, registers back-ends, and lists the devices.
    fn start(&mut self) -> Result<(), Error> {
        // SAFETY: the callback is a function of this program, lives for ever, and allows any of the library's calls.
        unsafe { (self.functions.log_set)(Some(logs::callback), std::ptr::null_mut()) };
        self.register_backends();
        // SAFETY: it takes nothing, and may be called more than once.
        unsafe { (self.functions.backend_init)() };
        self.devices = self.list_devices();
        if self.devices.is_empty() && self.ggml.is_complete() {
            return Err(Error::NoBackend { path: self.path.clone() });
        }
        Ok(())
    }

    /// Plug-ins lie beside the library, or where its builder said; some libraries have theirs inside.
    fn register_backends(&self) {
        let folder =
            self.path.parent().and_then(|folder| CString::new(folder.as_os_str().as_encoded_bytes()).ok());
        if let (Some(load), Some(folder)) = (self.ggml.load_all_from, folder) {
            // SAFETY: a C string, read during the call.
            unsafe { load(folder.as_ptr()) };
        }
        if let (true, Some(load)) = (self.list_devices().is_empty(), self.ggml.load_all) {
            // SAFETY: it takes nothing.
            unsafe { load() };
        }
    }

    fn list_devices(&self) -> Vec<String> {
        let (Some(count), Some(device), Some(name)) =
            (self.ggml.device_count, self.ggml.device, self.ggml.device_name)
        else {
            return Vec::new();
        };
        // SAFETY: it takes nothing.
        let count = unsafe { count() };
        let name_of = |at| {
            // SAFETY: there are `count` devices, and `at` is below.
            let device = unsafe { device(at) };
            if device.is_null() {
                return None;
            }
            // SAFETY: a device of the list.
            let text = unsafe { name(device) };
            // SAFETY: it is not null, and a C string that lives as long as the device.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        (0..count).filter_map(name_of).collect()
    }
}

fn open(path: &Path) -> Result<libloading::Library, Error> {
    #[cfg(unix)]
    // SAFETY: code runs that belongs to the library, and to those it needs; whoever names it trusts it (see `Library::open`).
    let library = unsafe {
        use libloading::os::unix;
        unix::Library::open(Some(path), unix::RTLD_NOW | unix::RTLD_LOCAL).map(libloading::Library::from)
    };
    #[cfg(windows)]
    // SAFETY: as on Unix. The flag makes the system look for other parts of llama.cpp beside the file.
    let library = unsafe {
        use libloading::os::windows;
        windows::Library::load_with_flags(path, windows::LOAD_WITH_ALTERED_SEARCH_PATH)
            .map(libloading::Library::from)
    };
    library.map_err(|e| Error::CannotLoad { path: path.to_owned(), reason: reason(&e) })
}

/// The loader's own words are in the source of the error.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Through the library, whose symbols include those of what it needs on Unix, or from the file of ggml beside it.
fn ggml_functions(path: &Path, library: &libloading::Library) -> GgmlFunctions {
    let mut found = GgmlFunctions::default().also(library);
    let beside = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let files = beside.into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    for path in files.filter(|path| path.file_name().is_some_and(is_ggml)) {
        if found.is_complete() {
            break;
        }
        if let Ok(library) = open(&path) {
            found = found.also(&library);
            // It is one of those that the first needs, and stays loaded with it.
            std::mem::forget(library);
        }
    }
    found
}

/// `libggml.so`, `ggml.dll`, `libggml-base.dylib` and versioned ones, but no plug-ins.
fn is_ggml(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let name = name.strip_prefix("lib").unwrap_or(name);
    let library = [".so", ".dll", ".dylib"].iter().any(|ending| name.contains(ending));
    library && (name.starts_with("ggml.") || name.starts_with("ggml-base."))
}
