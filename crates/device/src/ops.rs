//! The ops that a decoder is made of, and the trait that runs them.

use crate::experts::{Experts, SigmoidGate};
use crate::latent::LatentAttend;
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::streams::{Blend, Rowwise};
use crate::{DeviceError, MatrixSource, MemoryGauge, Residency};
use torchless_base::{BlockCopy, Logits, SeqId, StepPlan};

pub use torchless_kernels::{Activation, KvValues as CacheValues, Precision};

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub u32);
    };
}

handle! {
    /// A buffer of activations, `[tokens, width]` f32.
    BufId
}
handle! {
    /// A weight matrix, `[rows, cols]`, of any element type.
    MatrixId
}
handle! {
    /// A short vector of f32: norm weights, biases, sinks.
    VectorId
}
handle! {
    /// The KV cache of one layer.
    CacheId
}
handle! {
    /// A rotary embedding.
    RopeId
}
handle! {
    /// Matrices of one shape, one for each expert or head.
    StackId
}
handle! {
    /// What one recurrent layer keeps of each sequence.
    StateId
}

/// Keeps what a device made; its place is the number of its handle.
pub(crate) fn handle<T>(list: &mut Vec<T>, item: T) -> u32 {
    list.push(item);
    u32::try_from(list.len() - 1).unwrap_or(u32::MAX)
}

/// What a norm does with a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps) * weight`. Zhang & Sennrich 2019, arXiv 1910.07467.
    Rms {
        /// Added to the mean of squares.
        eps: f32,
    },
    /// `(x - mean) / sqrt(var + eps) * weight + bias`. Ba et al. 2016, arXiv 1607.06450.
    Layer {
        /// Added to the variance.
        eps: f32,
        /// Added to the result.
        bias: Option<VectorId>,
    },
}

/// A norm with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Which norm.
    pub kind: NormKind,
    /// `[width]`, or the same for each part: `[width / groups]`.
    pub weight: VectorId,
    /// Equal parts of a row that are normed on their own, such as heads; usually 1.
    pub groups: usize,
}

/// What happens to what the output held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It is overwritten.
    Set,
    /// The result is added to it: the residual stream.
    Add,
}

/// One matrix of a [`Linear`] op: `out = input * matrix^T (+ bias)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// `[out, in]`.
    pub matrix: MatrixId,
    /// `[out]`.
    pub bias: Option<VectorId>,
    /// `[tokens, out]`; not the op's input.
    pub out: BufId,
    /// Overwrite or add.
    pub store: Store,
}

/// Rows of an embedding table by token id, the first row for ids beyond the table: `out[i] = table[token[i]] * scale`, plus the row of the position where there is
/// a table of those.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Embed {
    /// `[vocab, dim]`.
    pub table: MatrixId,
    /// Applied to each value.
    pub scale: f32,
    /// `[positions, dim]`.
    pub positions: Option<MatrixId>,
    /// `[tokens, dim]`.
    pub out: BufId,
}

/// An optional norm, then several matrices off the same rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear<'a> {
    /// Rows to work on.
    pub rows: usize,
    /// `[rows, in]`.
    pub input: BufId,
    /// Applied to the input first; the input itself stays as it is.
    pub norm: Option<Norm>,
    /// The matrices.
    pub projections: &'a [Projection],
}

/// A gated unit: `out = act(x gate^T + gate_bias) * (x up^T + up_bias)`, `x` the optionally normed input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glu {
    /// Rows to work on.
    pub rows: usize,
    /// `[rows, in]`.
    pub input: BufId,
    /// Applied to the input first.
    pub norm: Option<Norm>,
    /// `[hidden, in]` and an optional bias.
    pub gate: (MatrixId, Option<VectorId>),
    /// `[hidden, in]` and an optional bias.
    pub up: (MatrixId, Option<VectorId>),
    /// Of the gate.
    pub act: Activation,
    /// `[rows, hidden]`.
    pub out: BufId,
}

