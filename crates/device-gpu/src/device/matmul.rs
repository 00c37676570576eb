//! Weights and products with them.

use super::programs::Family;
use super::queue::{Args, Grid};
use super::{Buffer, GpuDevice, number};
use crate::dequant;
use crate::driver::{MemoryId, Place};
use torchless_device::{DeviceError, Glu, MatrixId, MatrixSource, Projection, Store, VectorId};
use torchless_quant::TensorType;

/// Rows of input up to which each row of weights is read once for a few of them.
const FEW_ROWS: usize = 8;
/// Rows of input that the kernel for few of them takes at a time, and its threads.
const AT_ONCE: usize = 4;
const FEW_THREADS: usize = 64;
/// Rows of weights and of input in a tile, and the threads that work on one.
pub(super) const TILE: usize = 64;
pub(super) const TILE_THREADS: usize = 256;

/// A weight matrix, in its own blocks.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub memory: MemoryId,
    pub ty: TensorType,
    pub rows: usize,
    pub cols: usize,
}

/// Matrices of one shape and type, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Stack {
    pub memory: MemoryId,
    pub ty: TensorType,
    pub count: usize,
    pub rows: usize,
    pub cols: usize,
}

/// A product of rows with one matrix, or of parts of rows with each matrix of a stack.
pub(super) struct Product {
    pub x: MemoryId,
    pub y: MemoryId,
    pub rows: usize,
    pub x_stride: usize,
    pub y_stride: usize,
    /// Where the first values lie, and how far those of the next matrix are.
    pub x_at: usize,
    pub y_at: usize,
    pub x_step: usize,
    pub y_step: usize,
    pub bias: Option<VectorId>,
    pub store: Store,
}

impl GpuDevice {
    /// Bytes of a matrix here, refused where the kernels' numbers do not reach.
    fn check_size(&self, s: &MatrixSource) -> Result<u64, DeviceError> {
        let too_large = [s.rows, s.cols].iter().any(|&n| n > (1 << 30));
        if too_large || s.rows == 0 || s.cols == 0 {
            return Err(self.refuse(format!("{} of {} x {} values", s.name, s.rows, s.cols)));
        }
        Ok(s.rows as u64 * dequant::row_bytes(s.ty, s.cols) as u64)
    }

    /// Writes a matrix to its place.
    fn write_matrix(&mut self, s: &MatrixSource, at: Place) -> Result<(), DeviceError> {
        let scales = s.scales.as_ref().map_or(&[][..], |s| s.bytes());
        let data = s.data.bytes();
        self.driver.write(at, &dequant::pack(s.ty, s.cols, data, scales))?;
        s.data.release(0..data.len());
        Ok(())
    }

    pub(super) fn make_matrix(&mut self, s: &MatrixSource) -> Result<Matrix, DeviceError> {
        let bytes = self.check_size(s)?;
        let memory = self.driver.alloc(bytes, &s.name)?;
        self.write_matrix(s, Place { memory, offset: 0 })?;
        Ok(Matrix { memory, ty: dequant::stored(s.ty), rows: s.rows, cols: s.cols })
    }

    pub(super) fn make_stack(&mut self, sources: &[MatrixSource]) -> Result<Stack, DeviceError> {
        let Some(first) = sources.first() else {
            return Err(self.refuse("a stack of no matrices".to_owned()));
        };
        let ty = dequant::stored(first.ty);
        let same = |s: &MatrixSource| (dequant::stored(s.ty), s.rows, s.cols) == (ty, first.rows, first.cols);
        if let Some(other) = sources.iter().find(|s| !same(s)) {
            return Err(self.refuse(format!("a stack of {first:?} and {other:?}")));
        }
        let bytes = self.check_size(first)?;
        let memory = self.driver.alloc(bytes.saturating_mul(sources.len() as u64), &first.name)?;
        for (i, source) in sources.iter().enumerate() {
            self.write_matrix(source, Place { memory, offset: i as u64 * bytes })?;
        }
        Ok(Stack { memory, ty, count: sources.len(), rows: first.rows, cols: first.cols })
    }

