//! Softmax attention on its way to the device.

use super::Loader;
use super::tensors::Rows;
use crate::ModelError;
use crate::decoder::{Attention, AttnBuffers, Linear, QueryGate};
use crate::roles::Role;
use crate::spec::{AttnSpec, KvSource, NormedOver, QkNorm};
use torchless_device::{CacheId, CacheShape, CacheValues, Norm};

/// Whether nothing in a layer's attention works on several heads together.
fn works_on_heads(a: &AttnSpec) -> bool {
    a.inner_norm.is_none() && a.qk_norm.is_none_or(|norm| norm.over != NormedOver::Row)
}

impl Loader<'_> {
    pub(super) fn attention(&mut self, i: usize, a: &AttnSpec, dim: usize) -> Result<Attention, ModelError> {
        let (q, k, v) = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.v_dim);
        let mixed = a.heads * a.v_dim;
        // A device has whole heads of keys and values, and the queries that meet them.
        let pieces = self.head_pieces(i, a.kv_heads, mixed / a.kv_heads.max(1));
        self.divide(if works_on_heads(a) { pieces } else { 0 });
        let (query, kv) = self.query_key_value(i, a, dim)?;
        let mut head_norm = |role, heads| match a.qk_norm {
            Some(spec) => self.head_norm((role, i), spec, (heads, a.head_dim)).map(Some),
            None => Ok(None),
        };
        let q_norm = head_norm(Role::QueryNorm, a.heads)?;
        let k_norm = if kv.is_some() { head_norm(Role::KeyNorm, a.kv_heads)? } else { None };
        let v_norm = match a.v_norm.filter(|_| kv.is_some()) {
            Some(spec) => Some(self.norm_in_groups(Role::Value, Some(i), spec, (a.v_dim, a.kv_heads))?),
            None => None,
        };
        let sinks = if a.sinks { Some(self.bare_vector(Role::Sinks, i, a.heads)?) } else { None };
        let inner_norm = match a.inner_norm {
            Some(spec) => Some(self.norm(Role::MixerInnerNorm, Some(i), spec, mixed)?),
            None => None,
        };
        let out = self.linear(Role::MixerOut, i, [dim, mixed], a.out_bias)?;
        let rope = a.rope.as_ref().map(|r| self.rope(r)).transpose()?;
        let cache = self.cache_of(i, a)?;
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let buffers = AttnBuffers { q: buffer("q", q)?, k: buffer("k", k)?, v: buffer("v", v)? };
        let mixed = (buffer("mixed", mixed)?, buffer("wanted_mixed", mixed)?);
        let gate = match a.gated {
            true => Some(QueryGate {
                both: buffer("q_gate", 2 * q)?,
                gate: buffer("gate", q)?,
                head_dim: a.head_dim,
            }),
            false => None,
        };
        self.divide(0);
        let AttnSpec { heads, scale, window, softcap, clip, .. } = *a;
        Ok(Attention {
            query,
            kv,
            q_norm,
            k_norm,
            v_norm,
            rope,
            cache,
            heads,
            scale,
            window,
            softcap,
            clip,
            sinks,
            gate,
            inner_norm,
            out,
            buffers,
            mixed,
        })
    }

    /// The matrices of queries, and of keys and values where the layer has them.
    fn query_key_value(
        &mut self,
        i: usize,
        a: &AttnSpec,
        dim: usize,
    ) -> Result<(Linear, Option<(Linear, Linear)>), ModelError> {
        let (q, k, v) = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.v_dim);
        let q = if a.gated { 2 * q } else { q };
        let (query, key, value) = ((Role::Query, q), (Role::Key, k), (Role::Value, v));
        match a.kv {
            KvSource::Own => {
                let parts = [query, key, value];
                let fused = Role::FusedQkv;
                let rows = Rows { fused, parts, cols: dim, bias: a.qkv_bias, head_dim: a.head_dim };
                let [query, key, value] = self.rows(i, &rows)?;
                Ok((query, Some((key, value))))
            }
            KvSource::ValuesFromKeys => {
                let query = self.linear(Role::Query, i, [q, dim], a.qkv_bias)?;
                let key = self.linear(Role::Key, i, [k, dim], a.qkv_bias)?;
                Ok((query, Some((key, key))))
            }
            KvSource::Layer(_) => {
                [Role::Key, Role::Value, Role::KeyNorm].into_iter().for_each(|role| self.pass_over(role, i));
                Ok((self.linear(Role::Query, i, [q, dim], a.qkv_bias)?, None))
            }
        }
    }

    /// The layer's own cache, or that of the layer whose keys and values it takes.
    fn cache_of(&mut self, i: usize, a: &AttnSpec) -> Result<CacheId, ModelError> {
        let own = match a.kv {
            KvSource::Layer(of) => {
                let earlier = self.caches.iter().find(|(layer, _)| *layer == of);
                return earlier.map(|(_, cache)| *cache).ok_or_else(|| ModelError::Unsupported {
                    what: format!("layer {i} with keys and values of layer {of}"),
                    supported: "an earlier layer with keys and values".to_owned(),
                });
            }
            KvSource::Own | KvSource::ValuesFromKeys => {
                let (blocks, block_len) = self.blocks;
                let (kv_heads, k_dim, v_dim) = (a.kv_heads, a.head_dim, a.v_dim);
                let (ty, values) = (self.cache, CacheValues::Own);
                let shape = CacheShape { blocks, block_len, kv_heads, k_dim, v_dim, ty, values };
                self.device.cache(&shape)?
            }
        };
        self.caches.push((i, own));
        Ok(own)
    }

    fn head_norm(
        &mut self,
        (role, i): (Role, usize),
        spec: QkNorm,
        (heads, head_dim): (usize, usize),
    ) -> Result<Norm, ModelError> {
        let shape = match spec.over {
            NormedOver::Head => (head_dim, heads),
            NormedOver::HeadWithOwnWeight => (heads * head_dim, heads),
            NormedOver::Row => (heads * head_dim, 1),
        };
        self.norm_in_groups(role, Some(i), spec.norm, shape)
    }
}
