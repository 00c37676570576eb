//! LLaMA 1 to 3.3 and Mistral: pre-norm, grouped-query attention, SwiGLU. In GGUF both are `llama`.
//!
//! GGUF stores q and k with the rows of each head reordered so that rotated pairs are adjacent; safetensors and
//! the native format keep halves.

use super::Family;
use crate::ModelError;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::config::{Config, Key, key};
use crate::read::{self, MAX_WIDTH};
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::Activation;

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["llama"],
        json: &["llama"],
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
        ],
        spec,
    },
    Family {
        gguf: &[],
        json: &["mistral"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(32000)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(14336)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(8)),
            ("hidden_act", Text("silu")),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("sliding_window", Int(4096)),
            ("max_position_embeddings", Int(131072)),
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
    let context_limit = read::rotate(c, &sizes, &mut attn, read::reordered(c))?;
    attn.window = read::window(c)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
