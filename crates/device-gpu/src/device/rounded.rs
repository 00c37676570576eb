//! Products that round activations on AMD's and Apple's devices: few rows to bytes, for dot products of them, and more rows to halves,
//! for matrix instructions. Weights stay in their blocks; for halves each of their rows has a power of two beside it.

use super::matmul::{Product, Stack, TILE, TILE_THREADS, adds};
use super::programs::Family;
use super::queue::{Args, Grid};
use super::{GpuDevice, Room, Rooms};
use crate::dequant;
use crate::driver::{DeviceInfo, Dialect, MemoryId};
use torchless_device::{DeviceError, MemoryUse, Precision};

/// Rows of input up to which each row of weights is multiplied as bytes, and how many of them at a time.
const MOST_DOTS: usize = 16;
const DOT_ROWS: usize = 8;
/// Threads of a group of the kernels for few rows, and of those that look for ranges.
const DOT_THREADS: usize = 64;
const RANGE_THREADS: usize = 64;
/// Values of input with one scale, and the words that hold them as bytes.
const RUN: usize = 32;
const RUN_WORDS: usize = 16;

/// What activations are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rounding {
    /// Few rows, to two bytes a value.
    pub bytes: bool,
    /// More rows, to halves. Devices with waves of 64 may lack the instructions; their kernels then round nothing.
    pub halves: bool,
}

impl Rounding {
    pub(super) fn of(info: &DeviceInfo, precision: Precision) -> Self {
        let may = precision == Precision::Fast;
        match info.dialect {
            Dialect::Hip(wave) => Self { bytes: may, halves: may && wave == 64 },
            Dialect::Metal => Self { bytes: false, halves: may },
            Dialect::Cuda(..) | Dialect::OpenCl => Self::default(),
        }
    }

    pub(super) fn is_any(self) -> bool {
        self.bytes || self.halves
    }
}

/// What was made of the rows of an input, for all products of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Rounded {
    /// Words and scales.
    codes: Option<(MemoryId, MemoryId)>,
    ranges: Option<MemoryId>,
}

/// Rows of input for each matrix of a stack.
#[derive(Clone, Copy)]
pub(super) struct Input {
    pub x: MemoryId,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub at: usize,
    pub step: usize,
    pub count: usize,
}

impl Input {
    /// Rows one after the other.
    pub(super) fn dense(x: MemoryId, rows: usize, cols: usize) -> Self {
        Self { x, rows, cols, stride: cols, at: 0, step: 0, count: 1 }
    }

    fn of(p: &Product, w: &Stack) -> Self {
        let Product { x, rows, x_stride: stride, x_at: at, x_step: step, .. } = *p;
        Self { x, rows, cols: w.cols, stride, at, step, count: w.count }
    }
}

impl GpuDevice {
    /// Whether rows of weights of a type are multiplied as bytes.
    pub(super) fn takes_bytes(&self, w: &Stack) -> bool {
        self.rounding.bytes && dequant::is_coded(w.ty)
    }

    /// A power of two per row of weights, where matrices of halves are multiplied.
    pub(super) fn weigh(&mut self, w: &Stack, name: &str) -> Result<Option<MemoryId>, DeviceError> {
        if !self.rounding.halves {
            return Ok(None);
        }
        let rows = w.rows * w.count;
        let ranges = self.take(rows as u64 * 4, MemoryUse::Weights, name)?;
        let args = Args::of(&[w.memory, ranges]).ints(&[w.cols]);
        self.launch(Family::Matmul(w.ty), "weight_ranges", Grid::Groups([rows, 1, 1], RANGE_THREADS), args)?;
        // A step forgets what waits when it begins.
        self.flush()?;
        Ok(Some(ranges))
    }

    /// Rows as bytes, made when first asked for.
    pub(super) fn codes(
        &mut self,
        w: &Stack,
        input: Input,
        rounded: &mut Rounded,
    ) -> Result<(MemoryId, MemoryId), DeviceError> {
        if let Some(codes) = rounded.codes {
            return Ok(codes);
        }
        let count = input.cols.div_ceil(RUN) * input.rows * input.count;
        let codes = self.floats(|r| &mut r.codes, count * RUN_WORDS, "activations as bytes")?;
        let scales = self.floats(|r| &mut r.scales, count, "scales of activations")?;
        let args = Args::of(&[input.x, codes, scales]);
        let args = args.ints(&[input.rows, input.cols, input.stride, input.at, input.step, count]);
        self.launch(Family::Matmul(w.ty), "code_rows", Grid::Threads(count), args)?;
        Ok(*rounded.codes.insert((codes, scales)))
    }

