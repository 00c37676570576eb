//! Products of weight matrices and activations: `y[t][r] = sum over c of w[r][c] * x[t][c]`.

pub(crate) mod acts;
mod drive;
pub(crate) mod in_file;
pub(crate) mod isa;
pub(crate) mod levels;
pub(crate) mod probe;
pub(crate) mod strips;
pub(crate) mod table;
pub(crate) mod tile;
pub(crate) mod weights;

pub use acts::Activations;
pub use levels::is_decoded;

use crate::Activation;
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use drive::{GROUP, Operand, Output, Piece, Up};
use std::ops::Range;
use strips::{FileRows, Strips, strips};
use tile::ROWS;
use torchless_quant::TensorType;

/// How the bytes of a matrix are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As in the file: one row of blocks after another.
    File,
    /// As the kernels like it best: see [`PackedMatrix`].
    Strips,
}

/// A borrowed weight matrix of `rows` outputs and `cols` inputs.
#[derive(Clone, Copy)]
pub struct MatrixRef<'a> {
    /// The type of its values.
    pub ty: TensorType,
    /// The arrangement of `data`.
    pub layout: Layout,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// The blocks.
    pub data: &'a [u8],
    /// The second plane of types that have one, in [`Layout::File`] only; otherwise empty.
    pub scales: &'a [u8],
}

impl<'a> MatrixRef<'a> {
    /// The row of the type's arrangement, after a check that the planes have the size of the shape.
    fn checked(&self) -> &'static Strips {
        let strips = strips(self.ty).unwrap_or_else(|| panic!("no kernels for weights of type {}", self.ty));
        let planes = match self.layout {
            Layout::Strips => packed_bytes(self.ty, self.rows, self.cols).map(|bytes| (bytes, 0)),
            Layout::File => file_bytes(self.ty, self.rows, self.cols),
        };
        let have = (self.data.len(), self.scales.len());
        assert!(planes == Some(have), "{} x {} {}: planes of {have:?} bytes", self.rows, self.cols, self.ty);
        strips
    }

    /// The rows of one strip of [`Layout::File`].
    fn strip_rows(&self, strip: usize) -> FileRows<'a> {
        let first = strip * ROWS;
        let rows = (self.rows - first).min(ROWS);
        let plane = |plane: &'a [u8]| {
            let row = plane.len() / self.rows;
            &plane[first * row..(first + rows) * row]
        };
        FileRows { ty: self.ty, rows, cols: self.cols, data: plane(self.data), scales: plane(self.scales) }
    }

    /// The rows from `first` on, `count` of them.
    /// Panics where they do not exist or, in [`Layout::Strips`], do not begin at a multiple of 16 and end at one or at the
    /// last row; and where the planes do not have the size of the shape.
    pub fn slice_rows(&self, first: usize, count: usize) -> MatrixRef<'a> {
        let strips = self.checked();
        let end = first.checked_add(count).filter(|end| *end <= self.rows);
        let end = end.unwrap_or_else(|| panic!("rows {first}.. ({count}) of {}", self.rows));
        let (data, scales) = match self.layout {
            Layout::File => {
                let row = |plane: &'a [u8]| {
                    &plane[plane.len() / self.rows.max(1) * first..plane.len() / self.rows.max(1) * end]
                };
                (row(self.data), row(self.scales))
            }
            Layout::Strips => {
                let whole = first.is_multiple_of(ROWS) && (end.is_multiple_of(ROWS) || end == self.rows);
                assert!(whole, "rows {first}..{end} of {} are not whole strips", self.rows);
                let strip = strips.units(self.cols) * strips.unit_bytes;
                (&self.data[first / ROWS * strip..end.div_ceil(ROWS) * strip], self.scales)
            }
        };
        MatrixRef { rows: count, data, scales, ..*self }
    }
}

/// Bytes of both planes in [`Layout::File`].
fn file_bytes(ty: TensorType, rows: usize, cols: usize) -> Option<(usize, usize)> {
    Some((ty.row_bytes(cols)?.checked_mul(rows)?, ty.row_scale_bytes(cols)?.checked_mul(rows)?))
}

/// A matrix repacked into strips of 16 interleaved rows, in memory of its own. Takes no more bytes than the file, padding of
/// the last strip and of a row's last unit (64 or 256 columns) aside.
pub struct PackedMatrix {
    ty: TensorType,
    rows: usize,
    cols: usize,
    buf: AlignedBuf,
}

impl PackedMatrix {
    /// A matrix of zero bytes, to be filled by [`Cpu::pack_rows`]; `None` where [`packed_bytes`] is.
    pub fn zeroed(ty: TensorType, rows: usize, cols: usize) -> Option<Self> {
        Some(Self { ty, rows, cols, buf: AlignedBuf::zeroed(packed_bytes(ty, rows, cols)?) })
    }

