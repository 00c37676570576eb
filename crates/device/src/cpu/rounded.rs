//! Products for which activations are rounded to what the weights are kept in.

use super::{CpuDevice, apply_norm, kernels};
use crate::ops::{BufId, Glu, Linear, MatrixId, Norm, Store, VectorId};
use torchless_kernels::{Activation, Floats, RoundedActs, RoundedJob, Rounding};

/// Memory that such products share.
#[derive(Default)]
pub(super) struct Rounded {
    acts: RoundedActs,
    normed: Floats,
    /// Of gated units.
    up: Floats,
}

impl CpuDevice {
    /// What products with all of these matrices round activations to, if they do.
    pub(super) fn rounding(&self, matrices: impl IntoIterator<Item = MatrixId>) -> Option<Rounding> {
        let of = |id: MatrixId| self.matrices[id.0 as usize].rounding(&self.cpu, self.precision);
        let mut all = matrices.into_iter().map(of);
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    }

    fn round(&mut self, (rows, input): (usize, BufId), norm: Option<&Norm>, rounding: Rounding) {
        let buffer = &self.buffers[input.0 as usize];
        let (cols, mut x) = (buffer.width, &buffer.data[..rows * buffer.width]);
        if let Some(norm) = norm {
            let normed = self.rounded.normed.room(rows * cols);
            apply_norm(&self.cpu, norm, &self.vectors, (x, cols), normed);
            x = normed;
        }
        self.cpu.round(x, cols, rounding, &mut self.rounded.acts);
    }

    fn job<'a>(
        &'a self,
        (matrix, bias): (MatrixId, Option<VectorId>),
        act: Option<Activation>,
        y: &'a mut [f32],
    ) -> RoundedJob<'a> {
        RoundedJob {
            w: self.matrices[matrix.0 as usize].as_ref(),
            bias: bias.map(|b| self.vectors.get(b)),
            act,
            y,
            store: kernels::Store::Set,
        }
    }

    pub(super) fn linear_rounded(&mut self, op: &Linear<'_>, rounding: Rounding, act: Option<Activation>) {
        self.round((op.rows, op.input), op.norm.as_ref(), rounding);
        let mut outs: Vec<_> = op.projections.iter().map(|p| self.take(p.out)).collect();
        let mut jobs = Vec::with_capacity(outs.len());
        for (y, p) in outs.iter_mut().zip(op.projections) {
            let len = op.rows * self.buf(p.out).width;
            let job = self.job((p.matrix, p.bias), act, &mut y[..len]);
            let store = if p.store == Store::Add { kernels::Store::Add } else { kernels::Store::Set };
            jobs.push(RoundedJob { store, ..job });
        }
        self.cpu.rounded_products(&mut jobs, &self.rounded.acts);
        for (p, data) in op.projections.iter().zip(outs) {
            self.give(p.out, data);
        }
    }

    pub(super) fn glu_rounded(&mut self, op: &Glu, rounding: Rounding) {
        self.round((op.rows, op.input), op.norm.as_ref(), rounding);
        let len = op.rows * self.buf(op.out).width;
        let (mut gated, mut up) = (self.take(op.out), std::mem::take(&mut self.rounded.up));
        let ups = up.room(len);
        let mut jobs = [self.job(op.gate, Some(op.act), &mut gated[..len]), self.job(op.up, None, ups)];
        self.cpu.rounded_products(&mut jobs, &self.rounded.acts);
        self.cpu.times(&mut gated[..len], ups);
        self.give(op.out, gated);
        self.rounded.up = up;
    }
}
