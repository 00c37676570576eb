//! Cuts rounded products into pieces of work and brings their sums to the output.

use super::{
    BLOCK, Call, Finish, Kernel, RoundedActs, RoundedJob, Rounding, Sums, check, kernel, strip_scales,
};
use crate::Activation;
use crate::cpu::Cpu;
use crate::matmul::tile::ROWS;
use crate::matmul::{MatrixRef, Store};
use crate::ops::Disjoint;
use std::ops::Range;

/// Strips of a piece of work, at most.
const MOST_STRIPS: usize = 8;

/// A job as the workers see it.
struct Piece<'a> {
    w: MatrixRef<'a>,
    bias: Option<&'a [f32]>,
    act: Option<Activation>,
    add: bool,
    y: Disjoint<'a, f32>,
    /// Strips per chunk.
    step: usize,
    /// The chunk after its last one.
    end: usize,
}

impl Cpu {
    /// Several products with the same activations in one dispatch.
    /// Panics where shapes do not agree, or [`Cpu::rounding`] has none for these weights.
    pub fn rounded_products(&self, jobs: &mut [RoundedJob<'_>], x: &RoundedActs) {
        let rounding = x.shape().2;
        let kernel = kernel(self.kernels, rounding).unwrap_or_else(|| panic!("no kernels for {rounding:?}"));
        self.products_by(kernel, jobs, x);
    }

    /// The same by a certain kernel.
    pub(super) fn products_by(&self, kernel: Kernel, jobs: &mut [RoundedJob<'_>], x: &RoundedActs) {
        let (n, _, rounding) = x.shape();
        let mut end = 0;
        let pieces: Vec<_> = jobs
            .iter_mut()
            .map(|job| {
                check(job, x);
                let strips = job.w.rows.div_ceil(ROWS);
                let step = (strips / (self.workers() * 4)).next_multiple_of(2).clamp(2, MOST_STRIPS);
                end += strips.div_ceil(step);
                Piece {
                    w: job.w,
                    bias: job.bias,
                    act: job.act,
                    add: job.store == Store::Add,
                    y: Disjoint::new(job.y),
                    step,
                    end,
                }
            })
            .collect();
        self.pool().for_chunks(if n == 0 { 0 } else { end }, &|_, chunk| {
            let index = pieces.partition_point(|piece| piece.end <= chunk);
            let piece = &pieces[index];
            let first = chunk - if index == 0 { 0 } else { pieces[index - 1].end };
            let strips = first * piece.step..((first + 1) * piece.step).min(piece.w.rows.div_ceil(ROWS));
            self.run_piece(piece, strips, x, (rounding, kernel));
        });
    }

    /// Some strips by all rows of activations.
    fn run_piece(
        &self,
        piece: &Piece<'_>,
        strips: Range<usize>,
        x: &RoundedActs,
        (rounding, kernel): (Rounding, Kernel),
    ) {
        let (n, cols, _) = x.shape();
        let rows = piece.w.rows;
        let (steps, b_step) = (cols / rounding.columns(), rounding.strip_step());
        let columns = strips.start * ROWS..rows.min(strips.end * ROWS);
        let mut lanes = [LanesOf::default(); MOST_STRIPS];
        for (lanes, strip) in lanes.iter_mut().zip(strips.clone()) {
            *lanes = piece.lanes(strip, rounding);
        }
        let mut sums = Sums([[[0; ROWS]; 2]; BLOCK]);
        for first in (0..n).step_by(BLOCK) {
            let block = first..n.min(first + BLOCK);
            for strip in strips.clone().step_by(2) {
                // An odd strip has itself for a partner, whose sums go nowhere.
                let partner = (strip + 1).min(strips.end - 1);
                let call = Call {
                    a: x.row(first).as_ptr(),
                    a_stride: x.stride(),
                    rows: block.len(),
                    b: [strip, partner].map(|s| piece.w.data[s * steps * b_step..].as_ptr()),
                    b_step,
                    steps,
                    sums: (&raw mut sums).cast(),
                    sums_stride: size_of::<Sums>() / BLOCK,
                };
                // SAFETY: `check` has seen that the weights have all strips, and `round` has made room for whole blocks of
                // rows; the table in use is one that this processor can run.
                unsafe { (kernel.multiply)(&call) };
                for s in strip..=partner {
                    piece.finish(
                        (&sums, s - strip),
                        (&lanes[s - strips.start], block.clone()),
                        x,
                        kernel.finish,
                    );
                }
            }
            let Some(act) = piece.act else { continue };
            for row in block {
                // SAFETY: these rows of the output belong to this chunk alone.
                let y = unsafe { piece.y.part(row * rows + columns.start, columns.len()) };
                (self.kernels.ops.activate)(act, y);
            }
        }
    }
}

/// What the rows of a strip have in common for all activations.
#[derive(Clone, Copy, Default)]
struct LanesOf {
    /// The first row.
    first: usize,
    /// How many there are.
    count: usize,
    /// A factor for each.
    scales: [f32; ROWS],
    bias: [f32; ROWS],
}

impl Piece<'_> {
    fn lanes(&self, strip: usize, rounding: Rounding) -> LanesOf {
        let first = strip * ROWS;
        let count = ROWS.min(self.w.rows - first);
        let mut bias = [0.0; ROWS];
        if let Some(given) = self.bias {
            bias[..count].copy_from_slice(&given[first..first + count]);
        }
        let scales = if rounding == Rounding::Int8 { strip_scales(&self.w, strip) } else { [1.0; ROWS] };
        LanesOf { first, count, scales, bias }
    }

    /// Brings the sums of a strip to the output.
    fn finish(
        &self,
        (sums, side): (&Sums, usize),
        (lanes, block): (&LanesOf, Range<usize>),
        x: &RoundedActs,
        finish: unsafe fn(&Finish<'_>),
    ) {
        let call = Finish {
            sums: (&raw const sums.0[0][side]).cast(),
            rows: block.len(),
            acts: x.scales(&block),
            scales: lanes.scales,
            bias: lanes.bias,
            y: self.y.start(block.start * self.w.rows + lanes.first),
            stride: self.w.rows,
            lanes: lanes.count,
            add: self.add,
        };
        // SAFETY: `check` has seen that the output has all rows; a strip of a row belongs to one chunk. The table in use is
        // one that this processor can run.
        unsafe { finish(&call) };
    }
}
