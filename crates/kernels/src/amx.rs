//! The tile registers of AMX: who may use them, and their shapes.

use std::sync::OnceLock;

/// Instructions on tiles, as bits of what the processor says of itself (leaf 7, edx).
const TILES: u32 = 1 << 24;
/// Products of bytes.
pub(crate) const INT8: u32 = 1 << 25;
/// Products of bf16.
pub(crate) const BF16: u32 = 1 << 22;

/// Whether the processor has tiles with these products, and the system lets this process use them.
pub(crate) fn is_allowed(products: u32) -> bool {
    static SYSTEM: OnceLock<bool> = OnceLock::new();
    has_instructions(TILES | products) && *SYSTEM.get_or_init(ask_system)
}

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

/// What `ldtilecfg` reads: bytes per row and rows of each tile.
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
