//! MPNet: BERT's layers with a bias per bucket of distances. Song et al. 2020, arXiv 2004.09297.

use super::super::keys::{Keys, MOST_WIDTH};
use super::super::names;
use super::super::spec::{DistanceSpec, EmbedSpec, EncoderSpec, Pooling, PositionOrder, PositionSpec};
use super::Family;
use super::bert::{Defaults, body, context, dense, pooler};
use crate::ModelError;
use crate::config::{Key, key};
use torchless_device::Activation;

pub(super) const FAMILY: Family = Family { archs: &["mpnet"], spec, names: &[names::MPNET] };

const DEFAULTS: Defaults =
    Defaults { vocab: 30527, dim: 768, layers: 12, heads: 12, hidden: 3072, eps: 1e-12 };
const BUCKETS: Key<'static> = key("", &["relative_attention_num_buckets"]);
/// transformers counts positions from this token on, whatever `pad_token_id` says.
const PAD: u32 = 1;

fn spec(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    let body = body(keys, &DEFAULTS)?;
    let rows = keys.size(BUCKETS, super::super::distances::BUCKETS, MOST_WIDTH)?;
    if rows < super::super::distances::BUCKETS {
        return Err(keys.config.unsupported(BUCKETS, "32 and more"));
    }
    let order = PositionOrder::AfterPadding { pad: PAD };
    let positions = Some(PositionSpec { rows: body.positions, order });
    let embed = EmbedSpec { width: body.dim, positions, types: None, norm: body.norm, projection: None };
    let head = keys.head((Pooling::First, Some(dense(Activation::Tanh))), None)?;
    Ok(EncoderSpec {
        arch: keys.config.arch.clone(),
        vocab: body.vocab,
        dim: body.dim,
        context: context(&embed, body.positions),
        embed,
        layers: body.layers,
        distance: Some(DistanceSpec::Bias { rows }),
        conv: None,
        final_norm: None,
        pooler: pooler(keys, head.as_ref(), names::MPNET.prefix),
        head,
    })
}
