//! What an encoder has on a device: handles of its weights, and buffers.

use super::spec::{EncoderLayer, EncoderSpec};
use torchless_device::{
    Activation, BufId, DeviceError, EncoderDevice, MatrixId, Norm, OffsetsId, Projection, RopeId, Store,
    VectorId,
};

/// A matrix with its bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense {
    pub matrix: MatrixId,
    pub bias: Option<VectorId>,
}

impl Dense {
    pub(super) fn onto(self, out: BufId, store: Store) -> Projection {
        Projection { matrix: self.matrix, bias: self.bias, out, store }
    }
}

/// Handles of one layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerHandles {
    pub attention_norm: Option<Norm>,
    pub query: Dense,
    pub key: Dense,
    pub value: Dense,
    pub out: Dense,
    pub rope: Option<RopeId>,
    pub offsets: Option<OffsetsId>,
    /// Whether attention multiplies in bf16.
    pub halves: bool,
    pub ffn_norm: Norm,
    pub gate: Option<Dense>,
    pub up: Dense,
    pub down: Dense,
}

/// A matrix, a function and perhaps a norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransformHandles {
    pub dense: Dense,
    pub act: Activation,
    pub norm: Option<Norm>,
}

/// What classifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadHandles {
    pub transform: Option<TransformHandles>,
    pub classifier: Dense,
}

/// All handles.
#[derive(Debug)]
pub(super) struct EncoderHandles {
    pub tokens: MatrixId,
    pub positions: Option<MatrixId>,
    pub types: Option<MatrixId>,
    pub embed_norm: Norm,
    pub projection: Option<Dense>,
    pub layers: Vec<LayerHandles>,
    pub conv: Option<(Dense, Norm)>,
    pub final_norm: Option<Norm>,
    pub pooler: Option<TransformHandles>,
    pub head: Option<HeadHandles>,
}

/// Activations, one row per token.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Where tables are as wide as hidden states, the same as `x`.
    pub embedded: BufId,
    pub x: BufId,
    pub q: BufId,
    pub k: BufId,
    pub v: BufId,
    pub mixed: BufId,
    pub hidden: BufId,
    /// Neighbours of each token, and what a convolution makes of them.
    pub conv: Option<(BufId, BufId)>,
    /// What the head gets, and what its transform makes of it.
    pub pooled: BufId,
    pub shaped: BufId,
    pub logits: Option<BufId>,
}

impl Buffers {
    pub(super) fn new(spec: &EncoderSpec, device: &mut dyn EncoderDevice) -> Result<Self, DeviceError> {
        let widest = |f: fn(&EncoderLayer) -> usize| spec.layers.iter().map(f).max().unwrap_or(1);
        let inner = widest(|l| l.attention.heads * l.attention.head_dim);
        let mut make = |name, width| device.buffer(name, 0, width);
        let x = make("x", spec.dim)?;
        Ok(Self {
            embedded: if spec.embed.projection.is_some() { make("embedded", spec.embed.width)? } else { x },
            x,
            q: make("q", inner)?,
            k: make("k", inner)?,
            v: make("v", inner)?,
            mixed: make("mixed", inner)?,
            hidden: make("hidden", widest(|l| l.ffn.hidden))?,
            conv: match spec.conv {
                None => None,
                Some(conv) => Some((make("neighbours", conv.taps * spec.dim)?, make("conv", spec.dim)?)),
            },
            pooled: make("pooled", spec.dim)?,
            shaped: make("shaped", spec.dim)?,
            logits: spec.head.as_ref().map(|head| make("logits", head.labels.len())).transpose()?,
        })
    }

    pub(super) fn all(&self) -> Vec<BufId> {
        let mut all = vec![self.x, self.q, self.k, self.v, self.mixed, self.hidden, self.pooled, self.shaped];
        all.extend(self.logits);
        all.extend(self.conv.iter().flat_map(|&(neighbours, conv)| [neighbours, conv]));
        if self.embedded != self.x {
            all.push(self.embedded);
        }
        all
    }
}
