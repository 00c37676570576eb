//! Granite: LLaMA with factors for embeddings, scores, residuals and logits; dense or with experts.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Key, key};
use crate::read::{self, moe};
use crate::roles::{Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Activation, Score};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["granite"],
        json: &["granite"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(32000)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("mlp_bias", Bool(false)),
            ("embedding_multiplier", Float(1.0)),
            ("logits_scaling", Float(1.0)),
            ("residual_multiplier", Float(1.0)),
            ("attention_multiplier", Float(1.0)),
        ],
        spec,
    },
    Family {
        gguf: &["granitemoe"],
        json: &["granitemoe"],
        names: Names {
            json: &[
                (Role::Router, "model.layers.{}.block_sparse_moe.router.layer"),
                (Role::ExpertsGateUp, "model.layers.{}.block_sparse_moe.input_linear"),
                (Role::ExpertsDown, "model.layers.{}.block_sparse_moe.output_linear"),
            ],
            ..Names::USUAL
        },
        defaults: &[
            ("vocab_size", Int(32000)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("embedding_multiplier", Float(1.0)),
            ("logits_scaling", Float(1.0)),
            ("residual_multiplier", Float(1.0)),
            ("attention_multiplier", Float(1.0)),
            ("num_local_experts", Int(8)),
            ("num_experts_per_tok", Int(2)),
        ],
        spec,
    },
];

const EMBED: Key = key("embedding_scale", &["embedding_multiplier"]);
const SCORES: Key = key("attention.scale", &["attention_multiplier"]);
const RESIDUAL: Key = key("residual_scale", &["residual_multiplier"]);
const LOGITS: Key = key("logit_scale", &["logits_scaling"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.scale = c.positive(SCORES)?.unwrap_or(attn.scale);
    let context_limit = read::rotate(c, &sizes, &mut attn, read::reordered(c))?;
    let ffn = match moe::has_experts(c)? {
        true => {
            let mut unit = moe::experts(c, moe::routing(c, Score::SoftmaxOfChosen)?)?;
            unit.shared = moe::shared_by_width_if_any(c, &unit)?;
            Ffn::Experts(unit)
        }
        false => Ffn::Dense(read::glu(c, Activation::Silu)?),
    };
    let residual_scale = c.positive(RESIDUAL)?.unwrap_or(1.0);
    let layer = LayerSpec { residual_scale, ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn) };
    let embed_scale = c.positive(EMBED)?.unwrap_or(1.0);
    let logit_scale = 1.0 / c.positive(LOGITS)?.unwrap_or(1.0);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, embed_scale, logit_scale, ..model })
}
