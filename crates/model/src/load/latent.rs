//! Latent attention on its way to the device: matrices head by head, those of keys the other way round.

use super::tensors::{rows_of, source};
use super::turned::Turned;
use super::{Loader, division};
use crate::ModelError;
use crate::decoder::{Latent, Query};
use crate::roles::{Part, Role};
use crate::spec::LatentSpec;
use torchless_device::{CacheId, CacheShape, CacheValues, MatrixSource, MatrixUse, StackId};
use torchless_formats::Tensor;

impl Loader<'_> {
    pub(super) fn latent(&mut self, i: usize, a: &LatentSpec, dim: usize) -> Result<Latent, ModelError> {
        let q = a.heads * (a.plain + a.turned);
        // Latents are everywhere, and what leads to them; a device has some of the heads.
        let cache = self.latent_cache(a)?;
        self.divide(self.head_pieces(i, a.heads, a.value));
        let query = match a.query_rank {
            None => Query::Direct(self.linear(Role::Query, i, [q, dim], false)?),
            Some(rank) => Query::Narrow {
                down: self.linear(Role::QueryDown, i, [rank, dim], a.bias)?,
                middle: self.whole_buffer("q_middle", rank)?,
                norm: self.norm(Role::QueryDownNorm, Some(i), a.norm, rank)?,
                up: self.linear(Role::QueryUp, i, [q, rank], false)?,
            },
        };
        let kv = self.linear(Role::LatentDown, i, [a.cached_values(), dim], a.bias)?;
        let norm = self.norm(Role::LatentNorm, Some(i), a.norm, a.latent)?;
        let (key, value) = self.latent_heads(i, a)?;
        let out = self.linear(Role::MixerOut, i, [dim, a.heads * a.value], a.bias)?;
        let rope = self.rope(&a.rope)?;
        let latent = self.whole_buffer("latent", a.cached_values())?;
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let buffers = (buffer("q", q)?, latent);
        let mixed = (buffer("mixed", a.heads * a.value)?, buffer("wanted_mixed", a.heads * a.value)?);
        self.divide(0);
        let (heads, scale) = (a.heads, a.scale);
        Ok(Latent { query, kv, norm, key, value, cache, rope, heads, scale, out, buffers, mixed })
    }

    fn latent_cache(&mut self, a: &LatentSpec) -> Result<CacheId, ModelError> {
        let (blocks, block_len) = self.blocks;
        Ok(self.device.cache(&CacheShape {
            blocks,
            block_len,
            kv_heads: 1,
            k_dim: a.cached_values(),
            v_dim: a.latent,
            ty: self.cache,
            values: CacheValues::InKeys,
        })?)
    }

    /// What brings queries to the latents, and sums of latents to values: apart, or as one matrix from latents to keys and values.
    fn latent_heads(&mut self, i: usize, a: &LatentSpec) -> Result<(StackId, StackId), ModelError> {
        let apart = self.naming.find(Role::LatentKey, Some(i), Part::Weight);
        if apart.is_some_and(|name| self.checkpoint.tensors.contains(&name)) {
            let mut heads = |role, rows, cols| -> Result<StackId, ModelError> {
                let all = self.take(role, Some(i), Part::Weight, &[a.heads, rows, cols])?;
                let parts: Vec<_> =
                    (0..a.heads).map(|h| rows_of(&all, &h.to_string(), h * rows..(h + 1) * rows)).collect();
                let stack = self.stack_of_heads(parts.iter().map(head))?;
                self.advance(&all);
                Ok(stack)
            };
            return Ok((
                heads(Role::LatentKey, a.latent, a.plain)?,
                heads(Role::LatentValue, a.value, a.latent)?,
            ));
        }
        let rows_each = a.plain + a.value;
        let stored = self.take(Role::LatentUp, Some(i), Part::Weight, &[a.heads * rows_each, a.latent])?;
        let both = self.with_pairs(stored.clone())?;
        let mut keys = Vec::with_capacity(a.heads);
        let mut values = Vec::with_capacity(a.heads);
        for h in 0..a.heads {
            let keys_of = rows_of(&both, &format!("{h} key"), h * rows_each..h * rows_each + a.plain);
            let turned = Turned { first: 0, step: 1, rows: a.latent }.of(&keys_of)?;
            keys.push(MatrixSource { purpose: MatrixUse::Attention, ..turned });
            let values_of = h * rows_each + a.plain..(h + 1) * rows_each;
            values.push(head(&rows_of(&both, &format!("{h} value"), values_of)));
        }
        let (key, value) = (self.stack_of_heads(keys.into_iter())?, self.stack_of_heads(values.into_iter())?);
        self.advance(&stored);
        Ok((key, value))
    }

    fn stack_of_heads(&mut self, heads: impl Iterator<Item = MatrixSource>) -> Result<StackId, ModelError> {
        let divide = division::of_heads(self.buffers.pieces());
        let sources: Vec<_> = heads.map(|source| MatrixSource { divide, ..source }).collect();
        Ok(self.device.stack(&sources, self.residency)?)
    }
}

fn head(tensor: &Tensor) -> MatrixSource {
    source(tensor, MatrixUse::Attention)
}