    /// Looks rows up whose numbers lie in the step's list.
    pub(super) fn look_up(
        &mut self,
        table: MatrixId,
        at: usize,
        rows: usize,
        (out, store, factor): (torchless_device::BufId, Store, f32),
    ) -> Result<(), DeviceError> {
        let table = self.matrices[table.0 as usize];
        let out = self.buf(out);
        let step = self.ints_memory()?;
        let args = Args::of(&[table.memory, step, out.memory]).ints(&[at, table.rows, table.cols, out.width]);
        let args = args.ints(&[adds(store)]).floats(&[factor]);
        let groups = [table.cols.div_ceil(8 * FEW_THREADS), rows, 1];
        self.launch(Family::Matmul(table.ty), "lookup", Grid::Groups(groups, FEW_THREADS), args)
    }

    pub(super) fn project(&mut self, rows: usize, input: Buffer, p: &Projection) -> Result<(), DeviceError> {
        let out = self.buf(p.out);
        self.project_into(p.matrix, rows, input, (out, p.bias, p.store))
    }

    fn project_into(
        &mut self,
        matrix: MatrixId,
        rows: usize,
        input: Buffer,
        (out, bias, store): (Buffer, Option<VectorId>, Store),
    ) -> Result<(), DeviceError> {
        let Matrix { memory, ty, rows: n, cols } = self.matrices[matrix.0 as usize];
        let stack = Stack { memory, ty, count: 1, rows: n, cols };
        let product = Product {
            x: input.memory,
            y: out.memory,
            rows,
            x_stride: input.width,
            y_stride: out.width,
            x_at: 0,
            y_at: 0,
            x_step: 0,
            y_step: 0,
            bias,
            store,
        };
        self.multiply(&stack, &product)
    }

    /// A product with each matrix of a stack.
    pub(super) fn multiply(&mut self, w: &Stack, p: &Product) -> Result<(), DeviceError> {
        let (bias, has_bias) = self.vector_or_nothing(p.bias);
        let family = Family::Matmul(w.ty);
        let places = [p.x_stride, p.y_stride, p.x_at, p.y_at, p.x_step, p.y_step];
        let args = Args::of(&[p.x, w.memory, bias, p.y]);
        if p.rows <= FEW_ROWS {
            let groups = [w.rows, p.rows.div_ceil(AT_ONCE), w.count];
            let args = args.ints(&[p.rows, w.cols]).ints(&places).ints(&[w.rows, has_bias, adds(p.store)]);
            return self.launch(family, "matvec", Grid::Groups(groups, FEW_THREADS), args);
        }
        let groups = [w.rows.div_ceil(TILE), p.rows.div_ceil(TILE), w.count];
        let args = args.ints(&[p.rows, w.cols, w.rows]).ints(&places).ints(&[has_bias, adds(p.store)]);
        self.launch(family, "matmul", Grid::Groups(groups, TILE_THREADS), args)
    }

    /// A gated unit.
    pub(super) fn gated(&mut self, op: &Glu) -> Result<(), DeviceError> {
        let input = self.input(op.rows, op.input, op.norm.as_ref())?;
        let out = self.buf(op.out);
        let count = op.rows * out.width;
        let up = self.floats(|r| &mut r.up, count, "gated activations")?;
        let up_buf = Buffer { memory: up, width: out.width };
        self.project_into(op.gate.0, op.rows, input, (out, op.gate.1, Store::Set))?;
        self.project_into(op.up.0, op.rows, input, (up_buf, op.up.1, Store::Set))?;
        let args = Args::of(&[out.memory, up, out.memory]).ints(&[number(op.act), count]);
        self.op("glu", Grid::Threads(count), args)
    }
}

/// A store as kernels take it.
pub(super) fn adds(store: Store) -> usize {
    usize::from(store == Store::Add)
}