/// What an elementwise op does with each value `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elementwise {
    /// `min(limit, max(-limit, x))`.
    Clamp(f32),
    /// `x * factor`.
    Scale(f32),
    /// `x * y`, `y` from the columns of a buffer from `first` on, row by row.
    Multiply {
        /// `[rows, width]`; another one than the op works on.
        by: BufId,
        /// Its first column that is used.
        first: usize,
    },
}

/// How the two halves of a rotated pair lie in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Dimension `2i` with `2i + 1`.
    Adjacent,
    /// Dimension `i` with `i + dims / 2`.
    Halves,
}

/// A rotary position embedding: pair `i` turns by `position * inv_freq[i]`, both halves scaled by `magnitude`.
/// Su et al. 2021, arXiv 2104.09864.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// One frequency per pair: `dims / 2` values, in radians per position.
    pub inv_freq: Vec<f32>,
    /// Attention factor of YaRN and longrope; 1 elsewhere.
    pub magnitude: f32,
    /// How pairs lie; dimensions beyond `2 * inv_freq.len()` stay as they are.
    pub pairing: Pairing,
    /// Other frequencies for long sequences.
    pub beyond: Option<RopeBeyond>,
}

/// Frequencies for all positions of sequences that are longer than a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeBeyond {
    /// Known tokens of a sequence up to which the usual ones hold.
    pub tokens: usize,
    /// One frequency per pair.
    pub inv_freq: Vec<f32>,
    /// In place of the other.
    pub magnitude: f32,
}

/// Causal attention of one layer: rotate q and k, append k and v to the cache, attend over it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attend {
    /// `[tokens, heads * head_dim]`; may be rotated in place.
    pub q: BufId,
    /// `[tokens, kv_heads * head_dim]`, which may be rotated in place, and `[tokens, kv_heads * v_dim]`: appended to the cache. `None`
    /// where another layer has done so.
    pub kv: Option<(BufId, BufId)>,
    /// `[tokens, heads * v_dim]`.
    pub out: BufId,
    /// The layer's cache; its shape fixes kv_heads and both dims.
    pub cache: CacheId,
    /// Query heads, a multiple of the cache's kv_heads.
    pub heads: usize,
    /// `None` in layers without positions.
    pub rope: Option<RopeId>,
    /// Factor of the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Key `j` is visible to query `i` when `i - j < window`.
    pub window: Option<usize>,
    /// `softcap * tanh(score / softcap)`.
    pub softcap: Option<f32>,
    /// One logit per head that takes part in the softmax and has no value.
    pub sinks: Option<VectorId>,
}

/// Copies single rows: `out[i] = input[rows[i]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Select<'a> {
    /// `[tokens, width]`.
    pub input: BufId,
    /// Which rows.
    pub rows: &'a [usize],
    /// `[rows, width]`.
    pub out: BufId,
}

/// Looks for the largest values of each row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Largest<'a> {
    /// Rows to look through.
    pub rows: usize,
    /// `[rows, width]`.
    pub input: BufId,
    /// How many of each row, at most [`Device::most_listed`].
    pub count: usize,
    /// The temperature of each row at which it is weighed ([`Logits::mass`]), 0 for rows that are not; none for no row.
    pub temperatures: &'a [f32],
}

/// What a device found when it looked for the largest values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A list for each row.
    All,
    /// Not a number or infinity, so that there are no lists.
    NotNumbers,
}

/// Element type of a KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// Half precision: the usual one.
    #[default]
    F16,
    /// Single precision: exact runs.
    F32,
    /// The upper half of single precision.
    Bf16,
    /// 8 bits and a scale per 32 values.
    Q8_0,
    /// 4 bits and a scale per 32 values.
    Q4_0,
}

impl CacheType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::F16, Self::F32, Self::Bf16, Self::Q8_0, Self::Q4_0];

    /// What options call it.
    pub fn name(self) -> &'static str {
        match self {
            CacheType::F16 => "f16",
            CacheType::F32 => "f32",
            CacheType::Bf16 => "bf16",
            CacheType::Q8_0 => "q8_0",
            CacheType::Q4_0 => "q4_0",
        }
    }

    /// Bytes of a vector of `values` values; saturating.
    pub fn bytes(self, values: usize) -> usize {
        let blocks = values.div_ceil(32);
        match self {
            CacheType::F16 | CacheType::Bf16 => values.saturating_mul(2),
            CacheType::F32 => values.saturating_mul(4),
            CacheType::Q8_0 => blocks.saturating_mul(34),
            CacheType::Q4_0 => blocks.saturating_mul(18),
        }
    }
}

