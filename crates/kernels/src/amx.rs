//! The tile registers of AMX: who may use them, and their shapes.

use std::arch::asm;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Instructions on tiles, as bits of what the processor says of itself (leaf 7, edx).
const TILES: u32 = 1 << 24;
/// Products of bytes.
pub(crate) const INT8: u32 = 1 << 25;
/// Products of bf16.
pub(crate) const BF16: u32 = 1 << 22;

/// Whether the processor has tiles with these products, and the system lets this process use them.
pub(crate) fn is_allowed(products: u32) -> bool {
    static SYSTEM: OnceLock<bool> = OnceLock::new();
    let allowed = has_instructions(TILES | products) && *SYSTEM.get_or_init(ask_system);
    if allowed {
        ALLOWED.store(true, Ordering::Relaxed);
    }
    allowed
}

/// Whether kernels of this process may use the tile registers, without asking the processor again.
static ALLOWED: AtomicBool = AtomicBool::new(false);

#[cfg(target_arch = "x86_64")]
fn has_instructions(wanted: u32) -> bool {
    use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
    __get_cpuid_max(0).0 >= 7 && __cpuid_count(7, 0).edx & wanted == wanted
}

/// Asks for the right to use the tile registers, which are too large to be part of every thread's state unasked.
#[cfg(target_os = "linux")]
fn ask_system() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the request touches no memory. A system that does not know it says so.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask_system() -> bool {
    false
}

/// What `ldtilecfg` reads and `sttilecfg` writes: bytes per row and rows of each tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Tiles of so many rows and bytes per row, as `(rows, bytes)`: at most 16 and 64.
    pub(crate) const fn new(tiles: [(usize, usize); 8]) -> Self {
        let (mut bytes, mut rows) = ([0; 16], [0; 16]);
        let mut i = 0;
        while i < tiles.len() {
            (rows[i], bytes[i]) = (tiles[i].0 as u8, tiles[i].1 as u16);
            i += 1;
        }
        Self { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows }
    }
}

/// Brings back, when it is dropped, the shapes that the tile registers of this thread had. Kernels give tiles shapes of their own and release
/// them, while other libraries (ggml) shape those of a thread once and rely on it; a product of tiles without shapes ends the process.
pub(crate) struct KeptShapes(Option<Config>);

impl KeptShapes {
    /// Those of the calling thread; nothing where no kernel may use tiles.
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: allowed, so the processor has the instruction.
        Self(
            ALLOWED.load(Ordering::Relaxed).then(|| unsafe { shapes() }).filter(|shapes| shapes.palette != 0),
        )
    }
}

impl Drop for KeptShapes {
    fn drop(&mut self) {
        if let Some(shapes) = &self.0 {
            // SAFETY: the processor has the instruction, and wrote this configuration itself.
            unsafe { asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, preserves_flags, readonly)) }
        }
    }
}

/// The shapes of this thread's tiles; all zero where they have none.
///
/// # Safety
/// The processor must have AMX, and the system must let the process use it.
unsafe fn shapes() -> Config {
    let mut shapes = Config { palette: 0, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
    // SAFETY: as the caller promises; 64 bytes are written, as many as there are.
    unsafe { asm!("sttilecfg [{}]", in(reg) &raw mut shapes, options(nostack, preserves_flags)) }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn a_job_leaves_the_tiles_of_its_caller_as_they_were() {
        if !is_allowed(INT8) {
            eprintln!("skipped: no AMX here");
            return;
        }
        let theirs = Config::new([(16, 64), (8, 32), (16, 64), (4, 16), (16, 64), (1, 4), (2, 8), (16, 64)]);
        let none = Config { palette: 0, bytes: [0; 16], rows: [0; 16], ..theirs };
        for (before, threads) in [(theirs, 1), (theirs, 2), (none, 1)] {
            let pool = Pool::new(threads);
            // SAFETY: there is AMX, and both configurations are valid; the second releases the tiles.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &before, options(nostack, preserves_flags, readonly)) };
            // SAFETY: there is AMX.
            let release = || unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
            pool.for_chunks(4, &|_, _| release());
            // SAFETY: there is AMX.
            assert_eq!(unsafe { shapes() }, before);
            pool.run(&|_| release());
            // SAFETY: there is AMX.
            assert_eq!(unsafe { shapes() }, before);
            release();
        }
    }
}
