//! A compiled program: its kernels, called one at a time.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A stack per thread of a group.
const STACK_BYTES: usize = 128 << 10;
/// Shared memory is aligned for the widest swizzle of the tensor cores.
const LOCAL_ALIGN: usize = 1024;
const MESSAGE_BYTES: usize = 256;

/// One argument of a kernel.
#[derive(Clone, Copy)]
pub enum Argument {
    /// Memory.
    Pointer(*mut u8),
    /// `int`.
    Int(i32),
    /// `float`.
    Float(f32),
}

/// A launch.
pub struct Call {
    /// Groups in each direction.
    pub groups: [u32; 3],
    /// Threads of a group in each direction.
    pub threads: [u32; 3],
    /// Bytes of memory that a group shares.
    pub local: usize,
    /// In the order of their declaration.
    pub arguments: Vec<Argument>,
}

/// `emulator::Shape` of `emulate.h`.
#[repr(C)]
struct Shape {
    groups: [u32; 3],
    threads: [u32; 3],
    local_bytes: u32,
    stack_bytes: u32,
    local: *mut u8,
    stacks: *mut u8,
    message: *mut u8,
    message_bytes: u64,
}

type Start = unsafe extern "C" fn(*const Shape, *mut *mut c_void, *const c_int, c_int) -> bool;

/// A loaded library.
pub struct Library {
    library: libloading::Library,
    kernels: Vec<String>,
    /// Its variables (shared memory, the threads of a group) exist once.
    running: Mutex<()>,
}

impl Library {
    /// Loads what the compiler made.
    pub fn open(path: &Path, kernels: Vec<String>) -> Result<Self, String> {
        // SAFETY: the library was compiled from kernels of this project; loading it runs no code of its own.
        let library = unsafe { libloading::Library::new(path) };
        let library = library.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { library, kernels, running: Mutex::new(()) })
    }

    /// Whether there is a kernel of this name.
    pub fn has(&self, name: &str) -> bool {
        self.kernels.iter().any(|kernel| kernel == name)
    }

    /// Runs a kernel; an error says what its threads did wrong.
    pub fn run(&self, name: &str, call: &Call) -> Result<(), String> {
        // SAFETY: `emulated_text` writes this function with this type for every kernel.
        let start = unsafe { self.library.get::<Start>(format!("launch_{name}").as_bytes()) };
        let start = start.map_err(|error| error.to_string())?;
        let mut cells: Vec<u64> = call.arguments.iter().map(|argument| cell(*argument)).collect();
        let mut pointers: Vec<*mut c_void> = cells.iter_mut().map(|cell| (&raw mut *cell).cast()).collect();
        let kinds: Vec<c_int> = call.arguments.iter().map(|argument| kind(*argument)).collect();
        let mut local = vec![0u8; call.local + LOCAL_ALIGN];
        let aligned = local.as_ptr().align_offset(LOCAL_ALIGN);
        let mut message = [0u8; MESSAGE_BYTES];
        let count = call.threads.iter().product::<u32>() as usize;
        with_stacks(count.min(1024), |stacks| {
            let shape = Shape {
                groups: call.groups,
                threads: call.threads,
                local_bytes: call.local as u32,
                stack_bytes: STACK_BYTES as u32,
                local: local[aligned..].as_mut_ptr(),
                stacks: stacks.as_mut_ptr(),
                message: message.as_mut_ptr(),
                message_bytes: MESSAGE_BYTES as u64,
            };
            let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: all pointers are alive during the call and as long as the lengths beside them say; kinds are compared with
            // the kernel's declaration before an argument is read. What the kernel does with its memory is what is being tested.
            unsafe { start(&raw const shape, pointers.as_mut_ptr(), kinds.as_ptr(), kinds.len() as c_int) }
        })
        .then_some(())
        .ok_or_else(|| {
            let end = message.iter().position(|byte| *byte == 0).unwrap_or(MESSAGE_BYTES);
            String::from_utf8_lossy(&message[..end]).into_owned()
        })
    }
}

fn cell(argument: Argument) -> u64 {
    match argument {
        Argument::Pointer(pointer) => pointer as u64,
        Argument::Int(value) => u64::from(value.cast_unsigned()),
        Argument::Float(value) => u64::from(value.to_bits()),
    }
}

/// As `emulator::kind_of`.
fn kind(argument: Argument) -> c_int {
    match argument {
        Argument::Pointer(_) => 0,
        Argument::Int(_) => 1,
        Argument::Float(_) => 2,
    }
}

/// Stacks of the threads of a group, kept for the next launch of this thread.
fn with_stacks<T>(count: usize, run: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static STACKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    STACKS.with_borrow_mut(|stacks| {
        // One more than there are threads, in front: what the first one overflows into.
        if stacks.len() < (count + 1) * STACK_BYTES {
            *stacks = vec![0; (count + 1) * STACK_BYTES];
        }
        run(&mut stacks[STACK_BYTES..])
    })
}
