//! Weights and products with them.

use super::programs::Family;
use super::queue::{Args, Grid};
use super::rounded::Rounded;
use super::tiles::{Outcome, Target, Tiled};
use super::{Buffer, GpuDevice, number};
use crate::dequant;
use crate::driver::{MemoryId, Place};
use crate::overlay::{Format, pack};
use torchless_device::{
    DeviceError, Glu, Linear, MatrixId, MatrixSource, MatrixUse, MemoryUse, Store, VectorId,
};
use torchless_quant::TensorType;

/// Rows up to which matrices of F32 are not rounded.
const SMALL_ROWS: usize = 256;
/// Rows of input up to which each row of weights is read once for a few of them.
pub(super) const FEW_ROWS: usize = 8;
/// Rows of input that the kernel for few of them takes at a time, and its threads.
const AT_ONCE: usize = 4;
const FEW_THREADS: usize = 64;
/// Rows of weights and of input in a tile, and the threads that work on one.
pub(super) const TILE: usize = 64;
pub(super) const TILE_THREADS: usize = 256;

/// A weight matrix.
#[derive(Clone, Copy)]
pub(super) enum Matrix {
    /// In its own blocks.
    Blocks(Stack),
    /// In tiles.
    Tiles(Tiled),
}

/// Matrices of one shape and type, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Stack {
    pub memory: MemoryId,
    pub ty: TensorType,
    pub count: usize,
    pub rows: usize,
    pub cols: usize,
    /// A power of two per row of each, where products with many rows round it.
    pub ranges: Option<MemoryId>,
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

impl Product {
    /// Rows one after the other, on both sides.
    fn dense(rows: usize, (x, y): (Buffer, Buffer), (bias, store): (Option<VectorId>, Store)) -> Self {
        Self {
            x: x.memory,
            y: y.memory,
            rows,
            x_stride: x.width,
            y_stride: y.width,
            x_at: 0,
            y_at: 0,
            x_step: 0,
            y_step: 0,
            bias,
            store,
        }
    }