    /// A power of two per row, found when first asked for.
    pub(super) fn ranges(
        &mut self,
        w: &Stack,
        input: Input,
        rounded: &mut Rounded,
    ) -> Result<MemoryId, DeviceError> {
        if let Some(ranges) = rounded.ranges {
            return Ok(ranges);
        }
        let pick: fn(&mut Rooms) -> &mut Room = |r| &mut r.ranges;
        let ranges = self.floats(pick, input.rows * input.count, "ranges of activations")?;
        let args = Args::of(&[input.x, ranges]);
        let args = args.ints(&[input.rows, input.cols, input.stride, input.at, input.step]);
        let grid = Grid::Groups([input.rows, 1, input.count], RANGE_THREADS);
        self.launch(Family::Matmul(w.ty), "row_ranges", grid, args)?;
        Ok(*rounded.ranges.insert(ranges))
    }

    /// A product with each matrix of a stack that rounds the input; `None` where these rows are not rounded.
    pub(super) fn multiply_rounded(
        &mut self,
        w: &Stack,
        p: &Product,
        rounded: &mut Rounded,
    ) -> Result<Option<()>, DeviceError> {
        if p.rows <= MOST_DOTS && self.takes_bytes(w) {
            return self.multiply_bytes(w, p, rounded).map(Some);
        }
        match w.ranges.filter(|_| p.rows > super::matmul::FEW_ROWS) {
            Some(w_ranges) => self.multiply_halves((w, w_ranges), p, rounded).map(Some),
            None => Ok(None),
        }
    }

    fn multiply_bytes(&mut self, w: &Stack, p: &Product, rounded: &mut Rounded) -> Result<(), DeviceError> {
        let (codes, scales) = self.codes(w, Input::of(p, w), rounded)?;
        let (bias, has_bias) = self.vector_or_nothing(p.bias);
        let args = Args::of(&[codes, scales, w.memory, bias, p.y]).ints(&[p.rows, w.cols]);
        let args = args.ints(&[p.y_stride, p.y_at, p.y_step, w.rows, has_bias, adds(p.store)]);
        let groups = [w.rows, p.rows.div_ceil(DOT_ROWS), w.count];
        self.launch(Family::Matmul(w.ty), "dots", Grid::Groups(groups, DOT_THREADS), args)
    }

    fn multiply_halves(
        &mut self,
        (w, w_ranges): (&Stack, MemoryId),
        p: &Product,
        rounded: &mut Rounded,
    ) -> Result<(), DeviceError> {
        let x_ranges = self.ranges(w, Input::of(p, w), rounded)?;
        let (bias, has_bias) = self.vector_or_nothing(p.bias);
        let args = Args::of(&[p.x, w.memory, bias, p.y, x_ranges, w_ranges]).ints(&[p.rows, w.cols, w.rows]);
        let args = args.ints(&p.places()).ints(&[has_bias, adds(p.store)]);
        let groups = [w.rows.div_ceil(TILE), p.rows.div_ceil(TILE), w.count];
        self.launch(Family::Matmul(w.ty), "matmul_halves", Grid::Groups(groups, TILE_THREADS), args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use crate::driver::Hardware;

    #[test]
    fn what_is_rounded_goes_by_the_device_and_by_what_is_asked() {
        let info = |dialect| DeviceInfo {
            backend: Backend::Rocm,
            ordinal: 0,
            name: String::new(),
            driver: String::new(),
            hardware: Hardware::Gpu,
            dialect,
            memory: 0,
            max_alloc: 0,
            units: 1,
            warp: 1,
            max_group: 1,
            max_local: 0,
        };
        let of = |dialect, precision| {
            let Rounding { bytes, halves } = Rounding::of(&info(dialect), precision);
            (bytes, halves)
        };
        assert_eq!(of(Dialect::Hip(64), Precision::Fast), (true, true));
        assert_eq!(of(Dialect::Hip(32), Precision::Fast), (true, false));
        assert_eq!(of(Dialect::Metal, Precision::Fast), (false, true));
        assert_eq!(of(Dialect::OpenCl, Precision::Fast), (false, false));
        for dialect in [Dialect::Hip(64), Dialect::Hip(32), Dialect::Metal] {
            assert_eq!(of(dialect, Precision::Exact), (false, false));
        }
    }
}
