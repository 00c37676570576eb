//! Weighted sums of buffers, and rows that are measured as a whole.

use super::queue::{Args, Grid};
use super::{Buffer, GpuDevice, NORM_THREADS};
use torchless_device::{Blend, BufId, DeviceError, Rowwise};

impl GpuDevice {
    pub(super) fn run_rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError> {
        let Buffer { memory, width } = self.buf(buf);
        let by_row = Grid::Groups([rows, 1, 1], NORM_THREADS);
        match op {
            Rowwise::Times(vector) => {
                let factors = self.vectors[vector.0 as usize].memory;
                let count = rows * width;
                self.op("times_row", Grid::Threads(count), Args::of(&[memory, factors]).ints(&[width, count]))
            }
            Rowwise::Magnitude { of, floor } => {
                let args = Args::of(&[memory, self.buf(of).memory]).ints(&[width]).floats(&[floor]);
                self.op("match_magnitude", by_row, args)
            }
            Rowwise::CutBelow { deviations } => {
                self.op("cut_below", by_row, Args::of(&[memory]).ints(&[width]).floats(&[deviations]))
            }
        }
    }

    /// All sums first, then the buffers: outputs may be inputs.
    pub(super) fn run_blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError> {
        let Some(&first) = op.outs.first() else { return Ok(()) };
        let (width, weights) = (self.buf(first).width, self.buf(op.weights));
        let count = op.rows * width;
        let sums = self.floats(|r| &mut r.sums, count * op.outs.len(), "weighted sums")?;
        for k in 0..op.outs.len() {
            for (j, input) in op.inputs.iter().enumerate() {
                let column = k * op.inputs.len() + j;
                let args = Args::of(&[self.buf(*input).memory, weights.memory, sums]);
                let args = args.ints(&[width, weights.width, column, k * count, usize::from(j > 0), count]);
                self.op("blend_term", Grid::Threads(count), args)?;
            }
        }
        for (k, out) in op.outs.iter().enumerate() {
            let args = Args::of(&[sums, self.buf(*out).memory]).ints(&[k * count, count]);
            self.op("copy_values", Grid::Threads(count), args)?;
        }
        Ok(())
    }
}