    /// Strides, places and steps as kernels take them.
    pub(super) fn places(&self) -> [usize; 6] {
        [self.x_stride, self.y_stride, self.x_at, self.y_at, self.x_step, self.y_step]
    }
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
        if let Some(format) = self.tiles_for(s) {
            let scales = s.scales.as_ref().map_or(&[][..], |s| s.bytes());
            let packed = pack(format, s.ty, s.cols, (s.data.bytes(), scales));
            let packed = packed
                .ok_or_else(|| self.refuse(format!("{} of another size than its shape says", s.name)))?;
            let memory = self.take(packed.bytes.len() as u64, MemoryUse::Weights, &s.name)?;
            self.driver.write(Place { memory, offset: 0 }, &packed.bytes)?;
            s.data.release(0..s.data.bytes().len());
            return Ok(Matrix::Tiles(Tiled {
                memory,
                format,
                rows: s.rows,
                cols: s.cols,
                scale: packed.scale,
            }));
        }
        let memory = self.take(bytes, MemoryUse::Weights, &s.name)?;
        self.write_matrix(s, Place { memory, offset: 0 })?;
        let ty = dequant::stored(s.ty);
        let mut stack = Stack { memory, ty, count: 1, rows: s.rows, cols: s.cols, ranges: None };
        if s.purpose != MatrixUse::Lookup && !stays_exact(s) {
            stack.ranges = self.weigh(&stack, &s.name)?;
        }
        Ok(Matrix::Blocks(stack))
    }

    /// The format of tiles for a matrix, where tiles are wanted: rows of whole fours that products read, in a format that takes no
    /// more than half as much memory again.
    fn tiles_for(&self, s: &MatrixSource) -> Option<Format> {
        self.matrix_units?;
        if stays_exact(s) {
            return None;
        }
        let format =
            Format::of(s.ty).filter(|_| s.purpose != MatrixUse::Lookup && s.cols.is_multiple_of(4))?;
        let bytes = format.matrix_bytes(s.rows, s.cols)?;
        let own = s.rows * dequant::row_bytes(s.ty, s.cols);
        (bytes <= own + own / 2 + (1 << 20)).then_some(format)
    }

    /// Matrices off the same rows: those in tiles of one format together, the others one by one.
    pub(super) fn run_linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        let (mut input, mut rounded) = (None, Rounded::default());
        let mut targets: Vec<Target> = Vec::with_capacity(3);
        for p in op.projections {
            let out = self.buf(p.out);
            match self.matrices[p.matrix.0 as usize] {
                Matrix::Tiles(matrix) => {
                    if targets.len() == 3 || targets.first().is_some_and(|t| t.matrix.format != matrix.format)
                    {
                        self.multiply_tiles((op.rows, op.input, op.norm.as_ref()), &targets, Outcome::Apart)?;
                        targets.clear();
                    }
                    targets.push(Target { matrix, bias: p.bias, out, store: p.store });
                }
                Matrix::Blocks(stack) => {
                    let from = match input {
                        Some(from) => from,
                        None => *input.insert(self.input(op.rows, op.input, op.norm.as_ref())?),
                    };
                    let product = Product::dense(op.rows, (from, out), (p.bias, p.store));
                    self.multiply_with(&stack, &product, &mut rounded)?;
                }
            }
        }
        if targets.is_empty() {
            return Ok(());
        }
        self.multiply_tiles((op.rows, op.input, op.norm.as_ref()), &targets, Outcome::Apart)
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
        let all = bytes.saturating_mul(sources.len() as u64);
        let memory = self.take(all, MemoryUse::Weights, &first.name)?;
        for (i, source) in sources.iter().enumerate() {
            self.write_matrix(source, Place { memory, offset: i as u64 * bytes })?;
        }
        let mut stack =
            Stack { memory, ty, count: sources.len(), rows: first.rows, cols: first.cols, ranges: None };
        if ty != TensorType::F32 {
            stack.ranges = self.weigh(&stack, &first.name)?;
        }
        Ok(stack)
    }

    /// Looks rows up whose numbers lie in the step's list.
    pub(super) fn look_up(
        &mut self,
        table: MatrixId,
        at: usize,
        rows: usize,
        (out, store, factor): (torchless_device::BufId, Store, f32),
    ) -> Result<(), DeviceError> {
        let out = self.buf(out);
        let table = match self.matrices[table.0 as usize] {
            Matrix::Tiles(table) => return self.look_up_tiles(table, (at, rows), out, (factor, store)),
            Matrix::Blocks(table) => table,
        };
        let step = self.ints_memory()?;
        let args = Args::of(&[table.memory, step, out.memory]).ints(&[at, table.rows, table.cols, out.width]);
        let args = args.ints(&[adds(store)]).floats(&[factor]);
        let groups = [table.cols.div_ceil(8 * FEW_THREADS), rows, 1];
        self.launch(Family::Matmul(table.ty), "lookup", Grid::Groups(groups, FEW_THREADS), args)
    }

    /// A product with each matrix of a stack.
    pub(super) fn multiply(&mut self, w: &Stack, p: &Product) -> Result<(), DeviceError> {
        self.multiply_with(w, p, &mut Rounded::default())
    }

    /// As [`GpuDevice::multiply`], with what was made of the same rows before.
    fn multiply_with(&mut self, w: &Stack, p: &Product, rounded: &mut Rounded) -> Result<(), DeviceError> {
        if self.multiply_rounded(w, p, rounded)?.is_some() {
            return Ok(());
        }
        let (bias, has_bias) = self.vector_or_nothing(p.bias);
        let family = Family::Matmul(w.ty);
        let places = p.places();
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
        let out = self.buf(op.out);
        let both = [op.gate, op.up].map(|(m, bias)| (self.matrices[m.0 as usize], bias));
        if let [(Matrix::Tiles(gate), gate_bias), (Matrix::Tiles(up), up_bias)] = both
            && gate.format == up.format
        {
            let target = |matrix, bias| Target { matrix, bias, out, store: Store::Set };
            let targets = [target(gate, gate_bias), target(up, up_bias)];
            return self.multiply_tiles(
                (op.rows, op.input, op.norm.as_ref()),
                &targets,
                Outcome::Gated(op.act),
            );
        }
        let count = op.rows * out.width;
        let up = self.floats(|r| &mut r.up, count, "gated activations")?;
        let up_buf = Buffer { memory: up, width: out.width };
        let (mut input, mut rounded) = (None, Rounded::default());
        for ((matrix, bias), to) in both.into_iter().zip([out, up_buf]) {
            match matrix {
                Matrix::Blocks(stack) => {
                    let from = match input {
                        Some(from) => from,
                        None => *input.insert(self.input(op.rows, op.input, op.norm.as_ref())?),
                    };
                    let product = Product::dense(op.rows, (from, to), (bias, Store::Set));
                    self.multiply_with(&stack, &product, &mut rounded)?;
                }
                Matrix::Tiles(matrix) => {
                    let target = [Target { matrix, bias, out: to, store: Store::Set }];
                    self.multiply_tiles((op.rows, op.input, op.norm.as_ref()), &target, Outcome::Apart)?;
                }
            }
        }
        let args = Args::of(&[out.memory, up, out.memory]).ints(&[number(op.act), count]);
        self.op("glu", Grid::Threads(count), args)
    }
}

/// Small matrices of F32 are mostly those that choose, experts or classes.
fn stays_exact(s: &MatrixSource) -> bool {
    s.ty == TensorType::F32 && s.rows <= SMALL_ROWS
}

/// A store as kernels take it.
pub(super) fn adds(store: Store) -> usize {
    usize::from(store == Store::Add)
}
