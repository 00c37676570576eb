//! Softmax attention over keys and values: handles, and the order of ops.

use super::Linear;
use torchless_device::{
    Attend, BufId, CacheId, Device, DeviceError, Elementwise, Linear as LinearOp, Norm, RopeId, SigmoidGate,
    Split, SplitPart, Store, VectorId,
};

/// Softmax attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    pub query: Linear,
    /// Keys and values, unless an earlier layer has them.
    pub kv: Option<(Linear, Linear)>,
    pub q_norm: Option<Norm>,
    pub k_norm: Option<Norm>,
    pub v_norm: Option<Norm>,
    pub rope: Option<RopeId>,
    pub cache: CacheId,
    pub heads: usize,
    pub scale: f32,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
    pub clip: Option<f32>,
    pub sinks: Option<VectorId>,
    pub gate: Option<QueryGate>,
    pub inner_norm: Option<Norm>,
    pub out: Linear,
    pub buffers: AttnBuffers,
    pub mixed: (BufId, BufId),
}

/// Rows of queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttnBuffers {
    pub q: BufId,
    pub k: BufId,
    pub v: BufId,
}

/// Queries that come with gates, head by head: rows of both, rows of gates, and values of each in a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryGate {
    pub both: BufId,
    pub gate: BufId,
    pub head_dim: usize,
}

impl Attention {
    /// Everything up to the output projection, for `rows` rows of `x`.
    pub(super) fn mix(
        &self,
        (rows, x): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let b = &self.buffers;
        let q = self.query.onto(self.gate.map_or(b.q, |g| g.both), Store::Set);
        match self.kv {
            Some((key, value)) => {
                let projections = &[q, key.onto(b.k, Store::Set), value.onto(b.v, Store::Set)];
                dev.linear(&LinearOp { rows, input: x, norm, projections })?;
            }
            None => dev.linear(&LinearOp { rows, input: x, norm, projections: &[q] })?,
        }
        if let Some(QueryGate { both, gate, head_dim: width }) = self.gate {
            let parts = &[SplitPart { width, out: b.q, at: 0 }, SplitPart { width, out: gate, at: 0 }];
            dev.split(&Split { rows, input: both, heads: self.heads, parts })?;
        }
        for (norm, buf) in [(self.q_norm, b.q), (self.k_norm, b.k), (self.v_norm, b.v)] {
            if let Some(norm) = norm {
                dev.norm(rows, buf, &norm, buf)?;
            }
        }
        if let Some(limit) = self.clip {
            for buf in [b.q, b.k, b.v] {
                dev.elementwise(rows, Elementwise::Clamp(limit), buf)?;
            }
        }
        dev.attend(&Attend {
            q: b.q,
            kv: self.kv.map(|_| (b.k, b.v)),
            out: self.mixed.0,
            cache: self.cache,
            heads: self.heads,
            rope: self.rope,
            scale: self.scale,
            window: self.window,
            softcap: self.softcap,
            sinks: self.sinks,
        })?;
        match self.gate {
            Some(QueryGate { gate, .. }) => dev.sigmoid_gate(&SigmoidGate { rows, gate, buf: self.mixed.0 }),
            None => Ok(()),
        }
    }
}
