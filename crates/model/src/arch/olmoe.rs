//! OLMoE: LLaMA with norms over whole rows of queries and keys, and experts.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Key, key};
use crate::read::{self, moe};
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, NormedOver, QkNorm};
use torchless_device::{Pairing, Score};

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &["olmoe"],
    json: &["olmoe"],
    names: Names::USUAL,
    defaults: &[
        ("vocab_size", Int(50304)),
        ("hidden_size", Int(2048)),
        ("intermediate_size", Int(2048)),
        ("num_hidden_layers", Int(16)),
        ("num_attention_heads", Int(16)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(4096)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("attention_bias", Bool(false)),
        ("num_experts_per_tok", Int(8)),
        ("num_experts", Int(64)),
        ("norm_topk_prob", Bool(false)),
    ],
    spec,
}];

const CLIP: Key = key("attention.clamp_kqv", &["clip_qkv"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.clip = c.positive(CLIP)?;
    attn.qk_norm = Some(QkNorm { norm, over: NormedOver::Row });
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Halves)?;
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = moe::normalise(c, false, 0.0)?;
    routing.scale = moe::weight_scale(c)?;
    let ffn = Ffn::Experts(moe::experts(c, routing)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