    /// The matrix as operand.
    pub fn as_ref(&self) -> MatrixRef<'_> {
        MatrixRef {
            ty: self.ty,
            layout: Layout::Strips,
            rows: self.rows,
            cols: self.cols,
            data: self.buf.as_slice(),
            scales: &[],
        }
    }

    /// The bytes, for a cache file.
    pub fn bytes(&self) -> &[u8] {
        self.buf.as_slice()
    }
}

/// Bytes of a [`PackedMatrix`]; `None` where `cols` is not a multiple of the type's block length, the size does not fit into
/// memory or there are no kernels for the type.
pub fn packed_bytes(ty: TensorType, rows: usize, cols: usize) -> Option<usize> {
    ty.row_bytes(cols)?;
    let strips = strips(ty)?;
    let strip = strips.units(cols).checked_mul(strips.unit_bytes)?;
    strip.checked_mul(rows.div_ceil(ROWS)).filter(|bytes| *bytes <= isize::MAX as usize)
}

/// How precisely activations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As 8-bit integers with a scale per 32 where the weights are quantised. For `F16` and `BF16` as two bf16, 16 bits of each
    /// value, where there are instructions for that. As `f32` otherwise.
    Fast,
    /// As [`Precision::Fast`], with what rounding left over as 8-bit integers with scales of their own: 16 bits for twice the
    /// arithmetic, off the same read of the weights.
    Fine,
    /// As `f32`.
    Exact,
}

/// The forms of the activations that a set of weights needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActNeeds {
    codes: bool,
    values: bool,
    /// Pairs of bf16 will do instead of values, where the kernels multiply such.
    halves: bool,
    /// Codes come in pairs: those of the values, those of what rounding left over.
    pairs: bool,
}

impl ActNeeds {
    /// What weights of type `ty` need.
    pub fn of(ty: TensorType, precision: Precision) -> Self {
        let float =
            matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16) || levels::is_decoded(ty);
        let codes = precision != Precision::Exact && !float;
        let halves = precision != Precision::Exact && matches!(ty, TensorType::F16 | TensorType::BF16);
        Self { codes, values: !codes && !halves, halves, pairs: codes && precision == Precision::Fine }
    }

    /// What both need together.
    pub fn and(self, other: Self) -> Self {
        Self {
            codes: self.codes || other.codes,
            values: self.values || other.values,
            halves: self.halves || other.halves,
            pairs: self.pairs || other.pairs,
        }
    }

    /// What kernels make of it, that multiply pairs of bf16 or do not.
    pub(crate) fn with_matrix(self, matrix: bool) -> Self {
        Self { values: self.values || self.halves && !matrix, halves: self.halves && matrix, ..self }
    }

    /// Rows of codes per token.
    pub(crate) fn code_rows(self) -> usize {
        if self.pairs { 2 } else { 1 }
    }
}

/// What becomes of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It replaces `y`.
    Set,
    /// It is added to `y`.
    Add,
}

/// One product `y = w x + bias` or `y += w x + bias`.
pub struct MatmulJob<'a> {
    /// The weights, `[rows, cols]`.
    pub w: MatrixRef<'a>,
    /// `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// `[n, rows]`, row-major.
    pub y: &'a mut [f32],
    /// Whether `y` is replaced or added to.
    pub store: Store,
}

/// The gated half of a feed-forward block: `y = act(gate x + gate_bias) * (up x + up_bias)`.
pub struct GluJob<'a> {
    /// `[rows, cols]`.
    pub gate: MatrixRef<'a>,
    /// `[rows, cols]`, of any type.
    pub up: MatrixRef<'a>,
    /// `[rows]`.
    pub gate_bias: Option<&'a [f32]>,
    /// `[rows]`.
    pub up_bias: Option<&'a [f32]>,
    /// The function.
    pub act: Activation,
    /// `[n, rows]`, row-major.
    pub y: &'a mut [f32],
}

impl Cpu {
    /// Repacks a whole matrix of [`Layout::File`].
    /// Panics where its planes do not have the size of its shape, or there are no kernels for its type
    /// ([`packed_bytes`] is `None`).
    pub fn pack(&self, m: MatrixRef<'_>) -> PackedMatrix {
        m.checked();
        let packed = PackedMatrix::zeroed(m.ty, m.rows, m.cols);
        let mut packed =
            packed.unwrap_or_else(|| panic!("{} x {} {} cannot be packed", m.rows, m.cols, m.ty));
        self.pack_rows(m, 0, &mut packed);
        packed
    }

