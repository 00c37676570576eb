//! What an encoder asks of a device beyond a decoder's ops: whole texts at once, each attending to all of itself.
//!
//! A step is opened with [`Device::begin`]: each slice of the plan is a text from its first token on, without blocks.

use crate::DeviceError;
use crate::ops::{Activation, BufId, Device, Linear, MatrixId, RopeId, Store};
use std::ops::Range;

/// What the distance of two tokens adds to their score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetsId(pub u32);

/// Where [`EncoderDevice::offsets`] takes its numbers from. Distances are the key's position less the query's.
#[derive(Clone, Copy, Debug)]
pub enum OffsetSource<'a> {
    /// Added to the scaled score: `[heads, 2 * reach + 1]`, from distance `-reach` on.
    Bias {
        /// Heads.
        heads: usize,
        /// The biases.
        values: &'a [f32],
    },
    /// Added to the score before it is scaled: products with embedded distances, `[rows, heads * head_dim]`.
    /// He et al. 2020, arXiv 2006.03654, eq. 4.
    Products {
        /// Heads.
        heads: usize,
        /// Multiplied with queries.
        keys: Option<BufId>,
        /// Multiplied with keys.
        queries: Option<BufId>,
        /// The row of each distance from `-reach` to `reach`; never ascending.
        rows: &'a [u32],
    },
}

/// Rows of a table: `out[i] = table[rows[i]]`, or added to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather<'a> {
    /// `[any, width]`.
    pub table: MatrixId,
    /// Which rows.
    pub rows: &'a [u32],
    /// `[rows, width]`.
    pub out: BufId,
    /// Overwrite or add.
    pub store: Store,
}

/// Puts each token beside its neighbours: `out[t] = [input[t - taps / 2], ..., input[t + taps / 2]]`, zeros beyond the
/// ends of its text. A convolution is this and a [`Linear`](crate::Linear).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfold {
    /// `[tokens, width]`.
    pub input: BufId,
    /// How many neighbours, the token itself among them; odd.
    pub taps: usize,
    /// `[tokens, taps * width]`.
    pub out: BufId,
}

/// Attention of every token of a text to every other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttendWithin {
    /// `[tokens, heads * head_dim]`; rotated in place.
    pub q: BufId,
    /// The same; rotated in place.
    pub k: BufId,
    /// The same.
    pub v: BufId,
    /// The same.
    pub out: BufId,
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// `None` where positions are told otherwise.
    pub rope: Option<RopeId>,
    /// Factor of the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Key `j` is visible to query `i` when `|i - j| <= window`.
    pub window: Option<usize>,
    /// What distances add.
    pub offsets: Option<OffsetsId>,
    /// Whether the factors of products may be rounded to bf16.
    pub halves: bool,
}

/// How the rows of a text become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Their mean.
    Mean,
    /// Their sum over the square root of their number.
    MeanSqrt,
    /// Their mean, row `i` counted `i + 1` times.
    Weighted,
    /// The largest value of each column.
    Max,
}

/// One row per range of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolRows<'a> {
    /// `[tokens, width]`.
    pub input: BufId,
    /// Ranges that are not empty.
    pub texts: &'a [Range<usize>],
    /// How.
    pub kind: PoolKind,
    /// `[texts, width]`.
    pub out: BufId,
}

/// A device that runs encoders.
pub trait EncoderDevice: Device {
    /// Another device with the same weights and the same handles, but buffers of its own without rows, that works with so many
    /// threads; so that several threads can encode at once. Once there is one, neither takes more weights. `None` where a device
    /// cannot share.
    fn share(&self, threads: usize) -> Option<Box<dyn EncoderDevice>> {
        let _ = threads;
        None
    }

    /// Takes what distances add.
    ///
    /// # Errors
    /// Memory is short, or the device cannot do it.
    fn offsets(&mut self, source: &OffsetSource<'_>) -> Result<OffsetsId, DeviceError>;

    /// [`Device::linear`] and then a function of what it wrote, which replaces what was there.
    ///
    /// # Errors
    /// The device failed.
    fn linear_then(&mut self, op: &Linear<'_>, act: Activation) -> Result<(), DeviceError> {
        self.linear(op)?;
        op.projections.iter().try_for_each(|p| self.activate(op.rows, act, p.out))
    }

    /// Makes room for `tokens` rows in a buffer; its content is lost.
    ///
    /// # Errors
    /// Memory is short.
    fn resize(&mut self, buf: BufId, tokens: usize) -> Result<(), DeviceError>;

    /// Looks up rows of a table.
    ///
    /// # Errors
    /// The device failed.
    fn gather(&mut self, op: &Gather<'_>) -> Result<(), DeviceError>;

    /// Puts tokens beside their neighbours.
    ///
    /// # Errors
    /// The device failed.
    fn unfold(&mut self, op: &Unfold) -> Result<(), DeviceError>;

    /// Attention within the step's texts.
    ///
    /// # Errors
    /// The device failed.
    fn attend_within(&mut self, op: &AttendWithin) -> Result<(), DeviceError>;

    /// One row per text.
    ///
    /// # Errors
    /// The device failed.
    fn pool_rows(&mut self, op: &PoolRows<'_>) -> Result<(), DeviceError>;
}
