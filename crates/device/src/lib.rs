//! The [`Device`] trait, the CPU device and a [`Recorder`] that writes calls down.
//!
//! Ops are coarse (norm with projections, gate with up, attention with rope and cache), take handles and never
//! see a model's names: what a device needs to know is in the op. It knows no files and no architectures.

#![forbid(unsafe_code)]

mod adapted;
mod cpu;
mod encode;
mod error;
mod experts;
mod latent;
mod memory;
mod needs;
mod ops;
mod placed;
mod recorder;
mod recurrent;
mod routing;
mod sharded;
mod slots;
mod streams;
mod weights;
mod witness;

pub use adapted::{Adaptation, Adapted};
pub use cpu::{CpuDevice, CpuOptions};
pub use encode::{AttendWithin, EncoderDevice, Gather, OffsetSource, OffsetsId, PoolKind, PoolRows, Unfold};
pub use error::DeviceError;
pub use experts::{ExpertLinear, Experts, Gating, SigmoidGate};
pub use latent::LatentAttend;
pub use memory::{MemoryGauge, MemoryNumbers, MemoryUse};
pub use needs::{LayerNeed, Needs};
pub use ops::{
    Activation, Attend, BufId, Device, Elementwise, Embed, Glu, Largest, Lent, Linear, Listed, MatrixId,
    ModelPart, Norm, NormKind, Pairing, Precision, Projection, Rope, RopeBeyond, RopeId, Select, StackId,
    StateId, Store, VectorId,
};
pub use ops::{CacheId, CacheShape, CacheType, CacheValues};
pub use placed::{Parts, Placed};
pub use recorder::{Recorder, Transcript};
pub use recurrent::{DeltaNet, DeltaShape, HeadSharing, Split, SplitPart, StateShape};
pub use routing::{Choice, GroupLimit, GroupScore, Routing, Score};
pub use sharded::{Exchange, Sharded, ThroughHost};
pub use slots::{Begun, Slots};
pub use streams::{Blend, Rowwise};
pub use weights::{Divide, MatrixSource, MatrixUse, Residency, WeightBytes};
pub use witness::Witness;
