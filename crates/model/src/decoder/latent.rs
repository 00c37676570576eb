//! Latent attention: handles, and the order of ops.

use super::Linear;
use torchless_device::{
    BufId, CacheId, Device, DeviceError, LatentAttend, Linear as LinearOp, Norm, RopeId, StackId, Store,
};

/// Latent attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latent {
    pub query: Query,
    pub kv: Linear,
    pub norm: Norm,
    pub key: StackId,
    pub value: StackId,
    pub cache: CacheId,
    pub rope: RopeId,
    pub heads: usize,
    pub scale: f32,
    pub out: Linear,
    /// Rows of queries, and of latents with the shared part of keys.
    pub buffers: (BufId, BufId),
    pub mixed: (BufId, BufId),
}

/// How queries are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Query {
    Direct(Linear),
    /// Through something narrower, which lies in a buffer and is normed.
    Narrow {
        down: Linear,
        middle: BufId,
        norm: Norm,
        up: Linear,
    },
}

impl Latent {
    /// Everything up to the output projection, for `rows` rows of `x`.
    pub(super) fn mix(
        &self,
        (rows, x): (usize, BufId),
        norm: Option<Norm>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let (q, kv) = self.buffers;
        let (first, to) = match self.query {
            Query::Direct(query) => (query, q),
            Query::Narrow { down, middle, .. } => (down, middle),
        };
        let projections = &[first.onto(to, Store::Set), self.kv.onto(kv, Store::Set)];
        dev.linear(&LinearOp { rows, input: x, norm, projections })?;
        if let Query::Narrow { middle, norm, up, .. } = self.query {
            let projections = &[up.onto(q, Store::Set)];
            dev.linear(&LinearOp { rows, input: middle, norm: Some(norm), projections })?;
        }
        dev.attend_latent(&LatentAttend {
            q,
            kv,
            norm: self.norm,
            key: self.key,
            value: self.value,
            out: self.mixed.0,
            cache: self.cache,
            heads: self.heads,
            rope: self.rope,
            scale: self.scale,
        })
    }
}
