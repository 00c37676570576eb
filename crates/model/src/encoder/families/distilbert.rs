//! DistilBERT: half of BERT's layers, no token types, keys of its own. Sanh et al. 2019, arXiv 1910.01108.

use super::super::keys::{Keys, MOST_LAYERS, MOST_POSITIONS, MOST_VOCAB, MOST_WIDTH, POSITIONS, VOCAB};
use super::super::names;
use super::super::spec::{
    EmbedSpec, EncoderFfn, EncoderSpec, FfnKind, LayerNorm, Pooling, PositionOrder, PositionSpec,
};
use super::Family;
use super::bert::{attention, dense, post_norm};
use crate::ModelError;
use crate::config::key;
use torchless_device::Activation;

pub(super) const FAMILY: Family = Family { archs: &["distilbert"], spec, names: &[names::DISTILBERT] };

/// Not in the file.
const NORM: LayerNorm = LayerNorm { eps: 1e-12, bias: true };

fn spec(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    keys.only(&["is_decoder"], false)?;
    let dim = keys.size(key("", &["dim", "hidden_size"]), 768, MOST_WIDTH)?;
    let heads = keys.size(key("", &["n_heads", "num_attention_heads"]), 12, MOST_WIDTH)?;
    let count = keys.size(key("", &["n_layers", "num_hidden_layers"]), 6, MOST_LAYERS)?;
    let ffn = EncoderFfn {
        hidden: keys.size(key("", &["hidden_dim"]), 3072, MOST_WIDTH)?,
        act: keys.activation(key("", &["activation"]), Activation::Gelu)?,
        kind: FfnKind::Plain,
        bias: true,
    };
    let rows = keys.size(POSITIONS, 512, MOST_POSITIONS)?;
    let positions = Some(PositionSpec { rows, order: PositionOrder::Place });
    Ok(EncoderSpec {
        arch: keys.config.arch.clone(),
        vocab: keys.size(VOCAB, 30522, MOST_VOCAB)?,
        dim,
        embed: EmbedSpec { width: dim, positions, types: None, norm: NORM, projection: None },
        layers: vec![post_norm(NORM, attention(keys, dim, heads)?, ffn); count],
        distance: None,
        conv: None,
        final_norm: None,
        pooler: None,
        head: keys.head((Pooling::First, Some(dense(Activation::Relu))), None)?,
        context: rows,
    })
}
