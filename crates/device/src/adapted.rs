//! A device some of whose matrices have narrow pairs beside them, whose product is added to what the matrix yields.
//!
//! It stands in front of any other device and says everything in that one's operations.

use crate::experts::{Experts, SigmoidGate};
use crate::latent::LatentAttend;
use crate::ops::{
    Activation, Attend, BufId, CacheId, CacheShape, Device, Elementwise, Embed, Glu, Largest, Linear, Listed,
    MatrixId, ModelPart, Norm, Projection, Rope, RopeId, Select, StackId, StateId, Store, VectorId,
};
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::streams::{Blend, Rowwise};
use crate::{DeviceError, MatrixSource, MemoryGauge, Residency};
use std::collections::HashMap;
use torchless_base::{BlockCopy, Logits, SeqId, StepPlan};

/// What is added to a matrix's products: `up * down * input`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptation {
    /// `[rank, in]`.
    pub down: MatrixId,
    /// `[out, rank]`.
    pub up: MatrixId,
    /// `[tokens, rank]`.
    pub narrow: BufId,
    /// `[tokens, out]`, where the matrix is one of a gated unit, whose halves have to be made apart then.
    pub half: Option<BufId>,
}

/// A device and what stands beside its matrices.
pub struct Adapted {
    inner: Box<dyn Device>,
    beside: HashMap<MatrixId, Adaptation>,
}

impl Adapted {
    /// Puts pairs beside matrices of `inner`, which holds all of them.
    pub fn new(inner: Box<dyn Device>, beside: impl IntoIterator<Item = (MatrixId, Adaptation)>) -> Self {
        Self { inner, beside: beside.into_iter().collect() }
    }

    /// The unit in its parts, for which one half needs a buffer.
    fn glu_apart(&mut self, op: &Glu, half: BufId) -> Result<(), DeviceError> {
        let onto = |(matrix, bias): (MatrixId, Option<VectorId>), out| Projection {
            matrix,
            bias,
            out,
            store: Store::Set,
        };
        let projections = &[onto(op.gate, op.out), onto(op.up, half)];
        self.linear(&Linear { rows: op.rows, input: op.input, norm: op.norm, projections })?;
        self.inner.activate(op.rows, op.act, op.out)?;
        self.inner.elementwise(op.rows, Elementwise::Multiply { by: half, first: 0 }, op.out)
    }
}

/// Methods that the inner device answers alone.
macro_rules! forward {
    ($(fn $name:ident(&mut self $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)?;)*) => {
        $(fn $name(&mut self $(, $arg: $ty)*) $(-> $ret)? {
            self.inner.$name($($arg),*)
        })*
    };
}

impl Device for Adapted {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn memory(&self) -> Vec<MemoryGauge> {
        self.inner.memory()
    }

    fn most_listed(&self) -> usize {
        self.inner.most_listed()
    }

    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        self.inner.linear(op)?;
        let Linear { rows, input, norm, .. } = *op;
        for projection in op.projections {
            let Some(pair) = self.beside.get(&projection.matrix) else { continue };
            let (bias, narrow) = (None, pair.narrow);
            let down = Projection { matrix: pair.down, bias, out: narrow, store: Store::Set };
            self.inner.linear(&Linear { rows, input, norm, projections: &[down] })?;
            let up = Projection { matrix: pair.up, bias, out: projection.out, store: Store::Add };
            self.inner.linear(&Linear { rows, input: narrow, norm: None, projections: &[up] })?;
        }
        Ok(())
    }

    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError> {
        let half = |matrix: MatrixId| self.beside.get(&matrix).and_then(|pair| pair.half);
        match half(op.gate.0).or_else(|| half(op.up.0)) {
            Some(half) => self.glu_apart(op, half),
            None => self.inner.glu(op),
        }
    }

    forward! {
        fn matrix(&mut self, source: &MatrixSource, residency: Residency) -> Result<MatrixId, DeviceError>;
        fn stack(&mut self, sources: &[MatrixSource], residency: Residency) -> Result<StackId, DeviceError>;
        fn state(&mut self, shape: &StateShape) -> Result<StateId, DeviceError>;
        fn vector(&mut self, name: &str, values: &[f32]) -> Result<VectorId, DeviceError>;
        fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError>;
        fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError>;
        fn cache(&mut self, shape: &CacheShape) -> Result<CacheId, DeviceError>;
        fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError>;
        fn embed(&mut self, op: &Embed) -> Result<(), DeviceError>;
        fn norm(&mut self, rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError>;
        fn activate(&mut self, rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError>;
        fn elementwise(&mut self, rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError>;
        fn rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError>;
        fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError>;
        fn attend(&mut self, op: &Attend) -> Result<(), DeviceError>;
        fn experts(&mut self, op: &Experts) -> Result<(), DeviceError>;
        fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError>;
        fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError>;
        fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError>;
        fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError>;
        fn add(&mut self, rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError>;
        fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError>;
        fn largest(&mut self, op: &Largest<'_>, lists: &mut Logits) -> Result<Listed, DeviceError>;
        fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError>;
        fn place(&mut self, part: ModelPart);
        fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError>;
        fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError>;
        fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError>;
        fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError>;
        fn forget(&mut self, seq: SeqId);
        fn end(&mut self) -> Result<(), DeviceError>;
    }
}
