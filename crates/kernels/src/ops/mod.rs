//! Everything but matrix products: norms, activations, positions, softmax, attention and its cache.
//!
//! The operations are methods of [`Cpu`](crate::Cpu). Each is written once over [`Lanes`](crate::lanes::Lanes) and
//! instantiated per instruction set in `table`.

mod activation;
mod attention;
mod delta;
mod disjoint;
mod elementwise;
mod embed;
#[cfg(test)]
mod kernels_tests;
mod norm;
mod rope;
mod rows;
mod softmax;
mod streams;
mod table;

pub use attention::{AttendSpec, KvLayer, KvShape, KvShapeError, KvSlice, KvType, KvValues};
pub use attention::{DistanceRows, Offsets, WithinSpec};
pub use delta::{DeltaGate, DeltaShape, HeadSharing};
pub(crate) use disjoint::Disjoint;
pub use norm::RowNorm;
pub use rope::{RopePairing, RopeSpec, rope_angles};
pub use rows::WeightedRow;
pub use streams::SumWeights;
#[cfg(target_arch = "aarch64")]
pub(crate) use table::NEON;
#[cfg(target_arch = "x86_64")]
pub(crate) use table::{AVX2, AVX512};
pub(crate) use table::{OpsTable, SCALAR};
