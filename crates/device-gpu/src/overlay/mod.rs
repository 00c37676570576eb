//! What stands over the portable kernels on NVIDIA's devices: how weights lie there.

mod format;
mod pack;

pub use format::{Format, PIECE_BYTES, TILE_ROWS, UNIT_DEPTH, units};
pub use pack::{Packed, pack};

/// The part of programs that is instructions of sm_75 and later, and the one of sm_90a's: what an emulation replaces.
pub const INTRINSICS: &str = include_str!("../../kernels/cuda/intrinsics.cu");
/// See [`INTRINSICS`].
pub const HOPPER: &str = include_str!("../../kernels/cuda/hopper.cu");
