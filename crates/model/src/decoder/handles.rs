//! Handles of a model on a device: what the decoder follows. They mirror the specification, part by part.

use super::{Attention, Delta, Detour, Latent, Mixture, StreamLayer, Streams};
use torchless_device::{
    Activation, BufId, Device, DeviceError, Elementwise, Glu, Linear as LinearOp, MatrixId, Norm, Projection,
    Rowwise, Store, VectorId,
};

/// A matrix with its bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub matrix: MatrixId,
    pub bias: Option<VectorId>,
}

impl Linear {
    pub(crate) fn onto(self, out: BufId, store: Store) -> Projection {
        Projection { matrix: self.matrix, bias: self.bias, out, store }
    }
}

/// What comes before and after the layers.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub embed: MatrixId,
    pub positions: Option<MatrixId>,
    pub token_inputs: Option<TokenInputTable>,
    pub streams: Option<Streams>,
    pub final_norm: Norm,
    pub head: Linear,
}

/// Inputs that each layer gets from the token itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenInputTable {
    pub table: MatrixId,
    pub projection: Linear,
    pub norm: Norm,
    /// Of all layers, `[tokens, layers * width]`: the inputs, the projection on its way, and the wanted rows alone.
    pub inputs: BufId,
    pub projected: BufId,
    pub wanted: BufId,
}

/// What a layer adds at last from its own input from the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenInput {
    pub gate: Linear,
    pub act: Activation,
    /// Column of the layer's part.
    pub first: usize,
    pub projection: Linear,
    pub norm: Norm,
    pub buf: BufId,
}

/// One layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub mixer_norm: Option<Norm>,
    pub streams: Option<StreamLayer>,
    pub detour: Option<Detour>,
    pub mixer: MixerParts,
    pub mixer_post: Option<Norm>,
    pub ffn_norm: Option<Norm>,
    pub ffn: FfnParts,
    pub ffn_post: Option<Norm>,
    pub token_input: Option<TokenInput>,
    pub output_scale: Option<f32>,
}

/// What mixes positions.
#[derive(Clone, Debug)]
pub(crate) enum MixerParts {
    Attention(Attention),
    Delta(Delta),
    Latent(Latent),
}

impl MixerParts {
    /// The norm before the output projection, and that projection.
    pub(crate) fn out(&self) -> (Option<Norm>, Linear) {
        match self {
            MixerParts::Attention(a) => (a.inner_norm, a.out),
            MixerParts::Delta(d) => (None, d.out),
            MixerParts::Latent(a) => (None, a.out),
        }
    }

    /// Where the mixer leaves what its output projection takes: of all rows, and of the wanted ones alone.
    pub(crate) fn mixed(&self) -> (BufId, BufId) {
        match self {
            MixerParts::Attention(a) => a.mixed,
            MixerParts::Delta(d) => d.mixed,
            MixerParts::Latent(a) => a.mixed,
        }
    }
}

/// What follows the mixer.
#[derive(Clone, Debug)]
pub(crate) enum FfnParts {
    Dense(Mlp),
    Experts(Box<Mixture>),
}

/// A dense unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp {
    pub widen: Widen,
    pub inner_norm: Option<Norm>,
    pub down: Linear,
    pub hidden: BufId,
}

impl Mlp {
    /// All but the last matrix, for `rows` rows of `input`.
    pub(super) fn widen(
        &self,
        (rows, input): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let out = self.hidden;
        match self.widen {
            Widen::Glu { gate, up, act } => {
                let (gate, up) = ((gate.matrix, gate.bias), (up.matrix, up.bias));
                dev.glu(&Glu { rows, input, norm, gate, up, act, out })
            }
            Widen::CutGlu { gate, up, act, deviations, other } => {
                let projections = &[gate.onto(out, Store::Set), up.onto(other, Store::Set)];
                dev.linear(&LinearOp { rows, input, norm, projections })?;
                dev.rowwise(rows, Rowwise::CutBelow { deviations }, out)?;
                dev.activate(rows, act, out)?;
                dev.elementwise(rows, Elementwise::Multiply { by: other, first: 0 }, out)
            }
            Widen::Plain { up, act } => {
                let projections = &[up.onto(out, Store::Set)];
                dev.linear(&LinearOp { rows, input, norm, projections })?;
                dev.activate(rows, act, out)
            }
        }
    }
}

/// From the width of the residual stream to the inner one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Widen {
    Glu {
        gate: Linear,
        up: Linear,
        act: Activation,
    },
    /// Of the gate's values only those count that stand out; `other` is for those of `up`.
    CutGlu {
        gate: Linear,
        up: Linear,
        act: Activation,
        deviations: f32,
        other: BufId,
    },
    Plain {
        up: Linear,
        act: Activation,
    },
}

/// Buffers that layers share: one for each purpose and width.
#[derive(Debug)]
pub(crate) struct BufferPool {
    tokens: usize,
    /// In how many pieces those of the part at hand may lie apart.
    pieces: usize,
    made: Vec<((&'static str, usize, usize), BufId)>,
}

impl BufferPool {
    /// Buffers of up to `tokens` rows.
    pub(crate) fn new(tokens: usize) -> Self {
        Self { tokens, pieces: 0, made: Vec::new() }
    }

    /// Says in how many pieces what is made from now on may lie apart; 0 for none.
    pub(crate) fn divide(&mut self, pieces: usize, dev: &mut dyn Device) {
        self.pieces = pieces;
        dev.divide(pieces);
    }

    /// See [`BufferPool::divide`].
    pub(crate) fn pieces(&self) -> usize {
        self.pieces
    }

    /// Rows of a buffer.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// The buffer for a purpose, of rows of `width` values.
    pub(crate) fn get(
        &mut self,
        purpose: &'static str,
        width: usize,
        dev: &mut dyn Device,
    ) -> Result<BufId, DeviceError> {
        let key = (purpose, width, self.pieces);
        if let Some((_, id)) = self.made.iter().find(|(made, _)| *made == key) {
            return Ok(*id);
        }
        let id = dev.buffer(purpose, self.tokens, width)?;
        self.made.push((key, id));
        Ok(id)
    }
}
