//! Weighted sums of buffers, and rows that are measured as a whole.

use super::CpuDevice;
use crate::ops::BufId;
use crate::streams::{Blend, Rowwise};
use torchless_kernels::SumWeights;

/// Terms of a sum that need no list of their own.
const MOST_TERMS: usize = 16;

impl CpuDevice {
    pub(super) fn run_rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) {
        let width = self.buf(buf).width;
        let mut data = self.take(buf);
        let x = &mut data[..rows * width];
        match op {
            Rowwise::Times(vector) => self.cpu.times_row(x, self.vectors.get(vector)),
            Rowwise::Magnitude { of, floor } => {
                self.cpu.match_magnitude(x, &self.buf(of).data[..rows * width], width, floor);
            }
            Rowwise::CutBelow { deviations } => self.cpu.cut_below(x, width, deviations),
        }
        self.give(buf, data);
    }

    /// All sums first, then the buffers: outputs may be inputs.
    pub(super) fn run_blend(&mut self, op: &Blend<'_>) {
        let Some(&first) = op.outs.first() else { return };
        let (width, terms) = (self.buf(first).width, op.inputs.len());
        let len = op.rows * width;
        let mut all = std::mem::take(&mut self.blended);
        let sums = all.room(len * op.outs.len());
        let input = |j: usize| &self.buf(op.inputs[j]).data[..len];
        let list: [&[f32]; MOST_TERMS] = std::array::from_fn(|j| if j < terms { input(j) } else { &[][..] });
        let longer: Vec<&[f32]>;
        let list = if terms <= MOST_TERMS {
            &list[..terms]
        } else {
            longer = (0..terms).map(input).collect();
            &longer[..]
        };
        let weights = self.buf(op.weights);
        for (k, out) in sums.chunks_exact_mut(len.max(1)).enumerate() {
            let weights = SumWeights { values: &weights.data, width: weights.width, first: k * terms };
            self.cpu.weighted_sum(list, weights, width, out);
        }
        for (out, sums) in op.outs.iter().zip(sums.chunks_exact(len.max(1))) {
            self.buffers[out.0 as usize].data[..len].copy_from_slice(sums);
        }
        self.blended = all;
    }
}