/// Shape of one layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// Blocks in the pool.
    pub blocks: usize,
    /// Positions per block.
    pub block_len: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Values per key head.
    pub k_dim: usize,
    /// Values per value head.
    pub v_dim: usize,
    /// Element type.
    pub ty: CacheType,
    /// Where values lie.
    pub values: CacheValues,
}

impl CacheShape {
    /// Bytes of the layer's cache; saturating.
    pub fn byte_len(&self) -> u64 {
        let values = if self.values == CacheValues::InKeys { 0 } else { self.v_dim };
        let per_position = (self.kv_heads * (self.ty.bytes(self.k_dim) + self.ty.bytes(values))) as u64;
        (self.blocks as u64).saturating_mul(self.block_len as u64).saturating_mul(per_position)
    }
}

/// A part of a model, for devices that lie in several places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPart {
    /// What comes before the layers: embeddings.
    Start,
    /// A layer.
    Layer(usize),
    /// What comes after the layers: the head.
    End,
}

/// A buffer where it lies in a device's memory, for libraries of the device's vendor that work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Address of the first value.
    pub address: u64,
    /// Handle of the queue (a stream of CUDA's or HIP's) in whose order the device works.
    pub queue: u64,
}

/// Something that holds weights, buffers and caches and runs ops on them. Handles belong to the device that
/// gave them out.
pub trait Device: Send {
    /// For messages, such as `cpu (avx512-vnni, 2 threads)`.
    fn name(&self) -> String;

    /// Says to which part of the model the weights and caches belong that are taken from now on. A device in one place has no use
    /// for it.
    fn place(&mut self, _part: ModelPart) {}

    /// Says in how many equal pieces the buffers and caches that are made from now on lie apart on devices that compute at once; 0, as
    /// at first, for those that are whole. A device in one place has no use for it.
    fn divide(&mut self, _pieces: usize) {}

    /// Takes a weight matrix.
    ///
    /// # Errors
    /// The type is unsupported, or memory is short.
    fn matrix(&mut self, source: &MatrixSource, residency: Residency) -> Result<MatrixId, DeviceError>;

    /// Takes matrices of one shape.
    ///
    /// # Errors
    /// There are none, their shapes differ, a type is unsupported, or memory is short.
    fn stack(&mut self, sources: &[MatrixSource], residency: Residency) -> Result<StackId, DeviceError>;

    /// Makes the state of one recurrent layer: empty for each sequence that begins.
    ///
    /// # Errors
    /// Memory is short, or the shape is unsupported.
    fn state(&mut self, shape: &StateShape) -> Result<StateId, DeviceError>;

    /// Takes a short vector.
    ///
    /// # Errors
    /// Memory is short.
    fn vector(&mut self, name: &str, values: &[f32]) -> Result<VectorId, DeviceError>;

    /// Takes a rotary embedding.
    ///
    /// # Errors
    /// The device cannot do it.
    fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError>;

    /// Makes a buffer of `tokens` rows of `width` values.
    ///
    /// # Errors
    /// Memory is short.
    fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError>;

    /// Makes the cache of one layer.
    ///
    /// # Errors
    /// Memory is short, or the shape is unsupported.
    fn cache(&mut self, shape: &CacheShape) -> Result<CacheId, DeviceError>;

    /// Opens a step: makes the plan's block copies and keeps what all layers share (positions, block tables,
    /// rotations). `plan` has been checked and is the same until [`Device::end`].
    ///
    /// # Errors
    /// The device failed.
    fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError>;

    /// Looks up the step's tokens.
    ///
    /// # Errors
    /// The device failed.
    fn embed(&mut self, op: &Embed) -> Result<(), DeviceError>;

