//! Products of weight matrices and activations: `y[t][r] = sum over c of w[r][c] * x[t][c]`.

use crate::activation::Activation;
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
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
    let _ = (ty, rows, cols);
    unimplemented!("packing")
}

/// How precisely activations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As 8-bit integers with a scale per 32 where the weights are quantised, as `f32` otherwise.
    Fast,
    /// As `f32`.
    Exact,
}

/// The forms of the activations that a set of weights needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActNeeds {
    int8: bool,
    f32: bool,
}

impl ActNeeds {
    /// What weights of type `ty` need.
    pub fn of(ty: TensorType, precision: Precision) -> Self {
        let int8 = precision == Precision::Fast
            && !matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16);
        Self { int8, f32: !int8 }
    }

    /// What both need together.
    pub fn and(self, other: Self) -> Self {
        Self { int8: self.int8 || other.int8, f32: self.f32 || other.f32 }
    }
}

/// Activations `[n, cols]` in the forms that the kernels read. Made once, refilled by [`Cpu::prepare`] without allocation.
pub struct Activations {
    n: usize,
    cols: usize,
}

impl Activations {
    /// Room for up to `max_tokens` rows of up to `max_cols` values in the forms of `needs`.
    pub fn new(max_tokens: usize, max_cols: usize, needs: ActNeeds) -> Self {
        let _ = (max_tokens, max_cols, needs);
        unimplemented!("activations")
    }

    /// Rows and columns of the last [`Cpu::prepare`].
    pub fn shape(&self) -> (usize, usize) {
        (self.n, self.cols)
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
        let _ = m;
        unimplemented!("packing")
    }

    /// Repacks `part`, some rows of [`Layout::File`], into `into` from row `first` on, so that a loader can give back a
    /// file's pages as it goes.
    /// Panics where `first` is not a multiple of 16, where `part` ends neither at a multiple of 16 nor at the last row, and
    /// as [`Cpu::pack`].
    pub fn pack_rows(&self, part: MatrixRef<'_>, first: usize, into: &mut PackedMatrix) {
        let _ = (part, first, into);
        unimplemented!("packing")
    }

    /// Puts `x`, `[n, cols]` row-major, into the forms of `needs`.
    /// Panics where `x` has another size or `out` has no room for it.
    pub fn prepare(&self, x: &[f32], cols: usize, needs: ActNeeds, out: &mut Activations) {
        let _ = (x, cols, needs, out);
        unimplemented!("prepare")
    }

    /// Several products with the same activations in one dispatch; allocates nothing.
    /// Panics where shapes do not agree or `x` lacks a form that the weights need.
    pub fn matmul(&self, jobs: &mut [MatmulJob<'_>], x: &Activations) {
        let _ = (jobs, x);
        unimplemented!("matmul")
    }

    /// Gate and up projection in one pass; as [`Cpu::matmul`].
    pub fn matmul_glu(&self, job: GluJob<'_>, x: &Activations) {
        let _ = (job, x);
        unimplemented!("matmul_glu")
    }
}
