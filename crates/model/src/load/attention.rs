//! Softmax attention on its way to the device.

use super::Loader;
use super::tensors::Rows;
use crate::ModelError;
use crate::decoder::{Attention, AttnBuffers};
use crate::roles::Role;
use crate::spec::{AttnSpec, NormedOver, QkNorm};
use torchless_device::{CacheShape, Norm};

impl Loader<'_> {
    pub(super) fn attention(&mut self, i: usize, a: &AttnSpec, dim: usize) -> Result<Attention, ModelError> {
        let (q, k, v) = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.v_dim);
        let mixed = a.heads * a.v_dim;
        let parts = [(Role::Query, q), (Role::Key, k), (Role::Value, v)];
        let rows = Rows { fused: Role::FusedQkv, parts, cols: dim, bias: a.qkv_bias, head_dim: a.head_dim };
        let [query, key, value] = self.rows(i, &rows)?;
        let (q_norm, k_norm) = match a.qk_norm {
            Some(spec) => (
                Some(self.head_norm((Role::QueryNorm, i), spec, (a.heads, a.head_dim))?),
                Some(self.head_norm((Role::KeyNorm, i), spec, (a.kv_heads, a.head_dim))?),
            ),
            None => (None, None),
        };
        let inner_norm = match a.inner_norm {
            Some(spec) => Some(self.norm(Role::MixerInnerNorm, Some(i), spec, mixed)?),
            None => None,
        };
        let out = self.linear(Role::MixerOut, i, [dim, mixed], a.out_bias)?;
        let rope = a.rope.as_ref().map(|r| self.rope(r)).transpose()?;
        let (blocks, block_len) = self.blocks;
        let (kv_heads, k_dim, v_dim) = (a.kv_heads, a.head_dim, a.v_dim);
        let shape = CacheShape { blocks, block_len, kv_heads, k_dim, v_dim, ty: self.cache };
        let cache = self.device.cache(&shape)?;
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let buffers = AttnBuffers { q: buffer("q", q)?, k: buffer("k", k)?, v: buffer("v", v)? };
        let mixed = (buffer("mixed", mixed)?, buffer("wanted_mixed", mixed)?);
        Ok(Attention { query, key, value, q_norm, k_norm, rope, cache, inner_norm, out, buffers, mixed })
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
