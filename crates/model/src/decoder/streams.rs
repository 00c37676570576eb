//! Several residual streams beside each other, and narrow ways around the mixer: handles, and the order of ops.

use super::{Decoder, Layer, Linear, Stream};
use std::f32::consts::FRAC_1_SQRT_2;
use torchless_device::{
    Activation, Blend, BufId, Device, DeviceError, Elementwise, Linear as LinearOp, Norm, Rowwise, Select,
    Store, VectorId,
};

/// Rows count as having at least this mean square where they are scaled to the magnitude of others.
const FLOOR: f32 = 1e-5;

/// Streams beside the first one.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// From the embeddings to each of them.
    pub into: Vec<Linear>,
    /// From each of them to what is added up at last.
    pub out: Vec<Linear>,
    /// Of all rows, and of the wanted ones alone.
    pub all: StreamBuffers,
    pub wanted: StreamBuffers,
}

/// Rows of all streams.
#[derive(Clone, Debug)]
pub(crate) struct StreamBuffers {
    /// The first stream, the others, and what was guessed of the first one.
    pub guessed: Vec<BufId>,
    /// The same streams, and a copy of the first one.
    pub corrected: Vec<BufId>,
}

impl StreamBuffers {
    fn count(&self) -> usize {
        self.guessed.len() - 1
    }

    /// All streams but the first.
    pub(super) fn others(&self) -> &[BufId] {
        &self.guessed[1..self.count()]
    }

    /// The copy of the first one.
    pub(super) fn copy(&self) -> BufId {
        self.corrected[self.count()]
    }
}

/// How a layer guesses the streams and corrects them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLayer {
    pub norm: Norm,
    pub router: Linear,
    /// From the router's values to the weights of sums.
    pub guess: Linear,
    pub correct: Linear,
    /// Of the copy of the first stream.
    pub weight: Option<VectorId>,
    /// What the router yields, and the weights of both sums.
    pub routed: BufId,
    pub weights: (BufId, BufId),
}

/// A way around the mixer through something narrow, added to its normed input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detour {
    pub down: Linear,
    pub up: Linear,
    pub norm: Norm,
    /// `[tokens, rank]`, and two of the stream's width.
    pub narrow: BufId,
    pub wide: BufId,
    pub normed: BufId,
}

impl Detour {
    /// What goes around the mixer, before that has changed the stream.
    pub(super) fn run(
        &self,
        (rows, x): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let down = &[self.down.onto(self.narrow, Store::Set)];
        dev.linear(&LinearOp { rows, input: x, norm, projections: down })?;
        let up = &[self.up.onto(self.wide, Store::Set)];
        dev.linear(&LinearOp { rows, input: self.narrow, norm: None, projections: up })?;
        dev.norm(rows, self.wide, &self.norm, self.wide)?;
        match norm {
            Some(norm) => {
                dev.norm(rows, x, &norm, self.normed)?;
                dev.add(rows, self.normed, 1.0, self.wide)
            }
            None => dev.add(rows, x, 1.0, self.wide),
        }
    }

    /// Joins it with what the mixer has left, as parts of equal weight.
    pub(super) fn join(&self, rows: usize, x: BufId, dev: &mut dyn Device) -> Result<(), DeviceError> {
        dev.add(rows, self.wide, 1.0, x)?;
        dev.elementwise(rows, Elementwise::Scale(FRAC_1_SQRT_2), x)
    }
}

impl StreamLayer {
    /// Sums whose weights follow from the first stream.
    fn sum(
        &self,
        (rows, x): (usize, BufId),
        (by, weights): (Linear, BufId),
        (inputs, outs): (&[BufId], &[BufId]),
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let router = &[self.router.onto(self.routed, Store::Set)];
        dev.linear(&LinearOp { rows, input: x, norm: Some(self.norm), projections: router })?;
        dev.activate(rows, Activation::Tanh, self.routed)?;
        let projections = &[by.onto(weights, Store::Set)];
        dev.linear(&LinearOp { rows, input: self.routed, norm: None, projections })?;
        dev.blend(&Blend { rows, inputs, weights, outs })
    }
}

impl Decoder {
    /// The streams beside the first one, which holds the embeddings: projections of these, as large as they are.
    pub(super) fn start_streams(&self, rows: usize, dev: &mut dyn Device) -> Result<(), DeviceError> {
        let Some(streams) = &self.ends.streams else { return Ok(()) };
        let x = self.buffers.x;
        for (matrix, out) in streams.into.iter().zip(streams.all.others()) {
            let projections = &[matrix.onto(*out, Store::Set)];
            dev.linear(&LinearOp { rows, input: x, norm: None, projections })?;
            dev.rowwise(rows, Rowwise::Magnitude { of: x, floor: FLOOR }, *out)?;
        }
        Ok(())
    }

    /// What a layer guesses of all streams; its parts go on with the first of them.
    pub(super) fn guess(&self, layer: &Layer, rows: usize, dev: &mut dyn Device) -> Result<(), DeviceError> {
        let (Some(streams), Some(own)) = (&self.ends.streams, &layer.streams) else { return Ok(()) };
        let guessed = &streams.all.guessed[..];
        let weights = (own.guess, own.weights.0);
        own.sum((rows, self.buffers.x), weights, (&guessed[..streams.all.count()], guessed), dev)
    }

    /// All streams corrected by what the layer has made of the first one.
    pub(super) fn correct(
        &self,
        layer: &Layer,
        s: Stream<'_>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let (Some(beside), Some(own)) = (s.beside, &layer.streams) else { return Ok(()) };
        let weights = (own.correct, own.weights.1);
        own.sum((s.rows, s.x), weights, (&beside.guessed, &beside.corrected), dev)?;
        match own.weight {
            Some(weight) => dev.rowwise(s.rows, Rowwise::Times(weight), beside.copy()),
            None => Ok(()),
        }
    }

    /// The wanted rows of all streams but the first.
    pub(super) fn select_streams(&self, dev: &mut dyn Device) -> Result<(), DeviceError> {
        let Some(streams) = &self.ends.streams else { return Ok(()) };
        let pairs = streams.all.guessed[1..].iter().zip(&streams.wanted.guessed[1..]);
        for (input, out) in pairs {
            dev.select(&Select { input: *input, rows: &self.wanted, out: *out })?;
        }
        Ok(())
    }

    /// The mean of all streams, the others projected and as large as the first one, in place of that.
    pub(super) fn merge_streams(&self, dev: &mut dyn Device) -> Result<(), DeviceError> {
        let Some(streams) = &self.ends.streams else { return Ok(()) };
        let (rows, x, sum) = (self.wanted.len(), self.buffers.wanted_x, streams.wanted.copy());
        for (i, (matrix, input)) in streams.out.iter().zip(streams.wanted.others()).enumerate() {
            let yielded = if i == 0 { sum } else { self.buffers.branch };
            let projections = &[matrix.onto(yielded, Store::Set)];
            dev.linear(&LinearOp { rows, input: *input, norm: None, projections })?;
            dev.rowwise(rows, Rowwise::Magnitude { of: x, floor: FLOOR }, yielded)?;
            if yielded != sum {
                dev.add(rows, yielded, 1.0, sum)?;
            }
        }
        dev.add(rows, sum, 1.0, x)?;
        dev.elementwise(rows, Elementwise::Scale(1.0 / streams.wanted.count() as f32), x)
    }
}