    /// `out = norm(input)`, for wirings that need the normed rows themselves; in place where both are the same.
    ///
    /// # Errors
    /// The device failed.
    fn norm(&mut self, rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError>;

    /// Matrices off the same rows.
    ///
    /// # Errors
    /// The device failed.
    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError>;

    /// A gated unit.
    ///
    /// # Errors
    /// The device failed.
    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError>;

    /// Applies an activation in place.
    ///
    /// # Errors
    /// The device failed.
    fn activate(&mut self, rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError>;

    /// Changes each value of a buffer in place.
    ///
    /// # Errors
    /// The device failed.
    fn elementwise(&mut self, rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError>;

    /// Changes each row of a buffer as a whole, in place.
    ///
    /// # Errors
    /// The device failed.
    fn rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError>;

    /// Weighted sums of buffers.
    ///
    /// # Errors
    /// The device failed.
    fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError>;

    /// Attention of one layer over the step's slices.
    ///
    /// # Errors
    /// The device failed.
    fn attend(&mut self, op: &Attend) -> Result<(), DeviceError>;

    /// Routed gated units.
    ///
    /// # Errors
    /// The device failed.
    fn experts(&mut self, op: &Experts) -> Result<(), DeviceError>;

    /// Weighs values by the sigmoid of others.
    ///
    /// # Errors
    /// The device failed.
    fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError>;

    /// Latent attention of one layer over the step's slices.
    ///
    /// # Errors
    /// The device failed.
    fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError>;

    /// Linear attention of one layer over the step's slices.
    ///
    /// # Errors
    /// The device failed.
    fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError>;

    /// Takes heads apart.
    ///
    /// # Errors
    /// The device failed.
    fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError>;

    /// `out += input * scale`, row by row.
    ///
    /// # Errors
    /// The device failed.
    fn add(&mut self, rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError>;

    /// Copies single rows.
    ///
    /// # Errors
    /// The device failed.
    fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError>;

    /// Gauges of memory that is not the host's; several where several devices stand as one.
    fn memory(&self) -> Vec<MemoryGauge> {
        Vec::new()
    }

    /// How many of the largest values of a row this device lists; 0 where a host can as well look for them in whole rows.
    fn most_listed(&self) -> usize {
        0
    }

    /// Adds a list of each row's largest values to `lists`, as [`Logits::push_list`] wants them; -inf is never among them.
    ///
    /// # Errors
    /// The device failed, or does not list values.
    fn largest(&mut self, _op: &Largest<'_>, _lists: &mut Logits) -> Result<Listed, DeviceError> {
        let op = "lists of the largest values".to_owned();
        Err(DeviceError::Unsupported { op, device: self.name() })
    }

    /// Copies the first rows of a buffer to the host; `out.len()` is a multiple of its width.
    ///
    /// # Errors
    /// The device failed.
    fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError>;

    /// Fills the first rows of a buffer from the host; `values.len()` is a multiple of its width.
    ///
    /// # Errors
    /// The device failed.
    fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError>;

    /// Where a buffer lies, once everything that was asked for before is in the device's queue.
    ///
    /// # Errors
    /// The device failed, or has no such place to tell.
    fn lend(&mut self, _buf: BufId) -> Result<Lent, DeviceError> {
        let op = "work of other libraries on its buffers".to_owned();
        Err(DeviceError::Unsupported { op, device: self.name() })
    }

    /// Copies blocks within every cache; also done by [`Device::begin`] for the plan's own copies.
    ///
    /// # Errors
    /// The device failed.
    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError>;

    /// Makes the recurrent state of `to` a copy of that of `from`.
    ///
    /// # Errors
    /// The device failed.
    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError>;

    /// Takes the recurrent state of `seq` back to `len` positions or fewer; returns how many.
    ///
    /// # Errors
    /// The device failed.
    fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError>;

    /// Forgets the recurrent state of `seq`, if there is one.
    fn forget(&mut self, seq: SeqId);

    /// Closes the step: everything asked for since [`Device::begin`] has happened.
    ///
    /// # Errors
    /// The device failed.
    fn end(&mut self) -> Result<(), DeviceError>;
}
