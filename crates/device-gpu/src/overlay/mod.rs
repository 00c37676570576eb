//! What stands over the portable kernels: instructions of each vendor's devices, and how weights lie on NVIDIA's.

mod format;
mod pack;

pub use format::{Format, PIECE_BYTES, TILE_ROWS, UNIT_DEPTH, units};
pub use pack::{Packed, pack};

/// The part of programs that is instructions of sm_75 and later, the one that makes on sm_75 what came later, and the one of sm_90a's. An
/// emulation replaces the first and the last.
pub const INTRINSICS: &str = include_str!("../../kernels/cuda/intrinsics.cu");
/// See [`INTRINSICS`].
pub const TURING: &str = include_str!("../../kernels/cuda/turing.cu");
/// See [`INTRINSICS`].
pub const HOPPER: &str = include_str!("../../kernels/cuda/hopper.cu");

/// Instructions of AMD's processors, which an emulation replaces, and what waves do with them.
pub const HIP_INSTRUCTIONS: &str = include_str!("../../kernels/hip/instructions.hip");
/// See [`HIP_INSTRUCTIONS`].
pub(crate) const HIP_DOTS: &str = include_str!("../../kernels/hip/dots.hip");
/// See [`HIP_INSTRUCTIONS`].
pub const HIP_WAVES: &str = include_str!("../../kernels/hip/waves.hip");
/// What SIMD groups of Apple's processors do; an emulation replaces it.
pub const SIMDGROUP: &str = include_str!("../../kernels/metal/simdgroup.metal");