    /// Repacks `part`, some rows of [`Layout::File`], into `into` from row `first` on, so that a loader can give back a
    /// file's pages as it goes.
    /// Panics where `first` is not a multiple of 16, where `part` ends neither at a multiple of 16 nor at the last row, and
    /// as [`Cpu::pack`].
    pub fn pack_rows(&self, part: MatrixRef<'_>, first: usize, into: &mut PackedMatrix) {
        let strips = part.checked();
        assert!(part.layout == Layout::File, "only rows as in the file can be packed");
        assert!((part.ty, part.cols) == (into.ty, into.cols), "rows of another type or length");
        let end = first.checked_add(part.rows).filter(|end| *end <= into.rows);
        let end = end.unwrap_or_else(|| panic!("rows {first}.. ({}) of {}", part.rows, into.rows));
        let whole = first.is_multiple_of(ROWS) && (end.is_multiple_of(ROWS) || end == into.rows);
        assert!(whole, "rows {first}..{end} of {} are not whole strips", into.rows);
        let bytes = strips.units(part.cols) * strips.unit_bytes;
        let target = &mut into.buf.as_mut_slice()[first / ROWS * bytes..end.div_ceil(ROWS) * bytes];
        let target = Target(target.as_mut_ptr());
        let repack = self.kernels.matmul.repack(part.ty);
        let repack = repack.unwrap_or_else(|| panic!("no kernels for weights of type {}", part.ty));
        self.pool().for_chunks(part.rows.div_ceil(ROWS), &|_, strip| {
            // SAFETY: strip `strip` of the target, which has room for all strips of the part; each is a chunk of its own.
            let out = unsafe { std::slice::from_raw_parts_mut(target.strip(strip, bytes), bytes) };
            strips.pack(&part.strip_rows(strip), 0, (repack, out));
        });
    }

    /// Several products with the same activations, up to eight per dispatch; allocates nothing once the workers' scratch
    /// memory has grown to the largest shape.
    /// Panics where shapes do not agree or `x` lacks a form that the weights need.
    pub fn matmul(&self, jobs: &mut [MatmulJob<'_>], x: &Activations) {
        let (n, _) = x.shape();
        self.run_jobs(jobs, &|_| 0..n, x);
    }

    /// Products of groups of activations, each with a matrix of its own: `jobs[i]` takes the rows `groups[i]`, which
    /// [`Cpu::prepare_groups`] made a group, and its `y` has as many. A row's result is the same in any group.
    /// Panics as [`Cpu::matmul`], and where there are fewer groups than jobs.
    pub fn matmul_groups(&self, jobs: &mut [MatmulJob<'_>], groups: &[Range<usize>], x: &Activations) {
        self.run_jobs(jobs, &|i| groups[i].clone(), x);
    }

    fn run_jobs(&self, jobs: &mut [MatmulJob<'_>], rows: &dyn Fn(usize) -> Range<usize>, x: &Activations) {
        for (part, jobs) in jobs.chunks_mut(GROUP).enumerate() {
            let mut pieces = [None; GROUP];
            let count = jobs.len();
            for (i, (piece, job)) in pieces.iter_mut().zip(jobs).enumerate() {
                let rows = checked_group(rows(part * GROUP + i), x);
                let w = Operand::new(job.w, x, &self.kernels.matmul);
                *piece = Some(Piece {
                    w,
                    first: rows.start,
                    n: rows.len(),
                    bias: checked_bias(job.bias, &job.w),
                    up: None,
                    add: job.store == Store::Add,
                    y: output(job.y, &job.w, rows.len()),
                });
            }
            self.run_pieces(&pieces[..count], x);
        }
    }

    /// Gate and up projection in one pass; as [`Cpu::matmul`].
    pub fn matmul_glu(&self, job: GluJob<'_>, x: &Activations) {
        assert!(job.gate.rows == job.up.rows, "a gate of {} rows for {}", job.gate.rows, job.up.rows);
        let table = &self.kernels.matmul;
        let (n, _) = x.shape();
        let up =
            Up { w: Operand::new(job.up, x, table), bias: checked_bias(job.up_bias, &job.up), act: job.act };
        let piece = Piece {
            w: Operand::new(job.gate, x, table),
            first: 0,
            n,
            bias: checked_bias(job.gate_bias, &job.gate),
            up: Some(up),
            add: false,
            y: output(job.y, &job.gate, n),
        };
        self.run_pieces(&[Some(piece)], x);
    }
}

/// The start of a packed matrix, of which several threads write disjoint strips.
struct Target(*mut u8);

// SAFETY: it stands for an exclusive borrow that outlives the job; `pack_rows` gives each strip to one chunk.
unsafe impl Sync for Target {}

impl Target {
    fn strip(&self, strip: usize, bytes: usize) -> *mut u8 {
        self.0.wrapping_add(strip * bytes)
    }
}

fn checked_bias<'a>(bias: Option<&'a [f32]>, w: &MatrixRef<'_>) -> Option<&'a [f32]> {
    if let Some(bias) = bias {
        assert!(bias.len() == w.rows, "a bias of {} for {} rows", bias.len(), w.rows);
    }
    bias
}

fn checked_group(rows: Range<usize>, x: &Activations) -> Range<usize> {
    assert!(x.has_group(&rows), "rows {rows:?} are no group of the activations");
    rows
}

fn output(y: &mut [f32], w: &MatrixRef<'_>, n: usize) -> Output {
    assert!(Some(y.len()) == n.checked_mul(w.rows), "an output of {} for {n} x {}", y.len(), w.rows);
    Output(y.as_mut_ptr())
}
