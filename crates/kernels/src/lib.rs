//! CPU arithmetic behind tables of function pointers chosen at run time; knows no models.
//!
//! [`Kernels`] is one implementation of everything for one level of instruction set, [`available`] lists those that
//! this processor can run. A [`Cpu`] joins a table, a [`Pool`] of threads and their scratch memory; all operations are its
//! methods. The results of one token do not depend on its company in a batch nor on the number of threads, bit for bit.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod buffer;
mod cpu;
mod lanes;
mod matmul;
mod ops;
mod pool;
mod rounded;
mod table;

pub use activation::Activation;
pub use buffer::{AlignedBuf, Floats};
pub use cpu::Cpu;
pub use matmul::{
    ActNeeds, Activations, GluJob, Layout, MatmulJob, MatrixRef, PackedMatrix, Precision, Store, is_decoded,
    packed_bytes,
};
pub use ops::{
    AttendSpec, DeltaGate, DeltaShape, HeadSharing, KvLayer, KvShape, KvShapeError, KvSlice, KvType,
    KvValues, RopePairing, RopeSpec, RowNorm, SumWeights, WeightedRow, rope_angles,
};
pub use ops::{DistanceRows, Offsets, WithinSpec};
pub use pool::Pool;
pub use rounded::{RoundedActs, RoundedJob, Rounding};
pub use table::{Kernels, available, best, by_name, prefer, usual};
