//! Weights on their way into a device: bytes in the file's layout, and where they are to live.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
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

/// How a matrix may be divided among devices that compute at once: into equal pieces, none of which is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Divide {
    /// Every device needs all of it.
    #[default]
    Whole,
    /// So many runs of rows; each device has some of what they yield.
    Rows(usize),
    /// So many runs of columns, off what a device has of the input; what they yield is summed.
    Cols(usize),
    /// Of a stack, so many runs of its matrices.
    Members(usize),
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
    /// How it may be divided.
    pub divide: Divide,
}

impl MatrixSource {
    /// Bytes of all planes, by shape and type.
    pub fn byte_len(&self) -> u64 {
        let row = self.ty.row_bytes(self.cols).unwrap_or(0) + self.ty.row_scale_bytes(self.cols).unwrap_or(0);
        self.rows as u64 * row as u64
    }
}

/// Some of what somebody else owns.
struct Part {
    of: Arc<dyn WeightBytes>,
    range: Range<usize>,
}

impl Part {
    fn within(&self, range: Range<usize>) -> Range<usize> {
        self.range.start + range.start..self.range.start + range.end
    }
}

impl WeightBytes for Part {
    fn bytes(&self) -> &[u8] {
        &self.of.bytes()[self.range.clone()]
    }

    fn will_need(&self, range: Range<usize>) {
        self.of.will_need(self.within(range));
    }

    fn release(&self, range: Range<usize>) {
        self.of.release(self.within(range));
    }

    fn populate(&self, range: Range<usize>) -> std::io::Result<bool> {
        self.of.populate(self.within(range))
    }

    fn read_at(&self, offset: usize, out: &mut [u8]) -> std::io::Result<bool> {
        self.of.read_at(self.range.start + offset, out)
    }
}

/// Bytes `range` of every row of what somebody else owns, put together when they are asked for.
struct Columns {
    of: Arc<dyn WeightBytes>,
    /// Bytes of a row.
    row: usize,
    range: Range<usize>,
    made: OnceLock<Vec<u8>>,
}

impl WeightBytes for Columns {
    fn bytes(&self) -> &[u8] {
        self.made.get_or_init(|| {
            let rows = self.of.bytes().chunks_exact(self.row.max(1));
            rows.flat_map(|row| &row[self.range.clone()]).copied().collect()
        })
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

impl MatrixSource {
    /// A matrix for products of values in single precision, row after row, in memory of its own. Panics if `cols` is 0.
    pub fn of_floats(name: String, values: &[f32], cols: usize) -> Self {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self {
            name,
            purpose: MatrixUse::Product,
            ty: TensorType::F32,
            rows: values.len() / cols,
            cols,
            data: Arc::new(data),
            scales: None,
            divide: Divide::Whole,
        }
    }

    /// Rows `range` of it, where they lie.
    pub(crate) fn some_rows(&self, range: Range<usize>) -> Self {
        let part = |of: &Arc<dyn WeightBytes>| -> Arc<dyn WeightBytes> {
            let row = of.bytes().len() / self.rows.max(1);
            Arc::new(Part { of: of.clone(), range: range.start * row..range.end * row })
        };
        let (data, scales) = (part(&self.data), self.scales.as_ref().map(part));
        Self { rows: range.len(), data, scales, divide: Divide::Whole, ..self.clone() }
    }

    /// Columns `range` of it, in memory of their own; `None` where a block would be cut.
    pub(crate) fn some_cols(&self, range: Range<usize>) -> Option<Self> {
        let info = self.ty.info();
        let block = info.block_len;
        if !range.start.is_multiple_of(block) || !range.end.is_multiple_of(block) {
            return None;
        }
        let part = |of: &Arc<dyn WeightBytes>, bytes: usize| -> Arc<dyn WeightBytes> {
            let [row, start, end] = [self.cols, range.start, range.end].map(|cols| cols / block * bytes);
            Arc::new(Columns { of: of.clone(), row, range: start..end, made: OnceLock::new() })
        };
        let scales = self.scales.as_ref().map(|scales| part(scales, info.scale_bytes));
        let data = part(&self.data, info.block_bytes);
        Some(Self { cols: range.len(), data, scales, divide: Divide::Whole, ..self.clone() })
    }
}

impl fmt::Debug for MatrixSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [{}, {}]", self.name, self.ty.info().name, self.rows, self.cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 5;
    const BLOCKS: usize = 4;

    /// A matrix of a type, of bytes that nobody chose but whose numbers are small.
    fn source(ty: TensorType) -> MatrixSource {
        let info = ty.info();
        let plane = |bytes: usize| -> Arc<dyn WeightBytes> {
            let byte = |i: usize| (i * 37 % 61) as u8;
            Arc::new((0..ROWS * BLOCKS * bytes).map(byte).collect::<Vec<u8>>())
        };
        let (rows, cols) = (ROWS, BLOCKS * info.block_len);
        let scales = (info.scale_bytes > 0).then(|| plane(info.scale_bytes));
        let (name, purpose) = ("m".to_owned(), MatrixUse::Product);
        let data = plane(info.block_bytes);
        MatrixSource { name, purpose, ty, rows, cols, data, scales, divide: Divide::Whole }
    }

    fn values(source: &MatrixSource) -> Vec<u32> {
        let mut values = vec![0.0; source.rows * source.cols];
        let scales = source.scales.as_ref().map_or(&[][..], |scales| scales.bytes());
        source.ty.decode(source.data.bytes(), scales, &mut values);
        values.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn parts_of_every_type_hold_what_the_whole_holds_there() {
        for &ty in TensorType::ALL {
            let (whole, block) = (source(ty), ty.info().block_len);
            let all = values(&whole);
            let rows = whole.some_rows(1..4);
            assert_eq!(values(&rows), all[whole.cols..4 * whole.cols], "{ty:?}");
            let cols = whole.some_cols(block..3 * block).expect("no block is cut");
            let expected: Vec<u32> =
                all.chunks(whole.cols).flat_map(|row| &row[block..3 * block]).copied().collect();
            assert_eq!((values(&cols), cols.byte_len()), (expected, whole.byte_len() / 2), "{ty:?}");
            assert!(block == 1 || whole.some_cols(0..block + 1).is_none(), "{ty:?}");
        }
    }
}
