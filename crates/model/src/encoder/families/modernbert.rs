//! ModernBERT: norms before the parts, rotary embedding, gated units, layers that see only near tokens.
//! Warner et al. 2024, arXiv 2412.13663.

use super::super::keys::{Keys, MOST_LAYERS, MOST_POSITIONS, MOST_VOCAB, MOST_WIDTH, POSITIONS, VOCAB, bad};
use super::super::names;
use super::super::spec::{
    EmbedSpec, EncoderFfn, EncoderLayer, EncoderSpec, EncoderWiring, FfnKind, LayerNorm, Pooling, Transform,
    WithinSpec,
};
use super::Family;
use super::bert::attention;
use crate::ModelError;
use crate::config::{Key, key};
use torchless_device::{Activation, PoolKind};

pub(super) const FAMILY: Family = Family { archs: &["modernbert"], spec, names: &[names::MODERNBERT] };

const POOLING: Key<'static> = key("", &["classifier_pooling"]);
const FULL_THETA: Key<'static> = key("", &["rope_parameters.full_attention.rope_theta", "global_rope_theta"]);
const NEAR_THETA: Key<'static> =
    key("", &["rope_parameters.sliding_attention.rope_theta", "local_rope_theta"]);
/// Kinds of rotary embedding, of which only the plain one is built.
const ROPE_KINDS: [Key<'static>; 4] = [
    key("", &["rope_parameters.full_attention.rope_type"]),
    key("", &["rope_parameters.sliding_attention.rope_type"]),
    key("", &["rope_scaling.rope_type"]),
    key("", &["rope_scaling.type"]),
];

/// What a layer sees.
#[derive(Clone, Copy, PartialEq)]
enum Sight {
    Full,
    Near,
}

fn spec(keys: &Keys<'_>) -> Result<EncoderSpec, ModelError> {
    // Its files say that positions are absolute; its code knows no such key.
    keys.config.disregard(&["position_embedding_type"]);
    let dim = keys.size(key("", &["hidden_size"]), 768, MOST_WIDTH)?;
    let norm_bias = keys.flag(key("", &["norm_bias"]), false)?;
    let norm = keys.norm(key("", &["norm_eps", "layer_norm_eps"]), 1e-5, norm_bias)?;
    let context = keys.size(POSITIONS, 8192, MOST_POSITIONS)?;
    Ok(EncoderSpec {
        arch: keys.config.arch.clone(),
        vocab: keys.size(VOCAB, 50368, MOST_VOCAB)?,
        dim,
        embed: EmbedSpec { width: dim, positions: None, types: None, norm, projection: None },
        layers: layers(keys, dim, norm)?,
        distance: None,
        conv: None,
        final_norm: Some(norm),
        pooler: None,
        head: head(keys, norm)?,
        context,
    })
}

fn layers(keys: &Keys<'_>, dim: usize, norm: LayerNorm) -> Result<Vec<EncoderLayer>, ModelError> {
    let heads = keys.size(key("", &["num_attention_heads"]), 12, MOST_WIDTH)?;
    let count = keys.size(key("", &["num_hidden_layers"]), 22, MOST_LAYERS)?;
    let near = keys.size(key("", &["local_attention"]), 128, MOST_POSITIONS)? / 2;
    for kind in ROPE_KINDS {
        keys.only_text(kind, "default")?;
    }
    let full_theta = keys.config.positive(FULL_THETA)?.unwrap_or(160_000.0);
    let near_theta = keys.config.positive(NEAR_THETA)?.unwrap_or(10_000.0);
    let bias = keys.flag(key("", &["attention_bias"]), false)?;
    let plain = WithinSpec { qkv_bias: bias, out_bias: bias, ..attention(keys, dim, heads)? };
    if plain.head_dim % 2 == 1 {
        let supported = "an even number of values per head".to_owned();
        return Err(ModelError::Unsupported {
            what: format!("{} values per head", plain.head_dim),
            supported,
        });
    }
    let ffn = EncoderFfn {
        hidden: keys.size(key("", &["intermediate_size"]), 1152, MOST_WIDTH)?,
        act: keys.activation(key("", &["hidden_activation"]), Activation::Gelu)?,
        kind: FfnKind::Gated,
        bias: keys.flag(key("", &["mlp_bias"]), false)?,
    };
    let layer = |(i, sight)| {
        let (window, theta) =
            if sight == Sight::Full { (None, full_theta) } else { (Some(near), near_theta) };
        EncoderLayer {
            wiring: EncoderWiring::PreNorm,
            // The embeddings have just been normed.
            attention_norm: (i > 0).then_some(norm),
            attention: WithinSpec { rope_theta: Some(theta), window, ..plain },
            ffn_norm: norm,
            ffn,
        }
    };
    Ok(sights(keys, count)?.into_iter().enumerate().map(layer).collect())
}

/// What each layer sees: named, or all tokens in every so-manyth.
fn sights(keys: &Keys<'_>, count: usize) -> Result<Vec<Sight>, ModelError> {
    let every = keys.size(key("", &["global_attn_every_n_layers"]), 3, MOST_LAYERS)?;
    let Some(names) = keys.texts("layer_types")? else {
        return Ok((0..count).map(|i| if i % every == 0 { Sight::Full } else { Sight::Near }).collect());
    };
    let sight = |name: &&str| match *name {
        "full_attention" => Some(Sight::Full),
        "sliding_attention" => Some(Sight::Near),
        _ => None,
    };
    let sights: Option<Vec<_>> = names.iter().map(sight).collect();
    sights.filter(|sights| sights.len() == count).ok_or_else(|| {
        let expected = format!("full_attention or sliding_attention for each of {count} layers");
        bad("layer_types", &serde_json::json!(names), &expected)
    })
}

fn head(keys: &Keys<'_>, norm: LayerNorm) -> Result<Option<super::super::spec::HeadSpec>, ModelError> {
    let pooling = match keys.config.text(POOLING)? {
        Some("cls") | None => Pooling::First,
        Some("mean") => Pooling::Rows(PoolKind::Mean),
        Some(_) => return Err(keys.config.unsupported(POOLING, "cls, mean")),
    };
    let transform = Transform {
        act: keys.activation(key("", &["classifier_activation"]), Activation::Gelu)?,
        bias: keys.flag(key("", &["classifier_bias"]), false)?,
        norm: Some(norm),
    };
    keys.head((pooling, Some(transform)), Some(transform))
}
