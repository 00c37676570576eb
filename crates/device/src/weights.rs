//! Weights on their way into a device: bytes in the file's layout, and where they are to live.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use torchless_quant::TensorType;

/// Where weights live while a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// Copied once into the layout that the device's kernels like best.
    #[default]
    Resident,
    /// Used in place, in the file's own layout. With a limit, as many weights as it allows are held in memory of
    /// their own and the others brought anew each time, a few megabytes of them at once.
    Mapped {
        /// Bytes to hold at most; `None` leaves it to the operating system.
        limit: Option<u64>,
    },
}

/// Bytes of weights that somebody else owns, such as a mapped file.
pub trait WeightBytes: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// Says that `range` is about to be read.
    fn will_need(&self, range: Range<usize>);

    /// Says that `range` will not be read soon: pages may be given back.
    fn release(&self, range: Range<usize>);

    /// Makes the pages of `range` resident at once, until [`WeightBytes::release`]; `false` where the source has none or
    /// the system cannot.
    ///
    /// # Errors
    /// The file cannot be read any more, or has shrunk.
    fn populate(&self, range: Range<usize>) -> std::io::Result<bool>;

    /// Copies from `offset` on into `out` without making more of the file resident, where the source can
    /// (the file behind a mapping); `false` where it cannot and [`WeightBytes::bytes`] has to do.
    ///
    /// # Errors
    /// The file cannot be read any more, or has shrunk.
    fn read_at(&self, offset: usize, out: &mut [u8]) -> std::io::Result<bool>;
}

impl WeightBytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn will_need(&self, _: Range<usize>) {}

    fn release(&self, _: Range<usize>) {}

    fn populate(&self, _: Range<usize>) -> std::io::Result<bool> {
        Ok(false)
    }

    fn read_at(&self, _: usize, _: &mut [u8]) -> std::io::Result<bool> {
        Ok(false)
    }
}

/// What a matrix is for: products want another layout than the lookup of single rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixUse {
    /// Rows by token id.
    Lookup,
    /// Products.
    Product,
    /// Products from which attention takes its queries, keys and values, or that mix what it found. Their activations are worth
    /// more bits: an error in a score is one in all that is read by it.
    Attention,
    /// Products for which activations may be rounded to what the weights are kept in: to bf16 for `BF16`, to bytes with a scale per row
    /// for `Q8_0`, whose rows have one scale each.
    Rounded,
    /// Both: an embedding table that is the head too.
    Both,
}

/// A weight matrix in the file's layout: `rows` rows of `cols` values, each row a run of blocks of `ty`.
#[derive(Clone)]
pub struct MatrixSource {
    /// For messages and transcripts.
    pub name: String,
    /// What it is for.
    pub purpose: MatrixUse,
    /// Element type.
    pub ty: TensorType,
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub cols: usize,
    /// The blocks; exactly `rows` times the type's bytes per row.
    pub data: Arc<dyn WeightBytes>,
    /// Second plane of types that have one.
    pub scales: Option<Arc<dyn WeightBytes>>,
}

impl MatrixSource {
    /// Bytes of all planes.
    pub fn byte_len(&self) -> u64 {
        let scales = self.scales.as_ref().map_or(0, |scales| scales.bytes().len());
        (self.data.bytes().len() + scales) as u64
    }
}

impl fmt::Debug for MatrixSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [{}, {}]", self.name, self.ty.info().name, self.rows, self.cols)
    }
}
