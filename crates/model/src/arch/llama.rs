//! LLaMA 1 to 3.3 and Mistral: pre-norm, grouped-query attention, SwiGLU. In GGUF both are `llama`.
//!
//! GGUF stores q and k with the rows of each head reordered so that rotated pairs are adjacent; safetensors and
//! the native format keep halves.

use super::Family;
use crate::ModelError;
use crate::config::{Config, Default, Dialect, Key, key};
use crate::read::{self, MAX_WIDTH, RopeAsk};
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::{Activation, Pairing};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["llama"],
        json: &["llama"],
        names: Names::USUAL,
        defaults: &[("rms_norm_eps", Default::Float(1e-6)), ("tie_word_embeddings", Default::Bool(false))],
        spec,
    },
    Family {
        gguf: &[],
        json: &["mistral"],
        names: Names::USUAL,
        defaults: &[
            ("rms_norm_eps", Default::Float(1e-6)),
            ("num_key_value_heads", Default::Int(8)),
            ("sliding_window", Default::Int(4096)),
            ("tie_word_embeddings", Default::Bool(false)),
        ],
        spec,
    },
];

const EXPERTS: Key = key("expert_count", &["num_local_experts"]);
const EXPERTS_USED: Key = key("expert_used_count", &["num_experts_per_tok"]);

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    if c.count(EXPERTS, MAX_WIDTH)?.unwrap_or(0) > 0 {
        return Err(c.unsupported(EXPERTS, "dense models, 0 experts"));
    }
    c.pass(EXPERTS_USED);
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let pairing = if c.dialect == Dialect::Gguf { Pairing::Adjacent } else { Pairing::Halves };
    let ask = RopeAsk { head_dim: attn.head_dim, context: sizes.context, pairing, layer_type: None };
    let (rope, context_limit) = read::rope(c, ask)?;
    attn.rope = Some(rope);
    attn.window = read::window(c)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
