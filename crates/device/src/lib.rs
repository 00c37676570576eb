//! The [`Device`] trait, the CPU device and a [`Recorder`] that writes calls down.
//!
//! Ops are coarse (norm with projections, gate with up, attention with rope and cache), take handles and never
//! see a model's names: what a device needs to know is in the op. It knows no files and no architectures.

#![forbid(unsafe_code)]

mod cpu;
mod encode;
mod error;
mod ops;
mod recorder;
mod weights;

pub use cpu::{CpuDevice, CpuOptions};
pub use encode::{AttendWithin, EncoderDevice, Gather, OffsetSource, OffsetsId, PoolKind, PoolRows, Unfold};
pub use error::DeviceError;
pub use ops::{
    Activation, Attend, BufId, Device, Elementwise, Embed, Glu, Linear, MatrixId, Norm, NormKind, Pairing,
    Projection, Rope, RopeBeyond, RopeId, Select, Store, VectorId,
};
pub use ops::{CacheId, CacheShape, CacheType};
pub use recorder::{Recorder, Transcript};
pub use weights::{MatrixSource, MatrixUse, Residency, WeightBytes};
